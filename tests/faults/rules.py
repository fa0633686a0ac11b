"""What must hold between the ledgers once everything has been repeated and settled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from schemas.events import EventType
from tests.faults.books import Capture, Event, Ledgers, ProviderCapture, Told
from tests.faults.findings import Finding, Kind

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

SHIPPED_EVENT = EventType.SHIPMENT_SHIPPED.value
LIVE = {"PENDING", "CAPTURED"}


Rule = Callable[[Ledgers], Iterator[Finding]]


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def answers_are_true(ledgers: Ledgers) -> Iterator[Finding]:
    shipments = {each.number: each for each in ledgers.shipments}
    paid = {each.shipment for each in ledgers.captures if each.state == "CAPTURED"}
    for number, calls in grouped(ledgers.calls, lambda call: call.shipment_number).items():
        shipment = shipments.get(number)
        told = Counter(call.told for call in calls)
        if shipment is None:
            if told[Told.SHIPPED] or told[Told.ALREADY]:
                yield Finding(Kind.UNKNOWN_SHIPMENT, number)
            continue
        if told[Told.SHIPPED] > 1:
            yield Finding(Kind.TOLD_TWICE, number, f"{told[Told.SHIPPED]} calls")
        if (told[Told.SHIPPED] or told[Told.ALREADY]) and shipment.status != "SHIPPED":
            yield Finding(Kind.TOLD_AND_NOT_SHIPPED, number, shipment.status)
        if set(told) == {Told.REFUSED} and (shipment.status == "SHIPPED" or number in paid):
            yield Finding(Kind.REFUSED_AND_CHANGED, number, shipment.status)
        for call in calls:
            # An answer is the end of the call, at the latest; so what it tells of must be older.
            if call.told is Told.ALREADY and shipment.shipped_at is not None and shipment.shipped_at > call.ended:
                yield Finding(Kind.TOLD_TOO_EARLY, number, f"by {shipment.shipped_at - call.ended:.3f} s")


def nothing_is_between_states(ledgers: Ledgers) -> Iterator[Finding]:
    live = grouped((each for each in ledgers.captures if each.state in LIVE), lambda each: each.shipment)
    for shipment in ledgers.shipments:
        captures = live.get(shipment.number, [])
        if any(each.state == "PENDING" for each in captures):
            yield Finding(Kind.BETWEEN_STATES, shipment.number, f"{shipment.status} with a capture left open")
        # An emptied one only keeps its number for the next creation.
        if shipment.status == "PROVISIONAL" and shipment.pieces:
            yield Finding(Kind.BETWEEN_STATES, shipment.number, shipment.status)
        if (shipment.status == "SHIPPED") != (shipment.shipped_at is not None):
            yield Finding(Kind.BETWEEN_STATES, shipment.number, "its status and its time differ")


def money_moved_once(ledgers: Ledgers) -> Iterator[Finding]:
    rows = {each.key: each for each in ledgers.captures}
    taken = grouped(ledgers.provider_captures, lambda each: _shipment_of(each, rows))
    live = Counter(each.shipment for each in ledgers.captures if each.state in LIVE)
    paid = {each.shipment for each in ledgers.captures if each.state == "CAPTURED" and each.amount}
    for shipment in ledgers.shipments:
        times = len(taken.get(shipment.number, []))
        if times > 1 or live[shipment.number] > 1:
            yield Finding(
                Kind.CAPTURED_TWICE, shipment.number, f"{times} at the provider, {live[shipment.number]} rows"
            )
        if shipment.status != "SHIPPED" and (times or shipment.number in paid):
            yield Finding(Kind.MONEY_WITHOUT_SHIPMENT, shipment.number)
        if shipment.status == "SHIPPED" and shipment.capture_wanted and not live[shipment.number]:
            yield Finding(Kind.NOT_CAPTURED, shipment.number)


def _shipment_of(entry: ProviderCapture, rows: dict[str, Capture]) -> str:
    return rows[entry.key].shipment if entry.key in rows else ""


def provider_agrees(ledgers: Ledgers) -> Iterator[Finding]:
    at_provider = grouped(ledgers.provider_captures, lambda each: each.key)
    rows = {each.key: each for each in ledgers.captures}
    for key in at_provider.keys() - rows.keys():
        yield Finding(Kind.UNKNOWN_MONEY, key)
    for key, row in rows.items():
        wanted = [(row.reference, row.amount, row.currency)] if row.state == "CAPTURED" and row.amount else []
        found = [(each.reference, each.amount, each.currency) for each in at_provider.get(key, [])]
        # What is open, and what was taken more than once, is for other rules.
        if row.state != "PENDING" and len(found) <= 1 and found != wanted:
            yield Finding(Kind.CAPTURE_DIFFERS, key, f"{row.state} {wanted}, provider {found}")


def amounts_are_due(ledgers: Ledgers) -> Iterator[Finding]:
    shipments = {each.number: each for each in ledgers.shipments}
    orders = {each.number: each for each in ledgers.orders}
    live = grouped((c for c in ledgers.captures if c.state in LIVE), lambda c: shipments[c.shipment].order)
    for number, order in orders.items():
        captures = live.get(number, [])
        for capture in captures:
            if capture.amount != shipments[capture.shipment].goods_amount + capture.shipping_part:
                yield Finding(Kind.WRONG_AMOUNT, capture.shipment, f"{capture.amount}")
            if capture.currency != order.currency:
                yield Finding(Kind.WRONG_AMOUNT, capture.shipment, capture.currency)
        if captures and sum(each.shipping_part for each in captures) != order.shipping_amount:
            yield Finding(Kind.WRONG_AMOUNT, number, "its shipping cost is not taken once")
        if order.reserved_amount != sum(each.amount for each in captures):
            yield Finding(Kind.WRONG_ORDER, number, f"{order.reserved_amount} reserved")


def orders_add_up(ledgers: Ledgers) -> Iterator[Finding]:
    shipped = Counter[str]()
    for shipment in ledgers.shipments:
        shipped[shipment.order] += shipment.pieces if shipment.status == "SHIPPED" else 0
    for order in ledgers.orders:
        unshipped = order.pieces - shipped[order.number]
        if order.unshipped != unshipped:
            yield Finding(Kind.WRONG_ORDER, order.number, f"{order.unshipped} unshipped, not {unshipped}")
        status = "COMPLETED" if not unshipped else "IN_PROGRESS" if shipped[order.number] else "CONFIRMED"
        if order.status not in {status, "ONHOLD", "CANCELLED"}:
            yield Finding(Kind.WRONG_ORDER, order.number, f"{order.status}, not {status}")


def history_is_complete(ledgers: Ledgers) -> Iterator[Finding]:
    told = Counter(each.shipment for each in ledgers.events if each.type == SHIPPED_EVENT)
    for shipment in ledgers.shipments:
        if told[shipment.number] > 1:
            yield Finding(Kind.EVENT_REPEATED, shipment.number, f"{told[shipment.number]} events")
        if bool(told[shipment.number]) != (shipment.status == "SHIPPED"):
            yield Finding(Kind.EVENT_MISSING, shipment.number, f"{shipment.status}, {told[shipment.number]} events")


def events_arrived(ledgers: Ledgers) -> Iterator[Finding]:
    history = {each.id: each for each in ledgers.events}
    received = grouped(ledgers.received, lambda each: each.event_id)
    for event_id, event in history.items():
        copies = received.get(event_id, [])
        if not copies:
            yield Finding(Kind.EVENT_LOST, event.shipment, event_id)
        if any((copy.type, copy.body) != (event.type, event.body) for copy in copies):
            yield Finding(Kind.EVENT_DIFFERS, event.shipment, event_id)
    for event_id in received.keys() - history.keys():
        yield Finding(Kind.EVENT_UNKNOWN, event_id)


def nothing_is_left(ledgers: Ledgers) -> Iterator[Finding]:
    if ledgers.outbox_left:
        yield Finding(Kind.OUTBOX_LEFT, "outbox", f"{ledgers.outbox_left} rows")
    if ledgers.dead_letters:
        yield Finding(Kind.DEAD_LETTERS, "the mail worker", f"{ledgers.dead_letters}")


def mails_went_out(ledgers: Ledgers) -> Iterator[Finding]:
    due = wanted_mails(ledgers)
    mails = grouped(ledgers.mails, lambda each: each.event_id)
    for event_id, event in due.items():
        ids = [each.message_id for each in mails.get(event_id, [])]
        if not ids:
            yield Finding(Kind.MAIL_LOST, event.shipment, event_id)
        if len(ids) > 1:
            yield Finding(Kind.MAIL_TWICE, event.shipment, f"{len(ids)} mails")
        if len(set(ids)) > 1:
            yield Finding(Kind.MAIL_IDS_DIFFER, event.shipment, ", ".join(sorted(set(ids))))
    for event_id in mails.keys() - due.keys():
        yield Finding(Kind.MAIL_UNKNOWN, event_id)


def mail_tables_agree(ledgers: Ledgers) -> Iterator[Finding]:
    handled = {each.id for each in ledgers.events if each.type == SHIPPED_EVENT}
    for event_id in handled ^ set(ledgers.inbox):
        yield Finding(Kind.INBOX_DIFFERS, event_id, "missing" if event_id in handled else "not in the history")
    sent = {(each.event_id, each.message_id) for each in ledgers.mails}
    rows = {(each.event_id, each.message_id) for each in ledgers.emails}
    for event_id, message_id in sent ^ rows:
        known = "mailed, no row" if (event_id, message_id) in sent else "a row, not mailed"
        yield Finding(Kind.EMAILS_DIFFER, event_id, f"{message_id}: {known}")


def wanted_mails(ledgers: Ledgers) -> dict[str, Event]:
    """Return the events whose customers are to be mailed, by id."""
    return {each.id: each for each in ledgers.events if each.type == SHIPPED_EVENT and each.notify}


RULES: tuple[Rule, ...] = (
    answers_are_true,
    nothing_is_between_states,
    money_moved_once,
    provider_agrees,
    amounts_are_due,
    orders_add_up,
    history_is_complete,
    events_arrived,
    nothing_is_left,
    mails_went_out,
    mail_tables_agree,
)

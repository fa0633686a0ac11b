"""The checker finds every fault that it knows, by itself, and nothing in ledgers that agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.faults.books import (
    Call,
    Capture,
    Event,
    Ledgers,
    Mail,
    Order,
    ProviderCapture,
    Received,
    Shipment,
    Told,
    told_by,
)
from tests.faults.ledgers import Counts, Kind, count, find_faults
from tests.faults.rules import RULES

SHIPPED_AT = 1000.0
GOODS, SHIPPING = 19900, 4900


def books(**rows: Any) -> Ledgers:
    tuples: dict[str, Any] = {name: tuple(value) for name, value in rows.items()}
    return Ledgers(**tuples)


def order(number: str, *, parts: int, shipped: int, captured: int, **changes: Any) -> Order:
    status = "COMPLETED" if shipped == parts else "IN_PROGRESS" if shipped else "CONFIRMED"
    reserved = captured * GOODS + (SHIPPING if captured else 0)
    usual = Order(number, status, "SEK", parts, parts - shipped, SHIPPING, parts * GOODS + SHIPPING, reserved)
    return replace(usual, **changes)


def shipment(number: str, *, shipped: bool, **changes: Any) -> Shipment:
    status, time = ("SHIPPED", SHIPPED_AT) if shipped else ("RELEASED", None)
    return replace(Shipment(number, number[:-2], status, time, True, GOODS, 1), **changes)


def capture(number: str, *, attempt: int = 1, first: bool = True, state: str = "CAPTURED", **changes: Any) -> Capture:
    key, part = f"shipment:{number}:capture:{attempt}", SHIPPING if first else 0
    reference = f"ref-{number}-{attempt}" if state == "CAPTURED" else None
    return replace(Capture(number, key, GOODS + part, part, "SEK", state, reference), **changes)


def taken(row: Capture, **changes: Any) -> ProviderCapture:
    return replace(ProviderCapture(row.key, row.reference or "ref", row.amount, row.currency), **changes)


def event(number: str, *, kind: str = "order-shipment-shipped", notify: bool = True) -> Event:
    return Event(f"{kind}/{number}", number, kind, f'{{"guid": "{number}"}}', notify)


def received(what: Event, **changes: Any) -> Received:
    return replace(Received(what.id, what.type, what.body), **changes)


def mail(what: Event, message_id: str = "") -> Mail:
    return Mail(what.id, message_id or f"<{what.id}@shop>")


def call(number: str, told: Told, *, ended: float = SHIPPED_AT + 1) -> Call:
    return Call(number, told, None, 0.5, ended - 0.5)


# One whole order; one of which a part has left; one that was declined twice, then at last asked about once; one that
# somebody else captures and whose customer is not mailed.
WHOLE, PART, DECLINED, FOREIGN = "1-1", "2-1", "3-1", "4-1"
RELEASED_PART = "2-2"
FIRST, SECOND = capture(WHOLE), capture(PART)
HISTORY = [
    event(WHOLE, kind="order-shipment-released"),
    event(WHOLE),
    event(PART),
    event(FOREIGN, notify=False),
]
MAILED = [event(WHOLE), event(PART)]
CLEAN = books(
    calls=[
        call(WHOLE, Told.UNKNOWN, ended=SHIPPED_AT - 1),
        call(WHOLE, Told.SHIPPED),
        call(WHOLE, Told.ALREADY, ended=SHIPPED_AT),
        call(PART, Told.UNKNOWN),
        call(PART, Told.ALREADY),
        call(DECLINED, Told.UNKNOWN),
        call(FOREIGN, Told.REFUSED, ended=SHIPPED_AT - 1),
        call(FOREIGN, Told.SHIPPED),
        call("nobody", Told.REFUSED),
    ],
    orders=[
        order("1", parts=1, shipped=1, captured=1),
        order("2", parts=2, shipped=1, captured=1),
        order("3", parts=1, shipped=0, captured=0),
        order("4", parts=1, shipped=1, captured=0),
    ],
    shipments=[
        shipment(WHOLE, shipped=True),
        shipment(PART, shipped=True),
        shipment(RELEASED_PART, shipped=False),
        shipment(DECLINED, shipped=False),
        shipment(FOREIGN, shipped=True, capture_wanted=False),
    ],
    captures=[FIRST, SECOND, capture(DECLINED, state="DECLINED"), capture(DECLINED, attempt=2, state="DECLINED")],
    events=HISTORY,
    inbox=[event(WHOLE).id, event(PART).id, event(FOREIGN).id],
    emails=[mail(each) for each in MAILED],
    provider_captures=[taken(FIRST), taken(SECOND)],
    received=[*map(received, HISTORY), received(HISTORY[1])],
    mails=[mail(each) for each in MAILED],
)


def with_ledger(ledgers: Ledgers, name: str, rows: Any) -> Ledgers:
    changed: dict[str, Any] = {name: rows}
    return replace(ledgers, **changed)


def more(ledger: str, *rows: Any) -> Ledgers:
    return with_ledger(CLEAN, ledger, (*getattr(CLEAN, ledger), *rows))


def less(ledger: str, *rows: Any) -> Ledgers:
    return with_ledger(CLEAN, ledger, tuple(each for each in getattr(CLEAN, ledger) if each not in rows))


def other(ledger: str, number: str, *, ledgers: Ledgers = CLEAN, **changes: Any) -> Ledgers:
    """Change the one row of a ledger that has this number, key or id."""
    rows = getattr(ledgers, ledger)
    assert any(number in names_of(row) for row in rows)
    return with_ledger(
        ledgers, ledger, tuple(replace(row, **changes) if number in names_of(row) else row for row in rows)
    )


def names_of(row: Any) -> list[Any]:
    return [getattr(row, field.name) for field in fields(row)][:2]


def without_capture() -> Ledgers:
    ledgers = replace(less("captures", FIRST), provider_captures=(taken(SECOND),))
    return other("orders", "1", ledgers=ledgers, reserved_amount=0)


def captured_under_two_keys() -> Ledgers:
    again = capture(WHOLE, attempt=2, first=False)
    ledgers = replace(more("captures", again), provider_captures=(*CLEAN.provider_captures, taken(again)))
    return other("orders", "1", ledgers=ledgers, reserved_amount=FIRST.amount + again.amount)


def captured_and_released() -> Ledgers:
    paid = capture(RELEASED_PART, first=False)
    ledgers = replace(more("captures", paid), provider_captures=(*CLEAN.provider_captures, taken(paid)))
    return other("orders", "2", ledgers=ledgers, reserved_amount=SECOND.amount + paid.amount)


def left_open() -> Ledgers:
    ledgers = more("captures", capture(RELEASED_PART, first=False, state="PENDING"))
    return other("orders", "2", ledgers=ledgers, reserved_amount=SECOND.amount + GOODS)


def took(amount: int, *, shipping_part: int = SHIPPING, currency: str = "SEK") -> Ledgers:
    row = replace(FIRST, amount=amount, shipping_part=shipping_part, currency=currency)
    ledgers = replace(CLEAN, captures=(row, *CLEAN.captures[1:]), provider_captures=(taken(row), taken(SECOND)))
    return other("orders", "1", ledgers=ledgers, reserved_amount=amount)


def unfinished(**changes: Any) -> Ledgers:
    return other("shipments", RELEASED_PART, **changes)


def told_again() -> Ledgers:
    again = replace(event(FOREIGN, notify=False), id="again")
    ledgers = replace(more("events", again), inbox=(*CLEAN.inbox, again.id))
    return replace(ledgers, received=(*CLEAN.received, received(again)))


def untold() -> Ledgers:
    silent = event(FOREIGN, notify=False)
    ledgers = replace(less("events", silent), inbox=CLEAN.inbox[:2])
    return replace(ledgers, received=tuple(each for each in CLEAN.received if each.event_id != silent.id))


def mailed_about(what: Event) -> Ledgers:
    return replace(more("mails", mail(what)), emails=(*CLEAN.emails, mail(what)))


def mailed_under_two_ids() -> Ledgers:
    again = mail(MAILED[0], "<another@shop>")
    return replace(more("mails", again), emails=(*CLEAN.emails, again))


FORGED: list[tuple[Kind, Callable[[], Ledgers]]] = [
    (Kind.TOLD_AND_NOT_SHIPPED, lambda: more("calls", call(RELEASED_PART, Told.SHIPPED))),
    (Kind.TOLD_AND_NOT_SHIPPED, lambda: more("calls", call(RELEASED_PART, Told.ALREADY))),
    (Kind.TOLD_TWICE, lambda: more("calls", call(WHOLE, Told.SHIPPED))),
    (Kind.TOLD_TOO_EARLY, lambda: more("calls", call(WHOLE, Told.ALREADY, ended=SHIPPED_AT - 0.001))),
    (Kind.REFUSED_AND_CHANGED, lambda: less("calls", call(FOREIGN, Told.SHIPPED))),
    (Kind.UNKNOWN_SHIPMENT, lambda: more("calls", call("nobody", Told.SHIPPED))),
    (Kind.UNKNOWN_SHIPMENT, lambda: more("calls", call("nobody", Told.ALREADY))),
    (Kind.ANSWERED_LATE, lambda: more("calls", replace(call(WHOLE, Told.ALREADY), seconds=30.1))),
    (Kind.BETWEEN_STATES, lambda: unfinished(status="PROVISIONAL")),
    (Kind.BETWEEN_STATES, lambda: unfinished(shipped_at=SHIPPED_AT)),
    (Kind.BETWEEN_STATES, left_open),
    (Kind.CAPTURED_TWICE, lambda: more("provider_captures", taken(FIRST, reference="another"))),
    (Kind.CAPTURED_TWICE, captured_under_two_keys),
    (Kind.NOT_CAPTURED, without_capture),
    (Kind.MONEY_WITHOUT_SHIPMENT, captured_and_released),
    (Kind.UNKNOWN_MONEY, lambda: more("provider_captures", ProviderCapture("a key of nobody's", "ref", 1, "SEK"))),
    (Kind.CAPTURE_DIFFERS, lambda: other("provider_captures", FIRST.key, reference="another")),
    (Kind.CAPTURE_DIFFERS, lambda: other("provider_captures", FIRST.key, amount=1)),
    (Kind.CAPTURE_DIFFERS, lambda: other("provider_captures", FIRST.key, currency="EUR")),
    (Kind.CAPTURE_DIFFERS, lambda: less("provider_captures", taken(FIRST))),
    (Kind.WRONG_AMOUNT, lambda: took(FIRST.amount + 1)),
    (Kind.WRONG_AMOUNT, lambda: took(GOODS, shipping_part=0)),
    (Kind.WRONG_AMOUNT, lambda: took(FIRST.amount, currency="EUR")),
    (Kind.WRONG_ORDER, lambda: other("orders", "1", reserved_amount=0)),
    (Kind.WRONG_ORDER, lambda: other("orders", "2", unshipped=2)),
    (Kind.WRONG_ORDER, lambda: other("orders", "2", status="COMPLETED")),
    (Kind.EVENT_REPEATED, told_again),
    (Kind.EVENT_MISSING, untold),
    (Kind.EVENT_LOST, lambda: less("received", received(HISTORY[0]))),
    (Kind.EVENT_LOST, lambda: less("received", received(HISTORY[1]))),
    (Kind.EVENT_DIFFERS, lambda: more("received", received(HISTORY[1], body="{}"))),
    (Kind.EVENT_DIFFERS, lambda: other("received", HISTORY[0].id, type="order-shipment-created")),
    (Kind.EVENT_UNKNOWN, lambda: more("received", received(event("9-1")))),
    (Kind.OUTBOX_LEFT, lambda: replace(CLEAN, outbox_left=1)),
    (Kind.DEAD_LETTERS, lambda: replace(CLEAN, dead_letters=1)),
    (Kind.MAIL_LOST, lambda: replace(less("mails", mail(MAILED[0])), emails=CLEAN.emails[1:])),
    (Kind.MAIL_TWICE, lambda: more("mails", mail(MAILED[0]))),
    (Kind.MAIL_UNKNOWN, lambda: mailed_about(event(FOREIGN, notify=False))),
    (Kind.INBOX_DIFFERS, lambda: less("inbox", event(WHOLE).id)),
    (Kind.INBOX_DIFFERS, lambda: more("inbox", event("9-1").id)),
    (Kind.EMAILS_DIFFER, lambda: less("emails", mail(MAILED[0]))),
    (Kind.EMAILS_DIFFER, lambda: other("emails", MAILED[0].id, message_id="another")),
]


def test_ledgers_that_agree_have_nothing_to_find() -> None:
    assert find_faults(CLEAN, deadline_s=1) == []
    assert find_faults(Ledgers()) == []


@pytest.mark.parametrize(("kind", "forge"), FORGED, ids=[f"{n}-{kind.name}" for n, (kind, _) in enumerate(FORGED)])
def test_a_forged_ledger_is_found_for_what_it_is(kind: Kind, forge: Callable[[], Ledgers]) -> None:
    findings = find_faults(forge(), deadline_s=30)
    assert {each.kind for each in findings} == {kind}
    assert all(each.subject and str(each).startswith(each.subject) for each in findings)


def test_every_kind_and_every_rule_is_tried() -> None:
    forged = [forge() for _, forge in FORGED] + [mailed_under_two_ids()]
    assert {each.kind for ledgers in forged for each in find_faults(ledgers, deadline_s=30)} == set(Kind)
    assert [rule.__name__ for rule in RULES if not any(list(rule(ledgers)) for ledgers in forged)] == []


def test_a_mail_may_go_out_again_only_where_the_run_says_so_and_under_the_same_id() -> None:
    assert find_faults(more("mails", mail(MAILED[0])), mails_may_repeat=True) == []
    assert {each.kind for each in find_faults(mailed_under_two_ids(), mails_may_repeat=True)} == {Kind.MAIL_IDS_DIFFER}


def test_an_emptied_provisional_shipment_is_no_state_between() -> None:
    assert find_faults(unfinished(status="PROVISIONAL", pieces=0)) == []


def test_a_shipment_of_nothing_needs_no_money() -> None:
    free = replace(FIRST, amount=0, shipping_part=0, reference=None)
    ledgers = replace(CLEAN, captures=(free, *CLEAN.captures[1:]), provider_captures=(taken(SECOND),))
    ledgers = other("orders", "1", ledgers=ledgers, reserved_amount=0, shipping_amount=0)
    assert find_faults(other("shipments", WHOLE, ledgers=ledgers, goods_amount=0)) == []


# A refused capture leaves no trace elsewhere.
ROWS = [
    (ledger, row)
    for ledger in ("captures", "events", "inbox", "emails", "provider_captures", "received", "mails")
    for row in getattr(CLEAN, ledger)
    if getattr(row, "state", "") != "DECLINED"
]


@pytest.mark.parametrize(("ledger", "row"), ROWS, ids=[f"{n}-{ledger}" for n, (ledger, _) in enumerate(ROWS)])
def test_no_row_of_any_ledger_can_be_lost_unnoticed(ledger: str, row: object) -> None:
    assert find_faults(less(ledger, row))


def test_the_figures_are_those_of_the_ledgers() -> None:
    assert count(CLEAN) == Counts(9, 3, 0, 0, 1, 0, 0, 0, 0, 0.5)
    assert count(captured_under_two_keys()).captures_twice == 1
    assert count(less("received", received(HISTORY[0]))).events_lost == 1
    assert count(untold()).events_lost == 1
    assert count(less("mails", mail(MAILED[0]))).mails_lost == 1
    assert count(more("mails", mail(MAILED[0]))).mails_twice == 1
    assert count(mailed_under_two_ids()).mail_ids_differ == 1
    assert [count(each()).between_states for each in (left_open, captured_and_released, without_capture)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, Told.SHIPPED),
        (409, Told.ALREADY),
        (400, Told.REFUSED),
        (404, Told.REFUSED),
        (429, Told.UNKNOWN),
        (500, Told.UNKNOWN),
        (503, Told.UNKNOWN),
        (None, Told.UNKNOWN),
    ],
)
def test_an_answer_means_one_thing(status: int | None, told: Told) -> None:
    assert told_by(status) is told

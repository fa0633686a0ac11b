"""What Waybill promises about every call: its steps, what they make of the order, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from tests.model import answers
from tests.model.answers import Why
from tests.model.calls import (
    Call,
    Complete,
    CompleteShipment,
    Create,
    Hold,
    Reconcile,
    Remove,
    TakeIn,
    TakeMoney,
    Update,
)
from tests.model.interleave import Step, step
from tests.model.money import PAYING_ORDERS, SHIPPING_ORDERS, Paid, Unsupported, pay, reserve, settle
from tests.model.world import (
    Answer,
    Behaviour,
    Content,
    Decision,
    Key,
    Order,
    OrderStatus,
    Pieces,
    Shipment,
    State,
    Status,
    Told,
    capture_key,
)

Ends: TypeAlias = Iterator[tuple[Order, "Answer | Step"]]

RELEASED = frozenset({Status.RELEASED})
# The Order API's call implies good-to-go.
IMPLYING_RELEASE = RELEASED | {Status.INVENTORY_ASSIGNED}
OPEN = IMPLYING_RELEASE | {Status.AWAITING_INVENTORY}
CAPTURABLE = OPEN | {Status.ONHOLD, Status.SHIPPED}
# The stores of this model mail their customers.
MAILS_BY_DEFAULT = True

_UNPAID = {
    Paid.DECLINED: Why.DECLINED,
    Paid.OUTCOME_UNKNOWN: Why.OUTCOME_UNKNOWN,
    Paid.PROVIDER_AWAY: Why.PROVIDER_AWAY,
}


def promise(call: Call, key: str | None = None) -> Step:
    """Return the first step of a call. `key`: the idempotency key that it carries."""
    return step(_claim_key, call, key) if key else _first_step(call, None)


def _first_step(call: Call, key: str | None) -> Step:  # noqa: PLR0911 - one for each kind of call
    match call:
        case TakeIn():
            return step(_take_in, call.content)
        case Create():
            return step(_begin, call, key)
        case CompleteShipment() | Complete():
            return step(_reserve, call)
        case TakeMoney():
            return step(_reserve_money, call.n, None)
        case Update():
            return step(_update, call)
        case Remove():
            return step(_remove, call.n)
        case Reconcile():
            return step(_reconcile, call)
        case Hold():
            return step(_hold)


# --- the order intake


def _take_in(order: Order, content: Content) -> Ends:
    """Idempotent by content. Once a shipment exists, only the authorization may change, if nobody relies on it."""
    if order.content is None:
        after = _plan(replace(order, status=content.status, waiting_for_payment=content.waiting_for_payment), content)
        yield after, answers.taken_in(after, "created")
    elif content == order.content:
        yield order, answers.taken_in(order, "unchanged")
    elif order.status is not OrderStatus.CANCELLED and not order.shipments:
        # What an operator has changed meanwhile stays, unless this changes it too.
        status = order.status if content.status is order.content.status else content.status
        waiting = (
            order.waiting_for_payment
            if content.waiting_for_payment is order.content.waiting_for_payment
            else content.waiting_for_payment
        )
        after = _plan(replace(order, status=status, waiting_for_payment=waiting), content)
        yield after, answers.taken_in(after, "updated")
    elif (
        order.status is not OrderStatus.CANCELLED
        and replace(content, authorization=order.content.authorization) == order.content
        and not any(capture.amount for capture in order.live_captures)
    ):
        after = replace(order, content=content)
        yield after, answers.taken_in(after, "updated")
    else:
        yield order, answers.CONFLICT


def _plan(order: Order, content: Content) -> Order:
    shipments = tuple(
        Shipment(
            n=n,
            status=planned.status,
            good_to_go=planned.status is Status.RELEASED,
            capture_wanted=planned.capture,
            pieces=planned.pieces,
            events=("created", "released") if planned.status is Status.RELEASED else ("created",),
        )
        for n, planned in enumerate(content.shipments, start=1)
    )
    return replace(order, content=content, shipments=shipments)


# --- completing, by either API


def _reserve(order: Order, call: CompleteShipment | Complete) -> Ends:
    """First commit what the provider is about to be asked for."""
    try:
        after, reserved = reserve(order, call.n, statuses=_shippable(call), capture=_capture(call))
    except Unsupported:
        yield order, _refuse(order, call, Why.UNSUPPORTED)
        return
    yield after, step(_ship, call, reserved)


def _ship(order: Order, call: CompleteShipment | Complete, reserved: bool) -> Ends:
    """Then, under the shipment's lock: judge, take the money, let it leave."""
    shipment = order.find(call.n)
    if shipment is None or shipment.status is Status.PROVISIONAL:
        yield order, _refuse(order, call, Why.NO_SHIPMENT)
    elif shipment.status is Status.SHIPPED:
        repeated = isinstance(call, Complete) and _says_nothing_new(shipment, call)
        yield order, answers.ok(order, call.n) if repeated else _refuse(order, call, Why.SHIPPED)
    elif shipment.status not in _shippable(call):
        yield order, _refuse(order, call, Why.NOT_RELEASED)
    elif not order.lets_ship:
        yield order, _refuse(order, call, Why.ORDER_HELD)
    elif not (shipment.capture_wanted if _capture(call) is None else _capture(call)):
        yield _leave(order, shipment, _told(call)), _completed(order, call)
    else:
        for after, paid in pay(order, shipment, reserved=reserved):
            match paid:
                case Paid.YES:
                    settled = after.find(call.n)
                    assert settled is not None
                    yield _leave(after, settled, _told(call)), _completed(order, call)
                case Paid.NOTHING_RESERVED:
                    yield after, step(_reserve, call)
                case _:
                    yield after, _refuse(order, call, _UNPAID[paid])


def _leave(order: Order, shipment: Shipment, told: Told) -> Order:
    events = ("shipped",) if shipment.good_to_go else ("released", "shipped")
    notified = MAILS_BY_DEFAULT if told.notify is None else told.notify
    after = order.put(
        replace(
            shipment,
            status=Status.SHIPPED,
            good_to_go=True,
            events=(*shipment.events, *events),
            told=replace(told, comment=told.comment or "", notify=notified),
        )
    )
    return replace(after, status=OrderStatus.IN_PROGRESS if after.unshipped else OrderStatus.COMPLETED)


def _says_nothing_new(shipment: Shipment, call: Complete) -> bool:
    """The same content again is fine; what the caller leaves out is not compared. He must not take unpaid for paid."""
    known, told = shipment.told, call.told
    assert known is not None
    wanted = shipment.capture_wanted if call.capture is None else call.capture
    return (shipment.is_paid or not wanted) and all(
        said in {None, stored}
        for said, stored in (
            (told.tracking, known.tracking),
            (told.carrier, known.carrier),
            (told.packages, known.packages),
            (told.comment, known.comment),
            (told.notify, known.notify),
        )
    )


def _shippable(call: CompleteShipment | Complete) -> frozenset[Status]:
    return IMPLYING_RELEASE if isinstance(call, Complete) else RELEASED


def _capture(call: CompleteShipment | Complete) -> bool | None:
    """Whether the caller wants the capture; None leaves it to the shipment."""
    return call.capture if isinstance(call, Complete) else None


def _told(call: CompleteShipment | Complete) -> Told:
    # The Shipment Completion API always mails.
    return call.told if isinstance(call, Complete) else Told(tracking=call.tracking, notify=True)


def _refuse(order: Order, call: CompleteShipment | Complete, why: Why) -> Answer:
    if isinstance(call, Complete):
        return answers.no(why, answers.COMPLETE, **answers.about(order, call.n))
    return answers.error(why, f"{order.number}-{call.n}")


def _completed(order: Order, call: CompleteShipment | Complete) -> Answer:
    return answers.ok(order, call.n) if isinstance(call, Complete) else answers.completed(order, call.n)


# --- taking the money apart from the leaving


def _reserve_money(order: Order, n: int, creation: Create | None) -> Ends:
    """`creation`: it is done for a repeated creation, which may have left the money for later."""
    try:
        after, reserved = reserve(order, n, statuses=CAPTURABLE, orders=PAYING_ORDERS, capture=True)
    except Unsupported:
        yield order, _money_refused(order, n, creation, Why.UNSUPPORTED)
        return
    yield after, step(_take_money, n, creation, reserved)


def _take_money(order: Order, n: int, creation: Create | None, reserved: bool) -> Ends:
    shipment = order.find(n)
    if shipment is None or shipment.status not in CAPTURABLE:
        yield order, _money_refused(order, n, creation, Why.NO_SHIPMENT)
    elif shipment.is_paid:
        # What is paid stays paid, whatever has become of the order.
        yield order, answers.ok(order, n)
    elif order.status not in PAYING_ORDERS or order.waiting_for_payment:
        yield order, _money_refused(order, n, creation, Why.ORDER_HELD)
    else:
        for after, paid in pay(order, shipment, reserved=reserved):
            match paid:
                case Paid.YES:
                    yield after, answers.ok(order, n)
                case Paid.NOTHING_RESERVED:
                    yield after, step(_reserve_money, n, creation)
                case _:
                    yield after, _money_refused(order, n, creation, _UNPAID[paid])


def _money_refused(order: Order, n: int, creation: Create | None, why: Why) -> Answer:
    if creation is not None:
        return answers.no(why, answers.CREATE, order=order.number)
    return answers.no(why, answers.CAPTURE, **answers.about(order, n))


# --- creating


def _begin(order: Order, call: Create, key: str | None) -> Ends:
    """First take the pieces and commit what the provider is about to be asked for.

    Until the money is there the shipment is provisional: nobody sees it, but nobody else gets its pieces.
    """

    def refuse(why: Why) -> Answer:
        return answers.no(why, answers.CREATE, order=order.number)

    if order.content is None:
        yield order, refuse(Why.NO_ORDER)
        return
    made = _made_before(order, call, key)
    if made is not None:
        wants_money = call.capture is not False
        yield order, step(_reserve_money, made, call) if wants_money else answers.ok(order, made)
        return
    if not order.lets_ship:
        yield order, refuse(Why.ORDER_HELD)
        return
    begun = _provisional(order, call)
    if begun is None or not begun.pieces:
        if not _can_give(order, call.pieces):
            yield order, refuse(Why.PIECES)
            return
        begun = replace(begun or _new_provisional(order), pieces=call.pieces)
    after = order.put(begun)
    if call.capture is False:
        yield _exist(after, begun, call, key), answers.ok(order, begun.n)
        return
    try:
        after, reserved = reserve(after, begun.n, statuses=frozenset({Status.PROVISIONAL}), capture=True)
    except Unsupported:
        yield order, refuse(Why.UNSUPPORTED)
        return
    yield after, step(_pay_and_exist, call, key, begun.n, reserved)


def _pay_and_exist(order: Order, call: Create, key: str | None, n: int, reserved: bool) -> Ends:
    """Then take the money and let the shipment exist. Refused: its pieces are free again, nothing is created."""
    begun = order.find(n)
    if begun is None or begun.status is not Status.PROVISIONAL or begun.pieces != call.pieces:
        # An identical request has finished it, or was refused.
        yield order, step(_begin, call, key)
        return
    if not order.lets_ship:
        # Put on hold meanwhile: nobody is asked for money. What is written down waits for the hold's end.
        yield order, answers.no(Why.ORDER_HELD, answers.CREATE, order=order.number)
        return
    for after, paid in pay(order, begun, reserved=reserved):
        settled = after.find(n)
        assert settled is not None
        match paid:
            case Paid.YES:
                yield _exist(after, settled, call, key), answers.ok(order, n)
            case Paid.NOTHING_RESERVED:
                yield after, step(_begin, call, key)
            case Paid.DECLINED:
                yield (
                    after.put(replace(settled, pieces=())),
                    answers.no(Why.DECLINED, answers.CREATE, order=order.number),
                )
            case _:
                yield after, answers.no(_UNPAID[paid], answers.CREATE, order=order.number)


def _made_before(order: Order, call: Create, key: str | None) -> int | None:
    """The shipment that the same request has made: by its key, else by its products, unless others are wanted always.

    A request that ships is only repeated by one with the same tracking number.
    """
    known = order.key(key) if key else None
    if known is not None and known.shipment is not None:
        return known.shipment
    if call.always:
        return None
    for shipment in order.shipments:
        if shipment.pieces != call.pieces or not shipment.is_there:
            continue
        if call.told is None and shipment.status is not Status.SHIPPED:
            return shipment.n
        if call.told and shipment.told and call.told.tracking and shipment.told.tracking == call.told.tracking:
            return shipment.n
    return None


def _provisional(order: Order, call: Create) -> Shipment | None:
    """A creation of these pieces that nobody finished, else one that was refused: no number is lost."""
    provisional = [shipment for shipment in order.shipments if shipment.status is Status.PROVISIONAL]
    same = [shipment for shipment in provisional if shipment.pieces == call.pieces and call.capture is not False]
    refused = [shipment for shipment in provisional if not shipment.pieces]
    return next(iter([*same, *refused]), None)


def _new_provisional(order: Order) -> Shipment:
    """Numbers are never used again."""
    n = 1 + max((shipment.n for shipment in order.shipments), default=0)
    return Shipment(n, Status.PROVISIONAL, good_to_go=False, capture_wanted=True, pieces=())


def _exist(order: Order, shipment: Shipment, call: Create, key: str | None) -> Order:
    released = bool(call.good_to_go) or call.told is not None
    made = replace(
        shipment,
        status=Status.RELEASED if released else Status.INVENTORY_ASSIGNED,
        good_to_go=released,
        events=("created", "released") if released else ("created",),
    )
    after = order.put(made)
    if call.told is not None:
        after = _leave(after, made, call.told)
    known = after.key(key) if key else None
    return after.put_key(replace(known, shipment=made.n)) if known else after


def _can_give(order: Order, pieces: Pieces, held: Pieces = ()) -> bool:
    lines = {line.line_id for line in order.lines}
    kept = dict(held)
    return bool(pieces) and all(
        line_id in lines and count <= order.free(line_id) + kept.get(line_id, 0) for line_id, count in pieces
    )


# --- changing and removing


def _update(order: Order, call: Update) -> Ends:
    """Good-to-go and the pieces, both or neither. Paid pieces are fixed. The same change again changes nothing."""

    def refuse(why: Why) -> Answer:
        return answers.no(why, answers.ORDER_API, **answers.about(order, call.n))

    shipment = order.find(call.n)
    if shipment is None or not shipment.is_there:
        yield order, refuse(Why.NO_SHIPMENT)
    elif shipment.status is Status.SHIPPED:
        yield order, refuse(Why.SHIPPED)
    elif shipment.status not in OPEN:
        yield order, refuse(Why.NOT_RELEASED)
    elif call.pieces not in {None, shipment.pieces} and shipment.live is not None:
        yield order, refuse(Why.FIXED_BY_MONEY if shipment.live.amount else Why.FIXED_BY_NOTHING_DUE)
    elif call.pieces not in {None, shipment.pieces} and not _can_give(order, call.pieces or (), shipment.pieces):
        yield order, refuse(Why.PIECES)
    else:
        after = shipment if call.pieces is None else replace(shipment, pieces=call.pieces)
        if call.good_to_go is not None and call.good_to_go is not shipment.good_to_go:
            after = replace(
                after,
                good_to_go=call.good_to_go,
                status=Status.RELEASED if call.good_to_go else Status.INVENTORY_ASSIGNED,
                events=(*after.events, "released") if call.good_to_go else after.events,
            )
        yield order.put(after), answers.ok(order, call.n)


def _remove(order: Order, n: int) -> Ends:
    shipment = order.find(n)
    if shipment is None or not shipment.is_there:
        yield order, answers.no(Why.NO_SHIPMENT, answers.REMOVE, **answers.about(order, n))
    elif shipment.live is not None and (shipment.status is not Status.SHIPPED or shipment.is_paid):
        yield order, answers.no(Why.FIXED_BY_MONEY, answers.REMOVE, **answers.about(order, n))
    elif shipment.status is Status.SHIPPED:
        yield order, answers.no(Why.SHIPPED, answers.REMOVE, **answers.about(order, n))
    else:
        gone = replace(shipment, status=Status.CANCELLED, good_to_go=False, events=(*shipment.events, "cancelled"))
        yield order.put(gone), answers.ok(order, n, msg="shipment removed")


# --- idempotency keys


def _claim_key(order: Order, call: Call, name: str) -> Ends:
    """The same request under the same key is answered as it was once it is done. Refusals may be tried again."""
    known = order.key(name)
    if known is None:
        yield order.put_key(Key(name, request=repr(call))), step(_under_key, _first_step(call, name), name)
    elif known.request != repr(call):
        yield order, answers.KEY_OF_ANOTHER_REQUEST
    elif known.answer is not None:
        yield order, replace(known.answer, replayed=True)
    else:
        yield order, step(_under_key, _first_step(call, name), name)


def _under_key(order: Order, now: Step, name: str) -> Ends:
    for after, rest in now(order):
        if isinstance(rest, Step):
            yield after, step(_under_key, rest, name)
        else:
            yield after, step(_keep_answer, rest, name, otherwise=rest) if rest.is_success else rest


def _keep_answer(order: Order, answer: Answer, name: str) -> Ends:
    """The first answer stands; a call that ran beside it gets it too."""
    known = order.key(name)
    assert known is not None
    if known.answer is None:
        yield order.put_key(replace(known, answer=answer)), answer
    else:
        yield order, replace(known.answer, replayed=known.answer != answer)


# --- the reconciliation


def _reconcile(order: Order, call: Reconcile) -> Ends:
    """Ask the provider about the captures that calls have left open. Never capture, never ship."""
    yield order, step(_settle, call, call.pending) if call.pending else answers.DONE


def _settle(order: Order, call: Reconcile, pending: tuple[tuple[int, int], ...]) -> Ends:
    (n, attempt), *others = pending
    then = step(_settle, call, tuple(others)) if others else answers.DONE
    shipment = order.find(n)
    live = shipment.live if shipment else None
    if shipment is None or live is None or live.state is not State.PENDING or live.attempt != attempt:
        yield order, then
        return
    decision = order.provider.decision(capture_key(order, n, attempt))
    away = order.provider.behaviour is Behaviour.AWAY
    if away or decision is Decision.PROCESSING or (decision is None and not call.given_up):
        yield order, then
    elif decision is Decision.CAPTURED:
        yield settle(order, n, State.CAPTURED), then
    else:
        after = settle(order, n, State.DECLINED)
        refused = after.find(n)
        assert refused is not None
        # A creation that is refused gives its pieces back.
        is_creation = refused.status is Status.PROVISIONAL
        yield after.put(replace(refused, pieces=())) if is_creation else after, then


# --- operators


def _hold(order: Order) -> Ends:
    """From its commit on, nothing of the order is created, paid or shipped that was not so before."""
    yield replace(order, status=OrderStatus.ONHOLD) if order.status in SHIPPING_ORDERS else order, answers.DONE

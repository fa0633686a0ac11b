"""How money is taken: a capture is written down before the provider is asked, and settled by what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum, auto

from tests.model.world import (
    Behaviour,
    Capture,
    Decision,
    Order,
    OrderStatus,
    Shipment,
    State,
    Status,
    capture_key,
)

SUPPORTED = "scripted"
SHIPPING_ORDERS = frozenset({OrderStatus.CONFIRMED, OrderStatus.IN_PROGRESS})
# A shipment may have left before its money is asked for, and its order be complete.
PAYING_ORDERS = SHIPPING_ORDERS | {OrderStatus.COMPLETED}


class Paid(Enum):
    """What has become of a shipment's money."""

    YES = auto()
    DECLINED = auto()
    OUTCOME_UNKNOWN = auto()
    PROVIDER_AWAY = auto()
    # The capture that the call relied on was refused while it waited: it begins again.
    NOTHING_RESERVED = auto()


class Unsupported(Exception):
    """Money is due at a provider that nobody could ask."""


def reserve(
    order: Order,
    n: int,
    *,
    statuses: frozenset[Status],
    orders: frozenset[OrderStatus] = SHIPPING_ORDERS,
    capture: bool | None,
) -> tuple[Order, bool]:
    """Write down that money is about to be asked for, if it is due; tell whether that was done.

    Nothing to take needs no provider. Raises `Unsupported`.
    """
    shipment = order.find(n)
    if (
        shipment is None
        or shipment.status not in statuses
        or not (shipment.capture_wanted if capture is None else capture)
        or order.status not in orders
        or order.waiting_for_payment
        or shipment.live is not None
    ):
        return order, False
    assert order.content is not None
    amount, shipping_part = order.due(shipment)
    if amount and order.content.payment_provider != SUPPORTED:
        raise Unsupported
    state = State.PENDING if amount else State.CAPTURED
    attempt = 1 + len(shipment.captures)
    made = Capture(attempt, amount, shipping_part, state, order.content.authorization)
    return order.put(replace(shipment, captures=(*shipment.captures, made))), True


def pay(order: Order, shipment: Shipment, *, reserved: bool) -> Iterator[tuple[Order, Paid]]:
    """Bring the shipment's live capture to its end.

    `reserved`: this call has written it down, so it expects nobody to have asked for it.
    """
    live = shipment.live
    if live is None:
        yield order, Paid.NOTHING_RESERVED
        return
    if live.state is State.CAPTURED:
        yield order, Paid.YES
        return
    key = capture_key(order, shipment.n, live.attempt)
    for after, decision, answered in _ask(order, key, expects_nothing=reserved):
        if not answered:
            yield after, Paid.PROVIDER_AWAY if decision is None else Paid.OUTCOME_UNKNOWN
        elif decision is Decision.CAPTURED:
            yield settle(after, shipment.n, State.CAPTURED), Paid.YES
        else:
            yield settle(after, shipment.n, State.DECLINED), Paid.DECLINED


def settle(order: Order, n: int, state: State) -> Order:
    """Write down what has become of the pending capture. A refused attempt is kept."""
    shipment = order.find(n)
    assert shipment is not None
    captures = [replace(each, state=state) if each.state is State.PENDING else each for each in shipment.captures]
    return order.put(replace(shipment, captures=tuple(captures)))


def _ask(order: Order, key: str, *, expects_nothing: bool) -> Iterator[tuple[Order, Decision | None, bool]]:
    """Ask the provider; its decision, and whether that was heard. No decision: it could not be reached.

    A key is decided once, however often it is used.
    """
    provider = order.provider
    known = provider.decision(key)
    if provider.behaviour is Behaviour.AWAY:
        yield order, None, False
    elif known is not None:
        yield order, known, known is not Decision.PROCESSING
        if expects_nothing:
            # Somebody else has used the key, when other captures of the order were under way: the provider may find
            # that the two requests differ in whether they are the last.
            yield order, known, False
    elif provider.behaviour is Behaviour.FLAKY and provider.outages:
        yield replace(order, provider=replace(provider, outages=provider.outages - 1)), None, False
    else:
        decision = {
            Behaviour.DECLINE: Decision.DECLINED,
            Behaviour.LOST_REFUSAL: Decision.DECLINED,
            Behaviour.LATE: Decision.PROCESSING,
        }.get(provider.behaviour, Decision.CAPTURED)
        heard = provider.behaviour in {Behaviour.OK, Behaviour.FLAKY, Behaviour.DECLINE}
        yield replace(order, provider=provider.decide(key, decision)), decision, heard

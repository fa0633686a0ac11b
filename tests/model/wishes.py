"""Strategies: what callers, operators and accidents do next.

Nothing here depends on how the orders stand: that may differ when an example runs again, and hypothesis must be able to
draw the same things then. `resolve` makes a call fit the order at the last moment.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

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
from tests.model.faults import Fault, Plan
from tests.model.world import Behaviour, Content, Line, Order, OrderStatus, Pieces, Planned, State, Status, Told

LINE_IDS = ("1", "2", "3")
# A place of a shipment that stands for one that is not there.
NOWHERE = 9


def maybe(*values: object) -> st.SearchStrategy:
    """Nothing more often than one of the values."""
    return st.sampled_from([None, None, *values])


def _pieces(counts: tuple[int, ...]) -> Pieces:
    return tuple((line_id, count) for line_id, count in zip(LINE_IDS, counts, strict=True) if count)


# What no order can give.
_ODD: list[Pieces] = [(), (("1", 9),), (("1", 1), ("nope", 1))]
_WAITING = {Status.RELEASED, Status.INVENTORY_ASSIGNED}

places = st.integers(0, NOWHERE)
pieces = st.one_of(
    st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(0, 1)).map(_pieces),
    st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 2)).map(_pieces),
    st.sampled_from([(("1", 1),), (("1", 1),), (("2", 1),)]),
    st.sampled_from(_ODD),
)
departures = st.builds(
    Told,
    tracking=maybe("T1", "T2"),
    carrier=maybe("UPS"),
    packages=maybe(2, 3),
    notify=maybe(True, False),
)
completions_told = st.builds(lambda told, comment: replace(told, comment=comment), departures, maybe("left at noon"))

creates = st.builds(
    Create,
    pieces=pieces,
    good_to_go=maybe(True, False),
    capture=maybe(False, True),
    told=st.one_of(st.none(), st.none(), departures),
    always=maybe(True),
)
completions = st.one_of(
    st.builds(CompleteShipment, n=places, tracking=maybe("T1", "T2")),
    st.builds(Complete, n=places, told=completions_told, capture=maybe(True, False)),
)
captures = st.builds(TakeMoney, n=places)
updates = st.builds(Update, n=places, good_to_go=maybe(True, True, False), pieces=st.one_of(st.none(), pieces))
removals = st.builds(Remove, n=places)
calls: st.SearchStrategy[Call] = st.one_of(completions, creates, completions, creates, captures, updates, removals)
reconciliations = st.builds(Reconcile, given_up=st.booleans())
holds = st.builds(Hold)
calls_at_once: st.SearchStrategy[Call] = st.one_of(calls, creates, completions, reconciliations, holds)

keys = st.sampled_from([None] * 6 + ["k1", "k2", "k3"])
faults = st.builds(
    lambda fault, at: Plan(fault=fault, at=at),
    st.sampled_from(sorted(Fault, key=lambda each: each.value)),
    st.integers(0, 9),
)
waits = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(lambda delays: Plan(delays_ms=tuple(delays)))
# Orders that are held back seldom do anything, so it does not last.
operations = st.sampled_from([OrderStatus.ONHOLD, OrderStatus.CONFIRMED] * 5 + [OrderStatus.CANCELLED])
_BEHAVIOURS = [
    *[(behaviour, 0) for behaviour in sorted(Behaviour) if behaviour is not Behaviour.FLAKY],
    *[(Behaviour.OK, 0)] * 3,
    *[(Behaviour.FLAKY, outages) for outages in (1, 2)],
]
behaviours = st.sampled_from(_BEHAVIOURS)
# As a rule the provider goes on as it was.
turns = st.sampled_from([*[None] * 2 * len(_BEHAVIOURS), *_BEHAVIOURS])

_lines = st.tuples(
    *[st.tuples(st.integers(*bounds), st.sampled_from([100, 250, 0])) for bounds in ((3, 6), (0, 4), (0, 2))]
).map(
    lambda counts: tuple(
        Line(line_id, count, price) for line_id, (count, price) in zip(LINE_IDS, counts, strict=True) if count
    )
)
_planned = st.lists(
    st.builds(
        Planned,
        status=st.sampled_from(
            [Status.RELEASED, Status.RELEASED, Status.INVENTORY_ASSIGNED, Status.AWAITING_INVENTORY, Status.ONHOLD]
        ),
        capture=st.sampled_from([True, True, False]),
        pieces=st.sampled_from([(("1", 1),), (("1", 2),), (("2", 1),), (("1", 1), ("2", 1))]),
    ),
    max_size=3,
).map(tuple)


def _agreeing(content: Content) -> Content:
    """Leave out planned shipments that the order could not have: what is wrong with a body is tested elsewhere."""
    left = {line.line_id: line.quantity for line in content.lines}
    held = content.status is OrderStatus.ONHOLD or content.waiting_for_payment
    fitting: list[Planned] = []
    for planned in content.shipments:
        if any(count > left.get(line_id, 0) for line_id, count in planned.pieces):
            continue
        left = {line_id: count - dict(planned.pieces).get(line_id, 0) for line_id, count in left.items()}
        released = planned.status is Status.RELEASED
        fitting.append(replace(planned, status=Status.INVENTORY_ASSIGNED) if released and held else planned)
    return replace(content, shipments=tuple(fitting))


contents = st.builds(
    Content,
    lines=_lines,
    shipping_amount=st.sampled_from([490, 490, 0]),
    payment_provider=st.sampled_from(["scripted"] * 15 + ["nobody"]),
    authorization=st.sampled_from(["first", "second"]),
    status=st.sampled_from([OrderStatus.CONFIRMED] * 9 + [OrderStatus.ONHOLD]),
    waiting_for_payment=st.sampled_from([False] * 9 + [True]),
    shipments=_planned,
).map(_agreeing)


def resolve(call: Call, order: Order) -> Call:
    """Let places stand for shipments of the order, and let selections be such that most can be given.

    About an order that has no shipment, most calls become a creation.
    """
    if not order.shipments and getattr(call, "n", NOWHERE) != NOWHERE:
        call = Create((("1", 1),), good_to_go=True)
    match call:
        case CompleteShipment() | Complete() | TakeMoney() | Remove():
            return replace(call, n=_n(call.n, order))
        case Update():
            return replace(call, n=_n(call.n, order))
        case Create():
            return replace(call, pieces=_of(call.pieces, order))
        case Reconcile():
            return replace(call, pending=pending(order))
        case TakeIn() | Hold():
            return call


def pending(order: Order) -> tuple[tuple[int, int], ...]:
    return tuple(
        (shipment.n, capture.attempt)
        for shipment in order.shipments
        for capture in shipment.captures
        if capture.state is State.PENDING
    )


def at(place: int, call: Call) -> Call:
    """Return a call about one shipment as one about another place."""
    assert isinstance(call, CompleteShipment | Complete)
    return replace(call, n=place)


def _n(place: int, order: Order) -> int:
    known = [shipment.n for shipment in order.shipments]
    if not known or place == NOWHERE:
        return len(known) + 1
    waiting = [shipment.n for shipment in order.shipments if shipment.status in _WAITING]
    chosen = waiting if waiting and place < NOWHERE // 2 else known
    return chosen[place % len(chosen)]


def _of(wanted: Pieces, order: Order) -> Pieces:
    free = {line.line_id: order.free(line.line_id) for line in order.lines}
    if wanted in _ODD or wanted in {shipment.pieces for shipment in order.shipments}:
        return wanted
    fitting = tuple((line_id, min(count, free[line_id])) for line_id, count in wanted if free.get(line_id))
    return fitting or wanted

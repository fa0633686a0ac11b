"""The two ends of a shipment's creation, each within its caller's transaction: take the pieces, and let it exist."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import asyncpg

from schemas.events import EventType
from service.shipping.departure import Departure
from service.shipping.errors import OrderNotFound
from service.shipping.selection import Selection, pick
from service.shipping.ship import Leaving, ship
from service.shipping.shipment import OrderStatus, check_order_ships
from service.shipping.tell import News, tell
from sql import Connection, queries


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The caller's own name for one request; `idempotency_keys` has it before the creation begins."""

    api_key_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Creation:
    """What is to be created. `departure` is set for a shipment that has left already.

    `key`: a shipment that was created under it is returned instead of another one, even with `create_always`.
    """

    order_number: str
    selection: Selection
    good_to_go: bool = False
    capture: bool = True
    departure: Departure | None = None
    create_always: bool = False
    key: RequestKey | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The shipment of the request. `repeated`: an earlier request had made it."""

    shipment_number: str
    order_number: str
    repeated: bool


async def begin(
    connection: Connection, creation: Creation, *, request_id: str, traceparent: str
) -> Created | asyncpg.Record:
    """Return the finished shipment where no capture is wanted, else the PROVISIONAL one to be paid."""
    lookup = queries("creation")
    order = await lookup.lock_order(connection, order_number=creation.order_number)
    if order is None:
        raise OrderNotFound(creation.order_number)
    if (made := await _made_before(connection, order["id"], creation)) is not None:
        return Created(made, creation.order_number, repeated=True)
    check_order_ships(order_status=OrderStatus(order["status"]), waiting_for_payment=order["waiting_for_payment"])
    selection = dict(creation.selection)
    shipment: asyncpg.Record | None = await lookup.provisional_shipment(
        connection, order_id=order["id"], selection=selection if creation.capture else {}
    )
    if shipment is None or shipment["emptied"]:
        lines = [line async for line in lookup.order_lines(connection, order_id=order["id"])]
        picked = pick(selection, lines)
        if shipment is None:
            shipment = await lookup.new_provisional(connection, order_id=order["id"])
        await lookup.set_contents(
            connection,
            shipment_id=shipment["id"],
            order_line_ids=picked.order_line_ids,
            quantities=picked.quantities,
        )
    if creation.capture:
        return shipment
    await confirm(connection, shipment["id"], creation, request_id=request_id, traceparent=traceparent)
    return Created(shipment["shipment_number"], creation.order_number, repeated=False)


async def _made_before(connection: Connection, order_id: int, creation: Creation) -> str | None:
    """Return the shipment that the same request has made, in the order of how sure that is."""
    lookup = queries("creation")
    if creation.key is not None:
        made: str | None = await lookup.created_under_key(connection, **asdict(creation.key))
        if made is not None:
            return made
    if creation.create_always:
        return None
    left = creation.departure
    same = await lookup.same_shipment(
        connection,
        order_id=order_id,
        selection=dict(creation.selection),
        shipped=left is not None,
        tracking_number=next((parcel.tracking_number for parcel in left.parcels), None) if left else None,
    )
    return same["shipment_number"] if same else None


async def confirm(
    connection: Connection, shipment_id: int, creation: Creation, *, request_id: str, traceparent: str
) -> None:
    """Let the shipment exist, and leave if it has left."""
    left = creation.departure is not None
    events = [EventType.SHIPMENT_CREATED]
    if creation.good_to_go or left:
        events.append(EventType.SHIPMENT_RELEASED)
    await queries("creation").confirm_created(
        connection, shipment_id=shipment_id, good_to_go=creation.good_to_go or left, event_count=len(events)
    )
    if creation.key is not None:
        await queries("creation").note_created_under_key(connection, shipment_id=shipment_id, **asdict(creation.key))
    await tell(connection, [News(shipment_id, events, request_id, traceparent)])
    if creation.departure is not None:
        await ship(connection, [Leaving(shipment_id, creation.departure, request_id, traceparent)])

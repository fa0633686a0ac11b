"""Create a shipment, by default paid: no shipment without its money, no money without its shipment.

Contract: Order API, "Create shipment".

A shipment that is to be paid first exists as PROVISIONAL: its pieces are taken and its capture is committed as PENDING
before the provider hears of it. A creation that was cut off in between is taken over by the next identical request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import structlog

from schemas.events import EventType
from service.payments.provider import PaymentProvider
from service.shipping.capture import NothingReserved, capture_live, reserve_capture
from service.shipping.complete_shipment import MOST_ROUNDS
from service.shipping.departure import Departure
from service.shipping.errors import CaptureDeclined, CaptureFailed, OrderNotFound
from service.shipping.selection import Picked, Selection, pick
from service.shipping.ship import ship
from service.shipping.shipment import OrderStatus, ShipmentStatus, check_order_ships
from service.shipping.tell import tell
from sql import Connection, queries

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Creation:
    """What is to be created. `departure` is set for a shipment that has left already."""

    order_number: str
    selection: Selection
    good_to_go: bool = False
    capture: bool = True
    departure: Departure | None = None
    create_always: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    """The shipment of the request. `repeated`: an earlier identical request had made it."""

    shipment_number: str
    order_number: str
    repeated: bool


class _TakenOver(Exception):
    """Another identical request finished the creation that this one had begun."""


async def create_shipment(
    connection: Connection,
    creation: Creation,
    *,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
    request_id: str,
    traceparent: str,
) -> Created:
    """Create the shipment, or return the one that the same request has created before.

    Raises one of `service.shipping.errors`, and then nothing was created. Owns its transactions. Safe to cut off at
    any point and to repeat.
    """
    for _ in range(MOST_ROUNDS):
        # (a) Take the pieces and commit what we are about to ask the provider for.
        async with connection.transaction():
            begun = await _begin(connection, creation, request_id=request_id, traceparent=traceparent)
            if isinstance(begun, Created):
                return begun
            reserved = await reserve_capture(
                connection, begun["shipment_number"], statuses=[ShipmentStatus.PROVISIONAL], capture=True
            )
        try:
            # (b) Lock, capture, create. A refusal commits the DECLINED row and gives the pieces back.
            async with connection.transaction():
                shipment_id = await _lock_begun(connection, begun["shipment_number"])
                paid = await capture_live(
                    connection,
                    shipment_id,
                    reserved_capture=reserved,
                    providers=providers,
                    timeout_s=capture_timeout_s,
                )
                if paid:
                    await _confirm(connection, shipment_id, creation, request_id=request_id, traceparent=traceparent)
                else:
                    await queries("creation").empty_provisional(connection, shipment_id=shipment_id)
        except (_TakenOver, NothingReserved):
            continue
        if not paid:
            raise CaptureDeclined
        return Created(begun["shipment_number"], creation.order_number, repeated=False)
    log.error("shipment_never_created", order_number=creation.order_number, rounds=MOST_ROUNDS)
    raise CaptureFailed


async def _lock_begun(connection: Connection, shipment_number: str) -> int:
    locked = await queries("shipping").lock_shipment(connection, shipment_number=shipment_number, provisional=True)
    if locked is None:
        raise _TakenOver
    return int(locked["shipment_id"])


async def _begin(
    connection: Connection, creation: Creation, *, request_id: str, traceparent: str
) -> Created | asyncpg.Record:
    """Return the finished shipment where no capture is wanted, else the PROVISIONAL one to be paid."""
    lookup = queries("creation")
    order = await lookup.lock_order(connection, order_number=creation.order_number)
    if order is None:
        raise OrderNotFound(creation.order_number)
    selection = dict(creation.selection)
    tracking = (
        next((parcel.tracking_number for parcel in creation.departure.parcels), None) if creation.departure else None
    )
    if not creation.create_always:
        same = await lookup.same_shipment(
            connection,
            order_id=order["id"],
            selection=selection,
            shipped=creation.departure is not None,
            tracking_number=tracking,
        )
        if same is not None:
            return Created(same["shipment_number"], creation.order_number, repeated=True)
    check_order_ships(order_status=OrderStatus(order["status"]), waiting_for_payment=order["waiting_for_payment"])
    shipment: asyncpg.Record | None = await lookup.provisional_shipment(
        connection, order_id=order["id"], selection=selection if creation.capture else {}
    )
    if shipment is None or shipment["emptied"]:
        lines = [line async for line in lookup.order_lines(connection, order_id=order["id"])]
        picked = pick(selection, lines)
        if shipment is None:
            shipment = await lookup.new_provisional(connection, order_id=order["id"])
        await _fill(connection, shipment["id"], picked)
    if creation.capture:
        return shipment
    await _confirm(connection, shipment["id"], creation, request_id=request_id, traceparent=traceparent)
    return Created(shipment["shipment_number"], creation.order_number, repeated=False)


async def _fill(connection: Connection, shipment_id: int, picked: Picked) -> None:
    await queries("creation").set_contents(
        connection, shipment_id=shipment_id, order_line_ids=picked.order_line_ids, quantities=picked.quantities
    )


async def _confirm(
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
    await tell(connection, events, shipment_id=shipment_id, request_id=request_id, traceparent=traceparent)
    if creation.departure is not None:
        await ship(connection, shipment_id, creation.departure, request_id=request_id, traceparent=traceparent)

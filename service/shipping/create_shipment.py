"""Create a shipment, by default paid: no shipment without its money, no money without its shipment.

Contract: Order API, "Create shipment".

A shipment that is to be paid first exists as PROVISIONAL: its pieces are taken and its capture is committed as PENDING
before the provider hears of it. A creation that was cut off in between is taken over by the next identical request.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from service.payments.provider import PaymentProvider
from service.shipping.capture import NothingReserved, capture_live, reserve_capture
from service.shipping.capture_shipment import capture_shipment
from service.shipping.complete_shipment import MOST_ROUNDS
from service.shipping.creation import Created, Creation, begin, confirm
from service.shipping.errors import CaptureDeclined, CaptureFailed
from service.shipping.selection import Selection
from service.shipping.shipment import OrderStatus, ShipmentStatus, check_order_ships
from sql import Connection, queries

log = structlog.get_logger()


class _TakenOver(Exception):
    """What this call had begun is no longer its: another identical request finished it, or was refused."""


async def create_shipment(
    connection: Connection,
    creation: Creation,
    *,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
    request_id: str,
    traceparent: str,
) -> Created:
    """Create the shipment, or return the one that the same request has created before; paid, if that is wanted.

    Raises one of `service.shipping.errors`, and then nothing was created. Owns its transactions. Safe to cut off at
    any point and to repeat.
    """
    for _ in range(MOST_ROUNDS):
        reserved = None
        # (a) Take the pieces and commit what we are about to ask the provider for.
        async with connection.transaction():
            begun = await begin(connection, creation, request_id=request_id, traceparent=traceparent)
            if not isinstance(begun, Created):
                reserved = await reserve_capture(
                    connection,
                    begun["shipment_number"],
                    statuses=[ShipmentStatus.PROVISIONAL],
                    capture=True,
                    providers=providers,
                )
        if isinstance(begun, Created):
            if begun.repeated and creation.capture:
                # The earlier request may have left the money for later.
                await capture_shipment(
                    connection, begun.shipment_number, providers=providers, capture_timeout_s=capture_timeout_s
                )
            return begun
        try:
            # (b) Lock, capture, create. A refusal commits the DECLINED row and gives the pieces back.
            async with connection.transaction():
                shipment_id = await _lock_begun(connection, begun["shipment_number"], creation.selection)
                paid = await capture_live(
                    connection,
                    shipment_id,
                    reserved_capture=reserved,
                    providers=providers,
                    timeout_s=capture_timeout_s,
                )
                if paid:
                    await confirm(connection, shipment_id, creation, request_id=request_id, traceparent=traceparent)
                else:
                    await queries("creation").empty_provisional(connection, shipment_id=shipment_id)
        except (_TakenOver, NothingReserved):
            continue
        if not paid:
            raise CaptureDeclined
        return Created(begun["shipment_number"], creation.order_number, repeated=False)
    log.error("shipment_never_created", order_number=creation.order_number, rounds=MOST_ROUNDS)
    raise CaptureFailed


async def _lock_begun(connection: Connection, shipment_number: str, selection: Selection) -> int:
    locked = await queries("shipping").lock_shipment(connection, shipment_number=shipment_number, provisional=True)
    if locked is None:
        raise _TakenOver
    contents = await queries("creation").contents(connection, shipment_id=locked["shipment_id"])
    # After a refusal it may hold nothing any more, or the pieces of another creation that went on with its number.
    if contents["selection"] != dict(selection):
        raise _TakenOver
    # It may have been put on hold since (a). The capture stays PENDING, because somebody else may have sent it: the
    # same request after the hold goes on with it, or `waybill reconcile` ends it.
    check_order_ships(
        order_status=OrderStatus(locked["order_status"]), waiting_for_payment=locked["waiting_for_payment"]
    )
    return int(locked["shipment_id"])

"""Take the money for a shipment, once.

The capture's row was committed as PENDING before anything here runs, so whatever happens, somebody knows the
idempotency key to ask about.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

import asyncpg
import structlog

from service.payments.provider import (
    Captured,
    Declined,
    OutcomeUnknown,
    PaymentProvider,
    ProviderUnavailable,
)
from service.payments.registry import provider_for
from service.shipping.errors import CaptureNotSupported, CaptureOutcomeUnknown, TemporarilyUnavailable
from service.shipping.pace import Pace
from service.shipping.shipment import SHIPPING_ORDERS, OrderStatus, ShipmentStatus
from sql import Connection, queries

log = structlog.get_logger()

_pace = Pace()


class NothingReserved(Exception):
    """The capture that a call relied on was refused while the call waited for the lock."""


async def reserve_capture(
    connection: Connection,
    shipment_number: str,
    *,
    statuses: Collection[ShipmentStatus],
    order_statuses: Collection[OrderStatus] = SHIPPING_ORDERS,
    capture: bool | None,
    providers: Mapping[str, PaymentProvider],
) -> int | None:
    """Commit the intention to capture, if one is due, and return its id. `capture` None does as the shipment says.

    Raises `CaptureNotSupported` when one is due at a provider that is not among `providers`.
    """
    row = await queries("shipping").reserve_capture(
        connection,
        shipment_number=shipment_number,
        statuses=sorted(statuses),
        order_statuses=sorted(order_statuses),
        capture=capture,
        providers=sorted(providers),
    )
    if row is None:
        return None
    if row["unsupported"] is not None:
        log.error("payment_provider_not_configured", provider=row["unsupported"], shipment_number=shipment_number)
        raise CaptureNotSupported
    return int(row["id"])


async def capture_live(
    connection: Connection,
    shipment_id: int,
    *,
    reserved_capture: int | None,
    providers: Mapping[str, PaymentProvider],
    timeout_s: float,
) -> bool:
    """Return whether the shipment is paid now. Raises `NothingReserved`, or what `take_payment` raises."""
    capture = await queries("shipping").live_capture(connection, shipment_id=shipment_id)
    if capture is None:
        raise NothingReserved
    result = await take_payment(
        connection,
        capture,
        providers=providers,
        timeout_s=timeout_s,
        reserved_by_us=capture["id"] == reserved_capture,
    )
    return not isinstance(result, Declined)


async def take_payment(
    connection: Connection,
    capture: asyncpg.Record,
    *,
    providers: Mapping[str, PaymentProvider],
    timeout_s: float,
    reserved_by_us: bool,
) -> Captured | Declined:
    """Bring a live capture to its end and write that down in the caller's transaction.

    Runs under the shipment's lock. Raises `CaptureOutcomeUnknown` or `TemporarilyUnavailable` and leaves the row
    PENDING when the provider gave no clear answer within `timeout_s`.
    """
    if capture["state"] == "CAPTURED":
        return Captured(reference="")
    asked = time.monotonic()
    result = await _ask_provider(capture, providers=providers, timeout_s=timeout_s, reserved_by_us=reserved_by_us)
    answered = time.monotonic()
    # Before the commit: if that fails, this line is what leads a person from the money to the shipment.
    log.info(
        "capture_answered",
        capture_id=capture["id"],
        idempotency_key=capture["idempotency_key"],
        amount=capture["amount"],
        currency=capture["currency"],
        result=type(result).__name__.lower(),
        reason=result.reason if isinstance(result, Declined) else None,
    )
    if wait_s := _pace.wait_s(asked=asked, answered=answered):
        await asyncio.sleep(wait_s)
    shipping = queries("shipping")
    if isinstance(result, Captured):
        await shipping.settle_captured(connection, capture_id=capture["id"], reference=result.reference)
    else:
        await shipping.settle_declined(connection, capture_id=capture["id"], reason=result.reason)
    return result


async def _ask_provider(
    capture: asyncpg.Record, *, providers: Mapping[str, PaymentProvider], timeout_s: float, reserved_by_us: bool
) -> Captured | Declined:
    key, authorization = capture["idempotency_key"], capture["payment_authorization"]
    try:
        provider = provider_for(providers, capture["provider"])
        async with asyncio.timeout(timeout_s):
            # Somebody before us may have sent this attempt and not lived to write down the answer.
            known = None if reserved_by_us else await provider.find(key, authorization=authorization)
            return known or await provider.capture(
                authorization=authorization,
                amount=capture["amount"],
                currency=capture["currency"],
                idempotency_key=key,
                final=not capture["leaves_more"],
            )
    except (OutcomeUnknown, TimeoutError) as error:
        log.warning("capture_outcome_unknown", capture_id=capture["id"], idempotency_key=key, cause=repr(error))
        if isinstance(error, ProviderUnavailable):
            raise TemporarilyUnavailable from error
        raise CaptureOutcomeUnknown from error

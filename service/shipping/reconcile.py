"""Settle captures whose outcome nobody wrote down, and list money that was taken for what has not left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
import structlog

from service.payments.provider import Captured, Declined, OutcomeUnknown, PaymentProvider
from service.payments.registry import provider_for
from sql import Connection, queries

log = structlog.get_logger()

# A call that is still under way settles its capture itself; it takes no longer than this.
SETTLED_BY_CALLS_S = 120.0
# What the provider has not seen by then will not reach it any more: no request lives that long. The attempt is given up
# and a further one gets a key of its own.
GIVEN_UP_S = 3600.0


class Finding(StrEnum):
    """What the provider says of a capture that was left PENDING."""

    CAPTURED = "captured"
    DECLINED = "declined"
    GIVEN_UP = "never reached the provider, given up"
    NOT_SEEN = "not seen by the provider yet"
    UNKNOWN = "the provider cannot be asked"
    SETTLED_MEANWHILE = "settled meanwhile"


@dataclass(frozen=True, slots=True)
class Settlement:
    """A capture that was left PENDING, and what became of it. `amount` is in minor units of `currency`."""

    shipment_number: str
    idempotency_key: str
    provider: str
    amount: int
    currency: str
    created_at: datetime
    finding: Finding


@dataclass(frozen=True, slots=True)
class Unshipped:
    """Money that was taken for a shipment that has not left. A status of PROVISIONAL: nobody was told of it."""

    shipment_number: str
    order_number: str
    status: str
    idempotency_key: str
    provider: str
    provider_reference: str
    amount: int
    currency: str
    captured_at: datetime


async def settle_pending(
    connection: Connection, *, providers: Mapping[str, PaymentProvider], timeout_s: float
) -> list[Settlement]:
    """Ask the provider about every capture that calls have left PENDING, and write down what it says.

    Never captures. Each is a transaction of its own; safe while calls run, and to cut off.
    """
    settlements = []
    pending = [row async for row in queries("reconcile").pending_captures(connection, older_s=SETTLED_BY_CALLS_S)]
    for row in pending:
        finding = await _settle(connection, row, providers=providers, timeout_s=timeout_s)
        log.info("capture_reconciled", idempotency_key=row["idempotency_key"], finding=finding.name.lower())
        settlements.append(
            Settlement(
                shipment_number=row["shipment_number"],
                idempotency_key=row["idempotency_key"],
                provider=row["provider"],
                amount=row["amount"],
                currency=row["currency"],
                created_at=row["created_at"],
                finding=finding,
            )
        )
    return settlements


async def paid_and_not_shipped(connection: Connection, *, older_s: float) -> list[Unshipped]:
    """Return what was captured `older_s` seconds ago or earlier and has not left: for a person to decide."""
    return [
        Unshipped(
            shipment_number=row["shipment_number"],
            order_number=row["order_number"],
            status=row["status"],
            idempotency_key=row["idempotency_key"],
            provider=row["provider"],
            provider_reference=row["provider_reference"],
            amount=row["amount"],
            currency=row["currency"],
            captured_at=row["settled_at"],
        )
        async for row in queries("reconcile").paid_and_not_shipped(connection, older_s=older_s)
    ]


async def _settle(
    connection: Connection, row: asyncpg.Record, *, providers: Mapping[str, PaymentProvider], timeout_s: float
) -> Finding:
    shipping = queries("shipping")
    try:
        async with connection.transaction():
            locked = await shipping.lock_shipment(
                connection, shipment_number=row["shipment_number"], provisional=row["provisional"]
            )
            live = locked and await shipping.live_capture(connection, shipment_id=row["shipment_id"])
            if not live or live["id"] != row["id"] or live["state"] != "PENDING":
                return Finding.SETTLED_MEANWHILE
            async with asyncio.timeout(timeout_s):
                found = await provider_for(providers, row["provider"]).find(
                    row["idempotency_key"], authorization=live["payment_authorization"]
                )
            return await _write_down(connection, row, found)
    except (OutcomeUnknown, TimeoutError) as error:
        log.warning("capture_outcome_unknown", idempotency_key=row["idempotency_key"], cause=repr(error))
        return Finding.UNKNOWN


async def _write_down(connection: Connection, row: asyncpg.Record, found: Captured | Declined | None) -> Finding:
    shipping = queries("shipping")
    match found:
        case Captured(reference):
            # The shipment stays as it is: the caller was told that it failed, and repeats or a person decides.
            await shipping.settle_captured(connection, capture_id=row["id"], reference=reference)
            return Finding.CAPTURED
        case Declined(reason):
            finding = Finding.DECLINED
        case None if row["age_s"] < GIVEN_UP_S:
            return Finding.NOT_SEEN
        case _:
            finding, reason = Finding.GIVEN_UP, "the provider has never seen this attempt"
    await shipping.settle_declined(connection, capture_id=row["id"], reason=reason)
    if row["provisional"]:
        await queries("creation").empty_provisional(connection, shipment_id=row["shipment_id"])
    return finding

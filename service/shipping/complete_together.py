"""Complete many shipments in one transaction: those whose answer needs neither a provider nor anybody's lock.

Each is decided by itself, on its own locked row, by the same rule as `complete_shipment` uses. ADR 0012 says why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from service.shipping.complete_shipment import Completed, check_state
from service.shipping.departure import Departure
from service.shipping.errors import ShipmentAlreadyShipped, ShipmentNotFound, ShipmentNotReleased
from service.shipping.ship import Leaving, ship
from sql import Connection, queries


@dataclass(frozen=True, slots=True)
class Completion:
    """What one caller asks for."""

    shipment_number: str
    departure: Departure
    request_id: str
    traceparent: str


Refusal: TypeAlias = ShipmentNotFound | ShipmentAlreadyShipped | ShipmentNotReleased
Decision: TypeAlias = Completed | Refusal


async def complete_together(connection: Connection, wanted: Sequence[Completion]) -> dict[str, Decision]:
    """Ship what can be shipped and return what became of each, by shipment number; the numbers must differ.

    What is missing in the answer is left as it was, and `complete_shipment` knows its answer: a shipment that could
    leave, but that somebody else holds at the moment, or whose payment is not taken yet. Owns its transaction:
    `connection` must not be in one. Whatever is raised, nothing was shipped, unless the connection broke during the
    commit.
    """
    by_number = {each.shipment_number: each for each in wanted}
    decisions: dict[str, Decision] = {}
    async with connection.transaction():
        leaving = []
        async for locked in queries("shipping").lock_completable(connection, shipment_numbers=list(by_number)):
            decision = _decide(locked)
            completion = by_number[locked["shipment_number"]]
            decisions[completion.shipment_number] = decision
            if isinstance(decision, Completed):
                leaving.append(
                    Leaving(locked["shipment_id"], completion.departure, completion.request_id, completion.traceparent)
                )
        # Before anything is shipped: should this fail, nothing has happened.
        if left := by_number.keys() - decisions.keys():
            decisions |= await _refuse(connection, left)
        if leaving:
            await ship(connection, leaving)
    return decisions


def _decide(locked: asyncpg.Record) -> Decision:
    return _refusal(locked) or Completed(shipment_number=locked["shipment_number"], order_number=locked["order_number"])


async def _refuse(connection: Connection, numbers: Collection[str]) -> dict[str, Decision]:
    refusals: dict[str, Decision] = {number: ShipmentNotFound(number) for number in numbers}
    async for row in queries("shipping").look_at_shipments(connection, shipment_numbers=list(numbers)):
        if refusal := _refusal(row):
            refusals[row["shipment_number"]] = refusal
        else:
            del refusals[row["shipment_number"]]
    return refusals


def _refusal(row: asyncpg.Record) -> Refusal | None:
    try:
        check_state(row)
    except (ShipmentAlreadyShipped, ShipmentNotReleased) as refusal:
        return refusal
    return None

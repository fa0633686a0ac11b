"""Complete many shipments in one transaction: those whose answer needs neither a provider nor anybody's lock.

Each is decided by itself, on its own locked row, by the same rule as `complete_shipment` uses. ADR 0012 says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from service.shipping.complete_shipment import Completed, check_locked
from service.shipping.departure import Departure
from service.shipping.errors import ShipmentAlreadyShipped, ShipmentNotReleased
from service.shipping.ship import Leaving, ship
from sql import Connection, queries


@dataclass(frozen=True, slots=True)
class Completion:
    """What one caller asks for."""

    shipment_number: str
    departure: Departure
    request_id: str
    traceparent: str


Decision: TypeAlias = Completed | ShipmentAlreadyShipped | ShipmentNotReleased


async def complete_together(connection: Connection, wanted: Sequence[Completion]) -> dict[str, Decision]:
    """Ship what can be shipped and return what became of each, by shipment number; the numbers must differ.

    What is missing in the answer is left as it was, and `complete_shipment` knows its answer: a shipment that is not
    known, that somebody else holds at the moment, or whose payment is not taken yet. Owns its transaction: `connection`
    must not be in one. Whatever is raised, nothing was shipped, unless the connection broke during the commit.
    """
    decisions: dict[str, Decision] = {}
    async with connection.transaction():
        by_number = {each.shipment_number: each for each in wanted}
        leaving = []
        async for locked in queries("shipping").lock_completable(connection, shipment_numbers=list(by_number)):
            decision = _decide(locked)
            completion = by_number[locked["shipment_number"]]
            decisions[completion.shipment_number] = decision
            if isinstance(decision, Completed):
                leaving.append(
                    Leaving(locked["shipment_id"], completion.departure, completion.request_id, completion.traceparent)
                )
        if leaving:
            await ship(connection, leaving)
    return decisions


def _decide(locked: asyncpg.Record) -> Decision:
    try:
        check_locked(locked)
    except (ShipmentAlreadyShipped, ShipmentNotReleased) as refusal:
        return refusal
    return Completed(shipment_number=locked["shipment_number"], order_number=locked["order_number"])

"""What a query is run with, and by which index it is to go. The rows are those of `many_orders`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.many_orders import STARTED

Parameters = dict[str, Any]

# Most completions in one group, and rows of a batch or a page.
GROUP = 64
BATCH = 20

# Places after a multiple of 200, of orders whose shipment is in that state: of released ones, what became of the money.
LEFT, UNPAID, PENDING, PAID, ASSIGNED, PROVISIONAL, NONE = 1, 36, 16, 7, 8, 19, 39


@dataclass(frozen=True)
class Hot:
    """A query whose cost must not grow.

    `parameters` of where among the orders, a multiple of 200. `indexes`: those that it is to go by, with its triggers
    and foreign keys. `walks`: those that it reads from one end, as far as its LIMIT. `whole`: what it may read whole.
    `before`: what its transaction runs before it, with that place as `{at}`. `by_statistics`: over connections that are
    not told to go by the indexes. `answers_more`: with more rows it has more to answer.
    """

    query: str
    parameters: Callable[[int], Parameters]
    indexes: frozenset[str]
    walks: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    before: str = ""
    by_statistics: bool = False
    answers_more: bool = False
    case: str = ""

    def __str__(self) -> str:
        return f"{self.query} ({self.case})" if self.case else self.query


def hot(
    query: str, parameters: Callable[[int], Parameters], by: str, *, walks: str = "", whole: str = "", **more: Any
) -> Hot:
    """Make a `Hot`; several names are separated by spaces."""
    by_, walks_, whole_ = (frozenset(names.split()) for names in (by, walks, whole))
    return Hot(query, parameters, by_, walks_, whole_, **more)


def number(order: int) -> str:
    """Return the order's number."""
    return str(100_000 + order)


def shipment(order: int) -> str:
    """Return the number of the order's shipment."""
    return f"{number(order)}-1"


def paid_group(at: int, size: int = GROUP) -> list[int]:
    """Return the ids of shipments that can be completed together."""
    return [at - 200 + PAID + 10 * n for n in range(size)]


def event_id(order: int, sequence: int) -> UUID:
    """Return the id of the event of the order's shipment."""
    at = STARTED + timedelta(minutes=order, seconds=sequence)
    return UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x8 << 60 | order)


def sent_id(order: int, sequence: int) -> int:
    """Return the id of that event's delivery, and its place in the outbox."""
    return 3 * order + sequence

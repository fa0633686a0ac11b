"""Rows that belong to one order.

Half an order must never be taken in: it could be released and shipped. So rows that could not be read spoil the orders
beside them, which they may belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from schemas.orders import MAX_LINES
from service.order_import.csv_rows import Row, Unreadable


@dataclass(slots=True)
class Group:
    """Rows that stand together with one order number. `problem`: why they are no whole order."""

    number: str
    rows: list[Row] = field(default_factory=list)
    problem: str | None = None
    last_line: int = 0

    @property
    def first_line(self) -> int:
        """Where it starts."""
        return self.rows[0].first_line

    def add(self, row: Row) -> None:
        """Add a row, up to the most that an order may have."""
        self.last_line = row.last_line
        if len(self.rows) < MAX_LINES:
            self.rows.append(row)
        else:
            self.problem = self.problem or f"lines: expected at most {MAX_LINES}"

    def spoil(self, unreadable: Unreadable) -> None:
        """Note that `unreadable` may be a part of it."""
        self.problem = self.problem or (
            f"line {unreadable.first_line} may belong to it, and cannot be read: {unreadable.problem}"
        )


def group_rows(
    rows: Iterable[Row | Unreadable], number_of: Callable[[Row], str | None]
) -> Iterator[Group | Unreadable]:
    """Yield the orders' rows together, and what could not be read. `number_of` says which order a row belongs to."""
    current: Group | None = None
    gap: Unreadable | None = None
    for row in rows:
        number = None if isinstance(row, Unreadable) else number_of(row)
        if isinstance(row, Unreadable) or number is None:
            # A row without a number continues the one above in many a spreadsheet: it belongs to some order.
            gap = (
                row
                if isinstance(row, Unreadable)
                else Unreadable(row.first_line, row.last_line, "orderNumber: Field required")
            )
            if current:
                current.spoil(gap)
            yield gap
            continue
        if current is None or current.number != number:
            if current:
                yield current
            current = Group(number)
            if gap:
                current.spoil(gap)
        gap = None
        current.add(row)
    if current:
        yield current

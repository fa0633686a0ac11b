"""Which columns of a file hold a shipment's number and its tracking number: `--map field=Column`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.order_import.mapping import WrongMapping, check_column, read_assignments

NUMBER: Final = "shipmentNumber"
TRACKING: Final = "carrierTrackingNumber"


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns. An empty `tracking` means that the file has no tracking numbers."""

    number: str = NUMBER
    tracking: str = TRACKING

    def find(self, header: Sequence[str]) -> tuple[int, int | None]:
        """Return where they are, None for tracking numbers that the file does not have. Raises `WrongMapping`.

        Only a file of shipment numbers alone may leave the other column out without saying so: a completion that a
        misspelt name has robbed of its tracking number cannot be made again.
        """
        check_column(NUMBER, self.number, header)
        number = header.index(self.number)
        if not self.tracking or (self == Columns(self.number) and len(header) == 1):
            return number, None
        try:
            check_column(TRACKING, self.tracking, header)
        except WrongMapping as error:
            raise WrongMapping(f"{error}. If it has none: --map {TRACKING}=") from None
        return number, header.index(self.tracking)


def parse_columns(maps: Sequence[str]) -> Columns:
    """Read the values of `--map`. Raises `WrongMapping`."""
    given: dict[str, str] = {}
    for field, column in read_assignments("--map", maps, (NUMBER, TRACKING)):
        if field in given:
            raise WrongMapping(f"--map {field}={column}: {field} is given twice")
        given[field] = column
    return Columns(given.get(NUMBER, NUMBER), given.get(TRACKING, TRACKING))

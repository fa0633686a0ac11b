"""What an import file holds: one record per order, or per place where no order could be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

Location = Sequence[int | str]

# Characters of one line of a file. As much as the HTTP intake takes, so that what fits there can be imported too.
MAX_LINE: Final = 1024 * 1024


class UnusableFile(Exception):
    """The whole file cannot be imported, for the reason told."""


def _no_note(_location: Location) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Record:
    """An order as the file has it, still to be judged; or `problem`, why it cannot even be that."""

    first_line: int
    last_line: int
    order_number: str | None = None
    document: dict[str, Any] | None = None
    problem: str | None = None
    # Where in the file a field of the document comes from, for messages.
    note: Callable[[Location], str] = _no_note

    @property
    def lines(self) -> str:
        """The record's line numbers, for people."""
        return str(self.first_line) if self.first_line == self.last_line else f"{self.first_line}-{self.last_line}"


class Source(Protocol):
    """A file of orders."""

    def look_through(self) -> int:
        """Read the file once, before anything is imported, and return how many records it has.

        Raises `UnusableFile`.
        """
        ...

    def records(self) -> Iterator[Record]:
        """Read the records one by one; memory does not grow with the file."""
        ...

"""CSV: one row per order line; the rows of one order stand together."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from schemas.fields import parse_decimal, parse_quantity
from schemas.problems import field_path
from service.order_import.csv_groups import Group, group_rows
from service.order_import.csv_rows import CsvFormat, Row, Unreadable, open_csv, read_header, read_rows
from service.order_import.mapping import FieldMapping
from service.order_import.records import Location, Record

Cells = dict[str, str]


class CsvOrders:
    """A CSV file with a header, read by a mapping of its columns."""

    def __init__(self, path: Path, mapping: FieldMapping, form: CsvFormat) -> None:
        self._path = path
        self._mapping = mapping
        self._form = form
        self._header: tuple[str, ...] = ()
        self._scattered: set[str] = set()

    def look_through(self) -> int:
        """Check the header, count the orders and find those whose rows are apart.

        Raises `UnusableFile`, and `WrongMapping` if it names a column that is not there.
        """
        # A hash instead of the number: the one thing that grows with the file.
        seen: set[int] = set()
        count = 0
        for group in self._groups():
            count += 1
            if isinstance(group, Group):
                if hash(group.number) in seen:
                    self._scattered.add(group.number)
                seen.add(hash(group.number))
        return count

    def records(self) -> Iterator[Record]:
        """Read the orders, and what could not be read between them."""
        for group in self._groups():
            if isinstance(group, Unreadable):
                yield Record(group.first_line, group.last_line, problem=group.problem)
                continue
            problem = group.problem or self._disagreement(group)
            if group.number in self._scattered:
                problem = "orderNumber: other orders stand between its rows; sort the file by order"
            document = None if problem else self._document(group)
            note = partial(self._note, group)
            yield Record(group.first_line, group.last_line, group.number, document, problem, note)

    def _groups(self) -> Iterator[Group | Unreadable]:
        with open_csv(self._path, self._form) as file:
            rows = (row.stripped() if isinstance(row, Row) else row for row in read_rows(file, self._form))
            self._header = read_header(rows).cells
            self._mapping.check_columns(self._header)
            number = self._mapping.order_fields["orderNumber"]
            yield from group_rows(rows, lambda row: number.fill(self._cells(row)))

    def _cells(self, row: Row) -> Cells:
        return dict(zip(self._header, row.cells, strict=True))

    def _disagreement(self, group: Group) -> str | None:
        """Say where the rows differ in what an order has only once; an empty cell says nothing."""
        told: dict[str, str] = {}
        for row in group.rows:
            cells = self._cells(row)
            for field, template in self._mapping.order_fields.items():
                for column in template.columns:
                    if cells[column] and told.setdefault(column, cells[column]) != cells[column]:
                        return f"{field}: the rows disagree (line {row.first_line}, column {column})"
        return None

    def _document(self, group: Group) -> dict[str, Any]:
        rows = [self._cells(row) for row in group.rows]
        once = {column: next((cells[column] for cells in rows if cells[column]), "") for column in self._header}
        # The parents that every order has are there even when empty, so that what is told is which field is missing.
        document: dict[str, Any] = {"customer": {}, "shippingAddress": {}, "payment": {}}
        for field, template in self._mapping.order_fields.items():
            value = template.fill(once)
            parent, _, name = field.rpartition(".")
            if value is not None:
                target = document.setdefault(parent, {}) if parent else document
                target[name] = self._mapping.country(value) if name == "country" else value
        lines = [self._line(position, cells) for position, cells in enumerate(rows, 1)]
        document["lines"] = [line for line in lines if not self._is_shipping(line)]
        if charges := [line for line in lines if self._is_shipping(line)]:
            document["shippingAmount"] = _price_of(charges)
        if status := document.pop("shipments", None):
            document["shipments"] = _one_shipment(status, document["lines"])
        return document

    def _line(self, position: int, cells: Cells) -> dict[str, str]:
        filled = {name: template.fill(cells) for name, template in self._mapping.line_fields.items()}
        return {"lineId": str(position)} | {name: value for name, value in filled.items() if value is not None}

    def _is_shipping(self, line: dict[str, str]) -> bool:
        return line.get("sku") in self._mapping.shipping_skus

    def _note(self, group: Group, location: Location) -> str:
        """Tell the line and column that a field of the document comes from."""
        if len(location) > 1 and location[0] == "lines" and isinstance(location[1], int):
            goods = [row for row in group.rows if not self._is_shipping(self._line(0, self._cells(row)))]
            row, template = goods[location[1]], self._mapping.line_fields.get(str(location[-1]))
        else:
            row, template = group.rows[0], self._mapping.order_fields.get(field_path(location))
        columns = template.columns if template else ()
        if not columns:
            return f" (line {row.first_line})"
        cells = self._cells(row)
        named = ", ".join(f"{column} is empty" if not cells[column] else column for column in columns)
        return f" (line {row.first_line}, column {named})"


def _one_shipment(status: str, lines: list[dict[str, str]]) -> list[dict[str, Any]]:
    try:
        pieces = {line["lineId"]: parse_quantity(line.get("quantity")) for line in lines}
    except PydanticCustomError:
        # The line itself will be refused, and once is enough.
        return []
    return [{"status": status, "lines": pieces}]


def _price_of(charges: list[dict[str, str]]) -> Decimal | None:
    """Return what the lines cost together; None, which the intake refuses, if one of them has no such price."""
    try:
        return sum(
            (parse_decimal(line.get("unitPrice")) * parse_quantity(line.get("quantity")) for line in charges), Decimal()
        )
    except PydanticCustomError:
        return None

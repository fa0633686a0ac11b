"""From columns to fields of the intake body: `--map field=Column`, `--set field=text with {Column}`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from pydantic import BaseModel

from schemas.fields import country_names
from schemas.orders import Address, Customer, IntakeLine, IntakeOrder, Payment

# A {Column}, or a brace written twice that stands for itself.
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class WrongMapping(Exception):
    """A `--map`, `--set` or `--country` cannot be used, for the reason told."""


def _fields(prefix: str, model: type[BaseModel]) -> list[str]:
    return [f"{prefix}{field.alias}" for field in model.model_fields.values()]


_NESTED = {"customer", "shippingAddress", "billingAddress", "payment", "lines"}

# `line.` fields are read from every row, all others are the order's. `shipments` is a status: that of one shipment
# with all lines.
FIELDS: tuple[str, ...] = (
    *(field for field in _fields("", IntakeOrder) if field not in _NESTED),
    *_fields("customer.", Customer),
    *_fields("shippingAddress.", Address),
    *_fields("billingAddress.", Address),
    *_fields("payment.", Payment),
    *_fields("line.", IntakeLine),
)


@dataclass(frozen=True, slots=True)
class Template:
    """Text with places for cells."""

    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it needs."""
        return tuple(match[1] for match in _PLACE.finditer(self.text) if match[1])

    def fill(self, cells: Mapping[str, str]) -> str | None:
        """Return the text; None when a cell that it needs is empty, for half a text would be a wrong one."""
        if not all(cells[column] for column in self.columns):
            return None
        return _PLACE.sub(lambda match: cells[match[1]] if match[1] else match[0][0], self.text)


@dataclass(frozen=True)
class FieldMapping:
    """Where each field of an order comes from, and which country a name means."""

    templates: Mapping[str, Template]
    countries: Mapping[str, str]
    # Lines with one of these are the price of shipping, not goods.
    shipping_skus: frozenset[str] = frozenset()

    @cached_property
    def order_fields(self) -> dict[str, Template]:
        """The fields that an order has once."""
        return {field: template for field, template in self.templates.items() if not field.startswith("line.")}

    @cached_property
    def line_fields(self) -> dict[str, Template]:
        """The fields of each line, without the prefix."""
        return {
            field.removeprefix("line."): template
            for field, template in self.templates.items()
            if field.startswith("line.")
        }

    def country(self, name: str) -> str:
        """Return the code of a country's English name, or what was given where it is none."""
        return self.countries.get(name.casefold(), name)

    def check_columns(self, header: Sequence[str]) -> None:
        """Raise `WrongMapping` unless the header has every column needed, once."""
        for field, template in self.templates.items():
            for column in template.columns:
                check_column(field, column, header)


def parse_mapping(
    *,
    maps: Sequence[str],
    sets: Sequence[str] = (),
    countries: Sequence[str] = (),
    shipping_skus: Sequence[str] = (),
) -> FieldMapping:
    """Read the options' values. Raises `WrongMapping`."""
    templates: dict[str, Template] = {}
    for option, given in (("--map", maps), ("--set", sets)):
        for field, value in read_assignments(option, given, FIELDS):
            if field in templates:
                raise WrongMapping(f"{option} {field}={value}: {field} is given twice")
            templates[field] = Template(value if option == "--set" else "{" + value + "}")
    if "orderNumber" not in templates:
        raise WrongMapping("--map orderNumber=COLUMN is needed: it tells which rows belong together")
    if shipping_skus and "shippingAmount" in templates:
        raise WrongMapping("--shipping-sku: shippingAmount is given already")
    return FieldMapping(templates, _countries(countries), frozenset(shipping_skus))


def read_assignments(option: str, given: Sequence[str], fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each `field=value` with a field of `fields`. Raises `WrongMapping`."""
    for assignment in given:
        field, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise WrongMapping(f"{option} {assignment}: expected field=value")
        if field not in fields:
            raise WrongMapping(f"{option} {assignment}: {_unknown(field, fields)}")
        yield field, value


def check_column(field: str, column: str, header: Sequence[str]) -> None:
    """Raise `WrongMapping` unless the header has the column once."""
    if header.count(column) != 1:
        found = "twice" if column in header else "not"
        raise WrongMapping(f"{field}: the column {column!r} is {found} in the header, which has: {', '.join(header)}")


def _unknown(field: str, fields: Sequence[str]) -> str:
    close = get_close_matches(field, fields, n=1)
    return f"there is no field {field!r}; " + (
        f"did you mean {close[0]}?" if close else f"there are {', '.join(fields)}"
    )


def _countries(given: Sequence[str]) -> dict[str, str]:
    names = {name.casefold(): code for code, name in country_names().items()}
    for assignment in given:
        name, equals, code = (part.strip() for part in assignment.partition("="))
        if not equals or code.upper() not in country_names():
            raise WrongMapping(f'--country {assignment}: expected a name and a code, such as "EIRE=IE"')
        names[name.casefold()] = code.upper()
    return names

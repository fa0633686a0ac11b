"""Which pieces of an order go on a shipment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.shipping.errors import SelectionRefused

Selection = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Picked:
    """A selection that the order can give, by the ids of its lines."""

    order_line_ids: list[int]
    quantities: list[int]


def pick(selection: Selection, lines: Iterable[Mapping[str, Any]], *, held: Selection | None = None) -> Picked:
    """Resolve `selection` (pieces by lineId) against the order's locked `lines`.

    `held` is what the shipment holds already and may keep. Raises `SelectionRefused` naming the line.
    """
    by_id = {line["line_id"]: line for line in lines}
    held = held or {}
    if not selection:
        raise SelectionRefused("products must name at least one line")
    for line_id, quantity in selection.items():
        line = by_id.get(line_id)
        if line is None:
            raise SelectionRefused(f"line {line_id} does not exist on the order")
        free = line["quantity"] - line["allocated_quantity"] + held.get(line_id, 0)
        if quantity > free:
            raise SelectionRefused(f"line {line_id} has only {free} left to ship, {quantity} requested")
    return Picked([by_id[line_id]["id"] for line_id in selection], list(selection.values()))

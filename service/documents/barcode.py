"""The shipment's number to be scanned: Code 128, which every warehouse scanner reads, or QR where that is too wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import segno
from barcode.codex import Code128
from barcode.errors import BarcodeError

_LINEAR_HEIGHT_MM: Final = 11.0
_LINEAR_QUIET: Final = 10
_LINEAR_WIDEST_MM: Final = 80.0
# Hand scanners read bars of 0.25 mm from an office printer's paper; wider than 0.33 mm gains nothing.
_BAR_MM: Final = (0.25, 0.33)

_SQUARE_QUIET: Final = 4
_SQUARE_MODULE_MM: Final = 0.6


@dataclass(frozen=True, slots=True)
class Barcode:
    """A drawing; its width and height include the white margin, `quiet_mm` wide, that scanners need."""

    svg: bytes
    width_mm: float
    height_mm: float
    quiet_mm: float


def draw_barcode(number: str) -> Barcode:
    """Return the barcode of a shipment's number."""
    bars = _bars(number)
    if bars is None:
        return _square(number)
    margin = "0" * _LINEAR_QUIET
    row = margin + bars + margin
    bar = min(_BAR_MM[1], _LINEAR_WIDEST_MM / len(row))
    drawing = _svg([[module == "1" for module in row]], len(row))
    return Barcode(drawing, len(row) * bar, _LINEAR_HEIGHT_MM, _LINEAR_QUIET * bar)


def _bars(number: str) -> str | None:
    try:
        bars: str = Code128(number).build()[0]
    except BarcodeError:  # it has characters that Code 128 does not
        return None
    return bars if (len(bars) + 2 * _LINEAR_QUIET) * _BAR_MM[0] <= _LINEAR_WIDEST_MM else None


def _square(number: str) -> Barcode:
    rows = [[bool(module) for module in row] for row in segno.make_qr(number).matrix_iter(border=_SQUARE_QUIET)]
    size = len(rows) * _SQUARE_MODULE_MM
    return Barcode(_svg(rows, len(rows)), size, size, _SQUARE_QUIET * _SQUARE_MODULE_MM)


def _svg(rows: list[list[bool]], width: int) -> bytes:
    path = "".join(
        f"M{start} {y}h{length}v1h-{length}z" for y, row in enumerate(rows) for start, length in _dark_runs(row)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(rows)}"'
        f' viewBox="0 0 {width} {len(rows)}" preserveAspectRatio="none"><path d="{path}"/></svg>'
    ).encode()


def _dark_runs(row: Iterable[bool]) -> Iterator[tuple[int, int]]:
    start = 0
    for dark, run in groupby(row):
        length = len(list(run))
        if dark:
            yield start, length
        start += length

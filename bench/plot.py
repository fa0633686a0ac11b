"""The ratios as a picture: each row that has a limit, with the least, the median and the greatest of its rounds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pygal
from pygal.style import CleanStyle

from bench.results import Row

# The library leaves behind an importer of a kind that Python 3.12 has dropped, and about which 3.11 complains whenever
# an import fails anywhere.
sys.meta_path[:] = [each for each in sys.meta_path if hasattr(each, "find_spec")]

# Nothing of the picture comes from elsewhere when it is opened.
NO_SCRIPTS: tuple[str, ...] = ()


def write_plot(rows: Sequence[Row], file: Path) -> None:
    """Write an SVG of bars, one for each round of each row that is compared with a limit; nothing to show: no file."""
    shown = [row for row in rows if row.limit and not row.void]
    if not shown:
        return
    rounds = max(len(row.rounds) for row in shown)
    chart = pygal.HorizontalBar(
        style=CleanStyle,
        js=NO_SCRIPTS,
        title="Part of the limit, each round",
        x_labels=[f"{row.group}: {row.name}" for row in reversed(shown)],
        height=80 + (20 + 16 * rounds) * len(shown),
        width=1200,
        truncate_label=-1,
        print_values=True,
        print_values_position="top",
        formatter=lambda value: f"{value:.2f}",
    )
    for number in range(rounds):
        chart.add(f"round {number + 1}", [_ratio(row, number) for row in reversed(shown)])
    file.write_bytes(chart.render())


def _ratio(row: Row, number: int) -> float | None:
    return row.rounds[number].ratio if number < len(row.rounds) else None

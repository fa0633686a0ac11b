"""What commands print: tables for people, JSON for programs, and one line to standard error for what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.visible import visible, visible_lines

# A pipe gets every column whole.
_PIPE_WIDTH = 100_000


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print one JSON document."""
    typer.echo(visible_lines(json.dumps(value, ensure_ascii=False, indent=2)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: folded to fit a terminal, one line a row anywhere else."""
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=not terminal)
    for row in rows:
        # Text: brackets in somebody's name are no markup.
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(width=None if terminal else _PIPE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def fail(message: str, *, code: int = 1) -> typer.Exit:
    """Say what went wrong and return the exit to raise."""
    typer.echo(f"waybill: {visible_lines(message)}", err=True)
    return typer.Exit(code)


def age(moment: datetime | None) -> str:
    """Return how long ago that was, in its largest unit: 42s, 7m, 3h, 12d; `-` for never."""
    if moment is None:
        return "-"
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"

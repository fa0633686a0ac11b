"""What commands print: tables for people, JSON for programs, and one line to standard error for what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wide enough that a pipe gets every column whole.
_PIPE_WIDTH = 400


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print one JSON document."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as wide as the terminal or as it needs."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text: brackets in somebody's name are no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def fail(message: str) -> typer.Exit:
    """Say what went wrong and return the exit to raise: code 1."""
    typer.echo(f"waybill: {message}", err=True)
    return typer.Exit(1)

"""The table on the terminal, the same as JSON and Markdown, and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.plot import write_plot
from bench.results import Row

BEGIN, END = "<!-- figures: made by make bench -->", "<!-- end of the figures -->"
# milliseconds or megabytes
WORTH_TELLING = 0.005
HEADINGS = ("", "median", "min .. max", "of limit", "wanted", "p50 ms", "p99 ms", "CPU ms each", "memory MB")


def write_report(rows: Sequence[Row], facts: Mapping[str, str], folder: Path) -> None:
    """Print the table and leave it in `folder` as JSON, Markdown and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    # In a file or a pipe nothing may be cut off.
    width = console.width if console.is_terminal else 200
    Console(width=max(width, 120)).print(terminal_table(rows))
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    (folder / "bench.json").write_text(json.dumps(as_json(rows, facts), indent=2, ensure_ascii=False) + "\n")
    (folder / "bench.md").write_text(as_markdown(rows, facts))
    write_plot(rows, folder / "bench.svg")
    console.print(f"written: {folder}/bench.json, bench.md, bench.svg", highlight=False)


def terminal_table(rows: Sequence[Row]) -> Table:
    """Return the table for a person at a terminal."""
    table = Table(title="Medians of the rounds; of limit: of the same round's limit", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("", "CPU ms each", "memory MB") else "right")
    group = ""
    for row in rows:
        if row.group != group:
            table.add_section()
            table.add_row(f"[bold]{row.group}[/bold]")
            group = row.group
        table.add_row(*(f"[red]{cell}[/red]" if row.void else cell for cell in cells(row)))
    return table


def as_markdown(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Return the table as docs/performance.md shows it."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    group = ""
    for row in rows:
        if row.group != group:
            lines += ["", f"**{row.group}**", "", _line(HEADINGS), _line(["---", *["---:"] * 6, "---", "---"])]
            group = row.group
        lines.append(_line(cells(row)))
    return "\n".join(lines) + "\n"


def with_figures(document: str, figures: str) -> str:
    """Return `document` with `figures` between its two marks. Raises ValueError if it has none."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise ValueError(f"the document lacks {BEGIN} or {END}")
    return f"{head}{begin}\n\n{figures}\n{end}{tail}"


def as_json(rows: Sequence[Row], facts: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that was measured, every round of it."""
    return {
        "facts": dict(facts),
        "rows": [
            asdict(row)
            | {"value": row.value, "ratio": row.ratio, "p50_ms": row.p50_ms, "p99_ms": row.p99_ms, "void": row.void}
            for row in rows
        ],
    }


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells, in the order of `HEADINGS`. What is void says so and has no figures."""
    if row.void:
        return (row.name, f"void: {row.void}", *[""] * (len(HEADINGS) - 2))
    least, most = row.spread
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (
        row.name,
        f"{number(row.value)} {row.unit}",
        f"{number(least)} .. {number(most)}",
        f"{ratio} ({row.limit})" if row.ratio is not None and row.limit else ratio,
        row.wanted,
        "" if row.p50_ms is None else number(row.p50_ms),
        "" if row.p99_ms is None else number(row.p99_ms),
        by_process(row.cpu_ms),
        by_process(at_work(row)),
    )


def at_work(row: Row) -> Mapping[str, float]:
    """Return the memory of the processes that the row has used, or of all if it does not tell what it has used."""
    worked = {name for name, used in row.cpu_ms.items() if used >= WORTH_TELLING}
    return {name: size for name, size in row.memory_mb.items() if name in worked or not worked}


def number(value: float) -> str:
    """Return a figure with as many digits as it is good for."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def by_process(figures: Mapping[str, float]) -> str:
    """Return figures by process, those that are nothing left out."""
    return ", ".join(f"{name} {number(value)}" for name, value in figures.items() if value >= WORTH_TELLING)


def _line(columns: Sequence[str]) -> str:
    return "| " + " | ".join(columns) + " |"

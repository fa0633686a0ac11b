"""What `waybill complete` tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from service.commands.output import print_json, print_table
from service.completion_file.sheet import Answer, Sheet, Shipment

SHOWN_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """How many rows ended how. `done_before`: as the file said already; `refused`: by status."""

    rows: int
    done_before: int
    shipped: int
    shipped_before: int
    refused: Counter[int]
    unanswered: int
    first_refusals: Sequence[tuple[Shipment, Answer]]

    @property
    def complete(self) -> bool:
        """Whether every row's shipment has left."""
        return not self.refused and not self.unanswered


def summarize(sheet: Sheet, before: Sequence[Answer]) -> Summary:
    """Count the answers. `before`: those that the file came with."""
    came_with = Counter(answer.status for answer in before if answer.done)
    counts = Counter(answer.status for answer in sheet.answers if answer)
    counts.subtract(came_with)
    refusals = [
        (shipment, answer)
        for shipment, answer in zip(sheet.shipments, sheet.answers, strict=True)
        if answer and not answer.done
    ]
    return Summary(
        rows=len(sheet.answers),
        done_before=came_with.total(),
        shipped=counts[200],
        shipped_before=counts[409],
        refused=Counter(answer.status for _, answer in refusals),
        unanswered=len(sheet.unanswered()),
        first_refusals=refusals[:SHOWN_REFUSALS],
    )


def print_summary(file: Path, result: Path | None, summary: Summary, *, seconds: float) -> None:
    """Tell a person, with the first refusals."""
    if summary.first_refusals:
        print_table(
            ("line", "shipment", "status", "not completed because"),
            [
                (shipment.lines, shipment.number or "-", str(answer.status), answer.error)
                for shipment, answer in summary.first_refusals
            ],
        )
        more = summary.refused.total() - len(summary.first_refusals)
        typer.echo(f"… and {more} more; the result tells all.\n" if more else "")
    by_status = ", ".join(f"{status}: {count}" for status, count in sorted(summary.refused.items()))
    told = [
        *([f"{summary.done_before} done already"] if summary.done_before else []),
        f"{summary.shipped} shipped",
        f"{summary.shipped_before} shipped before",
        f"{summary.refused.total()} refused" + (f" ({by_status})" if by_status else ""),
        f"{summary.unanswered} unanswered",
    ]
    rows = "1 row" if summary.rows == 1 else f"{summary.rows} rows"
    typer.echo(f"{rows} in {file.name}: {', '.join(told)} ({seconds:.1f} s)")
    if result is None:
        typer.echo("No row was answered, and no result is written.")
    else:
        again = "" if summary.complete else " Feed it back to send what is not done in it."
        typer.echo(f"The result is in {result}.{again}")


def print_json_summary(file: Path, result: Path | None, summary: Summary, *, seconds: float) -> None:
    """Tell a program the same."""
    print_json(
        {
            "file": str(file),
            "result": str(result) if result else None,
            "rows": summary.rows,
            "doneAlready": summary.done_before,
            "shipped": summary.shipped,
            "shippedBefore": summary.shipped_before,
            "refused": {str(status): count for status, count in sorted(summary.refused.items())},
            "unanswered": summary.unanswered,
            "seconds": round(seconds, 3),
        }
    )

"""What an import tells at its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from service.commands.output import print_json, print_table
from service.order_import.report import printable
from service.order_import.run import Outcome, Result

SHOWN_REJECTIONS = 20
OUTCOMES: tuple[Outcome, ...] = ("created", "updated", "unchanged", "rejected")


class Tally:
    """Counts results, and keeps the first rejections to show."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.rejections: list[Result] = []

    def add(self, result: Result) -> None:
        """Count one more."""
        self.counts[result.outcome] += 1
        if result.outcome == "rejected" and len(self.rejections) < SHOWN_REJECTIONS:
            self.rejections.append(result)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.counts["created"] or self.counts["updated"])


def print_summary(file: Path, tally: Tally, *, seconds: float, dry_run: bool) -> None:
    """Tell a person how many of each there were, and about the first rejections."""
    if tally.rejections:
        print_table(
            ("line", "order", "rejected because"),
            [(each.lines, printable(each.order_number or "-"), _short(each.reasons)) for each in tally.rejections],
        )
        more = tally.counts["rejected"] - len(tally.rejections)
        typer.echo(f"… and {more} more; --report FILE.csv tells all.\n" if more else "")
    told = ", ".join(f"{tally.counts[outcome]} {outcome}" for outcome in OUTCOMES)
    would = "Nothing was changed. It would be: " if dry_run else ""
    typer.echo(f"{would}{tally.counts.total()} orders in {file.name}: {told} ({seconds:.1f} s)")


def print_json_summary(file: Path, tally: Tally, *, seconds: float, dry_run: bool) -> None:
    """Tell a program the same."""
    print_json(
        {
            "file": str(file),
            "dryRun": dry_run,
            "orders": tally.counts.total(),
            **{outcome: tally.counts[outcome] for outcome in OUTCOMES},
            "seconds": round(seconds, 3),
            "firstRejections": [
                {"lines": each.lines, "orderNumber": each.order_number, "reasons": list(each.reasons)}
                for each in tally.rejections
            ],
        }
    )


def _short(reasons: tuple[str, ...]) -> str:
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return printable(reasons[0]) + more

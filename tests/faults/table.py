"""`python -m tests.faults.table RESULTS_DIR` writes docs/faults.md from what the runs have recorded there.

What was not run again stays as it was: `results.jsonl` keeps the newest row of each kind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.known import FAULTS, KILLS, KNOWN, name_of

DOCUMENT = Path(__file__).parents[2] / "docs/faults.md"
KEPT = Path(__file__).parent / "results.jsonl"
Result = dict[str, Any]

_INTRODUCTION = """\
# Faults

What happens to money, events and mails when something breaks. Every line was written by a test that breaks it: with
real processes and real servers, `kill -9`, cut and frozen connections, servers that crash, fill up or hang. Afterwards
callers repeat what they have had no certain answer to, everything settles, and a checker compares four ledgers: what
callers were told, the database, the payment provider's own ledger, and what a mail server and an independent
subscriber have received.

`make faults` runs it all, for some hours, and writes this page anew; `make memory` adds the hour of load at its end;
`make test` runs a short form. The code is in `tests/faults`: `findings.py` lists what the checker looks for, and
`test_ledgers.py` shows it finding each.

The columns count shipments or events:

- **captures twice**: money was taken more than once. Never right.
- **events lost**: committed and not received, or SHIPPED without an event. Never right.
- **events twice**: received more than once, each time with the same id. Allowed: delivery is at least once, and
  consumers know a repetition by its id.
- **mails lost**: an event without its mail. Never right.
- **mails twice**: sent again under the same `Message-ID`. Right only between the mail server's acceptance and our
  commit (decision 4).
- **between states**: neither shipped with its money nor released without. Never right.
- **longest answer**: the slowest answer that any caller got meanwhile, with short time-outs set.
"""

_MEMORY = """\
Own memory (USS) of every process under steady load, in MiB, sampled each 10 s: the medians of the first and the last
quarter of the time, and the slope of a line fitted to all samples. The sandbox payment provider keeps its whole ledger
in memory, by design; it is no part of an installation.

What grows at first has an end: the JSON parser keeps the last 16,384 short strings that it has met, and an API process
has met so many after some 4,000 payments. `course` shows where that is over.
"""

COUNTED = (
    ("captures_twice", "captures twice"),
    ("events_lost", "events lost"),
    ("events_twice", "events twice"),
    ("mails_lost", "mails lost"),
    ("mails_twice", "mails twice"),
    ("between_states", "between states"),
)


def _noted(result: Result) -> str:
    return f"{result['fault']} ({result['note']})" if result["note"] else str(result["fault"])


def _text(field: str, result: Result) -> str:
    return str(result[field])


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


Column = tuple[str, Callable[[Result], str]]
_COUNTS: tuple[Column, ...] = tuple((name, partial(_text, field)) for field, name in COUNTED)
_TIMES: tuple[Column, ...] = (("times", partial(_text, "repetitions")),)
_LONGEST: tuple[Column, ...] = (("longest answer", lambda result: _seconds(result["longest_answer_s"])),)

KILL_COLUMNS: tuple[Column, ...] = (
    ("step", lambda result: f"`{result['step']}`"),
    ("fault", partial(_text, "fault")),
    *_TIMES,
    *_COUNTS,
)
FAULT_COLUMNS: tuple[Column, ...] = (
    ("where", partial(_text, "step")),
    ("fault", _noted),
    *_TIMES,
    *_COUNTS,
    *_LONGEST,
)
LOAD_COLUMNS: tuple[Column, ...] = (
    ("load", partial(_text, "step")),
    ("faults", _noted),
    ("number of faults", partial(_text, "repetitions")),
    *_COUNTS,
    *_LONGEST,
)
MEMORY_COLUMNS: tuple[Column, ...] = (
    ("process", partial(_text, "step")),
    ("minutes", lambda result: f"{result['minutes']:g}"),
    ("completions", lambda result: f"{result['completions']:,}"),
    ("first quarter", lambda result: f"{result['first_quarter']:.1f}"),
    ("last quarter", lambda result: f"{result['last_quarter']:.1f}"),
    ("highest", lambda result: f"{result['highest']:.1f}"),
    ("slope per hour", lambda result: f"{result['slope_per_hour']:+.1f}"),
    ("course, in twelfths", lambda result: " ".join(f"{each:.0f}" for each in result["course"])),
)
SECTIONS = (
    ("Processes killed", "kill", KILL_COLUMNS, ""),
    ("Servers", "server", FAULT_COLUMNS, ""),
    ("Network", "network", FAULT_COLUMNS, ""),
    ("Load with random faults", "load", LOAD_COLUMNS, ""),
    ("Memory", "memory", MEMORY_COLUMNS, _MEMORY),
)


def read(folder: Path) -> list[Result]:
    """Return what was recorded in `folder`, in no order."""
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def kept() -> list[Result]:
    """Return what the page was last written from."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def newest(results: Iterable[Result]) -> list[Result]:
    """Return the newest result of each kind that is still tried, in the order of the tests' own tables."""
    tried = [result for result in results if name_of(result) in KNOWN]
    of_a_kind = {kind_of(result): result for result in sorted(tried, key=lambda result: result["at"])}
    order = {name: place for place, name in enumerate([None, *KILLS, *FAULTS])}
    return [
        of_a_kind[kind]
        for kind in sorted(of_a_kind, key=lambda kind: (kind[0], order[name_of(of_a_kind[kind])], *kind))
    ]


def kind_of(result: Result) -> tuple[str, str, str]:
    """Return by what a result replaces an older one: of loads there is one only, whatever their length and rate."""
    part = result["part"]
    return part, "" if part == "load" else result["step"], "" if part == "load" else result.get("fault", "")


def document(results: Iterable[Result]) -> str:
    """Return the page."""
    results = list(results)
    parts = [_INTRODUCTION]
    for title, part, columns, text in SECTIONS:
        rows = [result for result in results if result["part"] == part]
        if rows:
            parts.append("\n".join([f"## {title}", "", text or _total(rows), _table(columns, rows)]))
    return "\n".join(parts)


def _total(rows: Sequence[Result]) -> str:
    times = sum(row["repetitions"] for row in rows)
    sums = ", ".join(f"{name} {sum(row[field] for row in rows)}" for field, name in COUNTED)
    return f"{times:,} times in all: {sums}.\n"


def _table(columns: Sequence[Column], rows: Sequence[Result]) -> str:
    lines = [[name for name, _ in columns], *([cell(row) for _, cell in columns] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    # Numbers to the right, words to the left.
    right = [
        all(line[column][:1] in "+-0123456789" and " " not in line[column] for line in lines[1:])
        for column in range(len(columns))
    ]
    rule = ["-" * (width - 1) + ":" if to_right else "-" * width for width, to_right in zip(widths, right, strict=True)]
    aligned = [
        [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (aligned[0], rule, *aligned[1:])) + "\n"


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.removesuffix(" s").strip("+-").replace(".", "").replace(",", "").isdigit()


def main(arguments: Sequence[str]) -> None:
    results = newest([*kept(), *read(Path(arguments[0]))])
    KEPT.write_text("".join(f"{json.dumps(result)}\n" for result in results))
    DOCUMENT.write_text(document(results))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the fault tests saw, one file per row, for the table in docs/faults.md; and how often they repeat.

`WAYBILL_FAULTS_RESULTS` names the folder; nothing is written without it. `WAYBILL_FAULTS_FULL=1` asks for as many
repetitions as the table promises.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from tests.faults.ledgers import Counts

RESULTS = os.environ.get("WAYBILL_FAULTS_RESULTS", "")
FULL = bool(os.environ.get("WAYBILL_FAULTS_FULL"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: where (`step`), what (`fault`), how often, and what came of it.

    `part` says which table: kill, network, server, load or memory. `longest_answer_s` is None where no call was timed.
    """

    part: str
    step: str
    fault: str
    repetitions: int
    captures_twice: int = 0
    events_lost: int = 0
    events_twice: int = 0
    mails_lost: int = 0
    mails_twice: int = 0
    between_states: int = 0
    longest_answer_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """One process's own memory under load, in MiB: medians of the first and the last quarter of the time."""

    part: str = "memory"
    step: str
    minutes: float
    completions: int
    first_quarter: float
    last_quarter: float
    highest: float
    slope_per_hour: float
    course: tuple[float, ...]


def row(*, part: str, step: str, fault: str, repetitions: int, counts: Counts, note: str = "") -> Row:
    """Return the row of a run whose ledgers were counted."""
    return Row(
        part=part,
        step=step,
        fault=fault,
        repetitions=repetitions,
        captures_twice=counts.captures_twice,
        events_lost=counts.events_lost,
        events_twice=counts.events_twice,
        mails_lost=counts.mails_lost,
        mails_twice=counts.mails_twice,
        between_states=counts.between_states,
        longest_answer_s=counts.longest_answer_s if counts.calls else None,
        note=note,
    )


def record(result: Row | MemoryRow) -> None:
    """Write the row down where results are wanted. Any number of processes may do so; the newest of a kind counts."""
    if RESULTS:
        folder = Path(RESULTS)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{result.part}-{uuid4().hex}.json").write_text(json.dumps(asdict(result) | {"at": time.time()}))


def repetitions(short: int, full: int) -> int:
    """Return how often to repeat: in `make test` and in `make faults`."""
    return full if FULL else short

"""What was measured, as data: one row of the table, with every round's figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement. CPU is milliseconds per unit of work, memory megabytes, both by process.

    `void` says why the figures mean nothing; empty: they count.
    """

    value: float
    ratio: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    void: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` of each round is to `limit` in the same round; `wanted` is the aim in words."""

    group: str
    name: str
    unit: str
    rounds: tuple[Round, ...]
    limit: str = ""
    wanted: str = ""

    @property
    def void(self) -> str:
        """Why the row does not count; empty if it does."""
        return "; ".join(dict.fromkeys(each.void for each in self.rounds if each.void))

    @property
    def value(self) -> float:
        """Median over the rounds."""
        return statistics.median(each.value for each in self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """Least and greatest value of a round."""
        values = [each.value for each in self.rounds]
        return min(values), max(values)

    @property
    def ratio(self) -> float | None:
        """Median of the ratios that each round had."""
        return _median([each.ratio for each in self.rounds])

    @property
    def p50_ms(self) -> float | None:
        """Median of the rounds' medians."""
        return _median([each.p50_ms for each in self.rounds])

    @property
    def p99_ms(self) -> float | None:
        """Median of the rounds' 99th percentiles."""
        return _median([each.p99_ms for each in self.rounds])

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Median CPU milliseconds per unit, by process."""
        return _medians([each.cpu_ms for each in self.rounds])

    @property
    def memory_mb(self) -> dict[str, float]:
        """Median megabytes, by process."""
        return _medians([each.memory_mb for each in self.rounds])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of `values` do not exceed: a measured one, none in between."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: statistics.median(each[name] for each in rounds if name in each) for name in names}

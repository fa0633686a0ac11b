"""How much memory processes use over time, and whether it grows."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

MIB = 1024 * 1024
PARTS = 12


@dataclass(frozen=True, slots=True)
class Growth:
    """MiB of one process: medians of the first and the last quarter of the samples, and the fitted slope per hour.

    `course`: the medians of twelve parts of the time.
    """

    process: str
    samples: int
    first_quarter: float
    last_quarter: float
    highest: float
    slope_per_hour: float
    course: tuple[float, ...]


@dataclass
class Memory:
    """Samples of each process's own memory (USS), with the time in seconds."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    async def watch(self, pids: Mapping[str, int], *, every_s: float) -> None:
        """Sample for ever."""
        watched = {name: psutil.Process(pid) for name, pid in pids.items()}
        while True:
            await asyncio.sleep(every_s)
            for name, process in watched.items():
                used = process.memory_full_info().uss / MIB
                self.samples.setdefault(name, []).append((time.monotonic(), used))

    def growth(self) -> list[Growth]:
        """Return the figures of every process that has enough samples."""
        return [growth_of(name, samples) for name, samples in sorted(self.samples.items()) if len(samples) >= PARTS]


def growth_of(process: str, samples: list[tuple[float, float]]) -> Growth:
    """Work out the figures of one process from (seconds, MiB)."""
    used = [each for _, each in samples]
    quarter = len(used) // 4
    cuts = [len(used) * n // PARTS for n in range(PARTS + 1)]
    slope = statistics.linear_regression([at / 3600 for at, _ in samples], used).slope
    return Growth(
        process=process,
        samples=len(used),
        first_quarter=round(statistics.median(used[:quarter]), 1),
        last_quarter=round(statistics.median(used[-quarter:]), 1),
        highest=round(max(used), 1),
        slope_per_hour=round(slope, 2),
        course=tuple(round(statistics.median(used[first:last]), 1) for first, last in pairwise(cuts)),
    )

"""What processes use: CPU by name, with everything that descends from each, and memory."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

MEGABYTE = 1_000_000


@dataclass(slots=True)
class Used:
    """CPU seconds between the two looks, by name. `load` is what makes the load: wrk, pgbench or a bare loop."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)

    def cpu_ms_per(self, units: float) -> dict[str, float]:
        """Return CPU milliseconds for each of `units`, by name."""
        return {name: seconds * 1000 / units for name, seconds in self.cpu_s.items()} if units else {}


@contextmanager
def watch(pids: Mapping[str, int]) -> Iterator[Used]:
    """Measure the block. Processes are trees: each name's first process and all that descend from it."""
    used = Used()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    children_before = _ended_children_s()
    yield used
    # Before the memory, whose reading takes a while.
    after = {name: cpu_seconds(pid) for name, pid in pids.items()}
    used.cpu_s = {name: after[name] - before[name] for name in pids}
    used.cpu_s["load"] = _ended_children_s() - children_before
    used.memory_mb = {name: proportional_mb(pid) for name, pid in pids.items()}


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, its descendants, and those of them that have ended and been reaped."""
    return sum(_each(pid, lambda process: sum(process.cpu_times()[:4])))


def proportional_mb(pid: int) -> float:
    """Return the memory of a process and its descendants, what they share counted once."""
    return sum(_each(pid, lambda process: process.memory_full_info().pss)) / MEGABYTE


def resident_mb(pid: int) -> tuple[float, float]:
    """Return resident and unshared memory of one process."""
    info = psutil.Process(pid).memory_full_info()
    return info.rss / MEGABYTE, info.uss / MEGABYTE


def _each(pid: int, read: Callable[[psutil.Process], float]) -> Iterator[float]:
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            yield read(process)
        except psutil.NoSuchProcess:
            continue


def _ended_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

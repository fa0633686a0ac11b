"""Load for a while, with random faults and a look at memory as planned, and then the checker."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.bystanders import Bystanders, open_bystanders
from tests.faults.callers import Callers
from tests.faults.disturbances import processes_of, shuffled
from tests.faults.ledgers import Call, Counts, count, find_faults
from tests.faults.memory import Growth, Memory
from tests.faults.rules import grouped
from tests.faults.stack import Stack

KINDS = ("api", "relay", "worker", "provider", "other")
# How the capacity is found out.
CALLERS_AT_ONCE, MEASURED_S = 32, 20.0
# Orders announced by another system for each completion.
ANNOUNCED = 0.2
ANSWER_DEADLINE_S = 30.0
# What the log calls an exception that nobody foresaw.
UNFORESEEN = (
    "request_failed",
    "group_failed",
    "handler_failed",
    "Task exception was never retrieved",
    "Traceback (most recent call last)",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `fault_every_s` None: no faults. `sample_every_s` None: no look at memory.

    With a look at memory the other consumers work too. `capacity`: completions a second, mails included, that were
    found possible. `attempts`: how often a caller asks before the faults are over.
    """

    seconds: float
    rate: float
    seed: int
    fault_every_s: float | None
    sample_every_s: float | None = None
    capacity: float | None = None
    attempts: int = 6


@dataclass
class Outcome:
    """What came of it. `findings` empty: nothing is wrong."""

    plan: Plan
    counts: Counts
    findings: list[str]
    answers: dict[str, int]
    latency_ms: dict[str, float]
    faults: list[str] = field(default_factory=list)
    memory: list[Growth] = field(default_factory=list)
    reconciled: dict[str, Any] = field(default_factory=dict)
    # Seconds since the beginning: answers by status in the ten seconds from then on, and the median of a 200 in ms.
    course: dict[int, dict[str, float]] = field(default_factory=dict)


async def run_load(stack: Stack, plan: Plan) -> Outcome:
    """Load the running stack as planned, heal it, let callers ask again, and compare the ledgers."""
    random = Random(plan.seed)
    callers = Callers(stack, Random(plan.seed + 1), plan.rate, plan.attempts)
    memory = Memory()
    faults: list[str] = []
    first, began = len(stack.calls), time.time()
    async with AsyncExitStack() as beside:
        others: Bystanders | None = None
        if plan.sample_every_s:
            others = await beside.enter_async_context(open_bystanders(stack, rate=plan.rate * ANNOUNCED))
            await beside.enter_async_context(_beside(memory.watch(_pids(stack), every_s=plan.sample_every_s)))
        async with asyncio.TaskGroup() as group:
            group.create_task(callers.call_for(plan.seconds))
            group.create_task(_disturb(stack, plan, random, faults))
        missing = await others.finish(timeout_s=120) if others else []
    lost = await callers.finish(rounds=20)
    settled = await stack.settle(timeout_s=120)
    reconciled = await _reconcile(stack)
    findings = [f"{number}: asked for in vain" for number in lost]
    findings += missing
    findings += [] if settled else ["not everything went everywhere in time"]
    findings += _dead_processes(stack)
    ledgers = await stack.ledgers()
    findings += map(str, find_faults(ledgers, deadline_s=ANSWER_DEADLINE_S, mails_may_repeat=bool(faults)))
    findings += _unforeseen(stack)
    return Outcome(
        plan=plan,
        counts=count(ledgers),
        findings=findings,
        answers=dict(Counter(str(call.status or "none") for call in stack.calls)),
        latency_ms=_latency(stack),
        faults=faults,
        memory=memory.growth(),
        reconciled=reconciled,
        course=_course(stack.calls[first:], began),
    )


def _pids(stack: Stack) -> dict[str, int]:
    pids = {f"{kind} {n}": each.pid for kind in KINDS[:4] for n, each in enumerate(processes_of(stack, kind), start=1)}
    return pids | {name: process.pid for name, process in stack.others.items()}


async def _disturb(stack: Stack, plan: Plan, random: Random, faults: list[str]) -> None:
    """One fault after the other, with their beginnings `fault_every_s` apart or more, until the load ends."""
    loop = asyncio.get_running_loop()
    end = loop.time() + plan.seconds
    if plan.fault_every_s is None:
        return
    for name, disturb in shuffled(random):
        began = loop.time()
        if began + plan.fault_every_s > end:
            return
        await asyncio.sleep(random.uniform(0, plan.fault_every_s / 4))
        _say(f"{name}")
        faults.append(f"{name} at {loop.time() - end + plan.seconds:.0f} s")
        await disturb(stack, random)
        await asyncio.sleep(began + plan.fault_every_s - loop.time())


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _reconcile(stack: Stack) -> dict[str, Any]:
    process = stack.processes.start("reconcile", "--format", "json", "--unshipped-after", "0", settings=stack.settings)
    if await process.wait_for_exit() != 0:
        return {"failed": process.output()}
    answer: dict[str, Any] = json.loads(process.output())
    return answer


def _dead_processes(stack: Stack) -> list[str]:
    return [
        f"a {kind} process ended by itself: {each.output()[-2000:]}"
        for kind in KINDS
        for each in processes_of(stack, kind)
        if not each.running
    ]


def _unforeseen(stack: Stack) -> list[str]:
    """Return every line of a log that tells of an exception that nobody foresaw."""
    assert stack.provider is not None
    return [
        f"{log.name}: {line[:2000]}"
        for log in sorted(stack.provider.log.parent.glob("*.log*"))
        for line in log.read_text(errors="replace").splitlines()
        if any(text in line for text in UNFORESEEN)
    ]


def _course(calls: Sequence[Call], began: float) -> dict[int, dict[str, float]]:
    course: dict[int, dict[str, float]] = {}
    for second, ended in sorted(grouped(calls, lambda call: int(call.ended - began) // 10 * 10).items()):
        answers = Counter(str(call.status or "none") for call in ended)
        shipped = [call.seconds for call in ended if call.status == 200]
        course[second] = dict(answers) | ({"median ms": round(statistics.median(shipped) * 1000, 1)} if shipped else {})
    return course


def _latency(stack: Stack) -> dict[str, float]:
    seconds = sorted(call.seconds for call in stack.calls if call.status == 200)
    if len(seconds) < 2:
        return {}
    hundredths = statistics.quantiles(seconds, n=100)
    return {
        "p50": round(hundredths[49] * 1000, 1),
        "p99": round(hundredths[98] * 1000, 1),
        "highest": round(seconds[-1] * 1000, 1),
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


async def measure_capacity(stack: Stack) -> float:
    """Return how many completions a second go all the way to their mails when callers do not wait."""
    loop = asyncio.get_running_loop()
    began, done, first = loop.time(), 0, len(stack.calls)

    async def call() -> None:
        nonlocal done
        while loop.time() < began + MEASURED_S:
            for number in await stack.order(20):
                await stack.complete(number)
                done += 1

    await asyncio.gather(*(call() for _ in range(CALLERS_AT_ONCE)))
    if not await stack.settle(timeout_s=300) or {call.status for call in stack.calls[first:]} != {200}:
        raise RuntimeError("the capacity cannot be measured: not everything went well without any fault")
    capacity = round(done / (loop.time() - began), 1)
    _say(f"capacity: {capacity} completions a second")
    return capacity

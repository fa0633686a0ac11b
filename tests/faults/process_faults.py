"""Processes of ours that stand still for longer than anybody waits for them, and then go on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.faults.fault import Fault, Rig, Strike
from tests.faults.report import repetitions
from tests.faults.stack import Stack
from tests.support.processes import Process

# Heartbeats of 2 s are missed, idle transactions are ended after 3 s; in the full form those of a relay's round too.
STANDSTILL_S = repetitions(6, 16)


@asynccontextmanager
async def frozen(_rig: Rig, processes: Sequence[Process]) -> AsyncIterator[None]:
    """Freeze processes, as a debugger, a full swap or a suspended machine does."""
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)


def standstill(chosen: Callable[[Stack], Sequence[Process]]) -> Strike:
    """Some processes stand still for longer than any time-out."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        async with frozen(rig, chosen(rig.stack)):
            await asyncio.sleep(STANDSTILL_S)
        yield

    return strike


_STEP = "processes"

PROCESS_FAULTS = (
    Fault(
        step=_STEP,
        name="an API process frozen",
        strike=standstill(lambda stack: list(stack.apis.values())[:1]),
        callers=8,
        standstill_s=STANDSTILL_S,
        note="another one goes on",
    ),
    Fault(step=_STEP, name="the relay frozen", strike=standstill(lambda stack: stack.relays)),
    Fault(step=_STEP, name="the mail worker frozen", strike=standstill(lambda stack: stack.workers)),
)

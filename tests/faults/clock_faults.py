"""Clocks that are set while everything runs: by an operator, a hypervisor, or a failover to a machine that is off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.clock import HOUR_S, Clock
from tests.faults.fault import Fault, Rig, Strike
from tests.faults.findings import Kind


def step(which: str, ahead_s: float) -> Strike:
    """Set a clock while events wait for the broker; it stays so until all is repeated, and is then right again."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        clock: Clock = rig.more[which]
        await rig.stack.hops["broker"].down()
        try:
            yield
        finally:
            clock.set(ahead_s)
            await rig.stack.hops["broker"].up()

    return strike


_STEP = "clocks"
# What the database calls the time of a shipment is compared with the true time.
_TOLERATED = {Kind.TOLD_TOO_EARLY}

# Each comes from where the one before has left the clock.
CLOCK_FAULTS = (
    Fault(step=_STEP, name="our processes' an hour ahead", strike=step("ours", HOUR_S)),
    Fault(step=_STEP, name="our processes' set back by two hours", strike=step("ours", -HOUR_S)),
    Fault(step=_STEP, name="the database's an hour ahead", strike=step("its", HOUR_S), tolerated=_TOLERATED),
    Fault(step=_STEP, name="the database's set back by two hours", strike=step("its", -HOUR_S), tolerated=_TOLERATED),
)

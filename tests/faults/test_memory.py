"""The figures of a process's memory."""

from __future__ import annotations

import asyncio
import os

from tests.faults.memory import Memory, growth_of


def test_growth_shows_in_every_figure() -> None:
    growth = growth_of("api 1", [(10.0 * n, 50 + n / 36) for n in range(360)])
    assert (growth.process, growth.samples, growth.highest) == ("api 1", 360, 60.0)
    assert (growth.first_quarter, growth.last_quarter, growth.slope_per_hour) == (51.2, 58.7, 10.0)
    assert growth.course == (50.4, 51.2, 52.1, 52.9, 53.7, 54.6, 55.4, 56.2, 57.1, 57.9, 58.7, 59.6)


def test_a_flat_course_has_no_slope() -> None:
    growth = growth_of("relay 1", [(10.0 * n, 46.0) for n in range(24)])
    assert (growth.first_quarter, growth.last_quarter, growth.slope_per_hour) == (46.0, 46.0, 0.0)


async def test_running_processes_are_sampled() -> None:
    memory = Memory()
    watching = asyncio.create_task(memory.watch({"tests": os.getpid()}, every_s=0.001))
    async with asyncio.timeout(30):
        while not memory.growth():  # noqa: ASYNC110 - the sampler runs for ever
            await asyncio.sleep(0.01)
    watching.cancel()
    [growth] = memory.growth()
    assert growth.first_quarter > 1

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.commands.repeating import repeat
from service.shipping.errors import TemporarilyUnavailable


@pytest.mark.parametrize("lost", [TemporarilyUnavailable(), asyncpg.ConnectionDoesNotExistError("gone"), OSError()])
async def test_a_lost_database_is_waited_out_until_the_next_time(lost: Exception) -> None:
    stop = asyncio.Event()
    done: list[int] = []

    async def work() -> None:
        done.append(1)
        if len(done) == 1:
            raise lost
        stop.set()

    with capture_logs() as logs:
        await asyncio.wait_for(repeat(work, every_s=0.001, stop=stop), 30)
    assert len(done) == 2
    assert [line["event"] for line in logs] == ["database_lost"]


async def test_done_once_it_says_what_went_wrong() -> None:
    async def work() -> None:
        raise TemporarilyUnavailable

    with pytest.raises(TemporarilyUnavailable):
        await repeat(work, every_s=None, stop=asyncio.Event())


async def test_a_mistake_is_not_repeated() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await repeat(work, every_s=0.001, stop=asyncio.Event())


async def test_it_ends_between_two_times() -> None:
    stop = asyncio.Event()

    async def work() -> None:
        stop.set()

    await asyncio.wait_for(repeat(work, every_s=3600, stop=stop), 30)

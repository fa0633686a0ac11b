"""One caller at a time for a name, whatever becomes of those who wait."""

from __future__ import annotations

import asyncio

import pytest

from service.turns import Turns


async def test_callers_of_one_name_take_turns_in_their_order_and_others_do_not_wait() -> None:
    turns = Turns()
    done: list[str] = []

    async def work(name: str, label: str) -> None:
        async with turns.hold(name, timeout_s=60):
            done.append(f"{label} begins")
            await asyncio.sleep(0)
            done.append(f"{label} ends")

    await asyncio.gather(work("a", "first"), work("a", "second"), work("b", "other"))
    assert done == ["first begins", "other begins", "first ends", "other ends", "second begins", "second ends"]


async def test_who_waits_too_long_is_told_and_the_next_goes_on() -> None:
    turns = Turns()
    async with turns.hold("a", timeout_s=60):
        with pytest.raises(TimeoutError):
            async with turns.hold("a", timeout_s=0.01):
                pytest.fail("two at a time")
        patient = asyncio.create_task(_hold(turns, "a"))
        await asyncio.sleep(0)
        assert not patient.done()
    await patient


async def test_a_caller_that_leaves_the_queue_holds_up_nobody_and_nothing_is_kept() -> None:
    turns = Turns()
    async with turns.hold("a", timeout_s=60):
        leaving, staying = (asyncio.create_task(_hold(turns, "a")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
    await staying
    assert leaving.cancelled()
    with pytest.raises(ZeroDivisionError):
        async with turns.hold("a", timeout_s=60):
            raise ZeroDivisionError
    await _hold(turns, "a")
    assert turns == Turns()


async def _hold(turns: Turns, name: str) -> None:
    async with turns.hold(name, timeout_s=60):
        pass

"""When the relay looks for events: at once after a pause, then with rests, for as long as anybody may keep silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from publishers import relay
from publishers.broker import Session
from publishers.relay import Pace, run

# A test that waited for as long would fail.
NEVER_S = 3600.0
PACE = Pace(batch_size=2, poll_s=NEVER_S, publish_timeout_s=1)


class Relaying:
    """A relay whose rounds take `round_s` and what is `waiting`.

    `next` tells what it does, step by step; `over` ends a wait.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting, self.round_s = 0, 0.0
        self.due, self.stop, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.looked_at = 0.0
        self._session: Any = None
        self._steps: asyncio.Queue[str] = asyncio.Queue()
        self._first_of = relay._first_of
        monkeypatch.setattr(relay, "run_once", self._round)
        monkeypatch.setattr(relay, "_first_of", self._wait)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self._steps.get()

    async def nothing_follows(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        assert self._steps.empty()

    def lose_session(self) -> None:
        self._session.end("lost")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(
            run(Any, self._connect, pace=PACE, required=(), due=self.due, stop=self.stop, grace_s=20)  # type: ignore[arg-type]
        )
        try:
            yield
            self.stop.set()
            async with asyncio.timeout(20):
                await task
        finally:
            task.cancel()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Session]:
        self._session = Session(Any)  # type: ignore[arg-type]
        self._steps.put_nowait("session")
        yield self._session

    async def _round(self, *_: Any, **__: Any) -> int:
        self.looked_at = asyncio.get_running_loop().time()
        taken = min(self.waiting, PACE.batch_size)
        self.waiting -= taken
        self._steps.put_nowait(f"round of {taken}")
        await asyncio.sleep(self.round_s)
        return taken

    async def _wait(self, *events: asyncio.Event, timeout_s: float) -> None:
        self._steps.put_nowait("rest" if timeout_s == relay.REST_S else "pause")
        self.over.clear()
        await self._first_of(*events, self.over, timeout_s=timeout_s)


@pytest.fixture
def relaying(monkeypatch: pytest.MonkeyPatch) -> Relaying:
    return Relaying(monkeypatch)


@pytest.fixture
def always_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "REST_S", NEVER_S / 2)
    monkeypatch.setattr(relay, "THROTTLE_S", NEVER_S)


@pytest.fixture
def never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "THROTTLE_S", 0.0)


@pytest.mark.usefixtures("never_rests")
async def test_after_a_pause_the_first_event_goes_out_at_once(relaying: Relaying) -> None:
    async with relaying.running():
        assert [await relaying.next() for _ in range(3)] == ["session", "round of 0", "pause"]
        relaying.waiting = 1
        relaying.due.set()
        assert await relaying.next() == "round of 1"


@pytest.mark.usefixtures("always_rests")
async def test_what_comes_during_a_rest_goes_out_together(relaying: Relaying) -> None:
    relaying.waiting = 1
    async with relaying.running():
        assert [await relaying.next() for _ in range(3)] == ["session", "round of 1", "rest"]
        for _ in range(2):
            relaying.waiting += 1
            relaying.due.set()
            await relaying.nothing_follows()
        relaying.over.set()
        assert await relaying.next() == "round of 2"


@pytest.mark.usefixtures("always_rests")
async def test_after_a_full_round_there_is_no_rest(relaying: Relaying) -> None:
    relaying.waiting = 5
    async with relaying.running():
        steps = [await relaying.next() for _ in range(5)]
    assert steps == ["session", "round of 2", "round of 2", "round of 1", "rest"]


async def test_whoever_was_told_looks_until_nobody_can_have_kept_silent(
    relaying: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "REST_S", 0.01)
    monkeypatch.setattr(relay, "THROTTLE_S", 0.1)

    async def looks_for_as_long_as_the_throttle() -> bool:
        assert [await relaying.next() for _ in range(3)] == ["round of 0", "rest", "round of 0"]
        while await relaying.next() != "pause":
            pass
        return relaying.looked_at >= told_at + 0.1

    told_at = asyncio.get_running_loop().time()
    async with relaying.running():
        assert await relaying.next() == "session"
        assert await looks_for_as_long_as_the_throttle(), "an earlier session may have been told"
        told_at = asyncio.get_running_loop().time()
        relaying.due.set()
        assert await looks_for_as_long_as_the_throttle()


async def test_a_round_that_began_too_early_is_not_the_last_look_however_long_it_took(
    relaying: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "THROTTLE_S", 0.05)
    relaying.round_s = 0.1
    async with relaying.running():
        assert [await relaying.next() for _ in range(4)] == ["session", "round of 0", "rest", "round of 0"]


@pytest.mark.usefixtures("always_rests")
async def test_stopping_cuts_a_rest_short(relaying: Relaying) -> None:
    async with relaying.running():
        assert [await relaying.next() for _ in range(3)] == ["session", "round of 0", "rest"]


@pytest.mark.usefixtures("always_rests")
async def test_a_lost_session_cuts_a_rest_short(relaying: Relaying) -> None:
    async with relaying.running():
        assert [await relaying.next() for _ in range(3)] == ["session", "round of 0", "rest"]
        relaying.lose_session()
        assert await relaying.next() == "session"

"""The launcher of fail points: dies at its step and nowhere else, and says so when a step is no longer in the code."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import asyncpg
import pytest

import sql
from service.settings import Settings
from tests.faults import failing
from tests.faults.conftest import OpenStack
from tests.faults.forking import Forks
from tests.faults.kill_steps import STEPS, Call, Commit, Place, Provider, Query, Step
from tests.faults.killing import died, failing_api, standing
from tests.support.processes import Processes

LAUNCHER = ("-m", "tests.faults.failing")
REAL = Query("orders", "lock_order")


@pytest.fixture
def unwrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test wrap what it wants in its own process: all is as it was afterwards."""
    monkeypatch.setattr(
        failing, "_replace", lambda owner, name, wrap: monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))
    )


async def noted(where: list[str], when: str) -> None:
    where.append(when)


@pytest.mark.usefixtures("unwrapped")
@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_a_place_in_the_code(name: str) -> None:
    failing.arm(STEPS[name], nth=1, reached=failing._nothing)


@pytest.mark.usefixtures("unwrapped")
@pytest.mark.parametrize(
    "place",
    [
        Call("service.no_such_module:capture"),
        Call("consumers.email.mailer:Mailer.no_such_method"),
        Call("consumers.email.mailer:NoSuchClass.send"),
        Call("service.http.integration_api:routes"),  # no coroutine function
        Query("no_such_file", "capture"),
        Query("shipping", "no_such_query"),
        Commit(Query("shipping", "no_such_query")),
        Provider("service.no_such_module", "capture"),
        Provider("service.shipping.errors", "capture"),
    ],
    ids=str,
)
def test_a_place_that_is_gone_is_refused(place: Place) -> None:
    with pytest.raises(failing.NoSuchPlace):
        failing.arm(Step("api", "before", place, "gone"), nth=1, reached=failing._nothing)
    with pytest.raises(failing.NoSuchPlace):
        failing.arm(Step("api", "before", REAL, "there", since=place), nth=1, reached=failing._nothing)


@pytest.mark.parametrize("forked", [False, True], ids=["started", "forked"])
async def test_nothing_starts_without_its_step(processes: Processes, forks: Forks, forked: bool) -> None:
    starter: Any = forks if forked else processes
    process = starter.start(*LAUNCHER, "--at", "no.such-step", "--", "api", program=sys.executable)
    assert await process.wait_for_exit() == failing.NO_SUCH_PLACE
    assert "no such step: no.such-step" in process.output()


async def test_what_ends_otherwise_than_at_its_step_fails_the_test(forks: Forks, settings: Settings) -> None:
    """A command that never comes there, one that fails, and one that somebody else kills."""
    ended = forks.start(
        *LAUNCHER, "--at", "import.committed", "--", "stores", "list", settings=settings, program="python"
    )
    failed = forks.start(*LAUNCHER, "--at", "relay.claimed", "--", "relay", program="python")
    killed = forks.start(*LAUNCHER, "--at", "relay.committed", "--", "relay", settings=settings, program="python")
    await killed.wait_for_line("relay_started")
    killed.kill()
    for process, step, code in (
        (ended, "import.committed", "ended with 0"),
        (failed, "relay.claimed", "ended with 2"),
        (killed, "relay.committed", "killed, but not there"),
    ):
        with pytest.raises(AssertionError, match=code):
            await died(process, step)


async def test_the_real_launcher_dies_at_its_step(open_forks: OpenStack, processes: Processes) -> None:
    """The forked one is used everywhere else; this shows that they are alike."""
    async with open_forks(relays=0, workers=0) as stack:
        for starter in (stack.processes, processes):
            stack.processes = starter
            [number] = await stack.order()
            process, url = await failing_api(stack, "complete.uncommitted")
            assert (await stack.complete(number, url=url)).status is None
            await died(process, "complete.uncommitted")
            assert await standing(stack, number) == ("RELEASED", ["PENDING"], 1)


async def test_only_the_nth_time_counts(open_forks: OpenStack) -> None:
    async with open_forks(relays=0, workers=0) as stack:
        numbers = await stack.order(3)
        process, url = await failing_api(stack, "complete.committed", nth=2)
        answers = [(await stack.complete(number, url=url)).status for number in numbers]
        await died(process, "complete.committed")
        assert answers == [200, None, None]
        assert [(await standing(stack, number))[0] for number in numbers] == ["SHIPPED", "SHIPPED", "RELEASED"]


@pytest.mark.usefixtures("unwrapped")
async def test_a_commit_is_that_of_the_querys_own_transaction(pool: asyncpg.Pool[Any]) -> None:
    commits: list[str] = []
    for when in ("before", "after"):
        failing.arm(Step("api", when, Commit(REAL), when), nth=1, reached=partial(noted, commits, when))

    async def look(connection: Any) -> None:
        await sql.queries(REAL.file).lock_order(connection, order_number="none")

    async with pool.acquire() as connection, pool.acquire() as other:
        async with connection.transaction():
            await connection.execute("SELECT 1")
        await look(connection)  # a statement by itself commits nothing that could be waited for
        transaction = connection.transaction()
        await transaction.start()
        await look(connection)
        await transaction.rollback()
        async with connection.transaction():
            await connection.execute("SELECT 1")
        assert commits == [], "not after a rollback, nor without the query"
        async with connection.transaction():
            await look(connection)
            async with other.transaction():
                await other.execute("SELECT 1")
            async with connection.transaction():
                await connection.execute("SELECT 1")
            assert commits == [], "neither another connection's, nor a savepoint's"
    assert commits == ["before", "after"]


@pytest.mark.usefixtures("unwrapped")
async def test_rows_are_told_of_once_all_are_read(pool: asyncpg.Pool[Any]) -> None:
    reached: list[str] = []
    lines = Query("creation", "order_lines")
    for when in ("before", "after"):
        failing.arm(Step("api", when, lines, when), nth=1, reached=partial(noted, reached, when))
    rows = sql.queries(lines.file).order_lines(pool, order_id=0)
    assert reached == []
    assert [row async for row in rows] == []
    assert reached == ["before", "after"]

"""Messages that wait at the same time share a transaction, and each fares as it would alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs

from consumers import together
from consumers.delivery import Delivery, read_delivery
from consumers.handling import MOST_TOGETHER, Handling
from consumers.inbox import Connection
from consumers.outcome import Done, Handled, Rejected, TryLater
from consumers.registry import Consumer
from schemas.topology import DEAD_REASON_HEADER
from service.settings import Settings
from tests.support.events import Topic, open_topic
from tests.support.rows import OrderRow, ShipmentRow
from tests.support.waiting import until
from tests.support.workers import EMAIL, GROUPED, Worker, working

WORK = EMAIL.topology(()).work.name
DEAD = EMAIL.topology(()).dead.name
RETRY = f"{WORK}.retry.1s"
SHIPMENT = ShipmentRow(1, "100001-1", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,), "worker_concurrency": 4}
    )


@pytest.fixture
async def effects(pool: asyncpg.Pool) -> Effects:
    await pool.execute("CREATE TABLE effects (event_id uuid NOT NULL, transaction xid8 NOT NULL)")
    return Effects(pool)


class Effects:
    """A handler whose effect is a row, and what of it is committed. `act` is called before, `then` after the row."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.begun: list[Delivery] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.act: Callable[[Connection, Delivery], Any] = _nothing
        self.then: Callable[[Connection, Delivery], Any] = _nothing

    async def __call__(self, connection: Connection, delivery: Delivery) -> Done:
        self.begun.append(delivery)
        await self.go_on.wait()
        await self.act(connection, delivery)
        await connection.execute("INSERT INTO effects VALUES ($1, pg_current_xact_id())", delivery.event_id)
        await self.then(connection, delivery)
        return Handled()

    async def committed(self) -> Counter[UUID]:
        """Return how often each event had its effect."""
        return Counter(row["event_id"] for row in await self.pool.fetch("SELECT event_id FROM effects"))

    async def have_happened(self, number: int) -> None:
        """Return once so many effects are committed."""

        async def reached() -> bool:
            return (await self.committed()).total() >= number

        await until(reached)

    async def transactions(self) -> list[int]:
        """Return how many effects each transaction had, the first one first."""
        rows = await self.pool.fetch("SELECT count(*) FROM effects GROUP BY transaction ORDER BY transaction")
        return [row["count"] for row in rows]

    async def handled(self) -> set[UUID]:
        """Return what the inbox says."""
        return {row["message_id"] for row in await self.pool.fetch("SELECT message_id FROM inbox")}

    def attempts(self) -> set[int]:
        return {delivery.attempt for delivery in self.begun}


async def _nothing(*_: object) -> None:
    pass


@asynccontextmanager
async def busy(
    settings: Settings, effects: Effects, *, consumer: Consumer = GROUPED, **running: Any
) -> AsyncIterator[tuple[Worker, Topic, Waiting]]:
    """Run a worker that is held up in its first group, of one message: what is told waits, and is the next group."""
    waiting = Waiting()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handling, "add", waiting.noting(Handling.add))
        patch.setattr(together, "LONGEST_S", 60)
        effects.go_on.clear()
        async with (
            working(settings, consumer=consumer, handler=effects, **running) as worker,
            open_topic(settings.amqp_url) as topic,
        ):
            await topic.tell(SHIPMENT)
            await until(lambda: _has_begun(effects))
            yield worker, topic, waiting


async def _has_begun(effects: Effects) -> bool:
    return bool(effects.begun)


class Waiting:
    """How many messages a worker has been given."""

    def __init__(self) -> None:
        self._number = 0

    def noting(self, add: Callable[..., None]) -> Callable[..., None]:
        def called(*args: Any) -> None:
            self._number += 1
            add(*args)

        return called

    async def for_messages(self, number: int) -> None:
        """Return once there are so many beside the first."""

        async def reached() -> bool:
            return self._number == number + 1

        await until(reached)


async def tell(topic: Topic, waiting: Waiting, number: int = 8, *, beside: int = 0) -> list[UUID]:
    """Tell of events and return their ids once they wait, `beside` others that were told of before."""
    ids = [await topic.tell(SHIPMENT) for _ in range(number)]
    await waiting.for_messages(number + beside)
    return ids


async def queues(topic: Topic) -> list[int]:
    return [await topic.depth(queue) for queue in (WORK, RETRY, DEAD)]


async def test_what_waits_at_the_same_time_shares_a_transaction(brief: Settings, effects: Effects) -> None:
    with capture_logs() as logs:
        async with busy(brief, effects) as (_, topic, waiting):
            ids = await tell(topic, waiting)
            effects.go_on.set()
            await effects.have_happened(9)
    assert await effects.transactions() == [1, 8]
    assert [delivery.event_id for delivery in effects.begun[1:]] == ids
    settled = [line for line in logs if line["event"] == "message_settled"]
    assert [line["event_id"] for line in settled[1:]] == [str(event_id) for event_id in ids]
    assert {(line["outcome"], line["attempt"], line["request_id"]) for line in settled} == {("handled", 1, "req-1")}
    async with open_topic(brief.amqp_url) as topic:
        assert await queues(topic) == [0, 0, 0]


async def test_a_group_has_its_bound(brief: Settings, effects: Effects) -> None:
    async with busy(brief, effects) as (_, topic, waiting):
        await tell(topic, waiting, 2 * MOST_TOGETHER - 1)  # with the one in work, all that the worker may hold
        await topic.tell(SHIPMENT)
        await topic.wait_for_depth(WORK, 1)
        effects.go_on.set()
        await effects.have_happened(2 * MOST_TOGETHER + 1)
    assert (await effects.transactions())[:2] == [1, MOST_TOGETHER]
    assert max(await effects.transactions()) == MOST_TOGETHER


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("never"), "never"),
        (TryLater("not yet"), "not yet (attempt 2 was the last)"),
        (ValueError("asa@example.com"), "unexpected ValueError (attempt 2 was the last)"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("place", [0, 4, 7])
async def test_one_that_fails_among_eight_fails_alone(
    brief: Settings, effects: Effects, error: Exception, reason: str, place: int
) -> None:
    async with busy(brief, effects) as (_, topic, waiting):
        ids = await tell(topic, waiting)

        async def fail(_: Connection, delivery: Delivery) -> None:
            if delivery.event_id == ids[place]:
                raise error

        effects.then = fail
        effects.go_on.set()
        dead = await topic.take(DEAD)
        await effects.have_happened(8)
        await topic.wait_for_depth(WORK, 0)
    assert (dead.message_id, dead.headers[DEAD_REASON_HEADER]) == (str(ids[place]), reason)
    others = {event_id for event_id in await effects.handled() if event_id in ids}
    assert others == set(ids) - {ids[place]}
    assert set((await effects.committed()).values()) == {1}
    assert {delivery.attempt for delivery in effects.begun if delivery.event_id in others} == {1}


async def test_a_message_that_was_undone_with_others_loses_no_attempt(brief: Settings, effects: Effects) -> None:
    failed: list[Delivery] = []

    async def fail_once(_: Connection, delivery: Delivery) -> None:
        if len(effects.begun) > 1 and not failed:
            failed.append(delivery)
            raise TryLater("only in company")

    async with busy(brief, effects) as (_, topic, waiting):
        await tell(topic, waiting)
        effects.then = fail_once
        effects.go_on.set()
        await effects.have_happened(9)
        assert await queues(topic) == [0, 0, 0]
    assert effects.attempts() == {1}
    assert await effects.transactions() == [1] * 9


async def test_one_that_cannot_be_read_fails_alone_and_undoes_nobody(brief: Settings, effects: Effects) -> None:
    async with busy(brief, effects) as (_, topic, waiting):
        for number in range(8):
            await (topic.publish(b"not json", event_id=uuid4()) if number == 3 else topic.tell(SHIPMENT))
        await waiting.for_messages(8)
        effects.go_on.set()
        dead = await topic.take(DEAD)
        await effects.have_happened(8)
    assert dead.headers[DEAD_REASON_HEADER] == "the body is not a shipment event: body: json_invalid"
    assert await effects.transactions() == [1, 7]


async def test_an_error_in_reading_one_is_decided_on_alone(brief: Settings, effects: Effects) -> None:
    def read(message: AbstractIncomingMessage) -> Delivery:
        if message.body == b"trap":
            raise ZeroDivisionError
        return read_delivery(message)

    async with busy(brief, effects, consumer=dataclasses.replace(GROUPED, read=read)) as (_, topic, waiting):
        await topic.publish(b"trap", event_id=uuid4())
        await tell(topic, waiting, 2, beside=1)
        effects.go_on.set()
        dead = await topic.take(DEAD)
        await effects.have_happened(3)
    assert dead.headers[DEAD_REASON_HEADER] == "unexpected ZeroDivisionError (attempt 2 was the last)"
    assert await effects.transactions() == [1, 2]


async def test_a_message_that_is_twice_in_a_group_is_handled_once(brief: Settings, effects: Effects) -> None:
    with capture_logs() as logs:
        async with busy(brief, effects) as (_, topic, waiting):
            ids = await tell(topic, waiting, 3)
            for event_id in (ids[1], ids[1], effects.begun[0].event_id):
                await topic.tell(SHIPMENT, event_id=event_id)
            await waiting.for_messages(6)
            effects.go_on.set()
            await until(lambda: _settled(logs, 7))
    assert await effects.committed() == Counter([*ids, effects.begun[0].event_id])
    assert await effects.transactions() == [1, 3]
    told = Counter((line["outcome"], line.get("reason")) for line in logs if line["event"] == "message_settled")
    assert told == {("handled", None): 4, ("skipped", "already handled"): 3}
    async with open_topic(brief.amqp_url) as topic:
        assert await queues(topic) == [0, 0, 0]


async def _settled(logs: Any, number: int) -> bool:
    return sum(line["event"] == "message_settled" for line in logs) >= number


@pytest.mark.parametrize("commits", [True, False])
async def test_a_message_that_somebody_else_is_handling_keeps_nobody_waiting(
    brief: Settings, effects: Effects, commits: bool
) -> None:
    # Who waits for it, waits for longer than this test does.
    patient = brief.model_copy(update={"lock_timeout_s": 90})
    async with busy(patient, effects) as (_, topic, waiting), effects.pool.acquire() as elsewhere:
        ids = await tell(topic, waiting)
        transaction = elsewhere.transaction()
        await transaction.start()
        await elsewhere.execute("INSERT INTO inbox (consumer, message_id) VALUES ($1, $2)", EMAIL.name, ids[3])
        effects.go_on.set()
        await effects.have_happened(8)
        assert ids[3] not in await effects.committed()
        await (transaction.commit() if commits else transaction.rollback())
        # Of groups after the one with the waiting message, none may answer for that one.
        await topic.tell(SHIPMENT)
        await effects.have_happened(9 if commits else 10)
    assert (await effects.committed())[ids[3]] == (0 if commits else 1)
    assert set((await effects.committed()).values()) == {1}
    assert effects.attempts() == {1}
    async with open_topic(brief.amqp_url) as topic:
        assert await queues(topic) == [0, 0, 0]


async def test_what_waits_alone_is_not_answered_for_by_groups_that_follow(brief: Settings, effects: Effects) -> None:
    async with effects.pool.acquire() as elsewhere, elsewhere.transaction():
        async with busy(brief, effects, grace_s=0.1) as (_, topic, waiting):
            ids = await tell(topic, waiting)
            await elsewhere.execute("INSERT INTO inbox (consumer, message_id) VALUES ($1, $2)", EMAIL.name, ids[3])
            effects.go_on.set()
            await effects.have_happened(8)
            for number in range(1, 4):
                await topic.tell(SHIPMENT)
                await effects.have_happened(8 + number)
        async with open_topic(brief.amqp_url) as topic:
            assert (await topic.take(WORK)).message_id == str(ids[3])
            assert await queues(topic) == [0, 0, 0]


async def test_one_that_takes_too_long_is_tried_again_alone(
    brief: Settings, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "LONGEST_S", 0.3)
    impatient = brief.model_copy(update={"worker_handler_timeout_s": 2})
    async with working(impatient, consumer=GROUPED, handler=effects):
        pass
    async with open_topic(brief.amqp_url) as topic:
        ids = [await topic.tell(SHIPMENT) for _ in range(8)]

        async def hang(_: Connection, delivery: Delivery) -> None:
            if delivery.event_id == ids[2] and delivery.attempt == 1:
                await asyncio.Event().wait()

        effects.act = hang
        with capture_logs() as logs:
            async with working(impatient, consumer=GROUPED, handler=effects):
                await effects.have_happened(8)
                await topic.wait_for_depth(WORK, 0)
        assert await queues(topic) == [0, 0, 0]
    assert [line["cause"] for line in logs if line["event"] == "group_undone"] == ["TimeoutError"]
    assert await effects.committed() == Counter(ids)
    assert {(delivery.event_id == ids[2], delivery.attempt) for delivery in effects.begun} == {
        (False, 1),
        (True, 1),
        (True, 2),
    }


async def test_a_group_that_is_cut_off_settles_nothing(brief: Settings, effects: Effects) -> None:
    async with busy(brief, effects) as (_, topic, waiting):
        await tell(topic, waiting)
        effects.go_on.set()
        await effects.have_happened(9)
    effects.begun.clear()

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    effects.then = hang
    async with working(brief, consumer=GROUPED, handler=effects, grace_s=0.1), open_topic(brief.amqp_url) as topic:
        for _ in range(8):
            await topic.tell(SHIPMENT)
        await until(lambda: _has_begun(effects))
        await topic.wait_for_depth(WORK, 0)
    assert len(await effects.handled()) == 9
    async with open_topic(brief.amqp_url) as topic:
        await topic.wait_for_depth(WORK, 8)
        assert await queues(topic) == [8, 0, 0]
    effects.then = _nothing
    async with working(brief, consumer=GROUPED, handler=effects):
        await effects.have_happened(17)
    assert set((await effects.committed()).values()) == {1}
    assert effects.attempts() == {1}


async def test_a_stop_lets_the_group_finish_and_gives_back_what_waits(brief: Settings, effects: Effects) -> None:
    async with busy(brief, effects) as (worker, topic, waiting):
        ids = await tell(topic, waiting)
        worker.stop.set()
        await topic.wait_for_depth(WORK, 8)
        effects.go_on.set()
    assert await effects.transactions() == [1]
    async with working(brief, consumer=GROUPED, handler=effects):
        await effects.have_happened(9)
    assert set(await effects.committed()) >= set(ids)
    assert effects.attempts() == {1}
    # Who was delivered before is alone: whoever had it may still be at it.
    assert await effects.transactions() == [1] * 9


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_connection_lost_at_the_commit_of_a_group(
    brief: Settings, effects: Effects, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[object] = []
    execute = asyncpg.Connection.execute

    async def lose(connection: Any, statement: str, *args: Any, **kwargs: Any) -> Any:
        if statement != "COMMIT;" or len(effects.begun) < 9 or commits:
            return await execute(connection, statement, *args, **kwargs)
        commits.append(statement)
        if lost == "after":
            await execute(connection, statement, *args, **kwargs)
        connection.terminate()
        raise ConnectionResetError

    with capture_logs() as logs:
        async with busy(brief, effects) as (_, topic, waiting):
            monkeypatch.setattr(asyncpg.Connection, "execute", lose)
            await tell(topic, waiting)
            effects.go_on.set()
            await until(lambda: _settled(logs, 9))
    assert commits
    assert set((await effects.committed()).values()) == {1}
    assert effects.attempts() == {1}
    assert await effects.transactions() == ([1, 8] if lost == "after" else [1] * 9)
    async with open_topic(brief.amqp_url) as topic:
        assert await queues(topic) == [0, 0, 0]


async def test_a_handler_that_keeps_an_error_of_the_server_to_itself_undoes_only_its_own(
    brief: Settings, effects: Effects
) -> None:
    async with busy(brief, effects) as (_, topic, waiting):
        ids = await tell(topic, waiting)

        async def hush(connection: Connection, delivery: Delivery) -> None:
            if delivery.event_id == ids[-1]:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await connection.execute("SELECT 1 / 0")

        effects.then = hush
        effects.go_on.set()
        await effects.have_happened(8)
        await topic.wait_for_depth(WORK, 0)
    assert set(await effects.committed()) == set(ids[:-1]) | {effects.begun[0].event_id}


async def test_a_database_that_is_away_stops_the_group_and_costs_no_attempt(brief: Settings, effects: Effects) -> None:
    async with busy(brief, effects) as (worker, topic, waiting):
        await tell(topic, waiting)
        name = await effects.pool.fetchval("SELECT current_database()")
        admin = await asyncpg.connect(brief.database_url.rpartition("/")[0] + "/postgres")
        try:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            effects.go_on.set()
            await until(lambda: _not_consuming(worker))
            await topic.wait_for_depth(WORK, 9)
            assert await queues(topic) == [9, 0, 0]
        finally:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            await admin.close()
        await effects.have_happened(9)
    assert effects.attempts() == {1}
    assert set((await effects.committed()).values()) == {1}


async def _not_consuming(worker: Worker) -> bool:
    return not worker.consuming.is_set()


async def test_two_workers_share_a_queue_full_of_duplicates(brief: Settings, effects: Effects) -> None:
    ids = [uuid4() for _ in range(150)]
    async with open_topic(brief.amqp_url) as topic:
        async with working(brief, consumer=GROUPED, handler=effects):
            pass
        for event_id in (*ids, *reversed(ids)):
            await topic.tell(SHIPMENT, event_id=event_id)
        with capture_logs() as logs:
            async with (
                working(brief, consumer=GROUPED, handler=effects),
                working(brief, consumer=GROUPED, handler=effects),
            ):
                await until(lambda: _settled(logs, 2 * len(ids)))
        assert await queues(topic) == [0, 0, 0]
    assert await effects.committed() == Counter(ids)
    assert await effects.handled() == set(ids)
    assert effects.attempts() == {1}

"""Dead letters: seen without harm, sent back to one consumer alone, dropped only on purpose; and the queues' depths."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest

from consumers.dead_letters import browse, drop, replay
from consumers.depths import Depths, depths
from consumers.registry import CONSUMERS
from consumers.topology import declare
from schemas.topology import ATTEMPT_HEADER, DEAD_AT_HEADER, DEAD_REASON_HEADER, TOPIC, ConsumerTopology

TOPOLOGY = CONSUMERS["email"].topology((5, 30))


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    async with await aio_pika.connect(amqp_url) as opened:
        await declare(opened, TOPOLOGY)
        yield opened


async def bury(connection: aio_pika.abc.AbstractConnection, number: int, **headers: Any) -> list[UUID]:
    """Put letters into the dead queue as the consumer runtime does."""
    ids = [uuid4() for _ in range(number)]
    async with connection.channel() as channel:
        for n, message_id in enumerate(ids):
            message = aio_pika.Message(
                json.dumps({"guid": f"100001-{n}"}).encode(),
                message_id=str(message_id),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers={
                    ATTEMPT_HEADER: 3,
                    DEAD_REASON_HEADER: f"550 no such user {n % 2}",
                    DEAD_AT_HEADER: "2026-11-21T18:40:00.123+00:00",
                    "waybill-request-id": "req-1",
                    **headers,
                },
            )
            await channel.default_exchange.publish(message, TOPOLOGY.dead.name)
    return ids


async def drain(connection: aio_pika.abc.AbstractConnection, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
    async with connection.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        found = []
        while message := await declared.get(no_ack=True, fail=False):
            found.append(message)
        return found


async def test_looking_changes_nothing_however_often(connection: aio_pika.abc.AbstractConnection) -> None:
    ids = await bury(connection, 3)
    for _ in range(30):
        letters = await browse(connection, TOPOLOGY, limit=10)
        assert [letter.message_id for letter in letters] == [str(each) for each in ids]
    first = letters[0]
    assert (first.reason, first.attempts, first.shipment_number) == ("550 no such user 0", 3, "100001-0")
    assert first.dead_at is not None
    assert len(await browse(connection, TOPOLOGY, limit=2)) == 2
    assert len(await drain(connection, TOPOLOGY.dead.name)) == 3


async def test_what_is_no_letter_of_ours_is_shown_all_the_same(connection: aio_pika.abc.AbstractConnection) -> None:
    async with connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"\xff{"), TOPOLOGY.dead.name)
    [letter] = await browse(connection, TOPOLOGY, limit=10)
    assert (letter.shipment_number, letter.attempts, letter.dead_at) == (None, 0, None)


async def test_a_replay_reaches_that_consumer_alone_as_if_new(connection: aio_pika.abc.AbstractConnection) -> None:
    ids = await bury(connection, 100)
    async with connection.channel() as channel:
        other = await channel.declare_queue("somebody-else")
        await other.bind(TOPIC, "#")
    told: list[str | None] = []
    done = await replay(
        connection, TOPOLOGY, wanted=lambda _: True, on_letter=lambda letter: told.append(letter.message_id)
    )
    assert done == len(told) == 100
    replayed = await drain(connection, TOPOLOGY.work.name)
    assert [message.message_id for message in replayed] == [str(each) for each in ids]
    assert {message.headers[ATTEMPT_HEADER] for message in replayed} == {0}
    assert {message.headers["waybill-request-id"] for message in replayed} == {"req-1"}
    assert not any(DEAD_REASON_HEADER in message.headers for message in replayed)
    assert await drain(connection, TOPOLOGY.dead.name) == []
    assert await drain(connection, "somebody-else") == []


async def test_some_are_replayed_and_the_others_stay_in_their_order(
    connection: aio_pika.abc.AbstractConnection,
) -> None:
    ids = await bury(connection, 6)
    assert await replay(connection, TOPOLOGY, wanted=lambda letter: "user 1" in letter.reason) == 3
    assert [letter.message_id for letter in await browse(connection, TOPOLOGY, limit=10)] == [
        str(each) for each in ids[::2]
    ]


async def test_an_interrupted_replay_loses_nothing(connection: aio_pika.abc.AbstractConnection) -> None:
    ids = await bury(connection, 10)

    class Interrupted(Exception):
        pass

    seen = 0

    def die(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        await replay(connection, TOPOLOGY, wanted=lambda _: True, on_letter=die)
    there = [message.message_id for message in await drain(connection, TOPOLOGY.work.name)]
    left = [message.message_id for message in await drain(connection, TOPOLOGY.dead.name)]
    assert sorted(there + left) == sorted(str(each) for each in ids)


async def test_dropping_takes_only_what_was_named(connection: aio_pika.abc.AbstractConnection) -> None:
    ids = await bury(connection, 3)
    assert await drop(connection, TOPOLOGY, wanted=lambda letter: letter.message_id == str(ids[1])) == 1
    assert [letter.message_id for letter in await browse(connection, TOPOLOGY, limit=10)] == [str(ids[0]), str(ids[2])]


async def test_depths(connection: aio_pika.abc.AbstractConnection) -> None:
    await bury(connection, 2)
    async with connection.channel() as channel:
        for queue in (TOPOLOGY.work.name, TOPOLOGY.retries[0].name, TOPOLOGY.retries[1].name):
            await channel.default_exchange.publish(aio_pika.Message(b"{}"), queue)

    assert await depths(connection, TOPOLOGY) == Depths(ready=1, consumers=0, retrying=2, dead=2)
    unknown = ConsumerTopology("nobody", (), (5,))
    assert await depths(connection, unknown) == Depths(ready=None, consumers=0, retrying=0, dead=0)

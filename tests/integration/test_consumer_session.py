"""What ends a consumer's session, and that none of it loses a message or costs it an attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import aio_pika
import pytest
from aiormq.exceptions import ChannelInvalidStateError
from structlog.testing import capture_logs

from consumers import topology
from consumers.broker import Broker
from consumers.delivery import Delivery
from consumers.outcome import Handled, TryLater
from consumers.registry import Consumer
from consumers.runtime import run
from consumers.settle import CopyPublisher, settle
from consumers.topology import TopologyMismatch
from consumers.work import Work
from schemas.topology import TOPIC
from service.settings import Settings
from tests.support.events import Topic, open_topic
from tests.support.proxy import open_proxy
from tests.support.rows import OrderRow, ShipmentRow
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.waiting import until
from tests.support.workers import EMAIL, GROUPED, Recorder, Worker, working

TOPOLOGY = EMAIL.topology((1,))
WORK = TOPOLOGY.work.name
DEAD = TOPOLOGY.dead.name
SHIPMENT = ShipmentRow(1, "100001-1", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,), "worker_concurrency": 4}
    )


@pytest.fixture(params=[EMAIL, GROUPED], ids=["alone", "together"])
def consumer(request: pytest.FixtureRequest) -> Consumer:
    return request.param


async def close_connections(servers: Servers, amqp_url: str) -> None:
    """Close the worker's connection as an operator does."""
    vhost = urlsplit(amqp_url).path.removeprefix("/")

    async def closed() -> bool:
        open_ones = await asyncio.to_thread(
            management, servers.amqp_management_url, "GET", f"vhosts/{vhost}/connections"
        )
        ours = [each for each in open_ones if "waybill" in each.get("client_properties", {}).get("connection_name", "")]
        for each in ours:
            await asyncio.to_thread(
                management, servers.amqp_management_url, "DELETE", f"connections/{quote(each['name'], safe='')}"
            )
        return bool(ours)

    await until(closed)


async def resumed(worker: Worker) -> None:
    """Return once a session has ended and the next one consumes."""

    async def ended() -> bool:
        return not worker.consuming.is_set()

    await until(ended)
    await worker.start_consuming()


async def test_a_closed_connection_is_opened_again(brief: Settings, servers: Servers, consumer: Consumer) -> None:
    recorder = Recorder()
    async with working(brief, consumer=consumer, handler=recorder) as worker, open_topic(brief.amqp_url) as topic:
        await close_connections(servers, brief.amqp_url)
        await resumed(worker)
        await topic.tell(SHIPMENT)
        await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1]


async def test_a_handler_outlives_the_connection_and_its_message_is_not_handled_twice(
    brief: Settings, servers: Servers, consumer: Consumer
) -> None:
    recorder = Recorder()
    recorder.go_on.clear()
    with capture_logs() as logs:

        async def skipped() -> bool:
            return any(line["event"] == "message_settled" and line["outcome"] == "skipped" for line in logs)

        async with working(brief, consumer=consumer, handler=recorder), open_topic(brief.amqp_url) as topic:
            await topic.tell(SHIPMENT)
            await recorder.begun(1)
            await close_connections(servers, brief.amqp_url)
            await topic.wait_for_depth(WORK, 1)  # the broker has it back
            recorder.go_on.set()
            await recorder.ended(1)
            await until(skipped)
            await topic.tell(SHIPMENT)
            await recorder.ended(2)
    assert len({delivery.event_id for delivery in recorder.deliveries}) == len(recorder.deliveries) == 2
    async with open_topic(brief.amqp_url) as topic:
        assert [await topic.depth(queue) for queue in (WORK, f"{WORK}.retry.1s", DEAD)] == [0, 0, 0]


async def test_a_deleted_queue_comes_back(brief: Settings) -> None:
    recorder = Recorder()
    async with working(brief, handler=recorder) as worker, open_topic(brief.amqp_url) as topic:
        await topic.channel.queue_delete(WORK)
        await resumed(worker)
        await topic.tell(SHIPMENT)
        await recorder.ended(1)


async def test_a_message_whose_retry_queue_is_gone_is_not_lost(brief: Settings) -> None:
    recorder = Recorder()
    recorder.go_on.clear()

    def fail_at_first(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise TryLater("not yet")

    recorder.act = fail_at_first
    async with working(brief, handler=recorder) as worker, open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT)
        await recorder.begun(1)
        await topic.channel.queue_delete(f"{WORK}.retry.1s")
        recorder.go_on.set()
        await resumed(worker)
        await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 1, 2]


async def test_a_broker_that_is_away_is_waited_for(brief: Settings) -> None:
    address = urlsplit(brief.amqp_url)
    recorder = Recorder()
    assert address.hostname
    assert address.port
    async with open_proxy(address.hostname, address.port) as proxy, open_topic(brief.amqp_url) as topic:
        through = brief.amqp_url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{proxy.port}")
        async with working(brief.model_copy(update={"amqp_url": through}), handler=recorder) as worker:
            await proxy.down()
            await topic.tell(SHIPMENT)
            await until(lambda: gone(worker))
            await proxy.up()
            await recorder.ended(1)


async def gone(worker: Worker) -> bool:
    return not worker.consuming.is_set()


async def test_a_stop_lets_running_handlers_finish_and_takes_nothing_new(brief: Settings) -> None:
    recorder = Recorder()
    recorder.go_on.clear()
    async with working(brief, handler=recorder) as worker, open_topic(brief.amqp_url) as topic:
        for _ in range(10):
            await topic.tell(SHIPMENT)
        await recorder.begun(4)
        worker.stop.set()
        await until(lambda: gone(worker))
        recorder.go_on.set()
    assert (len(recorder.deliveries), len(recorder.finished)) == (4, 4)
    async with open_topic(brief.amqp_url) as topic:
        assert [await topic.depth(queue) for queue in (WORK, f"{WORK}.retry.1s", DEAD)] == [6, 0, 0]


@pytest.mark.parametrize("after", [1, 5, 10, 20, 30])
async def test_a_stop_among_messages_that_keep_coming_answers_for_all_that_were_handled(
    brief: Settings, after: int, consumer: Consumer
) -> None:
    recorder = Recorder()
    async with open_topic(brief.amqp_url) as topic:
        async with working(brief, consumer=consumer, handler=recorder) as worker:
            await asyncio.gather(*(topic.tell(SHIPMENT) for _ in range(60)))
            await recorder.ended(after)
            worker.stop.set()
        assert len(recorder.finished) == len(recorder.deliveries)
        assert await topic.depth(WORK) == 60 - len(recorder.finished)


async def test_a_handler_cut_off_by_the_stop_has_not_failed(brief: Settings, pool: Any) -> None:
    recorder = Recorder()
    recorder.go_on.clear()
    async with working(brief, handler=recorder, grace_s=0.1), open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT)
        await recorder.begun(1)
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 0
    recorder.go_on.set()
    async with working(brief, handler=recorder):
        await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 1]


async def test_there_are_never_more_handlers_than_wanted(brief: Settings) -> None:
    running = most = 0
    done = asyncio.Semaphore(0)

    async def handle(_connection: object, _delivery: Delivery) -> Handled:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        done.release()
        return Handled()

    async with working(brief, handler=handle), open_topic(brief.amqp_url) as topic:
        await asyncio.gather(*(topic.tell(SHIPMENT) for _ in range(40)))
        for _ in range(40):
            await done.acquire()
    assert most == 4


async def test_a_vhost_that_does_not_exist_is_waited_for_and_a_stop_ends_the_wait(brief: Settings, pool: Any) -> None:
    stop = asyncio.Event()
    work = Work(TOPOLOGY, pool, Recorder(), 5)
    broker = Broker(f"{brief.amqp_url}-missing", 4, 5, 5)
    running = asyncio.create_task(run(broker, work, stop=stop))
    _, pending = await asyncio.wait({running}, timeout=1)
    assert pending == {running}
    stop.set()
    async with asyncio.timeout(10):
        await running


async def test_a_stop_does_not_wait_for_a_broker_that_says_nothing(brief: Settings, pool: Any) -> None:
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        stop = asyncio.Event()
        work = Work(TOPOLOGY, pool, Recorder(), 5)
        running = asyncio.create_task(run(Broker(f"amqp://127.0.0.1:{port}/", 4, 5, 5), work, stop=stop))
        await connected.wait()
        stop.set()
        async with asyncio.timeout(5):
            await running


@pytest.mark.parametrize(
    ("declare", "named"),
    [
        (
            lambda topic: topic.channel.declare_queue(
                WORK, durable=True, arguments=TOPOLOGY.work.arguments | {"x-delivery-limit": 7}
            ),
            "x-delivery-limit is 7 on the broker, but this version of Waybill declares 100",
        ),
        (lambda topic: topic.channel.declare_queue(DEAD, durable=True), f"queue {DEAD} exists .*: x-queue-type is "),
        (
            lambda topic: topic.channel.declare_queue(
                f"{WORK}.retry.1s", durable=True, arguments=TOPOLOGY.retries[0].arguments | {"x-message-ttl": 1}
            ),
            "x-message-ttl is 1 on the broker, but this version of Waybill declares 1000",
        ),
        (
            lambda topic: topic.channel.declare_exchange(TOPIC, "fanout", durable=True),
            f"exchange {TOPIC} exists with other arguments: type is fanout on the broker",
        ),
    ],
)
async def test_other_arguments_on_the_broker_end_the_worker(
    brief: Settings, pool: Any, declare: Callable[[Topic], Any], named: str
) -> None:
    async with open_topic(brief.amqp_url) as topic:
        await declare(topic)
    work = Work(TOPOLOGY, pool, Recorder(), 5)
    async with asyncio.timeout(20):
        with pytest.raises(TopologyMismatch, match=named):
            await run(Broker(brief.amqp_url, 4, 5, 5), work, stop=asyncio.Event())


async def test_declaring_twice_is_declaring_once(brief: Settings) -> None:
    async with await aio_pika.connect(brief.amqp_url) as connection:
        for _ in range(2):
            await topology.declare(connection, EMAIL.topology((1, 5)))
        channel = await connection.channel()
        for name in (WORK, f"{WORK}.retry.1s", f"{WORK}.retry.5s", DEAD):
            await channel.declare_queue(name, passive=True)


async def test_an_answer_on_a_channel_that_is_gone_is_not_an_error(brief: Settings) -> None:
    async with await aio_pika.connect(brief.amqp_url) as connection:
        await topology.declare(connection, TOPOLOGY)
        channel = await connection.channel()
        queue = await channel.get_queue(WORK)
        for _ in range(2):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), WORK)
        copies = CopyPublisher(await connection.channel(), timeout_s=5)
        first, second = [await queue.get(timeout=10) for _ in range(2)]
        await channel.close()
        with pytest.raises(ChannelInvalidStateError):
            await first.ack()
        await settle(second, Handled(), attempt=1, topology=TOPOLOGY, copies=copies)

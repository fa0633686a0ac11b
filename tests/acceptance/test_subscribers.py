"""The guide "Subscribing to events" is true: its commands and programs, as they stand, against real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import jsonschema
import pytest
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from examples import subscriber_on_runtime, subscriber_plain
from publishers.message import event_message
from schemas.events import EventType, shipment_event
from schemas.topology import TOPIC
from service.settings import Settings
from tests.support.api import Api
from tests.support.databases import Databases
from tests.support.events import Topic, open_topic
from tests.support.guides import read_steps
from tests.support.processes import Process, Processes
from tests.support.proxy import open_proxy
from tests.support.rows import TRACEPARENT, Line, OrderRow, ShipmentRow, event_data
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.waiting import until

Pool = asyncpg.Pool

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/subscribing.md"
PAGE = GUIDE.read_text(encoding="utf-8")
PLAIN, ON_RUNTIME = ROOT / "examples/subscriber_plain.py", ROOT / "examples/subscriber_on_runtime.py"
# The first block only sets the variables.
COMMANDS = [step.commands for step in read_steps(GUIDE)][1:]
COMPLETIONS, AT_ONCE = 1000, 16


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Subscription:
    """What the guide's commands have made: a queue, and a user who may do nothing else."""

    you: str
    amqp_url: str
    shown: str

    @property
    def queue(self) -> str:
        return f"Consumer.{self.you}.{TOPIC}"

    @property
    def dead(self) -> str:
        return f"{self.queue}.dead"


@pytest.fixture
async def topic(amqp_url: str) -> None:
    """The topic, as a relay leaves it."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.declare_exchange(TOPIC, aio_pika.ExchangeType.TOPIC, durable=True)


@pytest.fixture
def make_subscription(
    servers: Servers, amqp_url: str, topic: None, tmp_path: Path
) -> Iterator[Callable[[], Subscription]]:
    """Runs the guide's commands as the broker's operator."""
    admin, made = urlsplit(servers.amqp_management_url), []

    def make() -> Subscription:
        you, password = f"tally{secrets.token_hex(4)}", secrets.token_hex(12)
        made.append(you)
        variables = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "MANAGEMENT": f"{admin.hostname}:{admin.port}",
            "ADMIN": admin.username or "",
            "ADMIN_PASSWORD": admin.password or "",
            "VHOST": urlsplit(amqp_url).path[1:],
            "YOU": you,
            "PASSWORD": password,
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(COMMANDS)],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=variables,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return Subscription(you, str(URL(amqp_url).with_user(you).with_password(password)), ran.stdout)

    yield make
    for you in made:
        management(servers.amqp_management_url, "DELETE", f"users/{you}")


def start_plain(processes: Processes, subscription: Subscription, amqp_url: str, database: Path) -> Process:
    variables = {
        "AMQP_URL": f"{amqp_url}?heartbeat=15",
        "SUBSCRIBER": subscription.you,
        "DATABASE": str(database),
        "SCHEMAS": str(ROOT / "docs/events"),
    }
    return processes.start(str(PLAIN), program=sys.executable, env=variables)


def through(proxy_port: int, amqp_url: str) -> str:
    return str(URL(amqp_url).with_host("127.0.0.1").with_port(proxy_port))


def rows(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def has(database: Path, query: str, expected: list[Any]) -> Callable[[], Any]:
    async def is_there() -> bool:
        return rows(database, query) == expected

    return is_there


def shipment(number: int) -> ShipmentRow:
    order = OrderRow(number, f"10000{number}", "se-web", (Line(),))
    return ShipmentRow(number, f"{order.number}-1", "SHIPPED", order, {"43243": 2})


async def publish(
    channel: aio_pika.abc.AbstractChannel,
    number: int,
    *,
    event_id: UUID | None = None,
    kind: EventType = EventType.SHIPMENT_SHIPPED,
    times: int = 1,
    **data: Any,
) -> None:
    """Publish an event as the relay does."""
    fields = event_data(shipment(number), **data)
    event = {
        "event_id": event_id or uuid4(),
        "type": kind.value,
        "store": fields.store,
        "subject": fields.shipment_number,
        "occurred_at": datetime.now(UTC),
        "traceparent": TRACEPARENT,
        "request_id": "req-1",
        "body": shipment_event(kind, fields).model_dump_json(by_alias=True),
    }
    topic = await channel.get_exchange(TOPIC, ensure=False)
    for _ in range(times):
        await topic.publish(event_message(event), kind.value, timeout=10)


async def insert_released(pool: Pool) -> list[str]:
    """Insert orders with one released shipment each; return the shipments' numbers."""
    await pool.execute(
        f"""
        INSERT INTO stores (code, name, locale) VALUES ('se-web', 'Butiken', 'sv');
        INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
            payment_provider, payment_authorization, shipping_amount, total_amount, unshipped_quantity, last_shipment_n,
            intake)
        SELECT (100000 + i)::text, 'se-web', 'SEK', 'sv-SE', 'Åsa Öberg', 'asa@example.com',
            '{{"name": "Åsa Öberg", "street": "Storgatan 1", "city": "Stockholm", "country": "SE"}}',
            'sandbox', 'sandbox:ok#' || i, 4900, 24800, 1, 1, '{{}}'
        FROM generate_series(1, {COMPLETIONS}) AS i;
        INSERT INTO order_lines (order_id, line_id, position, sku, name, quantity, unit_price, tax_rate)
        SELECT id, '1', 0, 'A-1', 'Shirt', 1, 19900, 0.25 FROM orders;
        INSERT INTO shipments (order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count)
        SELECT id, 1, order_number || '-1', 'RELEASED', true, 19900, 1 FROM orders;
        INSERT INTO shipment_lines
        SELECT s.id, l.id, l.quantity FROM shipments s JOIN order_lines l ON l.order_id = s.order_id;
        """
    )
    return [row["shipment_number"] for row in await pool.fetch("SELECT shipment_number FROM shipments")]


async def complete_all(api: Api, numbers: list[str]) -> Counter[int]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def complete(number: str) -> int:
        async with limit:
            return (await api.complete(number, f"TN-{number}")).status

    return Counter(await asyncio.gather(*map(complete, numbers)))


async def receive(amqp_url: str, queue: str, number: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """Read `number` messages, and those that come right behind them."""
    received: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.set_qos(prefetch_count=100)
        own = await channel.get_queue(queue, ensure=False)
        async with own.iterator(timeout=60) as messages:
            async for message in messages:
                received.append(message)
                await message.ack()
                if len(received) == number:
                    break
        while message := await own.get(fail=False):
            received.append(message)
            await message.ack()
    return received


def read_by_the_guide(message: aio_pika.abc.AbstractIncomingMessage) -> tuple[Any, ...]:
    """Run the guide's own lines on a message; return what the last of them names."""
    names: dict[str, Any] = {"message": message}
    *lines, last = blocks("python")[0].strip().splitlines()
    exec("\n".join(lines), names)
    return eval(last, names)


@pytest.mark.timeout(240)
async def test_every_event_of_a_thousand_completions_comes_once_and_as_promised(  # noqa: PLR0917
    make_subscription: Callable[[], Subscription],
    api: Api,
    settings: Settings,
    pool: Pool,
    processes: Processes,
    tmp_path: Path,
) -> None:
    independent, database = make_subscription(), tmp_path / "tally.sqlite"
    plain = Subscription("carrierTally", settings.amqp_url, "")
    relay = processes.start("relay", settings=settings)
    subscriber = start_plain(processes, plain, plain.amqp_url, database)
    await asyncio.gather(relay.wait_for_line("relay_started"), subscriber.wait_for_line("consuming"))
    numbers = await insert_released(pool)
    receiving = asyncio.create_task(receive(independent.amqp_url, independent.queue, COMPLETIONS))
    assert await complete_all(api, numbers) == {200: COMPLETIONS}
    messages = await receiving

    published = [str(row["id"]) for row in await pool.fetch("SELECT id FROM events")]
    assert Counter(message.message_id for message in messages) == dict.fromkeys(published, 1)
    shipped = json.loads((ROOT / "docs/events/order-shipment-shipped.schema.json").read_text(encoding="utf-8"))
    validator, seen = jsonschema.Draft202012Validator(shipped), []
    for message in messages:
        event_id, event_type, source, subject, data = read_by_the_guide(message)
        validator.validate(data)
        assert (event_id, event_type, source) == (message.message_id, message.routing_key, "/waybill/se-web")
        assert subject == data["guid"] == data["data"]["shipmentNumber"]
        seen.append(subject)
    assert sorted(seen) == sorted(numbers)

    # The program has read the same from its own queue, with its own checks.
    await until(has(database, "SELECT count(*) FROM handled", [(COMPLETIONS,)]), timeout=60)
    assert {event_id for (event_id,) in rows(database, "SELECT message_id FROM handled")} == set(published)
    assert rows(database, "SELECT * FROM carriers") == [("unknown", COMPLETIONS)]
    assert rows(database, "SELECT count(*), min(status), max(sequence) FROM shipments") == [(COMPLETIONS, "SHIPPED", 1)]

    await replays_by_the_guide(processes, settings, plain, published[0])
    await subscriber.wait_for_line(f"repeated order-shipment-shipped {published[0]}")
    assert rows(database, "SELECT * FROM carriers") == [("unknown", COMPLETIONS)]
    async with open_topic(settings.amqp_url) as topic:
        assert [await topic.depth(name) for name in (plain.dead, independent.queue, independent.dead)] == [0, 0, 0]
    subscriber.terminate()
    assert await subscriber.wait_for_exit() == 0, subscriber.output()


async def replays_by_the_guide(
    processes: Processes, settings: Settings, subscription: Subscription, event_id: str
) -> None:
    commands = re.findall(r"^waybill (events replay .*)$", PAGE, re.MULTILINE)
    dry_run, by_id = next(each for each in commands if "--dry-run" in each), commands[-1]
    assert {re.search(r"--queue (\S+)", each)[1] for each in commands} == {f"Consumer.carrierTally.{TOPIC}"}  # type: ignore[index]
    for command, answer in ((dry_run, "would be sent to"), (by_id, "1 on their way to")):
        given = command.replace("carrierTally", subscription.you)
        given = re.sub(r"(?<=--id )\S+", event_id, given)
        replay = processes.start(*given.split(), settings=settings)
        assert await replay.wait_for_exit() == 0, replay.output()
        assert f"{answer} {subscription.queue}" in replay.output()


async def test_the_plain_program_handles_repetitions_once_and_survives_what_the_guide_says(
    make_subscription: Callable[[], Subscription], amqp_url: str, servers: Servers, processes: Processes, tmp_path: Path
) -> None:
    subscription, database = make_subscription(), tmp_path / "tally.sqlite"
    tally = "SELECT carrier, packages FROM carriers ORDER BY carrier"
    broker = URL(amqp_url)
    async with open_proxy(broker.host or "", broker.port or 5672) as proxy, open_topic(amqp_url) as topic:
        subscriber = start_plain(processes, subscription, through(proxy.port, subscription.amqp_url), database)
        await subscriber.wait_for_line("consuming")

        await publish(topic.channel, 1, event_id=uuid4(), times=3, carrier="UPS", packages=2, sequence=3)
        await publish(topic.channel, 1, kind=EventType.SHIPMENT_CREATED, status="RELEASED", sequence=1)
        await publish(topic.channel, 2, carrier="DHL")
        await until(has(database, tally, [("DHL", 1), ("UPS", 2)]))
        assert subscriber.output().count("repeated") == 2
        assert rows(database, "SELECT status, sequence FROM shipments WHERE number = '100001-1'") == [("SHIPPED", 3)]

        await proxy.down()
        await publish(topic.channel, 3, carrier="UPS", packages=5)
        await subscriber.wait_for_line("connecting again")
        await proxy.up()
        await until(has(database, tally, [("DHL", 1), ("UPS", 7)]))

        for poison in (b"{not json", b'{"guid": "1"}', b""):
            await topic.publish(poison, event_id=uuid4(), queue=subscription.queue)
        await publish(topic.channel, 4, carrier="DHL")
        await until(has(database, tally, [("DHL", 2), ("UPS", 7)]))
        await topic.wait_for_depth(subscription.dead, 3)

        await delete_queue(topic, subscription.queue)
        await until(lambda: declared(servers, amqp_url, subscription.queue))
        await publish(topic.channel, 5, carrier="PostNord")
        await until(has(database, tally, [("DHL", 2), ("PostNord", 1), ("UPS", 7)]))

        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await publish(topic.channel, 6, carrier="GLS")
            await subscriber.wait_for_line("database: database is locked")
            other.execute("ROLLBACK")
        await until(has(database, tally, [("DHL", 2), ("GLS", 1), ("PostNord", 1), ("UPS", 7)]))
        assert await topic.depth(subscription.dead) == 3
        subscriber.terminate()
        assert await subscriber.wait_for_exit() == 0, subscriber.output()


async def delete_queue(topic: Topic, name: str) -> None:
    await topic.channel.queue_delete(name)


async def declared(servers: Servers, amqp_url: str, queue: str) -> bool:
    """Say whether the queue is there with all four bindings and somebody consuming it."""
    vhost = urlsplit(amqp_url).path[1:]
    async with open_topic(amqp_url) as topic:
        try:
            found = await topic.channel.declare_queue(queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
    bindings = management(servers.amqp_management_url, "GET", f"queues/{vhost}/{queue}/bindings")
    return bool(found.declaration_result.consumer_count) and {
        each["routing_key"] for each in bindings if each["source"] == TOPIC
    } == {kind.value for kind in EventType}


async def test_the_subscriber_on_the_runtime_does_the_same(
    amqp_url: str, databases: Databases, topic: None, processes: Processes
) -> None:
    broker = URL(amqp_url)
    names = subscriber_on_runtime.TOPOLOGY
    with databases.fresh(migrated=False) as database_url:
        connection = await asyncpg.connect(database_url)

        async def tally() -> dict[str, int]:
            return {row["carrier"]: row["packages"] for row in await connection.fetch("SELECT * FROM carriers")}

        async def is_counted(expected: dict[str, int]) -> bool:
            return await tally() == expected

        async with open_proxy(broker.host or "", broker.port or 5672) as proxy, open_topic(amqp_url) as outside:
            variables = {"WAYBILL_AMQP_URL": through(proxy.port, amqp_url), "DATABASE_URL": database_url}
            subscriber = processes.start(str(ON_RUNTIME), program=sys.executable, env=variables)
            await subscriber.wait_for_line("worker_started")
            event_id = uuid4()
            for _ in range(3):
                await outside.tell(shipment(1), event_id=event_id, carrier="UPS", packages=2)
            await outside.tell(shipment(2), carrier="DHL")
            await until(lambda: is_counted({"DHL": 1, "UPS": 2}))

            await proxy.down()
            await outside.tell(shipment(3), carrier="UPS", packages=5)
            await subscriber.wait_for_line("consumer_session_lost")
            await proxy.up()
            await until(lambda: is_counted({"DHL": 1, "UPS": 7}))

            await outside.publish(b"{not json", event_id=uuid4())
            await outside.tell(shipment(4), shipped_at=None)
            await outside.wait_for_depth(names.dead.name, 2)
            await outside.wait_for_depth(names.work.name, 0)
            assert await tally() == {"DHL": 1, "UPS": 7}
            subscriber.terminate()
            assert await subscriber.wait_for_exit() == 0, subscriber.output()
        await connection.close()


async def test_the_operators_commands_show_the_queue_and_bound_its_user(
    make_subscription: Callable[[], Subscription], amqp_url: str
) -> None:
    subscription = make_subscription()
    for kind in EventType:
        assert re.search(
            rf"{re.escape(TOPIC)} +\| {kind.value} +\| {re.escape(subscription.queue)} ", subscription.shown
        )
    async with open_topic(amqp_url) as operator:
        await operator.channel.declare_queue("somebody-elses", durable=True)
    async with await aio_pika.connect(subscription.amqp_url) as connection:
        for forbidden in (
            lambda channel: channel.declare_queue("mine"),
            lambda channel: channel.queue_delete("somebody-elses"),
            lambda channel: channel.default_exchange.publish(aio_pika.Message(b"{}"), "somebody-elses"),
        ):
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await forbidden(channel)


def test_what_the_guide_writes_about_duplicates_and_order_works() -> None:
    once, newest = blocks("sql")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript(subscriber_plain.TABLES)
        database.execute("INSERT INTO carriers VALUES ('UPS', 1)")
        database.execute("INSERT INTO shipments VALUES ('100001-1', 'RELEASED', 2)")
        database.executescript(once)
        assert database.execute("SELECT count(*), packages FROM handled, carriers").fetchone() == (1, 2)
        database.executescript(newest)
        database.executescript(newest.replace("'SHIPPED', 3", "'CREATED', 1"))
        assert database.execute("SELECT * FROM shipments").fetchall() == [("100001-1", "SHIPPED", 3)]


def test_the_guide_names_what_there_is() -> None:
    java = (ROOT / "examples/java/Subscriber.java").read_text(encoding="utf-8")
    assert tuple(kind.value for kind in EventType) == subscriber_plain.TYPES
    for kind in EventType:
        assert f"| `{kind.value}` |" in PAGE
    for argument, value in re.findall(r"`(x-[\w-]+): ([\w-]+)`", PAGE):
        assert f'"{argument}"' in PLAIN.read_text(encoding="utf-8"), argument
        assert f'"{argument}"' in java, argument
        assert value == "2147483647" or f'"{value}"' in java or f", {value}" in java, argument
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link

"""The walk-through of docs/writing-a-consumer.md: its code is the example's, and does what the page says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest

from consumers import dead_letters
from consumers.registry import CONSUMERS, Consumer
from examples.stock_sync import handler as example
from examples.stock_sync.handler import take_off_stock
from schemas.events import EventType
from schemas.topology import ATTEMPT_HEADER, DEAD_REASON_HEADER
from service.settings import Settings
from tests.support.events import Topic, open_topic
from tests.support.rows import Line, OrderRow, ShipmentRow
from tests.support.waiting import until
from tests.support.workers import working

Pool = asyncpg.Pool

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/stock_sync"
PAGE = (ROOT / "docs/writing-a-consumer.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the page's code in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def entry() -> Consumer:
    """Return what the page says goes into the registry, read as Python reads it there."""
    names = {
        "Consumer": Consumer,
        "EventType": EventType,
        "nullcontext": nullcontext,
        "take_off_stock": take_off_stock,
    }
    found: dict[str, Consumer] = eval(f"{{{blocks('python')[1]}}}", names)
    return found["stock-sync"]


STOCK = entry()
TOPOLOGY = STOCK.topology((1,))
WORK, RETRY, DEAD = TOPOLOGY.work.name, TOPOLOGY.retries[0].name, TOPOLOGY.dead.name

SHIRTS, SOCKS = Line("1", "A-1", quantity=2), Line("2", "B-2", quantity=3)
MORE_SHIRTS, MADE_TO_ORDER = Line("3", "A-1", quantity=1), Line("4", "C-3", quantity=1)
UNKNOWN = Line("5", "D-4", quantity=1)


def shipment(number: int, *lines: Line) -> ShipmentRow:
    order = OrderRow(number, f"10000{number}", "se-web", lines)
    return ShipmentRow(number, f"{order.number}-1", "SHIPPED", order, {line.line_id: line.quantity for line in lines})


def test_the_code_on_the_page_is_the_code_of_the_example() -> None:
    sources = [(EXAMPLE / name).read_text() for name in ("migration.sql", "stock.sql", "handler.py")]
    assert [*blocks("sql"), blocks("python")[0]] == sources


def test_the_page_names_the_queues_and_commands_that_there_are() -> None:
    for name in (WORK, DEAD, *(queue.name for queue in STOCK.topology((5,)).retries)):
        assert f"`{name}`" in PAGE
    assert "stock-sync" not in CONSUMERS, "an example is no consumer of ours"
    for path in re.findall(r"`((?:consumers|tests|service|sql/migrations|examples)/[\w./]+\.py)`", PAGE):
        assert path == "consumers/stock_sync.py" or (ROOT / path).is_file(), path
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


@pytest.fixture
async def stock(pool: Pool) -> Pool:
    """The example's table, filled."""
    up, _ = (EXAMPLE / "migration.sql").read_text().split("-- migrate:down")
    await pool.execute(up)
    await pool.execute("INSERT INTO stock VALUES ('A-1', 10), ('B-2', 10), ('C-3', NULL)")
    return pool


async def on_hand(pool: Pool) -> dict[str, int | None]:
    return {row["sku"]: row["on_hand"] for row in await pool.fetch("SELECT * FROM stock")}


async def handled(pool: Pool, event_id: UUID) -> None:
    """Return once the inbox says that the example has handled the event."""
    query = "SELECT EXISTS (SELECT FROM inbox WHERE consumer = 'stockSyncHandler' AND message_id = $1)"
    await until(lambda: pool.fetchval(query, event_id))


@asynccontextmanager
async def syncing(settings: Settings, **changes: Any) -> AsyncIterator[Topic]:
    brief = settings.model_copy(update={"worker_retry_delays_s": (1,) * 5, **changes})
    async with working(brief, consumer=STOCK), open_topic(brief.amqp_url) as topic:
        yield topic


async def test_what_has_left_is_taken_off_the_stock(settings: Settings, stock: Pool) -> None:
    async with syncing(settings) as topic:
        await handled(stock, await topic.tell(shipment(1, SHIRTS, SOCKS, MORE_SHIRTS, MADE_TO_ORDER)))
        assert [await topic.depth(queue) for queue in (WORK, RETRY, DEAD)] == [0, 0, 0]
    assert await on_hand(stock) == {"A-1": 7, "B-2": 7, "C-3": None}


async def test_the_same_event_again_takes_nothing_off(settings: Settings, stock: Pool) -> None:
    event_id = uuid4()
    async with syncing(settings) as topic:
        for _ in range(10):
            await topic.tell(shipment(1, SHIRTS), event_id=event_id)
        await handled(stock, event_id)
        await handled(stock, await topic.tell(shipment(2, SOCKS)))
        await topic.wait_for_depth(WORK, 0)
    assert await on_hand(stock) == {"A-1": 8, "B-2": 7, "C-3": None}


async def test_articles_that_are_being_counted_are_waited_for(settings: Settings, stock: Pool) -> None:
    async with syncing(settings, lock_timeout_s=0.3) as topic:
        async with stock.acquire() as stocktaking, stocktaking.transaction():
            await stocktaking.execute("SELECT FROM stock WHERE sku = 'B-2' FOR UPDATE")
            event_id = await topic.tell(shipment(1, SHIRTS, SOCKS))
            await topic.wait_for_depth(RETRY, 1)
            assert (await on_hand(stock))["A-1"] == 10
        await handled(stock, event_id)
        assert await topic.depth(DEAD) == 0
    assert await on_hand(stock) == {"A-1": 8, "B-2": 7, "C-3": None}


async def test_an_article_that_nobody_knows_is_for_a_person_who_adds_it_and_replays(
    settings: Settings, stock: Pool
) -> None:
    async with syncing(settings) as topic:
        event_id = await topic.tell(shipment(1, SHIRTS, UNKNOWN))
        await topic.wait_for_depth(DEAD, 1)
        assert await on_hand(stock) == {"A-1": 10, "B-2": 10, "C-3": None}, "all or none"
        await stock.execute("INSERT INTO stock VALUES ('D-4', 1)")
        async with await aio_pika.connect(settings.amqp_url) as connection:
            (letter,) = await dead_letters.browse(connection, TOPOLOGY, limit=2)
            assert (letter.reason, letter.attempts) == ("no such article: D-4", 1)
            assert await dead_letters.replay(connection, TOPOLOGY, wanted=lambda _: True) == 1
        await handled(stock, event_id)
    assert await on_hand(stock) == {"A-1": 8, "B-2": 10, "C-3": None, "D-4": 0}


async def test_an_event_that_it_did_not_ask_for_is_dead_at_once(settings: Settings, stock: Pool) -> None:
    async with syncing(settings) as topic:
        await topic.tell(shipment(1, SHIRTS), kind=EventType.SHIPMENT_CREATED, queue=WORK)
        dead = await topic.take(DEAD)
    assert dead.headers[DEAD_REASON_HEADER] == "expected ORDER_SHIPMENT_SHIPPED"
    assert dead.headers[ATTEMPT_HEADER] == 1


async def test_what_is_made_to_order_is_passed_over(settings: Settings, stock: Pool) -> None:
    async with syncing(settings) as topic:
        await handled(stock, await topic.tell(shipment(1, MADE_TO_ORDER)))
    assert await on_hand(stock) == {"A-1": 10, "B-2": 10, "C-3": None}


async def test_an_error_that_nobody_thought_of_is_tried_again_and_then_dead(
    settings: Settings, stock: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        lock_articles = example.STOCK.lock_articles

        @staticmethod
        async def take_off(connection: asyncpg.Connection, **_: Any) -> None:
            await connection.execute("UPDATE stock SET on_hand = 0")
            raise ValueError("asa@example.com")

    monkeypatch.setattr(example, "STOCK", Broken)
    async with syncing(settings, worker_retry_delays_s=(1,)) as topic:
        await topic.tell(shipment(1, SHIRTS))
        dead = await topic.take(DEAD)
    assert dead.headers[DEAD_REASON_HEADER] == "unexpected ValueError (attempt 2 was the last)"
    assert await on_hand(stock) == {"A-1": 10, "B-2": 10, "C-3": None}

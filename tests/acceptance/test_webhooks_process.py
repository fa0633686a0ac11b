"""`waybill worker webhooks` as operators run it: behind a relay, killed, stopped, and with the guide's receiver."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from yarl import URL

from publishers.wakeup import RelayWakeup
from schemas.events import EventType
from service.settings import Settings
from tests.support.events import open_topic
from tests.support.processes import Process, Processes, free_port
from tests.support.rows import insert_event
from tests.support.waiting import until
from tests.support.webhooks import (
    LOOPBACK,
    WEBHOOKS,
    Receiver,
    Request,
    add,
    add_at,
    insert_shipments,
    receiving,
    settled,
    silence,
    travel,
)

Pool = asyncpg.Pool
TOPOLOGY = WEBHOOKS.topology((1,))
WORK, DEAD = TOPOLOGY.work.name, TOPOLOGY.dead.name
GUIDE = Path(__file__).parents[2] / "docs/webhooks.md"


@pytest.fixture
def hooks(settings: Settings) -> Settings:
    # Made anew: what a process is told is what was set.
    return Settings(
        database_url=settings.database_url,
        amqp_url=settings.amqp_url,
        log_format="json",
        webhooks_allowed_networks=LOOPBACK,
        webhooks_poll_s=0.1,
        webhooks_timeout_s=10,
        webhooks_endpoint_concurrency=5,
        webhooks_retry_delays_s=(0.5,) * 40,
    )


async def start(processes: Processes, settings: Settings) -> Process:
    worker = processes.start("worker", "webhooks", settings=settings)
    await worker.wait_for_line("worker_started")
    return worker


async def publish(pool: Pool, number: int, *, kind: EventType = EventType.SHIPMENT_SHIPPED) -> list[UUID]:
    """Commit events of new shipments into the outbox, and wake the relay."""
    shipments = await insert_shipments(pool, number)
    async with pool.acquire() as connection:
        events = [await insert_event(connection, shipment, kind=kind) for shipment in shipments]
        await RelayWakeup().wake(connection)
    return events


def lines(worker: Process, event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    return [line for line in logged if line["event"] == event]


def once_each(receiver: Receiver, events: list[UUID]) -> bool:
    return Counter(receiver.ids()) == dict.fromkeys(map(str, events), 1)


async def test_from_the_outbox_to_partners_of_every_temper(hooks: Settings, pool: Pool, processes: Processes) -> None:
    down = True
    async with receiving() as steady, receiving() as recovering, receiving() as picky, silence() as silent:
        for receiver in (steady, recovering):
            await add(pool, receiver)
        await add(pool, picky, event_types=[EventType.SHIPMENT_CANCELLED])
        await add(pool, silent, partner="Dead")
        recovering.reply = lambda _: 503 if down else None
        processes.start("relay", settings=hooks)
        worker = await start(processes, hooks)
        shipped = await publish(pool, 30)
        cancelled = await publish(pool, 5, kind=EventType.SHIPMENT_CANCELLED)
        await steady.wait_for_accepted(35)
        assert once_each(steady, shipped + cancelled)
        await picky.wait_for_accepted(5)
        await recovering.wait_for(3)
        assert recovering.accepted == []
        down = False
        await recovering.wait_for_accepted(35)
        await settled(pool, DELIVERED=75, PENDING=35)
        assert once_each(recovering, shipped + cancelled)
        assert once_each(picky, cancelled)
        assert silent.connections <= hooks.webhooks_endpoint_concurrency
        async with open_topic(hooks.amqp_url) as topic:
            assert [await topic.depth(queue) for queue in (WORK, DEAD)] == [0, 0]
        event = await pool.fetchrow("SELECT * FROM events WHERE id = $1", cancelled[0])
        assert event is not None
        assert picky.accepted[0].body in {body.encode() for body in await bodies(pool, cancelled)}
    attempts = lines(worker, "webhook_attempted")
    assert Counter(line["outcome"] for line in attempts)["accepted"] == 75
    accepted = next(line for line in attempts if line["outcome"] == "accepted")
    assert accepted.keys() >= {"endpoint_id", "partner", "event_id", "request_id", "trace_id", "code", "duration_ms"}
    assert not re.search(r"whsec_|v1,|Traceback|/hook", worker.output())


async def bodies(pool: Pool, events: list[UUID]) -> list[str]:
    return [row["body"] for row in await pool.fetch("SELECT body FROM events WHERE id = ANY($1)", events)]


async def test_killed_in_the_middle_it_loses_nothing(hooks: Settings, pool: Pool, processes: Processes) -> None:
    async with receiving() as receiver:
        await add(pool, receiver)
        processes.start("relay", settings=hooks)
        worker = await start(processes, hooks)

        async def dawdle(_: Request) -> None:
            await asyncio.sleep(0.02)

        receiver.reply = dawdle
        events = await publish(pool, 60)
        await receiver.wait_for(20)
        worker.kill()
        await worker.wait_for_exit()
        assert not once_each(receiver, events), "killed before it was through"
        await until(lambda: gone_from_the_database(pool))
        # What it had leased is due when its leases are over.
        await travel(pool, 60, leases=True)
        successor = await start(processes, hooks)
        await settled(pool, DELIVERED=60)
        successor.terminate()
        assert await successor.wait_for_exit() == 0
        assert set(receiver.ids()) == set(map(str, events))
        repeated = sum(number - 1 for number in Counter(receiver.ids()).values())
        assert repeated <= hooks.webhooks_endpoint_concurrency, "only what was under way in that moment comes twice"
        assert all(request.verified for request in receiver.requests)
        async with open_topic(hooks.amqp_url) as topic:
            assert [await topic.depth(queue) for queue in (WORK, DEAD)] == [0, 0]
    assert "Traceback" not in successor.output()


async def gone_from_the_database(pool: Pool) -> bool:
    """Say whether no worker has a session left, which may still be about to commit something."""
    return not await pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'waybill worker%'"
    )


async def fanned_out(pool: Pool, number: int) -> bool:
    return bool(await pool.fetchval("SELECT count(*) = $1 FROM webhook_deliveries", number))


async def test_asked_to_stop_it_ends_what_it_has_begun(hooks: Settings, pool: Pool, processes: Processes) -> None:
    # Nobody looks by himself: the sender is told of every delivery and of every free place.
    told = hooks.model_copy(update={"webhooks_poll_s": 600})
    go_on = asyncio.Event()

    async def hold(_: Request) -> None:
        await go_on.wait()

    async with receiving() as receiver:
        await add(pool, receiver)
        receiver.reply = hold
        processes.start("relay", settings=hooks)
        worker = await start(processes, told)
        events = await publish(pool, 12)
        await receiver.wait_for(5)
        await until(lambda: fanned_out(pool, 12))
        worker.terminate()
        await worker.wait_for_line("webhook_sender_draining")
        go_on.set()
        assert await worker.wait_for_exit() == 0
        await settled(pool, DELIVERED=5, PENDING=7)
        assert len(receiver.requests) == 5
        assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE leased_until IS NOT NULL") == 0
        successor = await start(processes, told)
        await receiver.wait_for_accepted(12)
        await settled(pool, DELIVERED=12)
        successor.interrupt()
        assert await successor.wait_for_exit() == 0
        assert once_each(receiver, events)
    assert "Traceback" not in worker.output() + successor.output()


async def test_an_endpoint_that_only_fails_is_disabled_with_a_notice(
    hooks: Settings, pool: Pool, processes: Processes
) -> None:
    quick = hooks.model_copy(update={"webhooks_retry_delays_s": (0.1,) * 100, "webhooks_disable_after_s": 0.5})
    async with receiving() as receiver:
        endpoint = await add(pool, receiver, partner="Åkeri AB")
        receiver.reply = lambda _: 500
        processes.start("relay", settings=hooks)
        worker = await start(processes, quick)
        await publish(pool, 1)
        notice = json.loads(await worker.wait_for_line("webhook_endpoint_disabled"))
        assert notice.items() >= {"endpoint_id": endpoint, "partner": "Åkeri AB", "level": "error"}.items()
        assert notice["reason"].startswith("nothing but failures since ")
        asked = len(receiver.requests)
        async with receiving() as other:
            await add(pool, other)
            await publish(pool, 2)
            await other.wait_for_accepted(2)
        assert len(receiver.requests) == asked
        await settled(pool, DELIVERED=2, PENDING=3)


async def test_the_guides_receiver_verifies_and_handles_once(
    hooks: Settings, pool: Pool, processes: Processes, tmp_path: Path
) -> None:
    port = free_port()
    endpoint = await add_at(pool, f"http://127.0.0.1:{port}/")
    program = tmp_path / "receiver.py"
    program.write_text(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0])
    partner = processes.start(
        str(program),
        program=sys.executable,
        env={"WEBHOOK_SECRET": endpoint.secret, "PORT": str(port), "PYTHONUNBUFFERED": "1"},
    )
    processes.start("relay", settings=hooks)
    worker = await start(processes, hooks)
    events = await publish(pool, 3)
    await settled(pool, DELIVERED=3)
    # Once more, as after a crash.
    await pool.execute(
        "UPDATE webhook_deliveries SET status = 'PENDING', settled_at = NULL WHERE event_id = $1", events[0]
    )
    await settled(pool, DELIVERED=3)
    told = sorted(line for line in partner.output().splitlines() if line.startswith("order-shipment-shipped"))
    assert told == [f"order-shipment-shipped 10000{n}-1" for n in (1, 2, 3)]
    assert Counter(line["outcome"] for line in lines(worker, "webhook_attempted")) == {"accepted": 4}
    # And it refuses what we have not signed.
    await pool.execute("UPDATE webhook_endpoints SET secret = $1", b"somebody else's secret of 32 byte")
    await publish(pool, 1)
    await worker.wait_for_line('"code": 401')


async def test_a_wrong_network_ends_it_with_the_settings_name(hooks: Settings, processes: Processes) -> None:
    wrong = hooks.model_copy(update={"webhooks_allowed_networks": ("10.0.0.0/99",)})
    worker = processes.start("worker", "webhooks", settings=wrong)
    assert await worker.wait_for_exit() == 2
    assert "WAYBILL_WEBHOOKS_ALLOWED_NETWORKS: '10.0.0.0/99'" in worker.output()
    assert "Traceback" not in worker.output()


async def test_it_goes_on_after_the_database_has_ended_its_sessions(
    hooks: Settings, pool: Pool, processes: Processes
) -> None:
    async with receiving() as receiver:
        await add(pool, receiver)
        processes.start("relay", settings=hooks)
        worker = await start(processes, hooks)
        before = await publish(pool, 5)
        await receiver.wait_for_accepted(5)
        await settled(pool, DELIVERED=5)
        async with pool.acquire() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'waybill worker%'"
            )
        after = await publish(pool, 5)
        await receiver.wait_for_accepted(10)
        assert once_each(receiver, before + after)
        worker.terminate()
        assert await worker.wait_for_exit() == 0
    assert URL(hooks.database_url).password not in worker.output()

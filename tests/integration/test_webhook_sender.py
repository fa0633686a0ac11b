"""What is due is sent, once per acceptance and in the promised time, whatever the receivers do.

Time passes by `travel`, which sets every waiting time back; the senders look all the time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from yarl import URL

import sql
from consumers.webhooks import lanes
from service.settings import Settings
from service.webhook_deliveries import retry_deliveries
from service.webhooks import disable_endpoint, enable_endpoint, rotate_secret
from tests.support.proxy import open_proxy
from tests.support.waiting import until
from tests.support.webhooks import (
    FakeNames,
    Request,
    add,
    attempted,
    hooked,
    insert_shipments,
    receiving,
    sending,
    settled,
    silence,
    travel,
    verifies,
)

Pool = asyncpg.Pool


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings without a broker, which nothing here needs."""
    return Settings(database_url=database_url)


async def test_an_event_arrives_as_it_was_published_and_is_written_down(settings: Settings, pool: Pool) -> None:
    async with receiving() as receiver, sending(hooked(settings)) as sender:
        await add(pool, receiver)
        receiver.reply = lambda _: web.Response(status=202, text="queued")
        [event_id] = await sender.tell_many(1)
        [request] = await receiver.wait_for(1)
        await settled(pool, DELIVERED=1)
    event = await pool.fetchrow("SELECT * FROM events")
    assert event is not None
    assert request.verified
    assert request.body == event["body"].encode()
    assert (
        request.headers.items()
        >= {
            "webhook-id": str(event_id),
            "ce-id": str(event_id),
            "ce-type": "order-shipment-shipped",
            "ce-source": "/waybill/se-web",
            "ce-subject": "100001-1",
            "traceparent": event["traceparent"],
        }.items()
    )
    attempt = await pool.fetchrow("SELECT * FROM webhook_attempts")
    assert attempt is not None
    assert (attempt["n"], attempt["code"], attempt["error"], attempt["excerpt"]) == (1, 202, None, "queued")
    assert 0 <= attempt["duration_ms"] < 5000
    delivery = await pool.fetchrow("SELECT * FROM webhook_deliveries")
    assert delivery is not None
    assert (delivery["attempts"], delivery["failures"], delivery["leased_until"]) == (1, 0, None)
    assert attempt["began_at"] <= delivery["settled_at"]


async def test_a_receiver_that_fails_for_a_minute_gets_every_event_once_in_the_promised_time(
    settings: Settings, pool: Pool
) -> None:
    schedule = settings.webhooks_retry_delays_s
    now = 0.0
    async with receiving() as receiver, sending(hooked(settings)) as sender:
        await add(pool, receiver)
        receiver.reply = lambda _: 503 if now < 60 else None
        events = await sender.tell_many(15)
        for n, delay_s in enumerate(schedule, start=1):
            # Each event is tried once in each round, and again neither too soon nor too late.
            await attempted(pool, 15 * n)
            await asyncio.gather(*(_waits(pool, str(event), delay_s) for event in events))
            now += delay_s * 1.1 + 1
            await travel(pool, delay_s * 1.1 + 1)
            if now >= 60:
                break
        await settled(pool, DELIVERED=15)
    assert now < 180, "the fourth attempt is the first after the recovery"
    assert Counter(receiver.ids()) == dict.fromkeys(map(str, events), 1)
    assert Counter(request.webhook_id for request in receiver.requests) == dict.fromkeys(map(str, events), 4)
    assert await pool.fetchval("SELECT failing_since FROM webhook_endpoints") is None


async def _waits(pool: Pool, event_id: str, delay_s: float) -> None:
    waits: timedelta = await pool.fetchval(
        "SELECT d.due_at - a.began_at - a.duration_ms * interval '1 ms'"
        " FROM webhook_deliveries d JOIN webhook_attempts a ON a.delivery_id = d.id AND a.n = d.attempts"
        " WHERE d.event_id = $1::text::uuid",
        event_id,
    )
    assert delay_s - 0.1 <= waits.total_seconds() <= delay_s * 1.1 + 0.1


async def test_a_dead_endpoint_changes_nothing_for_another(settings: Settings, pool: Pool) -> None:
    few = patient(settings, webhooks_concurrency=4, webhooks_endpoint_concurrency=2)
    async with receiving() as receiver, silence() as silent, sending(few) as sender:
        await add(pool, silent, partner="Dead")
        await add(pool, receiver)
        events = await sender.tell_many(40)
        await receiver.wait_for_accepted(40)
        assert silent.connections == 2, "it has its own places, and no others"
        await settled(pool, DELIVERED=40, PENDING=40)
    assert Counter(receiver.ids()) == dict.fromkeys(map(str, events), 1)


def patient(settings: Settings, **update: Any) -> Settings:
    """Settings of a sender that waits for a receiver longer than a test, but not at its end."""
    return hooked(settings, webhooks_timeout_s=60, shutdown_timeout_s=0.1, **update)


async def test_many_dead_endpoints_leave_half_of_the_places_to_the_others(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SLOW_S", 0.1)
    four = hooked(settings, webhooks_concurrency=4, webhooks_timeout_s=2, shutdown_timeout_s=0.1)
    async with receiving() as receiver, silence() as silent, sending(four) as sender:
        for n in range(4):
            await add(pool, silent, partner=f"Dead {n}")
        await sender.tell_many(1)
        # Nobody could know that they are dead. Now it is known.
        await attempted(pool, 4)
        assert silent.connections == 4
        await travel(pool, 10)

        async def tried_again() -> bool:
            return silent.connections >= 6

        await until(tried_again)
        await add(pool, receiver)
        await sender.tell_many(5)
        await receiver.wait_for_accepted(5)
        assert await pool.fetchval("SELECT count(*) FROM webhook_attempts WHERE error IS NOT NULL") == 4
        assert silent.connections == 6


async def test_no_endpoint_gets_more_requests_at_once_than_it_may(settings: Settings, pool: Pool) -> None:
    three = hooked(settings, webhooks_endpoint_concurrency=3)
    go_on = asyncio.Event()

    async def hold(_: Request) -> None:
        await go_on.wait()

    async with receiving() as receiver, sending(three) as sender:
        await add(pool, receiver)
        receiver.reply = hold
        await sender.tell_many(12)
        await receiver.wait_for(3)
        go_on.set()
        await receiver.wait_for_accepted(12)
        await settled(pool, DELIVERED=12)
    assert receiver.most_running == 3


async def test_an_endpoint_that_failed_is_asked_one_by_one_until_it_accepts(settings: Settings, pool: Pool) -> None:
    go_on = asyncio.Event()

    async def refuse_late(_: Request) -> int:
        await go_on.wait()
        return 500

    async with receiving() as receiver, receiving() as other, sending(hooked(settings)) as sender:
        await add(pool, receiver)
        receiver.reply = lambda _: 500
        await sender.tell_many(1)
        await attempted(pool, 1)
        receiver.reply = refuse_late
        await add(pool, other)
        await sender.tell_many(10)
        await other.wait_for_accepted(10)
        assert receiver.running == 1
        go_on.set()
        await attempted(pool, 21)
        assert receiver.most_running == 1
        receiver.reply = lambda _: None
        await travel(pool, 10)
        await settled(pool, DELIVERED=21)


async def test_a_receiver_that_asks_for_peace_gets_it(settings: Settings, pool: Pool) -> None:
    one = hooked(settings, webhooks_endpoint_concurrency=1)
    async with receiving() as receiver, receiving() as other, sending(one) as sender:
        await add(pool, receiver)
        receiver.reply = lambda _: web.Response(status=429, headers={"Retry-After": "100"})
        await sender.tell_many(1)
        await attempted(pool, 1)
        await add(pool, other)
        await sender.tell_many(2)
        # The first delay is over, and others are due; the peace is not.
        await travel(pool, 50)
        await sender.tell_many(1)
        await other.wait_for_accepted(3)
        assert len(receiver.requests) == 1
        receiver.reply = lambda _: None
        await travel(pool, 51)
        await receiver.wait_for_accepted(4)


async def test_who_is_gone_is_disabled_at_once_and_nothing_is_lost(settings: Settings, pool: Pool) -> None:
    one = hooked(settings, webhooks_endpoint_concurrency=1)
    async with receiving() as receiver, receiving() as other, sending(one) as sender:
        endpoint = await add(pool, receiver)
        await add(pool, other)
        receiver.reply = lambda _: 410
        await sender.tell_many(3)
        await other.wait_for_accepted(3)
        await attempted(pool, 4)
        reason = await pool.fetchval("SELECT disabled_reason FROM webhook_endpoints WHERE id = $1", endpoint)
        assert reason == "the receiver answered that it is gone (HTTP 410)"
        # What comes now waits too.
        await sender.tell_many(1)
        await travel(pool, 100)
        await other.wait_for_accepted(4)
        assert len(receiver.requests) == 1
        receiver.reply = lambda _: None
        async with pool.acquire() as connection:
            assert await enable_endpoint(connection, endpoint, discard=False) == 4
        await receiver.wait_for_accepted(4)
        await settled(pool, DELIVERED=8)
    assert sorted(receiver.ids()) == sorted(other.ids())


async def test_after_a_day_of_failures_an_endpoint_is_disabled(settings: Settings, pool: Pool) -> None:
    schedule = settings.webhooks_retry_delays_s
    async with receiving() as receiver, sending(hooked(settings)) as sender:
        endpoint = await add(pool, receiver)
        receiver.reply = lambda _: 500
        [first] = await sender.tell_many(1)
        for n, delay_s in enumerate(schedule, start=1):
            await attempted(pool, n)
            assert await pool.fetchval("SELECT disabled_at FROM webhook_endpoints") is None
            await travel(pool, delay_s * 1.1)
        # The schedule is a day: the last attempt was made, and then there is none.
        await settled(pool, FAILED=1)
        assert sum(schedule) > 0.98 * 86400
        row = await pool.fetchrow("SELECT * FROM webhook_endpoints")
        assert row is not None
        assert row["disabled_reason"].startswith("nothing but failures since 20")
        [second] = await sender.tell_many(1)
        await travel(pool, 86400)
        receiver.reply = lambda _: None
        async with pool.acquire() as connection:
            assert (await retry_deliveries(connection, endpoint_id=endpoint)).held == 2
            assert len(receiver.requests) == len(schedule) + 1
            await enable_endpoint(connection, endpoint, discard=False)
        await settled(pool, DELIVERED=2)
    assert set(receiver.ids()) == {str(first), str(second)}


async def test_one_success_ends_the_day_of_failures(settings: Settings, pool: Pool) -> None:
    async with receiving() as receiver, sending(hooked(settings)) as sender:
        await add(pool, receiver)
        for answer in (500, None, 500):
            receiver.reply = lambda _, answer=answer: answer
            await sender.tell_many(1)
            await receiver.wait_for(1)
            receiver.requests.clear()

            async def counted(failing: bool = answer is not None) -> bool:
                since = await pool.fetchval("SELECT failing_since FROM webhook_endpoints")
                return (since is not None) is failing

            await until(counted)
            await travel(pool, 20 * 3600)
        assert await pool.fetchval("SELECT disabled_at FROM webhook_endpoints") is None


async def test_what_is_given_up_can_be_sent_again(settings: Settings, pool: Pool) -> None:
    quick = hooked(settings, webhooks_retry_delays_s=(0.05, 0.05))
    async with receiving() as receiver, sending(quick) as sender:
        await add(pool, receiver)
        receiver.reply = lambda _: web.Response(status=500, text="x" * 10_000)
        await sender.tell_many(2)
        await settled(pool, FAILED=2)
        rows = await pool.fetch("SELECT * FROM webhook_attempts ORDER BY delivery_id, n")
        assert [(row["n"], row["code"], row["error"], row["excerpt"]) for row in rows] == [
            (n, 500, "HTTP 500", "x" * 500) for n in (1, 2, 3)
        ] * 2
        async with pool.acquire() as connection:
            [chosen] = [rows[0]["delivery_id"]]
            assert (await retry_deliveries(connection, delivery_ids=[chosen])).due == 1
            await attempted(pool, 9)
            await settled(pool, FAILED=2)
            receiver.reply = lambda _: None
            assert (await retry_deliveries(connection)).due == 2
        await settled(pool, DELIVERED=2)
        async with pool.acquire() as connection:
            assert (await retry_deliveries(connection)).due == 0
    assert len(receiver.accepted) == 2


async def test_during_a_rotation_either_secret_verifies_and_afterwards_the_new_one(
    settings: Settings, pool: Pool
) -> None:
    async with receiving() as receiver, sending(hooked(settings)) as sender:
        endpoint = await add(pool, receiver)
        old = receiver.secret
        async with pool.acquire() as connection:
            new = await rotate_secret(connection, endpoint, overlap=timedelta(hours=24))
        await sender.tell_many(1)
        await receiver.wait_for_accepted(1)
        receiver.secret = new
        await sender.tell_many(1)
        both = await receiver.wait_for_accepted(2)
        await travel(pool, 24 * 3600 + 1)
        await sender.tell_many(1)
        [*_, after] = await receiver.wait_for_accepted(3)
        assert [verifies(secret, both[0].body, both[0].headers) for secret in (old, new)] == [True, True]
        assert [verifies(secret, after.body, after.headers) for secret in (old, new)] == [False, True]
        async with pool.acquire() as connection:
            leaked, receiver.secret = (
                receiver.secret,
                await rotate_secret(connection, endpoint, overlap=timedelta(0)),
            )
        await sender.tell_many(1)
        [*_, last] = await receiver.wait_for_accepted(4)
        assert not verifies(leaked, last.body, last.headers)


async def test_two_senders_share_the_work(settings: Settings, pool: Pool) -> None:
    hooks = hooked(settings)
    async with receiving() as receiver, sending(hooks) as one, sending(hooks) as another:
        await add(pool, receiver)
        shipments = await insert_shipments(pool, 60)
        told = [(one if n % 2 else another).tell(shipment) for n, shipment in enumerate(shipments)]
        events = await asyncio.gather(*told)
        await settled(pool, DELIVERED=60)
    assert Counter(receiver.ids()) == dict.fromkeys(map(str, events), 1)


async def test_what_a_crashed_sender_had_leased_is_sent_when_the_lease_is_over(settings: Settings, pool: Pool) -> None:
    hooks = hooked(settings)
    async with receiving() as receiver:
        await add(pool, receiver)
        async with sending(hooks) as sender:
            sender.stop.set()
            [leased, free] = await sender.tell_many(2)
        await pool.execute(
            "UPDATE webhook_deliveries SET lease = 1, leased_until = now() + interval '40 s' WHERE event_id = $1",
            leased,
        )
        async with sending(hooks):
            await receiver.wait_for_accepted(1)
            assert receiver.ids() == [str(free)]
            await settled(pool, DELIVERED=1, PENDING=1)
            await travel(pool, 41, leases=True)
            await receiver.wait_for_accepted(2)
    assert receiver.ids() == [str(free), str(leased)]


async def test_a_sender_that_lost_its_lease_undoes_nothing(pool: Pool, settings: Settings) -> None:
    queries = sql.queries("webhooks")
    async with receiving() as receiver:
        await add(pool, receiver)
    async with sending(hooked(settings)) as sender:
        sender.stop.set()
        await sender.tell_many(1)
    await pool.execute("UPDATE webhook_deliveries SET lease = 2, leased_until = now() + interval '40 s'")
    delivery = await pool.fetchval("SELECT id FROM webhook_deliveries")
    failure = {
        "error": "HTTP 500",
        "retry_in_s": 5.0,
        "pause_s": 0.0,
        "gone": True,
        "disable_after_s": 0.0,
        "id": delivery,
        "took_s": 0.1,
        "code": 500,
        "excerpt": "",
    }
    assert await queries.record_failure(pool, lease=1, **failure) is None
    await queries.give_back(pool, id=delivery, lease=1)
    row = await pool.fetchrow("SELECT * FROM webhook_deliveries")
    assert row is not None
    assert (row["status"], row["attempts"], row["leased_until"] is None) == ("PENDING", 0, False)
    assert await pool.fetchval("SELECT disabled_at FROM webhook_endpoints") is None
    # But that the receiver has accepted is true, whoever has asked it.
    success = {"id": delivery, "took_s": 0.1, "code": 200, "excerpt": ""}
    assert (await queries.record_success(pool, **success))["attempts"] == 1
    assert await queries.record_success(pool, **success) is None
    assert await queries.record_failure(pool, lease=2, **failure) is None
    await settled(pool, DELIVERED=1)


async def test_a_stop_lets_running_requests_end(settings: Settings, pool: Pool) -> None:
    go_on = asyncio.Event()

    async def hold(_: Request) -> None:
        await go_on.wait()

    async with receiving() as receiver:
        await add(pool, receiver)
        receiver.reply = hold
        async with sending(hooked(settings)) as sender:
            await sender.tell_many(2)
            await receiver.wait_for(2)
            sender.stop.set()
            await sender.tell_many(1)
            asyncio.get_running_loop().call_later(0.2, go_on.set)
        await settled(pool, DELIVERED=2, PENDING=1)
        assert len(receiver.requests) == 2


async def test_what_outlasts_the_grace_is_cut_off_and_given_back(settings: Settings, pool: Pool) -> None:
    async with silence() as silent, receiving() as receiver:
        endpoint = await add(pool, silent)
        async with sending(patient(settings)) as sender:
            [event_id] = await sender.tell_many(1)

            async def connected() -> bool:
                return silent.connections == 1

            await until(connected)
        row = await pool.fetchrow("SELECT * FROM webhook_deliveries")
        assert row is not None
        assert (row["status"], row["attempts"], row["failures"], row["leased_until"]) == ("PENDING", 0, 0, None)
        await pool.execute("UPDATE webhook_endpoints SET url = $2 WHERE id = $1", endpoint, receiver.url)
        receiver.reply = lambda _: 200
        async with sending(hooked(settings)):
            await receiver.wait_for_accepted(1)
    assert receiver.ids() == [str(event_id)]


async def test_a_database_that_goes_away_meanwhile_costs_no_second_request(settings: Settings, pool: Pool) -> None:
    address = URL(settings.database_url)
    async with open_proxy(str(address.host), address.port or 5432) as proxy, receiving() as receiver:
        behind = str(address.with_host("127.0.0.1").with_port(proxy.port))
        await add(pool, receiver)

        async def cut_us_off(_: Request) -> None:
            await proxy.down()

        receiver.reply = cut_us_off
        async with sending(hooked(settings, database_url=behind)) as sender:
            [event_id] = await sender.tell_many(1)
            await receiver.wait_for_accepted(1)
            receiver.reply = lambda _: None
            await proxy.up()
            await settled(pool, DELIVERED=1)
            [later] = await sender.tell_many(1)
            await receiver.wait_for_accepted(2)
    assert receiver.ids() == [str(event_id), str(later)]


async def test_a_name_that_turns_private_is_refused_and_written_down(settings: Settings, pool: Pool) -> None:
    names = FakeNames()
    async with receiving() as receiver, sending(hooked(settings), resolver=names) as sender:
        endpoint = await add(pool, receiver)
        await pool.execute(
            "UPDATE webhook_endpoints SET url = $2 WHERE id = $1",
            endpoint,
            str(URL(receiver.url).with_host("partner.example")),
        )
        names.addresses["partner.example"] = ["10.0.0.7"]
        await sender.tell_many(1)
        await attempted(pool, 1)
    assert receiver.requests == []
    error = await pool.fetchval("SELECT error FROM webhook_attempts")
    assert error == "the host's address is not allowed without https"


async def test_an_event_that_cannot_even_be_sent_is_a_failed_attempt(settings: Settings, pool: Pool) -> None:
    quick = hooked(settings, webhooks_retry_delays_s=(0.05,))
    async with receiving() as receiver:
        await add(pool, receiver)
        await pool.execute("ALTER TABLE events DISABLE TRIGGER events_are_append_only")
        async with sending(quick) as sender:
            sender.stop.set()
            [strange] = await sender.tell_many(1)
            await pool.execute("UPDATE events SET type = 'order-shipment-unheard-of' WHERE id = $1", strange)
        async with sending(quick) as sender:
            await settled(pool, FAILED=1)
            [usual] = await sender.tell_many(1)
            await receiver.wait_for_accepted(1)
    assert receiver.ids() == [str(usual)]
    assert await pool.fetchval("SELECT error FROM webhook_attempts LIMIT 1") == "unexpected ValueError"


async def test_a_disabled_endpoint_is_left_alone(settings: Settings, pool: Pool) -> None:
    async with receiving() as receiver, receiving() as other, sending(hooked(settings)) as sender:
        endpoint = await add(pool, receiver)
        await add(pool, other)
        async with pool.acquire() as connection:
            assert await disable_endpoint(connection, endpoint, reason="moving") == "moving"
            assert await disable_endpoint(connection, endpoint, reason="again") == "moving"
        await sender.tell_many(3)
        await other.wait_for_accepted(3)
        assert receiver.requests == []
        async with pool.acquire() as connection:
            assert await enable_endpoint(connection, endpoint, discard=True) == 3
        await sender.tell_many(1)
        await receiver.wait_for_accepted(1)
        await settled(pool, DELIVERED=5)

"""`kill -9` at every named step of a shipment's way, each followed by the caller's retry and by a normal restart."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from consumers.registry import CONSUMERS
from tests.faults.conftest import OpenStack
from tests.faults.kill_steps import STEPS
from tests.faults.killing import (
    LINGER_S,
    MAILED_TWICE,
    calling,
    complete_all,
    died,
    failing_api,
    finished,
    handle_all,
    judge,
    order_caller,
    pay_otherwise,
    repeat,
    restarted,
    standing,
    start_failing,
    steps_of,
    stopped,
    told,
)
from tests.faults.report import repetitions
from tests.faults.stack import Stack
from tests.support.events import open_topic
from tests.support.order_events import order_event
from tests.support.orders import order_body
from tests.support.processes import Process
from tests.support.waiting import until
from tests.support.webhooks import add, hooked, receiving, travel

pytestmark = pytest.mark.timeout(repetitions(240, 2400))

Shipments = dict[str, list[str]]

# What stands there right after the kill: the shipment, its captures, how often its money has moved.
UNTOUCHED: Any = ("RELEASED", [], 0)
RESERVED: Any = ("RELEASED", ["PENDING"], 0)
TAKEN: Any = ("RELEASED", ["PENDING"], 1)
DONE: Any = ("SHIPPED", ["CAPTURED"], 1)
COMPLETION = {
    "complete.begun": [UNTOUCHED],
    "complete.reserved": [RESERVED],
    "complete.unlocked": [RESERVED],
    "complete.locked": [RESERVED],
    "complete.unasked": [RESERVED],
    # The question is on its way, or answered already.
    "complete.asked": [RESERVED, TAKEN],
    "complete.taken": [TAKEN],
    "complete.answered": [TAKEN],
    "complete.settled": [TAKEN],
    "complete.marked": [TAKEN],
    "complete.told": [TAKEN],
    "complete.uncommitted": [TAKEN],
    "complete.committed": [DONE],
    "complete.unanswered": [DONE],
    "complete.done": [DONE],
}


@pytest.mark.parametrize("callers", [1, 2])
async def test_a_completion(open_forks: OpenStack, callers: int) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        for step in steps_of("complete") * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            process, url = await failing_api(stack, step, callers=callers)
            call = await stack.complete(number, url=url)
            await died(process, step)
            assert call.status == (200 if step == "complete.done" else None), step
            assert await standing(stack, number) in COMPLETION[step], step
            await repeat(stack, number, callers=callers)
            assert await standing(stack, number) == DONE, step
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=told(callers))


GROUPS_DONE = ("group.committed", "group.answered")


@pytest.mark.parametrize("callers", [1, 2])
async def test_three_completions_in_one_group(open_forks: OpenStack, callers: int) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        healthy = await order_caller(stack)
        for step in steps_of("group") * repetitions(1, 10):
            numbers = await stack.order(3)
            shipments[step] += numbers
            for number in numbers:
                await healthy.ok("PUT", "/capture", {"shipment": number})
            process, url = await failing_api(stack, step, callers=callers)
            calls = await asyncio.gather(*(stack.complete(number, url=url) for number in numbers))
            await died(process, step)
            answered = sum(call.status == 200 for call in calls)
            # Where the rest of the process goes on, the other two may be answered as well.
            assert answered in ({1, callers, 2 * callers - 1} if step == "group.answered" else {0}), step
            status = "SHIPPED" if step in GROUPS_DONE else "RELEASED"
            assert [await standing(stack, number) for number in numbers] == [(status, ["CAPTURED"], 1)] * 3, step
            await asyncio.gather(*(repeat(stack, number, callers=callers) for number in numbers))
            assert [await standing(stack, number) for number in numbers] == [DONE] * 3, step
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=told(callers), each=3)


@pytest.mark.parametrize("callers", [1, 2])
async def test_a_refused_completion(open_forks: OpenStack, callers: int) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        for step in steps_of("decline") * repetitions(1, 10):
            [number] = await stack.order(authorization="sandbox:decline")
            shipments[step].append(number)
            process, url = await failing_api(stack, step, callers=callers)
            call = await stack.complete(number, url=url)
            await died(process, step)
            assert call.status == (500 if step == "decline.done" else None), step
            written = step in {"decline.committed", "decline.done"}
            assert await standing(stack, number) == ("RELEASED", ["DECLINED" if written else "PENDING"], 0), step
            calls = await asyncio.gather(*(stack.complete(number) for _ in range(callers)))
            assert {call.status for call in calls} == {500}
            status, states, money = await standing(stack, number)
            assert (status, set(states), money) == ("RELEASED", {"DECLINED"}, 0), step
            # The customer pays otherwise.
            await pay_otherwise(stack, number)
            await repeat(stack, number, callers=callers)
            assert await standing(stack, number) == ("SHIPPED", [*states, "CAPTURED"], 1), step
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=told(callers))


async def test_an_order_sent_in(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        healthy = await order_caller(stack)
        for n, step in enumerate(steps_of("intake") * repetitions(1, 10)):
            number = str(100001 + n)
            shipments[step].append(f"{number}-1")
            body = order_body({"orderNumber": number})
            process, url = await failing_api(stack, step)
            path = f"/integration/api/orders/v1/orders/{number}"
            assert await finished(calling(healthy, url).api.call("PUT", path, json=body)) is None
            await died(process, step)
            there = step == "intake.committed"
            assert await stack.pool.fetchval("SELECT count(*) FROM orders WHERE order_number = $1", number) == there
            answers = await asyncio.gather(*(healthy.api.call("PUT", path, json=body) for _ in range(2)))
            assert sorted(answer.status for answer in answers) == [200, 200 if there else 201]
            assert {tuple(answer.body["shipments"]) for answer in answers} == {(f"{number}-1",)}
            await repeat(stack, f"{number}-1", callers=1)
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="the caller repeats twice at once")


@pytest.mark.parametrize("linger_s", [0, LINGER_S])
async def test_a_relay(open_forks: OpenStack, linger_s: float) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=1) as stack:
        for step in steps_of("relay") * repetitions(1, 10):
            numbers = await stack.order(3)
            shipments[step] += numbers
            await complete_all(stack, numbers)
            await died(start_failing(stack, step, "relay", linger_s=linger_s), step)
            left = await stack.pool.fetchval("SELECT count(*) FROM outbox")
            assert left == (0 if step == "relay.committed" else 3), step
            relay = await stack.start_relay()
            assert await stack.settle(), step
            await stopped(relay)
        ledgers = await stack.ledgers()
    copies = Counter(each.event_id for each in ledgers.received)
    for step, numbers in shipments.items():
        ids = [each.id for each in ledgers.events if each.shipment in numbers]
        published_before = step not in {"relay.claimed", "relay.committed"}
        if step != "relay.published":  # only the first of the three is known to have been taken
            assert {copies[event_id] for event_id in ids} == {2 if published_before else 1}, step
    judge(ledgers, shipments, retried=restarted("a relay starts again", linger_s), each=3)


# Per step: the mails and the inbox rows that the kill leaves behind, and whether the broker has the message still.
MAILING = {
    "email.delivered": (0, 0, True),
    "email.claimed": (0, 0, True),
    "email.unsent": (0, 0, True),
    "email.begun": (0, 0, True),
    "email.sent": (1, 0, True),
    "email.uncommitted": (1, 0, True),
    "email.committed": (1, 1, True),
    "email.acknowledged": (1, 1, False),
}


@pytest.mark.parametrize("linger_s", [0, LINGER_S])
async def test_a_mail_worker(open_forks: OpenStack, linger_s: float) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(workers=0) as stack:
        for step in steps_of("email") * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            await complete_all(stack, [number])
            mails_before = len(stack.smtp.messages)
            await died(start_failing(stack, step, "worker", "email", linger_s=linger_s), step)
            mails, rows, waiting = MAILING[step]
            assert len(stack.smtp.messages) == mails_before + mails, step
            assert await handled(stack, number) == rows, step
            await until(partial(depth_is, stack, int(waiting)))
            worker = await stack.start_worker()
            assert await stack.settle(), step
            await stopped(worker)
            assert len(stack.smtp.messages) == mails_before + 1 + (step in MAILED_TWICE), step
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=restarted("a worker starts again", linger_s))


@pytest.mark.parametrize(
    ("scenario", "reply"), [("email-retry", "451 4.3.0 later"), ("email-dead", "550 5.1.1 nobody of that name")]
)
async def test_a_mail_worker_whose_mail_is_refused(open_forks: OpenStack, scenario: str, reply: str) -> None:
    shipments: Shipments = defaultdict(list)
    dies = scenario == "email-dead"
    async with open_forks(workers=0) as stack:
        for step in steps_of(scenario) * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            await complete_all(stack, [number])
            stack.smtp.reply_to_data = lambda _envelope: reply
            await died(start_failing(stack, step, "worker", "email"), step)
            stack.smtp.reply_to_data = None
            assert await handled(stack, number) == 0, step
            await until(partial(dead_letters_are, stack, int(dies and step != "email-dead.uncopied")))
            worker = await stack.start_worker()
            if dies:
                replayed = stack.processes.start("dead", "replay", "email", "--all", settings=stack.settings)
                assert await replayed.wait_for_exit() == 0, replayed.output()
            assert await stack.settle(), step
            await stopped(worker)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="a worker starts again" + (", the dead letter is replayed" if dies else ""))


async def test_a_replay_of_dead_letters(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    command = ("dead", "replay", "email", "--all")
    async with open_forks(workers=0) as stack:
        for step in steps_of("dead-replay") * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            await complete_all(stack, [number])
            stack.smtp.reply_to_data = lambda _envelope: "550 5.1.1 nobody of that name"
            worker = await stack.start_worker()
            await until(partial(dead_letters_are, stack, 1))
            await stopped(worker)
            stack.smtp.reply_to_data = None
            await died(start_failing(stack, step, *command), step)
            await until(partial(depth_is, stack, int(step != "dead-replay.uncopied")))
            await until(partial(dead_letters_are, stack, int(step != "dead-replay.removed")))
            again = stack.processes.start(*command, settings=stack.settings)
            assert await again.wait_for_exit() == 0, again.output()
            worker = await stack.start_worker()
            assert await stack.settle(), step
            await stopped(worker)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="the operator repeats the command")


# Per step: how many deliveries are written down, and how many requests the receiver has had.
FANNING_OUT = {
    "webhooks.fanned-out": (0, 0),
    "webhooks.uncommitted": (0, 0),
    "webhooks.committed": (1, None),
    "webhooks.acknowledged": (1, None),
    "webhooks.leased": (1, 0),
    "webhooks.answered": (1, 1),
    "webhooks.recorded": (1, 1),
}


async def test_a_webhook_worker(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks() as stack, receiving() as receiver:
        await add(stack.pool, receiver)
        settings = hooked(stack.settings)
        worker = await webhook_worker(stack)
        await stopped(worker)
        for step in steps_of("webhooks") * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            await complete_all(stack, [number])
            process = start_failing(stack, step, "worker", "webhooks", settings=settings)
            await died(process, step)
            deliveries, requests = FANNING_OUT[step]
            assert await delivered(stack, number, status=None) == deliveries, step
            event_id = str(await stack.pool.fetchval("SELECT id FROM events WHERE subject = $1", number))
            if requests is not None:  # right after the fan-out's COMMIT, its sender may be at it or not
                assert receiver.ids().count(event_id) == requests, step
            # The lease of a sender that died runs out.
            await travel(stack.pool, 120, leases=True)
            worker = await webhook_worker(stack)
            await until(partial(delivered, stack, number, status="DELIVERED"))
            await stopped(worker)
            if requests is not None:
                assert receiver.ids().count(event_id) == (2 if step == "webhooks.answered" else 1), step
        assert await stack.settle()
        ledgers = await stack.ledgers()
    assert {request.webhook_id for request in receiver.accepted} == {each.id for each in ledgers.events}
    assert len({(request.webhook_id, request.body) for request in receiver.accepted}) == len(ledgers.events)
    judge(ledgers, shipments, retried="a worker starts again")


@pytest.mark.parametrize("linger_s", [0, LINGER_S])
async def test_three_messages_in_one_group(open_forks: OpenStack, linger_s: float) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks() as stack, receiving() as receiver:
        await add(stack.pool, receiver)
        settings = hooked(stack.settings)
        await stopped(await webhook_worker(stack))
        for step in steps_of("webhooks-group") * repetitions(1, 10):
            numbers = await stack.order(3)
            shipments[step] += numbers
            await complete_all(stack, numbers)
            process = start_failing(stack, step, "worker", "webhooks", settings=settings, linger_s=linger_s)
            await died(process, step)
            done = step in {"webhooks-group.committed", "webhooks-group.acknowledged"}
            assert [await delivered(stack, number, status=None) for number in numbers] == [int(done)] * 3, step
            assert [await handled(stack, number, by="webhooks") for number in numbers] == [int(done)] * 3, step
            await until(partial(webhooks_wait, stack, 0 if step == "webhooks-group.acknowledged" else 3))
            # The lease of a sender that died runs out.
            await travel(stack.pool, 120, leases=True)
            worker = await webhook_worker(stack)
            for number in numbers:
                await until(partial(delivered, stack, number, status="DELIVERED"))
            await until(partial(webhooks_wait, stack, 0))
            await stopped(worker)
        assert await stack.settle()
        ledgers = await stack.ledgers()
    assert Counter(request.webhook_id for request in receiver.accepted).keys() == {each.id for each in ledgers.events}
    judge(ledgers, shipments, retried=restarted("a worker starts again", linger_s), each=3)


async def test_a_worker_that_takes_orders_in(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(workers=0) as stack, AsyncExitStack() as opened:
        worker = await intake_worker(stack)
        await stopped(worker)
        connection = await opened.enter_async_context(await aio_pika.connect(stack.settings.amqp_url))
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        topic = await channel.get_exchange("VirtualTopic.ep.orders", ensure=False)
        for n, step in enumerate(steps_of("order-intake") * repetitions(1, 10)):
            number = str(200001 + n)
            shipments[step].append(f"{number}-1")
            body = json.dumps(order_event("released", {"orderNumber": number}))
            message = aio_pika.Message(body.encode(), content_type="application/json", message_id=f"ID:{number}")
            await topic.publish(message, "order-released", mandatory=True)
            await died(start_failing(stack, step, "worker", "order-intake"), step)
            there = step != "order-intake.uncommitted"
            assert await stack.pool.fetchval("SELECT count(*) FROM orders WHERE order_number = $1", number) == there
            worker = await intake_worker(stack)
            await until(partial(taken_in, stack, n + 1))
            await stopped(worker)
            await repeat(stack, f"{number}-1", callers=1)
        await handle_all(stack)
        ledgers = await stack.ledgers()
    assert Counter(each.shipment for each in ledgers.events if each.type == "order-shipment-created") == {
        number: 1 for numbers in shipments.values() for number in numbers
    }
    judge(ledgers, shipments, retried="a worker starts again")


async def test_a_reconciliation(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        for step in steps_of("reconcile") * repetitions(1, 10):
            number = await left_open(stack, "complete.taken", "sandbox:ok")
            shipments[step].append(number)
            await died(start_failing(stack, step, "reconcile"), step)
            written = step == "reconcile.committed"
            assert await standing(stack, number) == ("RELEASED", ["CAPTURED" if written else "PENDING"], 1), step
            # The caller may come before the operator does.
            if len(shipments[step]) % 2:
                await reconcile(stack)
                assert await standing(stack, number) == ("RELEASED", ["CAPTURED"], 1), step
            await repeat(stack, number, callers=1)
            await reconcile(stack)
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="the operator repeats the command, the caller the call")


async def test_a_reconciliation_of_refused_captures(open_forks: OpenStack) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        for step in steps_of("reconcile-declined") * repetitions(1, 10):
            number = await left_open(stack, "decline.answered", "sandbox:decline")
            shipments[step].append(number)
            await died(start_failing(stack, step, "reconcile"), step)
            written = step == "reconcile-declined.committed"
            assert await standing(stack, number) == ("RELEASED", ["DECLINED" if written else "PENDING"], 0), step
            await reconcile(stack)
            assert await standing(stack, number) == ("RELEASED", ["DECLINED"], 0), step
            await pay_otherwise(stack, number)
            await repeat(stack, number, callers=1)
            assert await standing(stack, number) == ("SHIPPED", ["DECLINED", "CAPTURED"], 1), step
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="the operator repeats the command, the customer pays otherwise")


async def test_an_import_of_orders(open_forks: OpenStack, tmp_path: Path) -> None:
    shipments: Shipments = defaultdict(list)
    async with open_forks(relays=0, workers=0) as stack:
        for n, step in enumerate(steps_of("import") * repetitions(1, 10)):
            numbers = [str(300001 + 10 * n + each) for each in range(8)]
            file = tmp_path / f"{n}.jsonl"
            file.write_text("".join(json.dumps(order_body({"orderNumber": number})) + "\n" for number in numbers))
            shipments[step] += [f"{number}-1" for number in numbers]
            command = ("orders", "import", str(file))
            await died(start_failing(stack, step, *command, nth=3), step)
            there = await stack.pool.fetchval("SELECT count(*) FROM orders WHERE order_number = ANY($1)", numbers)
            # Several are taken in at once, so that others may be as far.
            assert 2 + (step == "import.committed") <= there < len(numbers), step
            again = stack.processes.start(*command, "--json", settings=stack.settings)
            assert await again.wait_for_exit() == 0, again.output()
            summary = json.loads(again.output())
            assert (summary["unchanged"], summary["created"]) == (there, len(numbers) - there)
            await complete_all(stack, shipments[step][-len(numbers) :])
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried="the operator repeats the command, callers complete", each=8)


def test_every_step_is_one_of_a_scenario() -> None:
    here = {
        "complete",
        "group",
        "decline",
        "intake",
        "relay",
        "email",
        "email-retry",
        "email-dead",
        "dead-replay",
        "webhooks",
        "webhooks-group",
    }
    here |= {"order-intake", "reconcile", "reconcile-declined", "import"}
    stripe = {"stripe"}
    order_api = {"create", "create-declined", "create-unpaid", "put", "capture", "release", "cancel"}
    assert {step.partition(".")[0] for step in STEPS} == here | stripe | order_api


async def handled(stack: Stack, number: str, *, by: str = "email") -> int:
    """Return how many inbox rows a worker has about the shipment."""
    return await stack.pool.fetchval(
        "SELECT count(*) FROM inbox i JOIN events e ON e.id = i.message_id WHERE e.subject = $1 AND i.consumer = $2",
        number,
        CONSUMERS[by].name,
    )


async def depth_is(stack: Stack, waiting: int) -> bool:
    return (await stack.depth()).waiting == waiting


async def webhooks_wait(stack: Stack, waiting: int) -> bool:
    """Tell whether so many messages wait for a webhook worker."""
    async with open_topic(stack.settings.amqp_url) as topic:
        return await topic.depth(CONSUMERS["webhooks"].topology(()).work.name) == waiting


async def dead_letters_are(stack: Stack, dead: int) -> bool:
    return (await stack.depth()).dead == dead


async def delivered(stack: Stack, number: str, *, status: str | None) -> int:
    """Return how many deliveries of the shipment's events have the status, or any."""
    return await stack.pool.fetchval(
        "SELECT count(*) FROM webhook_deliveries d JOIN events e ON e.id = d.event_id"
        " WHERE e.subject = $1 AND ($2::text IS NULL OR d.status = $2)",
        number,
        status,
    )


async def taken_in(stack: Stack, number: int) -> bool:
    """Tell whether so many messages have brought orders in."""
    query = "SELECT count(*) = $1 FROM inbox WHERE consumer = $2"
    return await stack.pool.fetchval(query, number, CONSUMERS["order-intake"].name)


async def webhook_worker(stack: Stack) -> Process:
    worker = stack.processes.start("worker", "webhooks", settings=hooked(stack.settings))
    await worker.wait_for_line("worker_started")
    return worker


async def intake_worker(stack: Stack) -> Process:
    worker = stack.processes.start("worker", "order-intake", settings=stack.settings)
    await worker.wait_for_line("worker_started")
    return worker


async def reconcile(stack: Stack) -> None:
    process = stack.processes.start("reconcile", settings=stack.settings)
    assert await process.wait_for_exit() == 0, process.output()


async def left_open(stack: Stack, step: str, authorization: str) -> str:
    """Have a caller's API die at the step, long ago; return the shipment, whose capture is PENDING since."""
    [number] = await stack.order(authorization=authorization)
    process, url = await failing_api(stack, step)
    assert (await stack.complete(number, url=url)).status is None
    await died(process, step)
    await stack.pool.execute("UPDATE captures SET created_at = created_at - interval '1 hour' WHERE state = 'PENDING'")
    return number

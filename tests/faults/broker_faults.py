"""What can happen to the broker, to the way to it, and to what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from consumers.registry import CONSUMERS
from tests.faults.fault import Fault, Rig, Strike, in_thread
from tests.faults.private_servers import PrivateBroker
from tests.faults.process_faults import frozen
from tests.faults.report import repetitions
from tests.support.broker import subscribe
from tests.support.processes import Process
from tests.support.vhosts import management
from tests.support.waiting import until

WORK_QUEUE = CONSUMERS["email"].topology((1,)).work.name
VHOST = "waybill"
DELIVERY_TIMEOUT_MS = 1000
FULL_QUEUE = "a-queue-that-nobody-reads"


def _server(rig: Rig) -> PrivateBroker:
    assert rig.broker is not None
    return rig.broker


async def ask(rig: Rig, method: str, path: str, body: object | None = None) -> Any:
    """Call the management API."""
    return await asyncio.to_thread(management, _server(rig).management_url, method, path, body)


def outage(end: Callable[[PrivateBroker], None]) -> Strike:
    """The server ends, stays away until everything has been answered, and comes back."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        await in_thread(end, _server(rig))
        try:
            yield
        finally:
            await in_thread(_server(rig).start)

    return strike


@asynccontextmanager
async def frozen_server(rig: Rig) -> AsyncIterator[None]:
    _server(rig).freeze()
    try:
        async with _telling(rig.stack.relays[0], "broker_lost"):
            yield
    finally:
        _server(rig).thaw()


@asynccontextmanager
async def silent_way(rig: Rig) -> AsyncIterator[None]:
    rig.stack.hops["broker"].freeze()
    try:
        async with _telling(rig.stack.relays[0], "broker_lost"):
            yield
    finally:
        rig.stack.hops["broker"].thaw()


@asynccontextmanager
async def cut_way(rig: Rig) -> AsyncIterator[None]:
    await rig.stack.hops["broker"].down()
    try:
        yield
    finally:
        await rig.stack.hops["broker"].up()


@asynccontextmanager
async def connections_closed(rig: Rig) -> AsyncIterator[None]:
    await close_connections(rig)
    yield


async def close_connections(rig: Rig) -> None:
    # Not over the management API, which learns of new connections only seconds later.
    await in_thread(_server(rig).control, "close_all_connections", "--global", "maintenance")


def alarm(begin: Callable[[PrivateBroker], None], end: Callable[[PrivateBroker], None]) -> Strike:
    """The broker takes no more messages, for long enough that the relay gives up several times."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        await in_thread(begin, _server(rig))
        relay = rig.stack.relays[0]
        try:
            async with _telling(relay, "broker_lost"):
                yield
            for _ in range(repetitions(1, 10)):
                async with _telling(relay, "broker_lost"):
                    pass
        finally:
            await in_thread(end, _server(rig))

    return strike


@asynccontextmanager
async def queue_deleted(rig: Rig) -> AsyncIterator[None]:
    """An operator deletes the mail worker's queue, empty as it is.

    Until the worker makes it anew, other queues take what comes, and the relay is content. It is in the history.
    """
    since = datetime.now(UTC).isoformat()
    async with _telling(rig.stack.workers[0], "consumer_session_started"):
        await ask(rig, "DELETE", f"queues/{VHOST}/{WORK_QUEUE}")
        yield
    replay = ("events", "replay", "--queue", WORK_QUEUE, "--since", since)
    replaying = rig.stack.processes.start(*replay, settings=rig.stack.settings)
    assert await replaying.wait_for_exit() == 0, replaying.output()


@asynccontextmanager
async def queue_full(rig: Rig) -> AsyncIterator[None]:
    """A subscriber's queue that nobody reads takes one event and refuses the others, for everybody."""
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    async with subscribe(_server(rig).amqp_url, "#", queue=FULL_QUEUE, arguments=arguments):
        yield
        await until(partial(_postponed, rig))
    await ask(rig, "DELETE", f"queues/{VHOST}/{FULL_QUEUE}")


@asynccontextmanager
async def delivery_timeout(rig: Rig) -> AsyncIterator[None]:
    """A worker holds messages for so long that the broker closes its channel."""
    broker = _server(rig)
    await in_thread(broker.control, "eval", _set(consumer_timeout=DELIVERY_TIMEOUT_MS, channel_tick_interval=200))
    # Channels know the time-out from when they were opened.
    async with _telling(rig.stack.workers[0], "consumer_session_started"):
        await close_connections(rig)
    try:
        async with frozen(rig, rig.stack.workers):
            yield
            await until(partial(_channel_closed, rig))
    finally:
        await in_thread(broker.control, "eval", _set(consumer_timeout=1800000, channel_tick_interval=60000))


def _set(**values: int) -> str:
    return " ".join(f"application:set_env(rabbit, {name}, {value})," for name, value in values.items()) + " ok."


async def _channel_closed(rig: Rig) -> bool:
    return "delivery acknowledgement" in _server(rig).output()


@asynccontextmanager
async def _telling(process: Process, event: str) -> AsyncIterator[None]:
    """Wait at the end until the process has told of something that happened meanwhile."""
    lines = process.output().count(event)

    async def told() -> bool:
        return process.output().count(event) > lines

    yield
    await until(told)


async def _postponed(rig: Rig) -> bool:
    return bool(await rig.admin.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE attempts > 0)"))


@asynccontextmanager
async def disk_full(rig: Rig) -> AsyncIterator[None]:
    """Not one block is left for the broker's logs. An operator frees it, and starts the node if that has ended."""
    disk, relay = rig.more["disk"], rig.stack.relays[0]
    await in_thread(disk.fill)
    lost = relay.output().count("broker_lost")

    async def felt() -> bool:
        return relay.output().count("broker_lost") > lost or await _postponed(rig)

    try:
        yield
        await until(felt)
    finally:
        await in_thread(disk.free)
        await in_thread(_server(rig).kill)
        await in_thread(_server(rig).start)


_STEP = "RabbitMQ"
_LOST = {"relay": {"broker_lost"}, "worker": {"consumer_session_lost"}}

BROKER_FAULTS = (
    Fault(step=_STEP, name="stopped and started", strike=outage(PrivateBroker.stop), logged=_LOST),
    Fault(step=_STEP, name="killed (SIGKILL) and started", strike=outage(PrivateBroker.kill), logged=_LOST),
    Fault(step=_STEP, name="frozen (SIGSTOP)", strike=frozen_server),
    Fault(step=_STEP, name="silent connections", strike=silent_way),
    Fault(step=_STEP, name="connections cut and refused", strike=cut_way, logged=_LOST, repetitions=10),
    Fault(
        step=_STEP, name="connections closed by an operator", strike=connections_closed, logged=_LOST, repetitions=20
    ),
    Fault(
        step=_STEP,
        name="memory alarm",
        strike=alarm(PrivateBroker.raise_memory_alarm, PrivateBroker.end_memory_alarm),
    ),
    Fault(
        step=_STEP,
        name="disk alarm",
        strike=alarm(PrivateBroker.raise_disk_alarm, PrivateBroker.end_disk_alarm),
        note="by a limit above what the disk has",
    ),
    Fault(
        step=_STEP,
        name="the mail worker's queue deleted",
        strike=queue_deleted,
        amid=False,
        logged={"worker": {"consumer_session_lost"}},
        note="what came meanwhile is replayed from the history",
    ),
    Fault(step=_STEP, name="a subscriber's queue full", strike=queue_full, amid=False),
    Fault(
        step=_STEP,
        name="acknowledgement too late",
        strike=delivery_timeout,
        logged={"worker": {"consumer_session_lost"}},
    ),
)
BROKER_DISK_FULL = Fault(
    step=_STEP,
    name="disk full",
    strike=disk_full,
    note="a file system of its own, filled to the last block; then the node is restarted",
)

"""What can happen to the database and to the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg

from tests.faults.application_role import APPLICATION
from tests.faults.fault import Fault, Rig, Strike, in_thread
from tests.faults.private_servers import PrivatePostgres
from tests.support.waiting import until


def _server(rig: Rig) -> PrivatePostgres:
    assert rig.postgres is not None
    return rig.postgres


async def _end_all_connections(rig: Rig) -> None:
    await rig.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", APPLICATION)


@asynccontextmanager
async def connections_ended(rig: Rig) -> AsyncIterator[None]:
    await _end_all_connections(rig)
    yield


@asynccontextmanager
async def restarted(rig: Rig) -> AsyncIterator[None]:
    await in_thread(_server(rig).stop)
    await in_thread(_server(rig).start)
    yield


@asynccontextmanager
async def crashed(rig: Rig) -> AsyncIterator[None]:
    await in_thread(_server(rig).crash)
    await in_thread(_server(rig).start)
    yield


@asynccontextmanager
async def away(rig: Rig) -> AsyncIterator[None]:
    await in_thread(_server(rig).stop)
    try:
        yield
    finally:
        await in_thread(_server(rig).start)


@asynccontextmanager
async def frozen_server(rig: Rig) -> AsyncIterator[None]:
    _server(rig).freeze()
    try:
        yield
    finally:
        _server(rig).thaw()


@asynccontextmanager
async def silent_way(rig: Rig) -> AsyncIterator[None]:
    rig.stack.hops["database"].freeze()
    try:
        yield
    finally:
        rig.stack.hops["database"].thaw()


@asynccontextmanager
async def cut_way(rig: Rig) -> AsyncIterator[None]:
    await rig.stack.hops["database"].down()
    try:
        yield
    finally:
        await rig.stack.hops["database"].up()


@asynccontextmanager
async def commit_answers_lost(rig: Rig) -> AsyncIterator[None]:
    """The first COMMIT of an API process reaches the server; nothing comes back on any connection."""
    hop, struck = rig.stack.hops["database"], asyncio.Event()

    def strike(beginning: bytes, data: bytes) -> None:
        if b"waybill api" in beginning and b"COMMIT;" in data and not struck.is_set():
            hop.freeze(answers_only=True)
            struck.set()

    hop.overhear = strike
    try:
        yield
        assert struck.is_set(), "nothing was committed"
    finally:
        hop.overhear = lambda _beginning, _data: None
        hop.thaw()


@asynccontextmanager
async def rows_locked(rig: Rig) -> AsyncIterator[None]:
    """Somebody at a console has locked all orders and gone to lunch."""
    async with rig.admin.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM orders FOR UPDATE")
        yield


@asynccontextmanager
async def pool_exhausted(rig: Rig) -> AsyncIterator[None]:
    """More slow captures than connections."""
    slow = await rig.stack.order(rig.stack.settings.payment_pool_size * 2, authorization="sandbox:slow:900")
    calls = [asyncio.create_task(rig.stack.complete(number)) for number in slow]
    try:
        yield
    finally:
        await asyncio.gather(*calls)


@asynccontextmanager
async def read_only(rig: Rig) -> AsyncIterator[None]:
    """As a server puts itself that runs out of disk, or an operator: sessions that there are notice, too."""
    await _all_sessions_read_only(rig, "on")
    try:
        yield
    finally:
        await _all_sessions_read_only(rig, "off")


async def _all_sessions_read_only(rig: Rig, value: str) -> None:
    await rig.admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await rig.admin.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def connected_to_a_standby(rig: Rig) -> AsyncIterator[None]:
    """After a failover, connections are made to what takes no writes, and stay there when the address moves on."""
    await rig.admin.execute(f"ALTER ROLE {APPLICATION} SET default_transaction_read_only = on")
    await _end_all_connections(rig)
    try:
        yield
    finally:
        await rig.admin.execute(f"ALTER ROLE {APPLICATION} RESET default_transaction_read_only")


@asynccontextmanager
async def too_many_connections(rig: Rig) -> AsyncIterator[None]:
    await rig.admin.execute(f"ALTER ROLE {APPLICATION} CONNECTION LIMIT 0")
    await _end_all_connections(rig)
    try:
        yield
    finally:
        await rig.admin.execute(f"ALTER ROLE {APPLICATION} CONNECTION LIMIT -1")


@asynccontextmanager
async def disk_full(rig: Rig) -> AsyncIterator[None]:
    """Not one block is left, and the log has just filled up its last file: the server can only give up."""
    disk = rig.more["disk"]
    await in_thread(disk.fill)
    with suppress(asyncpg.PostgresError, OSError):
        await rig.admin.execute("SELECT pg_switch_wal()")
        await rig.admin.execute("UPDATE orders SET updated_at = now()")
    try:
        yield
    finally:
        await in_thread(disk.free)
        await until(partial(_up_or_ended, rig))
        if not _server(rig).running:
            await in_thread(_server(rig).start)


async def _up_or_ended(rig: Rig) -> bool:
    """Say whether it has recovered by itself or somebody has to start it."""
    if not _server(rig).running:
        return True
    try:
        return bool(await rig.admin.fetchval("SELECT true"))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False


_STEP = "PostgreSQL"
LOST = {
    "api": {"database_connection_unavailable", "dependency_unavailable"},
    "relay": {"database_lost", "wakeup_lost"},
}


def _fault(name: str, strike: Strike, **more: Any) -> Fault:
    # Whatever cuts a transaction may cut the mail worker's between the mail server's acceptance and its commit.
    return Fault(step=_STEP, name=name, strike=strike, mails_may_repeat=True, **more)


DATABASE_FAULTS = (
    _fault("every connection ended, at rest", connections_ended, amid=False),
    _fault("every connection ended amid completions", connections_ended, repetitions=20),
    _fault("restarted", restarted, ready=None, repetitions=10),
    _fault("crashed, recovered from its log", crashed, ready=None, repetitions=10),
    _fault("away", away, ready=503, refused=True, logged=LOST),
    _fault("frozen (SIGSTOP)", frozen_server, ready=503, refused=True),
    _fault("silent connections", silent_way, ready=503, refused=True),
    _fault("connections cut and refused", cut_way, ready=503, refused=True, logged=LOST),
    _fault("the answer to COMMIT lost", commit_answers_lost, amid=False, ready=None),
    _fault("rows locked by somebody else", rows_locked, refused=True),
    _fault("more calls than connections", pool_exhausted, amid=False),
    _fault("turned read-only", read_only, ready=503, refused=True, logged=LOST),
    _fault("connected to a standby", connected_to_a_standby, ready=503, refused=True, logged=LOST),
    _fault("too many connections", too_many_connections, ready=503, refused=True, logged=LOST),
)
DISK_FULL = _fault(
    "disk full",
    disk_full,
    refused=True,
    ready=None,
    note="a file system of its own, filled to the last block",
)

"""What a payment provider may do instead of answering. In most of these it has taken the money before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import psutil

from tests.faults.fault import Fault, Rig, Strike
from tests.faults.provider_front import Exchange, Front, Manner, faithfully, http

MEGABYTE = 1024 * 1024
# An answer is given up after a quarter of one; the rest is what else a process may take meanwhile.
MOST_GROWTH = 64 * MEGABYTE
TRAP = "/elsewhere"


def answering(manner: Manner) -> Strike:
    """The provider's manner changes for a while."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        front: Front = rig.more["front"]
        seen = len(front.exchanges)
        front.manner = manner
        before = _memory(rig)
        try:
            yield
            assert len(front.exchanges) > seen, "nobody has asked the provider"
            assert not any(each.path == TRAP for each in front.exchanges), "a redirect was followed"
            assert _memory(rig) - before < MOST_GROWTH, "an answer was kept whole"
        finally:
            front.manner = faithfully
            front.cut()

    return strike


def _memory(rig: Rig) -> int:
    return sum(psutil.Process(process.pid).memory_info().rss for process in rig.stack.apis.values())


@asynccontextmanager
async def refused(rig: Rig) -> AsyncIterator[None]:
    await rig.stack.hops["provider"].down()
    try:
        yield
    finally:
        await rig.stack.hops["provider"].up()


@asynccontextmanager
async def silent_way(rig: Rig) -> AsyncIterator[None]:
    rig.stack.hops["provider"].freeze()
    try:
        yield
    finally:
        rig.stack.hops["provider"].thaw()


async def slowly(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.5)
    await faithfully(exchange, writer)


async def never(_exchange: Exchange, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def broken_off(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(http(200, exchange.body)[:-5])
    await writer.drain()
    writer.transport.abort()


async def _always(answer: bytes, _exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(answer)


def always(status: int, body: bytes, *headers: str) -> Strike:
    """The same answer to everything."""
    return answering(partial(_always, http(status, body, *headers)))


async def enormously(_exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * MEGABYTE)
        await writer.drain()


async def drop_by_drop(_exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


_mixed_up = count(1)


async def of_another_key(_exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    number = next(_mixed_up)
    told = {"status": "captured", "id": f"mixed-up-{number}", "idempotency_key": f"shipment:{number}:capture:1"}
    writer.write(http(200, json.dumps(told).encode(), "Content-Type: application/json"))


_STEP = "payment provider"
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_UNKNOWN = {"api": {"capture_outcome_unknown"}}
_JSON = "Content-Type: application/json"


def _fault(name: str, strike: Strike, *, statuses: tuple[int, ...] = (500,), amid: bool = False) -> Fault:
    logged = {} if 200 in statuses else _UNKNOWN
    return Fault(step=_STEP, name=name, strike=strike, amid=amid, statuses=statuses, logged=logged)


PROVIDER_FAULTS = (
    _fault("slow, but in time", answering(slowly), statuses=(200,)),
    _fault("takes the money and never answers", answering(never), statuses=(500, 503)),
    _fault("refuses connections", refused, statuses=(200, 500, 503), amid=True),
    # An answer may be through just before they fall silent.
    Fault(
        step=_STEP, name="silent connections", strike=silent_way, amid=True, statuses=(200, 500, 503), logged=_UNKNOWN
    ),
    _fault("breaks off in the middle of the answer", answering(broken_off)),
    _fault("answers 200 with what is no JSON", always(200, b"<!garbage", _JSON)),
    _fault("answers what is no HTTP", answering(partial(_always, b"\x00\xff\x16\x03\r\n\r\n"))),
    _fault("answers 502 with a page", always(502, _HTML, "Content-Type: text/html")),
    _fault("answers 500", always(500, b'{"error": "oops"}', _JSON)),
    _fault("answers 503", always(503, b"", "Retry-After: 1"), statuses=(503,)),
    _fault("answers 429", always(429, b"", "Retry-After: 1"), statuses=(500, 503)),
    _fault("answers 404 to a capture", always(404, b'{"error": "no such page"}', _JSON)),
    _fault("answers for another key", answering(of_another_key)),
    _fault("answers without an end", answering(enormously)),
    _fault("answers a byte at a time", answering(drop_by_drop), statuses=(500, 503)),
    _fault("redirects", always(307, b"", f"Location: {TRAP}")),
)

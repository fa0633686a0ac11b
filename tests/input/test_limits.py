"""How much, how long and in what form: the limits of a request, and what is answered beyond each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from schemas.paths import ORDERS_BASE
from service.http import bodies
from service.http.app import build_app
from service.http.unreadable import UNREADABLE
from service.settings import Settings
from tests.input.raw_http import Reply, chunked, exchange, request
from tests.support.api import COMPLETE, Api
from tests.support.bulk import COMPLETE_MANY
from tests.support.orders import order_body
from tests.support.rows import insert_order, insert_shipment
from tests.support.waiting import until

Pool = asyncpg.Pool
KIB = 1024
OK = b'{"shipmentNumber": "100001-9"}'
NOT_FOUND = {"error": "Shipment not found: 100001-9"}
ORDER_API = "/api/order-api/shipment"
JSON = ("Content-Type: application/json",)
CHUNKED = (*JSON, "Transfer-Encoding: chunked")


async def one(api: Api, sent: bytes, **how: Any) -> Reply:
    [reply] = await exchange(api.url, sent, **how)
    return reply


def padded(size: int, content: bytes = OK) -> bytes:
    return content[:-1] + b" " * (size - len(content)) + content[-1:]


def is_refused_unread(reply: Reply) -> bool:
    return (
        reply.status == 400
        and reply.json == {"error": UNREADABLE}
        and reply.headers["server"] == "Waybill"
        and len(reply.headers["x-request-id"]) == 32
    )


# Bodies


TAKEN = [
    ("POST", COMPLETE, 64 * KIB, OK, 404),
    ("PUT", ORDER_API, 64 * KIB, b'{"shipment": "100001-9"}', 200),
    ("POST", COMPLETE_MANY, 4096 * KIB, b'{"shipments": [%b]}' % OK, 200),
    ("PUT", f"{ORDERS_BASE}/100001", KIB * KIB, json.dumps(order_body()).encode(), 201),
]


async def test_a_body_may_have_as_many_bytes_as_is_said(api: Api) -> None:
    for method, path, limit, content, status in TAKEN:
        refused = await one(api, request(api, padded(limit + 1, content), method=method, path=path))
        in_chunks = request(api, b"", *CHUNKED, method=method, path=path, length=False)
        refused_in_chunks = await one(api, in_chunks + chunked(padded(limit + 1, content)))
        assert (refused.status, refused_in_chunks.status) == (413, 413), path
        assert f"larger than {limit // KIB} KiB" in refused.body.decode()
        assert refused.body == refused_in_chunks.body
        assert (await one(api, in_chunks + chunked(padded(limit, content)))).status == status
        within = await one(api, request(api, padded(limit, content), method=method, path=path))
        assert within.status in {status, 200}


async def test_a_body_that_never_ends_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)
    for method, path in (("POST", COMPLETE), ("POST", COMPLETE_MANY), ("PUT", ORDER_API)):
        short = request(api, b"", *JSON, "Content-Length: 500", method=method, path=path, length=False) + OK
        trickle = request(api, b"", *CHUNKED, method=method, path=path, length=False) + b"5\r\nab"
        for sent in (short, trickle):
            reply = await one(api, sent)
            assert reply.status == 408
            assert "body did not arrive within 0.2 s" in reply.body.decode()


async def test_a_caller_that_hangs_up_is_not_taken_for_a_lost_database(api: Api) -> None:
    parts = urlsplit(api.url)
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request(api, b"", "Content-Length: 500", length=False) + OK)
        await writer.drain()
        await asyncio.sleep(0)
        writer.transport.abort()

        async def told() -> bool:
            return bool(logs)

        await until(told)
    assert [(line["event"], line["status"]) for line in logs] == [("request_finished", 400)]


# Lines and headers


UNREAD: dict[str, Callable[[Api], bytes]] = {
    "a long header": lambda api: request(api, OK, f"X-Long: {'a' * 9000}"),
    "many headers": lambda api: request(api, OK, *(f"X-{n}: 1" for n in range(130))),
    "a long address": lambda api: request(api, OK, path=f"{COMPLETE}?{'a' * 9000}"),
    "a NUL": lambda api: request(api, OK, "X-Odd: a\x00b"),
    "a space before the colon": lambda api: request(api, OK, "X-Odd : a"),
    "a folded header": lambda api: request(api, OK, "X-Odd: a\r\n b"),
    "two lengths": lambda api: request(api, OK, "Content-Length: 5"),
    "a negative length": lambda api: request(api, OK, "Content-Length: -5", length=False),
    "a signed length": lambda api: request(api, OK, "Content-Length: +30", length=False),
    "a huge length": lambda api: request(api, OK, f"Content-Length: {10**20}", length=False),
    "a length and chunks": lambda api: request(api, OK, "Transfer-Encoding: chunked"),
    "chunked not last": lambda api: request(api, OK, "Transfer-Encoding: chunked, identity", length=False),
    "an odd encoding": lambda api: request(api, OK, "Transfer-Encoding: xchunked", length=False),
    "an odd chunk": lambda api: request(api, b"", "Transfer-Encoding: chunked", length=False) + b"zz\r\n",
    "two hosts": lambda api: request(api, OK, "Host: other"),
    "no host": lambda api: request(api, OK).replace(b"Host: api.test\r\n", b""),
    "an odd method": lambda api: request(api, OK, method="P OST"),
    "a star": lambda api: request(api, OK, path="*"),
    "TLS": lambda _api: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": lambda _api: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "bytes in the address": lambda _api: b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def test_what_cannot_be_read_is_answered_in_our_words_and_quoted_nowhere(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for what, sent in UNREAD.items():
        with capture_logs() as logs:
            replies = await exchange(api.url, sent(api))
        assert is_refused_unread(replies[-1]), what
        [line] = [line for line in logs if line["event"] == "request_unreadable"]
        assert line.keys() == {"event", "log_level", "process", "request_id", "status", "reason"}
        assert line["request_id"] == replies[-1].headers["x-request-id"]
        assert (await one(api, request(api, OK))).json == NOT_FOUND, what
    # Nor does the library say it, as an error with the bytes in it.
    assert not caplog.records


async def test_headers_up_to_the_limits_are_taken(api: Api) -> None:
    # Six stand there before.
    assert (await one(api, request(api, OK, *(f"X-{n}: 1" for n in range(128 - 6))))).json == NOT_FOUND
    assert (await one(api, request(api, OK, f"X-Long: {'a' * 8000}"))).json == NOT_FOUND


# Connections


@pytest.fixture
async def impatient(api_settings: Settings) -> AsyncIterator[str]:
    """The API with connections that may be idle for half a second instead of 75."""
    runner = web.AppRunner(build_app(api_settings), keepalive_timeout=0.5, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_connection_on_which_no_request_comes_is_closed(impatient: str) -> None:
    for sent in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: a"):
        assert await exchange(impatient, sent) == []


async def test_idle_connections_keep_nobody_waiting(api: Api) -> None:
    parts = urlsplit(api.url)
    async with AsyncExitStack() as stack:
        for n in range(300):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            stack.callback(writer.close)
            writer.write(b"GET /healthz HTTP/1.1\r\n" if n % 2 else b"")
        assert (await api.complete("100001-9")).status == 404


async def test_requests_in_a_row_are_answered_in_their_order(api: Api) -> None:
    numbers = [f"{n}-1" for n in range(50)]
    sent = b"".join(
        request(api, json.dumps({"shipmentNumber": number}).encode()).replace(b"Connection: close\r\n", b"")
        for number in numbers
    )
    replies = await exchange(api.url, sent + request(api, OK))
    assert [reply.json for reply in replies] == [
        {"error": f"Shipment not found: {number}"} for number in [*numbers, "100001-9"]
    ]


async def test_what_follows_a_body_is_a_request_of_its_own_and_needs_a_key(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    inner = (
        b"POST " + COMPLETE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
        b'{"shipmentNumber": "100001-1"}'
    )
    outer = request(api, OK).replace(b"Connection: close\r\n", b"")
    assert [reply.status for reply in await exchange(api.url, outer + inner)] == [404, 401]
    assert await pool.fetchval("SELECT status FROM shipments") == "RELEASED"


# Forms of a request


FORMS = [
    ("HEAD", "/healthz", 200),
    ("OPTIONS", "/healthz", 405),
    ("GET", "http://elsewhere.example/healthz", 200),
    ("GET", "//healthz", 404),
    ("GET", "/healthz%zz", 404),
    ("GET", "/%68ealthz", 200),
    ("GET", "/healthz%00", 404),
    ("GET", "/docs/assets/../../etc/passwd", 404),
    ("GET", "/docs/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 404),
    ("GET", "/docs/assets/..%2f..%2f..%2f..%2fetc%2fpasswd", 404),
    ("GET", "/docs/assets/..%5c..%5cetc", 404),
    ("GET", "/docs/assets/%2fetc/passwd", 404),
    ("GET", "/docs/assets/%00", 404),
    ("GET", "/docs/assets/", 403),
    ("GET", f"{ORDERS_BASE}/..%2f..%2fhealthz", 404),
    ("GET", f"{ORDERS_BASE}/%ff%fe", 404),
    ("GET", "/documents/%ff%fe/delivery-note.pdf?token=%ff", 403),
    ("GET", "/documents/..%2f..%2f/delivery-note.pdf?token=x", 403),
    ("TRACE", COMPLETE, 405),
    ("GET", COMPLETE, 405),
    ("CONNECT", "elsewhere.example:443", 404),
]


async def test_every_form_of_a_request_has_its_answer(api: Api) -> None:
    for method, path, status in FORMS:
        reply = await one(api, request(api, method=method, path=path))
        assert (reply.status, reply.headers["server"]) == (status, "Waybill"), (method, path)
        assert status != 405 or reply.headers["allow"]
        assert b"root:" not in reply.body


async def test_old_clients_are_understood(api: Api) -> None:
    reply = await one(api, request(api, OK).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: api.test\r\n", b""))
    assert (reply.status, reply.json) == (404, NOT_FOUND)


async def test_who_asks_first_whether_to_send_is_told(api: Api) -> None:
    continued, answered = await exchange(api.url, request(api, OK, "Expect: 100-continue"))
    assert (continued.status, answered.status) == (100, 404)
    assert (await one(api, request(api, OK, "Expect: a-miracle"))).status == 417

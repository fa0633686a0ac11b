"""The client of the bulk completion, over real connections: the API's answers, and those of what is no API."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest
import trustme
from aiohttp import web

from schemas.paths import SHIPMENTS_BASE
from service.completion_file import client as client_module
from service.completion_file.client import Refused, Unavailable, check_base, open_client
from service.completion_file.sheet import Answer, Shipment
from service.dev.private_files import free_port
from tests.support.api import Api
from tests.support.rows import insert_order, insert_shipment

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATH = f"{SHIPMENTS_BASE}/complete-shipments"
TWO = [Shipment("2", (), "100001-1", "1Z"), Shipment("3", (), "100001-2")]


@asynccontextmanager
async def serve(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def complete(base: str, shipments: list[Shipment] = TWO, *, key: str = "Bearer s") -> list[tuple[int, Answer]]:
    async with open_client(base, key) as client:
        return [answer async for answer in client.complete(shipments)]


def stream(*lines: bytes, then: str = "end", content_type: str = "application/x-ndjson") -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        if then == "breaks off":
            assert request.transport is not None
            request.transport.close()
        return response

    return handler


async def test_the_api_answers_each_row(api: Api, pool: asyncpg.Pool) -> None:
    order = await insert_order(pool)
    await insert_shipment(pool, order, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 1}, status="ONHOLD")
    shipments = [
        Shipment("2", (), "100001-1", " 1Z=öä\u2028"),
        Shipment("3", (), "none"),
        Shipment("4", (), "100001-1"),
        Shipment("5", (), "100001-2"),
        Shipment("6", (), "\x00" + "x" * 100_000),
    ]
    key = aiohttp.encode_basic_auth(api.key.id, api.key.secret)
    for base in (api.url, f"{api.url}/"):
        answers = dict(await complete(base, shipments, key=key))
        assert sorted(answers) == [0, 1, 2, 3, 4]
    assert [answers[index].status for index in range(5)] == [409, 404, 409, 400, 400]
    assert answers[1] == Answer(404, error="Shipment not found: none")
    assert await pool.fetchval("SELECT tracking_number FROM parcels") == "1Z=öä"


async def test_what_was_told_before_an_answer_breaks_off_counts() -> None:
    first = b'{"row": 2, "status": 503, "error": "bus\\u001by", "retryAfter": 5, "new": 1}\n'
    async with serve(stream(first, then="breaks off")) as base, open_client(base, "Bearer s") as client:
        answers = client.complete(TWO)
        assert await anext(answers) == (1, Answer(503, error="bus\\u001by", retry_after_s=5))
        with pytest.raises(Unavailable, match="the connection broke"):
            await anext(answers)


async def test_the_request_is_what_the_documents_say() -> None:
    seen: list[tuple[str, str, str, list[object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        seen.append((request.path, request.content_type, request.headers["Authorization"], lines))
        return await stream()(request)

    async with serve(handler) as base:
        # An answer that ends early is no error: what is missing is for the caller to see.
        assert await complete(f"{base}/prefix/") == []
    rows = [{"shipmentNumber": "100001-1", "carrierTrackingNumber": "1Z"}, {"shipmentNumber": "100001-2"}]
    assert seen == [(f"/prefix{PATH}", "application/x-ndjson", "Bearer s", rows)]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, '{"error": "body: expected"}', "answers 400: body: expected$"),
        (401, '{"error": "Unknown key."}', "answers 401: Unknown key. The key is not accepted"),
        (403, '{"error": "No."}', "answers 403: No. The key may not do this: it needs the scope shipments:complete"),
        (404, "<html>", "answers 404: Not Found Is --url the base address of a Waybill"),
        (413, "", "answers 413: Request Entity Too Large Something before the service limits"),
        (415, "[1]", "answers 415"),
        (308, "", "answers 308: --url has to be the address that it redirects to"),
        (200, "<html>Welcome</html>", "what answers there is no Waybill"),
    ],
)
async def test_what_no_repetition_changes_is_refused_with_what_to_change(status: int, body: str, told: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"} if status == 308 else None)

    async with serve(handler) as base:
        with pytest.raises(Refused, match=told):
            await complete(base)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_go_better_later_is_not(status: int) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "7"})

    async with serve(handler) as base:
        with pytest.raises(Unavailable, match=f"the service answers {status}") as raised:
            await complete(base)
    assert raised.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"no JSON\n", "a line of the answer is none of a bulk completion"),
        (b'{"row": 0, "status": 200}\n', "a line of the answer is none of a bulk completion"),
        (b'{"row": 3, "status": 200}\n', "the answer tells of a row 3 that was not sent"),
        (b" " * 3_000_000, "a line of the answer is none of a bulk completion"),
    ],
    ids=["no JSON", "row 0", "row 3", "endless"],
)
async def test_an_answer_that_makes_no_sense_is_not_believed(line: bytes, told: str) -> None:
    async with serve(stream(line)) as base:
        with pytest.raises(Unavailable, match=told):
            await complete(base)


async def test_nobody_there() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f"no connection to 127.0.0.1:{port}: Connection refused"):
        await complete(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=r"no connection to none\.invalid:80: "):
        await complete("http://none.invalid")


async def test_somebody_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_TIMEOUT_S", 0.1)
    first = b'{"row": 1, "status": 200}\n'

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await stream(first)(request)
        await asyncio.Event().wait()  # until the client has left
        return response

    async with serve(handler) as base:
        with pytest.raises(Unavailable, match="the service does not answer"):
            await complete(base)


async def test_certificates_are_checked() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with serve(stream(), tls=tls) as base:
        with pytest.raises(Refused, match=r"no secure connection to 127.0.0.1:\d+: .*certificate verify failed"):
            await complete(base)
    async with serve(stream()) as base:
        with pytest.raises(Refused, match="no secure connection"):
            await complete(base.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shipping.example.com",
        "ftp://shipping.example.com",
        "https://",
        "https://a.example?x=1",
        "https://a/#x",
        "http://[",
        "http://a:99999",
        "http://a..b",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        check_base(url)


def test_a_key_in_the_address_is_seen_by_others() -> None:
    with pytest.raises(ValueError, match="does not belong in the address"):
        check_base("https://key_1:secret@shipping.example.com")
    assert check_base("http://[::1]:8080") == "http://[::1]:8080"
    assert check_base("https://shipping.example.com:8443/prefix/") == "https://shipping.example.com:8443/prefix/"

"""Our client against a server that misbehaves in every way it can."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from service.dev.sandbox_provider_entry import Entry
from service.dev.sandbox_provider_ledger import Ledger
from service.payments.exchange import LONGEST_ANSWER
from service.payments.provider import Captured, Declined, OutcomeUnknown, PaymentProvider, ProviderUnavailable
from service.payments.sandbox import SandboxProvider
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

AUTHORIZATION = "sandbox:ok#secret-authorization"


async def capture(provider: PaymentProvider) -> Captured | Declined:
    return await provider.capture(
        authorization=AUTHORIZATION, amount=100, currency="SEK", idempotency_key="k", final=True
    )


async def find(provider: PaymentProvider) -> Captured | Declined | None:
    return await provider.find("k", authorization=AUTHORIZATION)


Call = Callable[[PaymentProvider], Coroutine[Any, Any, Captured | Declined | None]]
both_calls = pytest.mark.parametrize("call", [capture, find])


@asynccontextmanager
async def answering(raw: bytes | None, seen: list[bytes] | None = None) -> AsyncIterator[SandboxProvider]:
    """Serve these bytes to every request and close; None: never answer. `seen` collects the request lines."""
    exchanges: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchanges.append(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head.splitlines()[0])
            if raw is None:
                await reader.read()
            else:
                writer.write(raw)
                await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        async with server, aiohttp.ClientSession() as session:
            yield SandboxProvider(f"http://{host}:{port}/pay/", session)
    finally:
        await asyncio.gather(*exchanges, return_exceptions=True)


def response(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@both_calls
@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"status":"captured","id":"cap_1","more":1}', Captured("cap_1")),
        (b'{"status":"declined","id":"cap_1","reason":"no funds"}', Declined("no funds")),
        (b'{"status":"declined"}', Declined("")),
        (b'{"status":"captured","id":"cap_1","idempotency_key":"k"}', Captured("cap_1")),
    ],
)
async def test_a_clear_answer_is_an_answer(call: Call, body: bytes, result: object) -> None:
    async with answering(response(200, body)) as provider:
        assert await call(provider) == result


@both_calls
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b'{"status":"captured","id":"cap_1"}',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
        response(200, b""),
        response(200, b"<html>captured</html>"),
        response(200, b'{"status":"captured","id":"cap_1"}' + b" " * LONGEST_ANSWER),
        response(200, b"\xff\xfe"),
        response(200, b"[]"),
        response(200, b"{}"),
        response(200, b'"captured"'),
        response(200, b'{"status":"CAPTURED","id":"cap_1"}'),
        response(200, b'{"status":"captured"}'),
        response(200, b'{"status":"captured","id":""}'),
        response(200, b'{"status":"captured","id":7}'),
        response(200, b'{"status":"captured","id":"' + b"x" * 256 + b'"}'),
        response(200, b'{"status":"unknown"}'),
        response(200, b'{"status":"captured","id":"cap_1","idempotency_key":"another"}'),
        response(200, b'{"status":"declined","id":"cap_1","idempotency_key":"another"}'),
        response(202, b'{"status":"captured","id":"cap_1"}'),
        response(302, b"", "Location: /elsewhere"),
        response(404, b'{"status":"captured","id":"cap_1"}'),
        response(404, b"Not Found"),
        response(422, b'{"error":"this idempotency key was used with other parameters"}'),
        response(429, b""),
        response(500, b'{"status":"declined"}'),
        response(502, b""),
        response(504, b""),
    ],
)
async def test_a_surprise_is_an_unknown_outcome(call: Call, raw: bytes) -> None:
    async with answering(raw) as provider:
        with pytest.raises(OutcomeUnknown) as caught:
            await call(provider)
    assert type(caught.value) is OutcomeUnknown


@both_calls
async def test_a_redirect_is_not_followed_to_an_answer_of_somebody_else(call: Call) -> None:
    async with answering(response(200, b'{"status":"captured","id":"cap_1"}')) as elsewhere:
        location = f"Location: {elsewhere._captures}"
        async with answering(response(303, b"", location)) as provider:
            with pytest.raises(OutcomeUnknown, match="303"):
                await call(provider)


async def test_only_find_takes_never_seen_for_an_answer() -> None:
    async with answering(response(404, b'{"status":"unknown"}')) as provider:
        assert await find(provider) is None
        with pytest.raises(OutcomeUnknown):
            await capture(provider)


@both_calls
async def test_out_of_service_is_unavailable(call: Call) -> None:
    async with answering(response(503, b"")) as provider:
        with pytest.raises(ProviderUnavailable):
            await call(provider)


@both_calls
async def test_nobody_listening_is_unavailable(call: Call, unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ProviderUnavailable):
            await call(SandboxProvider(f"http://127.0.0.1:{unused_tcp_port}", session))


@both_calls
async def test_the_callers_deadline_is_the_only_one_and_passes_through(call: Call) -> None:
    async with answering(None) as provider:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await call(provider)


@both_calls
async def test_a_cancellation_passes_through(call: Call) -> None:
    seen: list[bytes] = []
    async with answering(None, seen) as provider:
        running = asyncio.create_task(call(provider))

        async def is_seen() -> bool:
            return bool(seen)

        await until(is_seen)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@both_calls
async def test_a_deadline_of_the_session_is_an_unknown_outcome(call: Call) -> None:
    async with answering(None) as provider:
        provider._session._timeout = aiohttp.ClientTimeout(total=0.05)
        with pytest.raises(OutcomeUnknown) as caught:
            await call(provider)
    assert type(caught.value) is OutcomeUnknown


async def test_a_request_that_the_provider_refuses_is_our_error_in_the_log() -> None:
    async with answering(response(422, b'{"error":"reused"}')) as provider:
        with capture_logs() as logs, pytest.raises(OutcomeUnknown):
            await capture(provider)
    assert logs == [
        {"event": "capture_request_refused", "log_level": "error", "idempotency_key": "k", "status": 422},
    ]


@pytest.mark.parametrize("raw", [b"", response(200, AUTHORIZATION.encode()), response(422, b""), response(503, b"")])
async def test_no_authorization_in_what_is_raised_or_logged(raw: bytes) -> None:
    async with answering(raw) as provider:
        with capture_logs() as logs, pytest.raises(OutcomeUnknown) as caught:
            await capture(provider)
    told = repr(logs) + "".join(traceback.format_exception(caught.value))
    assert "secret-authorization" not in told


async def test_find_of_a_capture_under_way_is_unknown_until_it_is_decided(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, may_decide = Ledger.append, asyncio.Event()

    async def append_when_told(ledger: Ledger, entry: Entry) -> None:
        await may_decide.wait()
        await append(ledger, entry)

    monkeypatch.setattr(Ledger, "append", append_when_told)
    async with aiohttp.ClientSession() as session:
        provider = SandboxProvider(sandbox.url, session)
        waiting = asyncio.create_task(capture(provider))
        await sandbox.accepted("k")
        with pytest.raises(OutcomeUnknown, match="202"):
            await find(provider)
        assert await provider.find("k2", authorization=AUTHORIZATION) is None
        may_decide.set()
        assert await waiting == await find(provider)


async def test_a_base_url_may_have_a_path() -> None:
    seen: list[bytes] = []
    async with answering(response(404, b'{"status":"unknown"}'), seen) as provider:
        await provider.find("shipment:7/ä", authorization=AUTHORIZATION)
    assert seen == [b"GET /pay/captures/shipment%3A7%2F%C3%A4 HTTP/1.1"]

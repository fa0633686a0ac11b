"""What a request may reach, and how each way of failing is told. Real sockets; names are in the test's hands."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver

from consumers.webhooks import client as client_module
from consumers.webhooks.answer import Answer
from consumers.webhooks.client import Client, open_client
from consumers.webhooks.lookups import Lookups
from consumers.webhooks.message import sample_message
from consumers.webhooks.reach import parse_reach
from consumers.webhooks.signature import show_secret
from consumers.webhooks.target import check_target, parse_target
from tests.support.webhooks import LOOPBACK, FakeNames, Receiver, receiving, silence

KEY = b"k" * 32
NOT_PLAIN = "not allowed without https"


@asynccontextmanager
async def opened(
    *, allowed: tuple[str, ...] = LOOPBACK, names: AbstractResolver | None = None, timeout_s: float = 5
) -> AsyncIterator[Client]:
    async with open_client(parse_reach(allowed), resolver=names or Lookups(), timeout_s=timeout_s) as client:
        yield client


async def send(client: Client, url: str) -> Answer:
    return await client.send(url, sample_message((KEY,)))


def port_of(receiver: Receiver) -> int:
    return urlsplit(receiver.url).port or 0


@asynccontextmanager
async def serving(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve whatever `talk` does with a connection."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connections.add(task)
        try:
            await talk(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


async def test_a_webhook_arrives_signed_and_its_answer_is_kept() -> None:
    async with receiving() as receiver, opened() as client:
        receiver.secret = show_secret(KEY)
        receiver.reply = lambda _: web.json_response({"queued": True}, status=202)
        answer = await send(client, f"{receiver.url}?token=1")
    assert (answer.code, answer.error, answer.excerpt) == (202, None, '{"queued": true}')
    assert 0 < answer.took_s < 5
    [request] = receiver.requests
    assert request.verified
    assert request.path == "/hook?token=1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_loopback_is_refused_by_any_name(scheme: str, host: str) -> None:
    async with receiving() as receiver, opened(allowed=()) as client:
        answer = await send(client, f"{scheme}://{host}:{port_of(receiver)}/hook")
        assert answer.code is None
        assert receiver.requests == []
    if host != "127.1":  # which the HTTP library does not even take for a host
        assert answer.error == "the host's address is " + {"https": "not public", "http": NOT_PLAIN}[scheme]


async def test_a_mapped_address_is_refused_where_the_plain_one_is_allowed() -> None:
    async with receiving() as receiver, opened() as client:
        answer = await send(client, f"http://[::ffff:127.0.0.1]:{port_of(receiver)}/hook")
        assert answer.code is None
        assert receiver.requests == []


async def test_a_name_that_changes_its_address_after_the_check_is_refused() -> None:
    names = FakeNames(partner_example=["93.184.216.34"])
    async with receiving() as receiver, opened(allowed=(), names=names) as client:
        url = f"https://partner.example:{port_of(receiver)}/hook"
        await check_target(parse_target(url), reach=parse_reach(()), resolver=names)
        names.addresses["partner.example"] = ["127.0.0.1"]
        answer = await send(client, url)
        assert answer.error == "the host's address is not public"
        assert receiver.requests == []
    assert names.asked == 2


async def test_that_refusal_is_not_the_networks() -> None:
    names = FakeNames(partner_example=["127.0.0.1"])
    async with receiving() as receiver, opened(names=names) as client:
        answer = await send(client, f"http://partner.example:{port_of(receiver)}/hook")
        assert answer.code == 401
        assert len(receiver.requests) == 1


async def test_of_several_addresses_only_permitted_ones_are_tried() -> None:
    names = FakeNames(partner_example=["127.0.0.1", "::1", "127.0.0.2"])
    async with receiving() as receiver, opened(allowed=("127.0.0.2/32",), names=names) as client:
        answer = await send(client, f"http://partner.example:{port_of(receiver)}/hook")
        assert answer.error
        assert answer.error.startswith("no connection")
        assert receiver.requests == []


async def test_a_public_address_is_not_talked_to_without_encryption() -> None:
    async with opened(allowed=(), names=FakeNames(partner_example=["93.184.216.34"])) as client:
        answer = await send(client, "http://partner.example/hook")
    assert answer.error == f"the host's address is {NOT_PLAIN}"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(code: int) -> None:
    async with receiving() as public, receiving() as inside, opened() as client:
        public.reply = lambda _: web.Response(status=code, headers={"Location": inside.url})
        answer = await send(client, public.url)
        assert answer.code == code
        assert len(public.requests) == 1
        assert inside.requests == []


async def test_a_receiver_that_never_answers_costs_the_time_out() -> None:
    async with silence() as silent, opened(timeout_s=0.2) as client:
        answer = await send(client, silent.url)
    assert (answer.code, answer.error) == (None, "no answer within 0.2 s")
    assert 0.2 <= answer.took_s < 5


async def test_headers_that_trickle_cost_no_more() -> None:
    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: 1\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(trickle) as url, opened(timeout_s=0.3) as client:
        answer = await send(client, url)
    assert answer.error == "no answer within 0.3 s"


async def test_name_servers_that_hang_cost_the_time_out_and_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, *rest: Any) -> Any:
        if host.endswith("hanging.example"):
            answered.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "after all")
        return real(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with receiving() as receiver, opened(timeout_s=1.5) as client:
        # More than there are threads for all of a process.
        hanging = [asyncio.create_task(send(client, f"http://{n}.hanging.example/")) for n in range(50)]
        other = await send(client, f"http://localhost:{port_of(receiver)}/")
        assert other.code == 401
        assert {(await task).error for task in hanging} == {"no answer within 1.5 s"}
    answered.set()


async def test_each_way_of_failing_is_told() -> None:
    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        await writer.drain()

    names = FakeNames(here_example=["127.0.0.1"])
    async with opened(names=names) as client, serving(hang_up) as hanging_up, serving(babble) as babbling:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            closed = unused.getsockname()[1]
        told = [
            (await send(client, url)).error
            for url in (hanging_up, babbling, f"http://127.0.0.1:{closed}/", "http://nowhere.example/")
        ]
    async with opened() as client:
        told += [
            (await send(client, f"http://{host}/")).error for host in ("no-such-host.invalid", "x" * 64 + ".example")
        ]
    assert told[0] in {"the receiver hung up without an answer", "the connection broke: Connection reset by peer"}
    assert told[1] == "no usable answer: ClientResponseError"
    assert told[2]
    assert told[2].startswith("no connection: Connect call failed") or told[2] == "no connection: Connection refused"
    assert told[3:] == ["the host name does not resolve"] * 3


async def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    async def talk_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(talk_on) as url, opened() as client:
        answer = await send(client, url)
    assert (answer.code, answer.excerpt) == (200, "x" * 500)


async def test_a_body_that_never_comes_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "EXCERPT_TIMEOUT_S", 0.1)

    async def stop_talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthank")
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(stop_talking) as url, opened(timeout_s=0.1) as client:
        answer = await send(client, url)
    assert (answer.code, answer.error) == (200, None)


async def test_a_body_that_breaks_off_takes_nothing_back() -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthank")
        await writer.drain()

    async with serving(break_off) as url, opened() as client:
        assert (await send(client, url)).code == 200


async def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    async with receiving() as receiver, opened() as client:
        receiver.reply = lambda _: web.Response(body=bomb, headers={"Content-Encoding": "gzip"})
        answer = await send(client, receiver.url)
        assert answer.code == 200
        assert "000000" not in answer.excerpt
        assert receiver.requests[0].headers["accept-encoding"] == "identity"


async def test_the_wait_that_a_receiver_asks_for_is_read() -> None:
    async with receiving() as receiver, opened() as client:
        receiver.reply = lambda _: web.Response(status=429, headers={"Retry-After": "17"})
        answer = await send(client, receiver.url)
    assert (answer.code, answer.retry_after_s) == (429, 17.0)


async def test_no_cookie_is_kept_and_no_connection() -> None:
    async with receiving() as receiver, opened() as client:
        receiver.reply = lambda _: web.Response(headers={"Set-Cookie": "session=1"})
        await send(client, receiver.url)
        await send(client, receiver.url)
        assert all("cookie" not in request.headers for request in receiver.requests)
        assert {request.headers["connection"] for request in receiver.requests} == {"close"}


async def test_the_environments_proxy_and_passwords_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login us password geheim\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with receiving() as receiver, receiving() as proxy, opened() as client:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        await send(client, receiver.url)
        assert proxy.requests == []
        assert "authorization" not in receiver.requests[0].headers


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def identity(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_certificate_for_the_name_is_accepted(authority: trustme.CA) -> None:
    names = FakeNames(partner_example=["127.0.0.1"])
    async with (
        receiving(ssl_context=identity(authority, "partner.example")) as receiver,
        opened(names=names) as client,
    ):
        receiver.secret = show_secret(KEY)
        answer = await send(client, f"https://partner.example:{port_of(receiver)}/hook")
        assert answer.code == 204


@pytest.mark.usefixtures("authority")
async def test_no_other_certificate_is(authority: trustme.CA) -> None:
    names = FakeNames(partner_example=["127.0.0.1"])
    for context in (identity(authority, "another.example"), identity(trustme.CA(), "partner.example")):
        async with receiving(ssl_context=context) as receiver, opened(names=names) as client:
            answer = await send(client, f"https://partner.example:{port_of(receiver)}/hook")
            assert answer.error
            assert answer.error.startswith("the certificate is not valid: ")
            assert receiver.requests == []

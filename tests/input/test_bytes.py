"""Bytes that nobody meant: whatever arrives over HTTP is answered, whatever arrives over AMQP is settled.

`WAYBILL_FAULTS_FULL=1` tries twenty times as many.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from xml.etree import ElementTree as ET

import aio_pika
import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumers.registry import CONSUMERS, Consumer
from publishers.broker import open_session
from publishers.relay import Pace, run_once
from schemas.events import EventType, shipment_event
from schemas.paths import ORDERS_BASE
from schemas.topology import ATTEMPT_HEADER, DEAD_REASON_HEADER
from service.settings import Settings
from tests.faults.report import repetitions
from tests.input.raw_http import chunked, exchange, request
from tests.support.api import COMPLETE, Api
from tests.support.broker import subscribe
from tests.support.events import open_topic
from tests.support.order_events import encoded, order_event
from tests.support.orders import order_body
from tests.support.rows import OrderRow, ShipmentRow, event_data, insert_event, insert_order, insert_shipment
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.waiting import until
from tests.support.webhooks import hooked
from tests.support.workers import working

Pool = asyncpg.Pool

# The same ones in every run: a finding is a finding on every machine. Nothing is shrunk, the example is in the report.
FUZZ = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}

ENTRANCES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", COMPLETE, {"shipmentNumber": "100001-1", "carrierTrackingNumber": "1Z999AA10123456784"}),
    ("PUT", f"{ORDERS_BASE}/100001", order_body()),
    ("POST", "/api/order-api/shipments", {"order": 100001, "products": {"43243": 1}, "shipped": 1, "packages": "2"}),
    ("PUT", "/api/order-api/shipment", {"shipment": "100001-1", "parcels": [{"tracking": "T1", "carrier": "UPS"}]}),
    ("POST", "/api/order-api/shipment", {"shipment": "100001-1", "internalComment": "a\nb", "sendEmail": "no"}),
    ("PUT", "/api/order-api/capture", {"shipment": "100001-1", "xml": 1}),
    ("PUT", "/api/order-api/shipments/100001-1", {"gtg": 1, "products": {"43243": 1}}),
    ("DELETE", "/api/order-api/shipments/100001-1", {"xml": 1}),
]
ANSWERED = {200, 201, 400, 404, 408, 409, 413, 415, 422}

# In place of a value, or anywhere.
TOKENS = [
    *(b"1e999999", b"-1e999999", b"9" * 5000, b"0." + b"0" * 5000 + b"1", b"1" + b"0" * 400, b"NaN", b"Infinity"),
    *(b"-0", b"1E400", b"0x10", b"01", b"+1", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\x00"', b'"\xff"'),
    *(b'"\\x41"', b'"' + b"a" * 70_000 + b'"', b"[" * 5000, b'{"a":' * 2000, b"null", b"{}", b"[]", b"true", b"'x'"),
    *(
        b"/* c */ 1",
        b'"\\u202e\\u2066"',
        b'"%00%n%s"',
        b"\xef\xbb\xbf",
        b"\xf0\x9f\x92\xa9",
        b"\xed\xa0\x80",
        b"\xc0\x80",
    ),
]


@st.composite
def mangled(draw: st.DrawFn, body: bytes) -> bytes:
    """A valid body with one to three things wrong."""
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
        match draw(st.sampled_from(["cut", "token", "value", "flip", "bytes", "twice"])):
            case "cut":
                body = body[:start]
            case "token":
                body = body[:start] + draw(st.sampled_from(TOKENS)) + body[start:]
            case "value":
                body = _with_value(body, draw(st.integers(0, 50)), draw(st.sampled_from(TOKENS)))
            case "flip" if body:
                at = min(start, len(body) - 1)
                body = body[:at] + bytes([body[at] ^ (1 << draw(st.integers(0, 7)))]) + body[at + 1 :]
            case "bytes":
                body = body[:start] + draw(st.binary(max_size=40)) + body[end:]
            case _:
                # The same keys again.
                body = body[:-1] + b"," + body[1:] if body.startswith(b"{") else body * 2
    return body


def _with_value(body: bytes, n: int, token: bytes) -> bytes:
    try:
        content = json.loads(body)
    except ValueError:
        return body + token
    places = list(_places(content)) if isinstance(content, dict | list) else []
    if not places:
        return token
    holder, key = places[n % len(places)]
    holder[key] = "\N{BELL}"
    return json.dumps(content).encode().replace(b'"\\u0007"', token)


def _places(value: Any) -> Any:
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "GZip": lambda body: gzip.compress(body)[:-6],
    "gzip ": lambda body: b"\x1f\x8b" + body,
    "br": lambda body: body,
    "gzip, deflate": lambda body: body,
    "identity": lambda body: body,
}
TYPES = [
    *("application/json", "application/json; charset=utf-8", "text/json", "application/problem+json", "text/xml"),
    *("application/json; charset=utf-16", "application/json; charset=latin-1", "application/json; charset=punycode"),
    *("application/json; charset=undefined", "application/json; charset=\xff", "application/x-www-form-urlencoded"),
    *("", ";;;", "application/json; charset=unicode_escape", "multipart/form-data; boundary=x", "application/xml"),
]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes, str, str, bool]:
    method, path, body = draw(st.sampled_from(ENTRANCES))
    plain = json.dumps(body).encode()
    sent = draw(st.one_of(mangled(plain), mangled(plain), st.binary(max_size=200), st.just(plain)))
    if draw(st.integers(0, 9)) == 0:
        sent = plain.decode().encode(draw(st.sampled_from(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037"])))
    kind = draw(st.one_of(st.just(TYPES[0]), st.just(TYPES[0]), st.sampled_from(TYPES)))
    coding = draw(st.one_of(st.just(""), st.just(""), st.sampled_from(sorted(CODINGS))))
    return method, path, CODINGS[coding](sent), kind, coding, draw(st.booleans())


@pytest.fixture
async def shipment(pool: Pool) -> ShipmentRow:
    return await insert_shipment(pool, await insert_order(pool))


def problems_told(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["log_level"] in {"warning", "error", "critical"}]


@pytest.fixture
async def known_order(api: Api) -> None:
    """The order of the valid bodies."""
    assert (await api.call("PUT", f"{ORDERS_BASE}/100001", json=order_body())).status == 201


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("known_order")
@settings(max_examples=repetitions(250, 5000), **FUZZ)
@given(sent=requests())
async def test_every_body_is_answered_as_documented(api: Api, sent: tuple[str, str, bytes, str, str, bool]) -> None:
    method, path, body, kind, coding, in_chunks = sent
    headers = [f"Content-Type: {kind}", *([f"Content-Encoding: {coding}"] if coding else [])]
    if in_chunks:
        headers.append("Transfer-Encoding: chunked")
    whole = request(api, b"" if in_chunks else body, *headers, method=method, path=path, length=not in_chunks)
    with capture_logs() as logs:
        [reply] = await exchange(api.url, whole + chunked(body) if in_chunks else whole)
    assert reply.status in ANSWERED, sent
    if reply.headers["content-type"].startswith("application/xml"):
        assert ET.fromstring(reply.body).tag == "response"
    else:
        assert isinstance(reply.json, dict)
    assert not problems_told(logs)


@pytest.mark.timeout(1200)
@settings(max_examples=repetitions(150, 3000), **FUZZ)
@given(
    sent=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from([b"GET ", b"POST ", COMPLETE.encode(), b" HTTP/1.1", b"\r\n", b"\n", b"\r", b": ", b"\x00"])
            | st.sampled_from([b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0"])
            | st.binary(max_size=20),
            max_size=20,
        ).map(b"".join),
    )
)
async def test_no_bytes_on_a_connection_harm_the_service(api: Api, sent: bytes) -> None:
    with capture_logs() as logs:
        replies = await exchange(api.url, sent + b"\r\n\r\n", hang_up=True)
    assert all(reply.status < 500 for reply in replies)
    assert not problems_told(logs)


async def test_a_body_that_unpacks_to_a_thousand_times_its_size_is_refused(api: Api) -> None:
    bomb = gzip.compress(b" " * 60_000_000)
    assert len(bomb) < 64 * 1024
    [reply] = await exchange(api.url, request(api, bomb, "Content-Encoding: gzip"))
    assert (reply.status, reply.json) == (413, {"error": "The body is larger than 64 KiB."})


BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY x SYSTEM "file:///etc/passwd">]><a>&d;&x;</a>"""


async def test_xml_is_written_and_never_read(api: Api) -> None:
    for method, path, _ in ENTRANCES[:-1]:
        for kind in ("application/xml", "text/xml", "application/soap+xml"):
            [reply] = await exchange(
                api.url, request(api, BILLION_LAUGHS, f"Content-Type: {kind}", method=method, path=path)
            )
            assert reply.status == 415
        [reply] = await exchange(api.url, request(api, BILLION_LAUGHS, method=method, path=f"{path}?xml=1"))
        assert reply.status == 400
        assert b"root:" not in reply.body


# AMQP

SHIPMENT = ShipmentRow(1, "100001-9", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**63 - 1, -(2**63), 2**31, 0, -1, 100]),
    st.floats(width=32),
    st.decimals(-1000, 1000, places=2),
    TEXT,
    st.binary(max_size=40).map(bytearray),
    st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second, UTC)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdefgh-", min_size=1, max_size=20), inner, max_size=3)
    ),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(
    [
        ATTEMPT_HEADER,
        DEAD_REASON_HEADER,
        "waybill-request-id",
        "traceparent",
        "ce-id",
        "x-death",
        "x-delivery-count",
        "",
    ]
) | st.text("abcdefghijklmnop-_. ", min_size=1, max_size=60)
IDS = st.one_of(
    st.none(), st.just(""), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60),
    st.just("x" * 255), st.uuids().map(str),
)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn, body: bytes) -> aio_pika.Message:
    """A message of a system that does not keep to any rule but AMQP's."""
    content = draw(st.one_of(mangled(body), st.binary(max_size=100), st.just(body)))
    return aio_pika.Message(
        content,
        headers=draw(st.dictionaries(HEADER_NAMES, VALUES, max_size=5)),
        content_type=draw(st.sampled_from(["application/json", "text/plain", None, "\N{SNOWMAN}"])),
        content_encoding=draw(st.sampled_from(["utf-8", "gzip", "latin-1", None, "x" * 255])),
        message_id=draw(IDS),
        correlation_id=draw(IDS),
        reply_to=draw(IDS),
        priority=draw(st.integers(0, 255)),
        type=draw(IDS),
        timestamp=draw(st.none() | st.just(datetime(2026, 11, 21, tzinfo=UTC))),
    )


ORDER = encoded(order_event("created"))
EVENT = shipment_event(EventType.SHIPMENT_SHIPPED, event_data(SHIPMENT)).model_dump_json(by_alias=True).encode()
BODIES = {"email": EVENT, "webhooks": EVENT, "order-intake": ORDER}


async def assert_settled(
    consumer: Consumer, configured: Settings, sent: list[aio_pika.Message], *, last: aio_pika.Message
) -> None:
    """Put messages into the work queue and wait until each is done with; then the `last` one, which must still be."""
    topology = consumer.topology(configured.worker_retry_delays_s)
    with capture_logs() as logs:
        async with working(configured, consumer=consumer), open_topic(configured.amqp_url) as topic:
            for message in [*sent, last]:
                await topic.channel.default_exchange.publish(message, topology.work.name, timeout=20)

            async def all_settled() -> bool:
                return sum(line["event"] == "message_settled" for line in logs) > len(sent)

            await until(all_settled)
            assert await topic.depth(topology.work.name) == 0
            dead = [await topic.take(topology.dead.name) for _ in range(await topic.depth(topology.dead.name))]
    settled = [line for line in logs if line["event"] == "message_settled"]
    assert len(settled) == len(sent) + 1
    assert sum(line["outcome"] == "dead" for line in settled) == len(dead)
    assert all(
        isinstance(letter.headers[DEAD_REASON_HEADER], str) and letter.headers[DEAD_REASON_HEADER] for letter in dead
    )
    assert not [
        line for line in logs if line["event"] in {"message_not_settled", "consumer_session_lost", "handler_failed"}
    ]


@pytest.mark.parametrize("name", sorted(BODIES))
@pytest.mark.timeout(1200)
async def test_every_message_is_settled(name: str, settings: Settings, pool: Pool) -> None:
    configured = hooked(settings).model_copy(update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,)})
    drawn: list[aio_pika.Message] = []

    @_fuzz(repetitions(60, 1500))
    @given(messages(BODIES[name]))
    def draw(message: aio_pika.Message) -> None:
        drawn.append(message)

    draw()
    last = aio_pika.Message(BODIES[name], message_id=str(uuid4()))
    await assert_settled(CONSUMERS[name], configured, drawn, last=last)


def _fuzz(examples: int) -> Any:
    return settings(max_examples=examples, **FUZZ)


@pytest.mark.parametrize(
    "failed", [2**63 - 1, -(2**63), -1, True, "17", 1.5, None, [1], {"a": 1}, Decimal("1.5"), bytearray(b"\xff")]
)
async def test_no_number_of_attempts_keeps_a_message_from_its_end(failed: Any, settings: Settings) -> None:
    configured = settings.model_copy(update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,)})
    odd = aio_pika.Message(b"nonsense", headers={ATTEMPT_HEADER: failed}, message_id=str(uuid4()))
    await assert_settled(CONSUMERS["email"], configured, [odd], last=aio_pika.Message(EVENT, message_id=str(uuid4())))


async def test_numbers_that_our_client_cannot_send_do_not_keep_a_message_from_its_end(
    settings: Settings, servers: Servers
) -> None:
    topology = CONSUMERS["email"].topology((1,))
    vhost = urlsplit(settings.amqp_url).path.removeprefix("/")
    configured = settings.model_copy(update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,)})
    async with working(configured), open_topic(settings.amqp_url) as topic:
        # Over HTTP: the broker makes doubles of 64 bits of these, as Java's clients do.
        message = {
            "properties": {"headers": {"double": 1e300, "small": -1e300, "list": [1e200], ATTEMPT_HEADER: 1e300}},
            "routing_key": topology.work.name,
            "payload": "nonsense",
            "payload_encoding": "string",
        }
        await asyncio.to_thread(
            management, servers.amqp_management_url, "POST", f"exchanges/{vhost}/amq.default/publish", message
        )
        dead = await topic.take(topology.dead.name)
    assert {name: dead.headers[name] for name in ("double", "small", "list")} == {
        "double": "1e+300",
        "small": "-1e+300",
        "list": ["1e+200"],
    }


async def test_the_relay_publishes_whatever_the_history_holds(
    settings: Settings, pool: Pool, shipment: ShipmentRow
) -> None:
    odd = ["a\nb", "\x1b[31m", "\u202eabc", "x" * 10_000, "\N{PILE OF POO}", "", " "]
    async with pool.acquire() as connection:
        for n, text in enumerate(odd, start=1):
            event_id = await insert_event(connection, shipment, carrier=text, sequence=n)
            await connection.execute("ALTER TABLE events DISABLE TRIGGER events_are_append_only")
            await connection.execute(
                "UPDATE events SET request_id = $2, traceparent = $2 WHERE id = $1", event_id, text
            )
    pace = Pace(batch_size=100, poll_s=0.05, publish_timeout_s=20)
    async with (
        subscribe(settings.amqp_url, EventType.SHIPMENT_SHIPPED.value) as subscriber,
        open_session(settings.amqp_url, name="tests") as session,
    ):
        assert await run_once(pool, session, pace=pace, required=()) == len(odd)
        assert len(await subscriber.read()) == len(odd)
    assert [message.headers["waybill-request-id"] for message in subscriber.messages] == odd
    assert [json.loads(message.body)["data"]["carrier"] for message in subscriber.messages] == odd
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0

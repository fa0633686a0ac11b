"""What is a command to some program, in every text field of every entrance, stays text in all that is made of it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from consumers.email.content import clean, load_mail
from consumers.email.mail import Mail, make_mail
from consumers.email.mailer import open_mailer
from consumers.email.render import Renderer
from consumers.email.server import parse_smtp_url
from schemas.events import EventType
from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from schemas.order_api_queries import OrdersQuery, ShipmentsQuery
from schemas.order_events import OrderEvent
from schemas.orders import IntakeOrder
from schemas.paths import ORDERS_BASE
from schemas.shipment_completion import CompleteShipmentRequest
from schemas.stores import StoreChanges
from service.commands.output import print_json, print_table
from service.documents.content import DocumentKind
from service.documents.render import render
from service.documents.text import shown
from service.order_import.report import open_report
from service.order_import.run import Result
from service.settings import Settings
from service.shipping.document_content import document_content
from tests.input.payloads import CONTROLS, KEY, PAYLOADS, at, problem, text_fields, with_text
from tests.input.payloads import Path as Place
from tests.support.api import Api, serve_api
from tests.support.documents import letters, text
from tests.support.mails import Page, mailbox, parse
from tests.support.order_events import order_event
from tests.support.orders import order_body
from tests.support.rows import OrderRow, ShipmentRow
from tests.support.smtp_sink import SmtpSink
from tests.support.webhooks import add, handle, hooked, receiving, sending
from tests.support.xml import assert_same

Pool = asyncpg.Pool

ADDRESS = {
    "name": "Åsa Öberg", "company": "Öberg AB", "street": "Storgatan 1", "street2": "c/o Berg", "postalCode": "111 22",
    "city": "Stockholm", "region": "Uppland", "country": "SE",
}  # fmt: skip
ORDER = order_body() | {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}
PARCEL = {
    "carrier": "UPS", "service": "Express", "tracking": "1Z9", "trackingNumber": "1Z9",
    "trackingUrl": "https://ups.example/1Z9",
}  # fmt: skip
DEPARTURE = {"packages": "1", "returnSlipTracking": "R1", "sendEmail": "yes", "parcels": [PARCEL]} | PARCEL
STORE = {
    "code": "se-web", "name": "Butiken", "locale": "sv", "timeZone": "Europe/Stockholm", "currency": "SEK",
    "sender": "Butiken <shop@example.com>",
    "sellerAddress": {name: value for name, value in ADDRESS.items() if name != "company"}
    | {"vatNumber": "SE1", "email": "shop@example.com", "phone": "+46 8 1"},
}  # fmt: skip

ANY = ShipmentRow(1, "1-1", "SHIPPED", OrderRow(1, "1", "se-web", ()), {})

# Every entrance with a body in which each of its text fields is set.
ENTRANCES: dict[type[BaseModel], dict[str, Any]] = {
    IntakeOrder: ORDER,
    OrderEvent: order_event("created") | {"data": ORDER},
    CompleteShipmentRequest: {"shipmentNumber": "100001-1", "carrierTrackingNumber": "1Z9"},
    CompleteRequest: DEPARTURE | {"shipment": "100001-1", "order": "100001", "internalComment": "x"},
    CreateRequest: DEPARTURE | {"order": "100001", "products": {"43243": 1}},
    UpdateRequest: {"gtg": "1", "products": {"43243": 1}},
    CaptureRequest: {"shipment": "100001-1", "order": "100001"},
    OrdersQuery: {"order": "100001"},
    ShipmentsQuery: {"order": "100001"},
    StoreChanges: STORE,
}
LINES_ALLOWED = {"internalComment"}


def fits(model: type[BaseModel], body: dict[str, Any], place: Place, payload: str) -> bool:
    return problem(model, with_text(body, place, payload)) is None


def filled(model: type[BaseModel], body: dict[str, Any], payload: str) -> tuple[dict[str, Any], list[Place]]:
    """Return the body with the payload in every field that takes it, and which these are."""
    places = [place for place in text_fields(model) if place in OPEN[model] and fits(model, body, place, payload)]
    for place in places:
        body = with_text(body, place, payload)
    return body, places


# Fields that name something: others must be found by them, or they are not text for people. They are tried one by one.
NAMING = {
    ("orderNumber",), ("store",), ("lines", 0, "lineId"), ("shipments", 0, "lines", KEY), ("shipment",), ("order",),
    ("products", KEY), ("shipmentNumber",), ("code",), ("trackingNumber",), ("parcels", 0, "trackingNumber"),
    ("parcels", 0, "tracking"), ("guid",), ("payment", "authorization"),
}  # fmt: skip
OPEN = {model: {place for place in text_fields(model) if place not in NAMING} for model in ENTRANCES}


@pytest.mark.parametrize("model", ENTRANCES, ids=lambda model: model.__name__)
def test_every_text_field_of_every_entrance_is_tried(model: type[BaseModel]) -> None:
    for place in text_fields(model):
        # A field that was added is to be added to the bodies above.
        assert at(ENTRANCES[model], place) is not None, place
    assert problem(model, ENTRANCES[model]) is None


@pytest.mark.parametrize("model", ENTRANCES, ids=lambda model: model.__name__)
def test_what_ends_lines_is_refused_everywhere_and_quoted_nowhere(model: type[BaseModel]) -> None:
    for place in text_fields(model):
        for payload in CONTROLS.values():
            told = problem(model, with_text(ENTRANCES[model], place, payload))
            if place[-1] in LINES_ALLOWED and payload.startswith("a\n"):
                continue
            if place[-1] in LINES_ALLOWED and not re.search(r"[\x00\x07\x1b\x9b]", payload):
                continue
            assert told, (place, payload)
            # The key of an object is quoted, to say which it is.
            assert KEY in place or "victim" not in told
            assert told.isprintable()


@pytest.mark.parametrize("model", ENTRANCES, ids=lambda model: model.__name__)
def test_a_refusal_names_its_field_and_quotes_nothing(model: type[BaseModel]) -> None:
    for place in text_fields(model):
        for payload in (each for each in PAYLOADS.values() if len(each) > 3):
            told = problem(model, with_text(ENTRANCES[model], place, payload))
            named = [part for part in place if isinstance(part, str) and part != KEY]
            assert told is None or KEY in place or any(name in told for name in named)
            # A message about a wrong lineId has to say which.
            assert told is None or KEY in place or place[-1] in {"lineId", "orderNumber", "guid"} or payload not in told


@pytest.fixture
async def api(api_settings: Settings, pool: Pool) -> AsyncIterator[Api]:
    async with serve_api(api_settings.model_copy(update={"documents_secret": "s" * 32}), pool) as running:
        yield running


async def test_text_stays_text_in_all_that_is_made_of_it(
    api: Api, pool: Pool, smtp: SmtpSink, database_settings: Settings
) -> None:
    shipments = await ship_all(api, pool)
    await _stored_and_answered_verbatim(api, pool, shipments)
    await _mailed_as_text(pool, smtp, shipments)
    await _printed_as_text(pool, shipments)
    await _sent_as_data(pool, database_settings)


def stored(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


async def ship_all(api: Api, pool: Pool) -> dict[str, str]:
    """Send in and ship an order for each payload, which is in all its fields; return payloads by shipment number."""
    shipments = {}
    for n, payload in enumerate(PAYLOADS.values()):
        number = f"I-{n}"
        order, _ = filled(IntakeOrder, ORDER, payload)
        order = order | {"orderNumber": number, "payment": ORDER["payment"]}
        answer = await api.call("PUT", f"{ORDERS_BASE}/{number}", json=order)
        assert answer.status == 201, (payload, answer)
        departure, _ = filled(CompleteRequest, ENTRANCES[CompleteRequest], payload)
        departure |= {"shipment": f"{number}-1", "order": number, "trackingNumber": departure["tracking"]}
        departure["parcels"] = [departure["parcels"][0] | {"tracking": departure["tracking"], "trackingNumber": ""}]
        departure["parcels"][0]["trackingUrl"] = departure["trackingUrl"]
        answer = await api.call("PUT", "/api/order-api/shipment", json=departure)
        assert answer.body.get("status") == "ok", (payload, answer)
        shipments[f"{number}-1"] = payload
    return shipments


async def _stored_and_answered_verbatim(api: Api, pool: Pool, shipments: dict[str, str]) -> None:
    for shipment, payload in shipments.items():
        number, expected = shipment.removesuffix("-1"), stored(payload)
        _, places = filled(IntakeOrder, ORDER, payload)
        assert len(places) >= 12
        answer = await api.call("GET", f"{ORDERS_BASE}/{number}")
        for place in places:
            assert at(answer.body, place) == expected, place
        row = await pool.fetchrow(
            "SELECT customer_name, shipping_address->>'street' AS street, intake FROM orders WHERE order_number = $1",
            number,
        )
        assert (row["customer_name"], row["street"]) == (expected, expected)
        assert all(at(row["intake"], place) == expected for place in places)
        parcel = await pool.fetchrow(
            "SELECT carrier, service, tracking_number, return_slip_tracking, internal_comment FROM parcels"
            " JOIN shipments ON shipments.id = shipment_id WHERE shipment_number = $1",
            shipment,
        )
        short = expected if len(expected) <= 100 else "UPS"
        assert dict(parcel) == {
            "carrier": short,
            "service": short if short == expected else "Express",
            "tracking_number": expected,
            "return_slip_tracking": expected,
            "internal_comment": expected,
        }
        as_json = (await api.call("GET", f"/api/order-api/shipments/{shipment}?parcels=1")).body
        as_xml = (await api.call("GET", f"/api/order-api/shipments/{shipment}?parcels=1&xml=1")).body
        assert as_json["shipments"][0]["deliveryName"] == expected
        assert_same(_without_links(as_xml), json.loads(_without_links(json.dumps(as_json))))
        [event] = await pool.fetch(
            "SELECT body FROM events WHERE subject = $1 AND type = $2", shipment, EventType.SHIPMENT_SHIPPED.value
        )
        data = json.loads(event["body"])["data"]
        assert (data["carrier"], data["carrierTrackingNumber"]) == (short, expected)
        assert data["lines"][0]["sku"] == (short if short == expected else "A-1")
    assert await pool.fetchval("SELECT count(*) FROM orders") == len(shipments)


def _without_links(answer: str) -> str:
    # They are signed as of the moment.
    return re.sub(r"token=[\w.-]+", "token=x", answer)


async def _mailed_as_text(pool: Pool, smtp: SmtpSink, shipments: dict[str, str]) -> None:
    renderer = Renderer()
    usual = await _mail(pool, renderer, next(number for number, payload in shipments.items() if payload == "."))
    usual_page = Page(usual.rendered.html)
    composed = [await _mail(pool, renderer, number) for number in shipments]
    async with open_mailer(parse_smtp_url(smtp.url), timeout_s=20, most_idle=1) as mailer:
        for mail in composed:
            await mailer.send(mail.envelope, mail.content)
    received = await smtp.wait_for(len(shipments))
    assert len(received) == len(shipments)
    for (number, payload), sent, mail in zip(shipments.items(), composed, received, strict=True):
        what, expected = f"{number}: {payload}", clean(payload)
        assert mail.recipients == ["asa@example.com"], what
        assert [name for name, _ in mail.message.items()] == [name for name, _ in parse(usual.content).items()], what
        display, address = mailbox(sent.content, "To")
        assert (" ".join(display.split()), address) == (" ".join(expected.split()), "asa@example.com"), what
        assert [each.addr_spec for each in mail.message["To"].addresses] == ["asa@example.com"], what
        plain, page = (mail.message.get_body((kind,)).get_content() for kind in ("plain", "html"))
        assert expected in plain, what
        shown_page = Page(page)
        assert " ".join(expected.split()) in shown_page.text, what
        assert sorted(set(shown_page.tags)) == sorted(set(usual_page.tags)), what
        assert shown_page.attributes == usual_page.attributes, what
        assert shown_page.links == usual_page.links, what


async def _mail(pool: Pool, renderer: Renderer, shipment_number: str) -> Mail:
    async with pool.acquire() as connection:
        content = await load_mail(connection, shipment_number)
    assert content
    assert content.event_id
    return make_mail(
        content, renderer, event_id=content.event_id, request_id="req-1", default_sender="Shop <shop@example.com>"
    )


async def _printed_as_text(pool: Pool, shipments: dict[str, str]) -> None:
    for number, payload in shipments.items():
        async with pool.acquire() as connection:
            content = await document_content(connection, number)
        for kind in (DocumentKind.DELIVERY_NOTE, DocumentKind.INVOICE):
            words = letters(text(await render(kind, content)))
            assert "root:" not in words
            if payload.isascii():
                # Typeset text may have another hyphen at the end of a line.
                assert letters(shown(payload)).replace("-", "") in words.replace("-", "").replace("\xad", ""), (
                    kind,
                    payload,
                )


async def _sent_as_data(pool: Pool, settings: Settings) -> None:
    rows = await pool.fetch("SELECT id, body FROM events WHERE type = $1", EventType.SHIPMENT_SHIPPED.value)
    async with receiving() as receiver:
        await add(pool, receiver, event_types=[EventType.SHIPMENT_SHIPPED])
        async with sending(hooked(settings)) as sender:
            for row in rows:
                await handle(pool, sender.handler, row["id"], ANY)
            requests = await receiver.wait_for_accepted(len(rows), timeout=60)
    assert {request.webhook_id: request.body.decode() for request in requests} == {
        str(row["id"]): row["body"] for row in rows
    }
    assert len({tuple(sorted(request.headers)) for request in requests}) == 1


# Terminals, logs and spreadsheets

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
EVERYTHING = PAYLOADS | CONTROLS

_LOG = """
import json, logging, sys, structlog
from service.logs import configure_logs
from service.settings import Settings
configure_logs(Settings(log_format=sys.argv[1], log_level="info"), process="test")
log = structlog.get_logger()
for payload in json.load(sys.stdin):
    log.info("tried", value=payload, nested={"a": [payload]})
    logging.getLogger("somebody.else").warning("said %s", payload)
"""


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_log_line_stays_one_and_commands_no_terminal(form: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LOG, form], input=json.dumps(list(EVERYTHING.values())), capture_output=True,
        text=True, encoding="utf-8", check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    lines = ran.stdout.removesuffix("\n").split("\n")
    assert len(lines) == 2 * len(EVERYTHING)
    # The pretty form's own colours aside.
    assert not [
        line for line in lines if OBEYED.search(re.sub(r"\x1b\[[0-9;]*m", "", line) if form == "pretty" else line)
    ]
    if form == "json":
        assert [json.loads(line)["value"] for line in lines[::2]] == list(EVERYTHING.values())
        assert [json.loads(line)["nested"] for line in lines[::2]] == [{"a": [each]} for each in EVERYTHING.values()]
    else:
        assert "\x1b[31mb" not in ran.stdout
        assert "\x1b]0;" not in ran.stdout


def test_tables_and_json_of_commands_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "value"), [(name, payload) for name, payload in EVERYTHING.items()])
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 1 + len(EVERYTHING)
    assert not OBEYED.search(table)
    assert all(payload.rstrip() in table for payload in PAYLOADS.values() if payload.isascii())
    print_json(EVERYTHING)
    told = capsys.readouterr().out
    assert not OBEYED.search(told)
    assert json.loads(told) == EVERYTHING


def test_a_report_is_data_to_a_spreadsheet(tmp_path: Path) -> None:
    starts = ["=1+1", "+1", "-1", "@SUM(1)", *EVERYTHING.values()]
    report = tmp_path / "report.csv"
    with open_report(report) as write:
        for payload in starts:
            write(Result("1", payload, "rejected", (payload,)))
    rows = list(csv.reader(io.StringIO(report.read_text("utf-8"))))[1:]
    assert len(rows) == len(starts)
    for row, payload in zip(rows, starts, strict=True):
        for cell in (row[1], row[4]):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert not OBEYED.search(cell)
            assert not payload.isascii() or not payload.isprintable() or payload in cell

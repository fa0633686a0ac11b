from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from service.settings import Settings
from tests.support.mails import EVENT_ID, Page, mailbox, parse
from tests.support.processes import Process, Processes
from tests.support.rows import ShipmentRow, insert_event, insert_order, insert_parcel, insert_shipment


@pytest.fixture
async def shipment(pool: asyncpg.Pool) -> ShipmentRow:
    async with pool.acquire() as connection:
        shipment = await insert_shipment(connection, await insert_order(connection), status="SHIPPED")
        await insert_parcel(connection, shipment)
    return shipment


async def preview(processes: Processes, settings: Settings, *arguments: str) -> Process:
    process = processes.start("email", "preview", *arguments, settings=settings)
    await process.wait_for_exit()
    return process


async def test_the_text_is_shown(processes: Processes, settings: Settings, shipment: ShipmentRow) -> None:
    shown = (await preview(processes, settings, shipment.number)).output()
    assert "Hej Åsa Öberg!" in shown
    assert "1Z999AA10123456784" in shown


async def test_another_language_may_be_asked_for(
    processes: Processes, settings: Settings, shipment: ShipmentRow
) -> None:
    shown = (await preview(processes, settings, shipment.number, "--locale", "fr", "--html")).output()
    assert "Bonjour Åsa Öberg," in Page(shown).text


async def test_the_message_is_written_as_it_would_be_sent(
    processes: Processes, settings: Settings, shipment: ShipmentRow, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    async with pool.acquire() as connection:
        event_id = await insert_event(connection, shipment)
    file = tmp_path / "mail.eml"
    process = await preview(processes, settings, shipment.number, "--eml", "--output", str(file))
    assert process.output() == ""
    content = file.read_bytes()
    assert mailbox(content, "To") == ("Åsa Öberg", "asa@example.com")
    assert parse(content)["Message-ID"] == f"<{event_id}@localhost>"
    assert event_id != EVENT_ID
    assert await pool.fetchval("SELECT count(*) FROM emails") == 0


async def test_a_mail_can_be_seen_before_the_shipment_leaves(
    processes: Processes, settings: Settings, pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as connection:
        order = await insert_order(connection, locale="en")
        await insert_shipment(connection, order, quantities={"43243": 1})
    shown = (await preview(processes, settings, "100001-1")).output()
    assert "Part of your order 100001" in shown


async def test_the_templates_of_the_store_are_used(
    processes: Processes, settings: Settings, shipment: ShipmentRow, tmp_path: Path
) -> None:
    (tmp_path / "se-web").mkdir()
    (tmp_path / "se-web" / "shipped.txt").write_text("Egen mall, {{ mail.customer }}")
    own = settings.model_copy(update={"mail_templates_dir": tmp_path})
    assert (await preview(processes, own, shipment.number)).output() == "Egen mall, Åsa Öberg"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("100001-9",), "there is no shipment '100001-9'"),
        (("100001-1", "--html", "--text"), "choose one of"),
    ],
)
async def test_what_cannot_be_shown_says_why(
    processes: Processes, settings: Settings, shipment: ShipmentRow, arguments: tuple[str, ...], told: str
) -> None:
    process = await preview(processes, settings, *arguments)
    assert await process.wait_for_exit() == 2
    assert told in process.output()
    assert "Traceback" not in process.output()


async def test_an_address_that_cannot_be_mailed_is_told(
    processes: Processes, settings: Settings, pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as connection:
        await insert_shipment(connection, await insert_order(connection, customer_email="nobody"))
    process = await preview(processes, settings, "100001-1")
    assert await process.wait_for_exit() == 1
    assert process.output().startswith("waybill: the customer's mail address is not valid")

"""Documents over HTTP: what opens them, what is in them, and that their amounts are those that were captured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from yarl import URL

from service.documents.content import Address, DocumentContent, DocumentKind, Invoice, Line, Parcel, Seller
from service.documents.language import language
from service.documents.links import LinkInvalid, document_url, verify
from service.settings import Settings
from service.shipping.document_content import document_content
from service.shipping.errors import ShipmentNotFound
from tests.support import rows
from tests.support.api import Api, serve_api
from tests.support.documents import letters, text
from tests.support.rows import ADDRESS, insert_order, insert_parcel, insert_shipment, insert_store
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool

SECRET = "current-" + "s" * 32
RETIRED = "retired-" + "s" * 32
SLUGS = {"deliveryNote": "delivery-note", "proforma": "proforma", "invoice": "invoice"}


@pytest.fixture
async def api(api_settings: Settings, pool: Pool) -> AsyncIterator[Api]:
    """An API that signs links to documents."""
    settings = api_settings.model_copy(update={"documents_secret": f"{SECRET},{RETIRED}"})
    async with serve_api(settings, pool) as running:
        yield running


async def fetch(api: Api, url: str) -> tuple[int, bytes, Any]:
    """Fetch a link as a browser does: no key, nothing but the link."""
    async with api.session.get(url) as response:
        return response.status, await response.read(), response.headers


async def fetch_error(api: Api, url: str) -> tuple[int, str]:
    async with api.session.get(url) as response:
        return response.status, (await response.json())["error"]


async def links(api: Api, shipment_number: str) -> dict[str, str]:
    """Return the links of a shipment's row, by the contract's names."""
    answer = await api.call("GET", f"/api/order-api/shipments/{shipment_number}")
    [row] = answer.body["shipments"]
    assert len(row["invoices"]) <= 1
    return {name: row[name] for name in ("deliveryNote", "proforma")} | (
        {"invoice": row["invoices"][0]} if row["invoices"] else {}
    )


def signed(api: Api, kind: DocumentKind, *, number: str = "100001-1", secret: str = SECRET, days_ago: float = 0) -> str:
    now = datetime.now(UTC) - timedelta(days=days_ago)
    return document_url(api.url, [secret], kind=kind, shipment_number=number, now=now)


# What opens a document


@pytest.mark.parametrize("name", sorted(SLUGS))
async def test_a_link_opens_its_document(api: Api, pool: Pool, name: str) -> None:
    await insert_shipment(pool, await insert_order(pool))
    await api.complete("100001-1")
    status, body, headers = await fetch(api, (await links(api, "100001-1"))[name])
    assert (status, body[:5]) == (200, b"%PDF-")
    assert "100001-1" in text(body)
    assert {
        header: headers[header]
        for header in ("Content-Type", "Content-Disposition", "Cache-Control", "X-Content-Type-Options")
    } == {
        "Content-Type": "application/pdf",
        "Content-Disposition": f'inline; filename="{SLUGS[name]}-100001-1.pdf"',
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    assert (headers["Referrer-Policy"], headers["X-Robots-Tag"]) == ("no-referrer", "noindex")


async def test_an_invoice_is_there_once_the_shipment_is_captured(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    assert "invoice" not in await links(api, "100001-1")
    early = signed(api, DocumentKind.INVOICE)
    assert await fetch_error(api, early) == (404, "The shipment has no invoice yet: 100001-1")
    assert (await fetch(api, signed(api, DocumentKind.PROFORMA)))[0] == 200
    await api.complete("100001-1")
    assert (await fetch(api, early))[0] == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.partition("?")[0],
        lambda url: url.partition("=")[0] + "=",
        lambda url: url[:-1],
        lambda url: url.replace("token=", "token=x"),
        lambda url: url.replace("token=", "token=%FF%00"),
        lambda url: url.replace("proforma", "delivery-note"),
        lambda url: url.replace("proforma", "invoice"),
        lambda url: url.replace("proforma", "label"),
        lambda url: url.replace("100001-1", "100001-2"),
        lambda url: url.replace("100001-1", "100001-1%00"),
    ],
)
async def test_a_link_that_is_not_ours_opens_nothing(api: Api, pool: Pool, change: Any) -> None:
    order = await insert_order(pool)
    await insert_shipment(pool, order, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 1})
    await api.complete("100001-1")
    url = change(signed(api, DocumentKind.PROFORMA))
    assert await fetch_error(api, url) == (403, "The link is not valid.")


async def test_a_strangers_signature_opens_nothing(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    url = signed(api, DocumentKind.PROFORMA, secret="another-" + "s" * 32)
    assert await fetch_error(api, url) == (403, "The link is not valid.")


async def test_a_link_ends_with_its_days(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    assert (await fetch(api, signed(api, DocumentKind.PROFORMA, days_ago=29.9)))[0] == 200
    expired = signed(api, DocumentKind.PROFORMA, days_ago=30.1)
    assert await fetch_error(api, expired) == (410, "The link has expired; ask for a new one.")


async def test_a_retired_secret_still_opens_its_links_and_signs_none(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    assert (await fetch(api, signed(api, DocumentKind.PROFORMA, secret=RETIRED)))[0] == 200
    url = URL((await links(api, "100001-1"))["proforma"])
    with pytest.raises(LinkInvalid):
        check(url, [RETIRED])
    check(url, [SECRET])


def check(url: URL, secrets: list[str]) -> None:
    verify(
        url.query["token"],
        secrets,
        kind=DocumentKind.PROFORMA,
        shipment_number="100001-1",
        now=datetime.now(UTC),
        max_age=timedelta(days=1),
    )


async def test_without_a_secret_there_are_no_documents(api_settings: Settings, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    async with serve_api(api_settings, pool) as api:
        assert await links(api, "100001-1") == {"deliveryNote": "", "proforma": ""}
        assert await fetch_error(api, signed(api, DocumentKind.PROFORMA)) == (403, "The link is not valid.")


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED_ORDER", "PROVISIONAL"])
async def test_a_shipment_that_is_gone_has_no_documents(api: Api, pool: Pool, status: str) -> None:
    await insert_shipment(pool, await insert_order(pool), status=status)
    url = signed(api, DocumentKind.DELIVERY_NOTE)
    assert await fetch_error(api, url) == (404, "Shipment not found: 100001-1")


async def test_only_get_and_head_are_known(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    url = signed(api, DocumentKind.DELIVERY_NOTE)
    async with api.session.head(url) as response:
        assert (response.status, response.content_type) == (200, "application/pdf")
    async with api.session.post(url) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


# What they cost


async def invoice_total(api: Api, shipment_number: str, *, amount: int, currency: str, locale: str) -> bool:
    """Return whether the invoice's total is this amount."""
    _, body, _ = await fetch(api, (await links(api, shipment_number))["invoice"])
    speech = language(locale)
    return letters(f"{speech.label('total')} {speech.money(amount, currency)}") in letters(text(body))


@pytest.mark.parametrize("currency", ["SEK", "JPY", "KWD"])
async def test_invoices_of_a_split_order_show_what_was_captured(
    api: Api, pool: Pool, sandbox: Sandbox, currency: str
) -> None:
    locale, unit_price, shipping = {
        "SEK": ("sv-SE", 19_999, 4_900),
        "JPY": ("ja-JP", 1_980, 500),
        "KWD": ("en-GB", 12_345, 1_001),
    }[currency]
    order = await insert_order(
        pool,
        currency=currency,
        locale=locale,
        shipping_amount=shipping,
        lines=(rows.Line(quantity=3, unit_price=unit_price), rows.Line("43244", "B-2", "Socks", 5, unit_price + 7)),
        # 10 less than everything: somebody has already taken them, so the last shipment is captured short.
        total_amount=shipping + 3 * unit_price + 5 * (unit_price + 7) - 10,
    )
    contents = [{"43243": 1}, {"43243": 2, "43244": 1}, {"43244": 4}]
    for n, quantities in enumerate(contents, start=1):
        await insert_shipment(pool, order, n=n, quantities=quantities)
        assert (await api.complete(f"100001-{n}")).status == 200
    ledger = {entry["idempotency_key"]: entry for entry in sandbox.ledger()}
    captured = [ledger[f"shipment:100001-{n}:capture:1"]["amount"] for n in (1, 2, 3)]
    assert captured == [unit_price + shipping, 3 * unit_price + 7, 4 * (unit_price + 7) - 10]
    for n, amount in enumerate(captured, start=1):
        assert await invoice_total(api, f"100001-{n}", amount=amount, currency=currency, locale=locale)
        assert not await invoice_total(api, f"100001-{n}", amount=amount + 1, currency=currency, locale=locale)


async def test_an_invoice_over_nothing_says_so(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    order = await insert_order(pool, lines=(rows.Line(unit_price=0),), shipping_amount=0)
    await insert_shipment(pool, order)
    await api.complete("100001-1")
    assert sandbox.ledger() == []
    assert await invoice_total(api, "100001-1", amount=0, currency="SEK", locale="sv-SE")


# What is in them


async def test_the_content_is_what_the_database_knows(pool: Pool) -> None:
    await insert_store(
        pool,
        name="Nordvik Living",
        time_zone="Europe/Stockholm",
        seller_address={
            "name": "Nordvik AB",
            "street": "Hamngatan 12",
            "street2": "2 tr",
            "postalCode": "111 47",
            "city": "Visby",
            "region": "Gotland",
            "country": "SE",
            "vatNumber": "SE556677889901",
            "email": "hello@nordvik.example",
            "phone": "+46 8 123 456 78",
        },
    )
    order = await insert_order(
        pool,
        lines=(rows.Line(quantity=2), rows.Line("43244", "BOK", "Bok", 3, 24_900)),
        billing_address={"company": "Öberg AB", "street": "Box 1", "city": "Solna", "country": "SE"},
    )
    await pool.execute("UPDATE order_lines SET tax_rate = 0.055 WHERE line_id = '43244'")
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)  # past midnight in Stockholm
    shipment = await insert_shipment(
        pool,
        order,
        status="SHIPPED",
        quantities={"43244": 2, "43243": 1},
        shipped_at=late,
        package_count=2,
        return_slip_tracking="RET-1",
    )
    await insert_parcel(pool, shipment, carrier="PostNord", service=None, tracking_number="0037")
    await insert_parcel(pool, shipment, position=1)
    await pool.execute(
        "INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization,"
        " amount, shipping_part, currency, state, provider_reference, settled_at)"
        " VALUES ($1, $2, 1, 'k', 'sandbox', 'a', 74600, 4900, 'SEK', 'CAPTURED', 'r', $3)",
        order.id,
        shipment.id,
        late + timedelta(days=1),
    )
    assert await document_content(pool, "100001-1") == DocumentContent(
        seller=Seller(
            store="Nordvik Living",
            address=Address(
                name="Nordvik AB",
                street="Hamngatan 12",
                street2="2 tr",
                postal_code="111 47",
                city="Visby",
                region="Gotland",
                country="SE",
            ),
            vat_number="SE556677889901",
            email="hello@nordvik.example",
            phone="+46 8 123 456 78",
        ),
        buyer=Address(name="Åsa Öberg", company="Öberg AB", street="Box 1", city="Solna", country="SE"),
        delivery=Address(name="Åsa Öberg", street="Storgatan 1", postal_code="111 22", city="Stockholm", country="SE"),
        order_number="100001",
        shipment_number="100001-1",
        delivery_date=date(2026, 11, 22),
        lines=(
            Line(sku="A-1", name="Shirt", quantity=1, unit_price=19_900, tax_rate=Decimal(0)),
            Line(sku="BOK", name="Bok", quantity=2, unit_price=24_900, tax_rate=Decimal("0.055")),
        ),
        shipping_amount=4_900,
        currency="SEK",
        locale="sv-SE",
        parcels=(
            Parcel(carrier="PostNord", tracking_number="0037"),
            Parcel(carrier="UPS", service="Express", tracking_number="1Z999AA10123456784"),
        ),
        package_count=2,
        return_slip_tracking="RET-1",
        invoice=Invoice(number="100001-1", issued_on=date(2026, 11, 23), captured_amount=74_600),
        has_left=True,
    )


async def test_a_proforma_carries_the_shipping_cost_that_a_capture_now_would_carry(api: Api, pool: Pool) -> None:
    order = await insert_order(pool, shipping_address={k: v for k, v in ADDRESS.items() if k != "name"})
    await insert_shipment(pool, order, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 1})
    first = await document_content(pool, "100001-1")
    assert (first.shipping_amount, first.invoice, first.has_left) == (4_900, None, False)
    assert (first.seller, first.buyer, first.delivery.name) == (Seller(store="Butiken"), first.delivery, "Åsa Öberg")
    await api.complete("100001-2")
    assert [(await document_content(pool, f"100001-{n}")).shipping_amount for n in (1, 2)] == [0, 4_900]


async def test_no_content_without_a_shipment(pool: Pool) -> None:
    with pytest.raises(ShipmentNotFound):
        await document_content(pool, "100001-1")

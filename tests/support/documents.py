"""Contents of documents to vary, and what a reader and a scanner make of the PDF."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pypdfium2
import zxingcpp

from service.documents.amounts import add_up
from service.documents.content import Address, DocumentContent, Invoice, Line, Parcel, Seller

OFFICE_SCAN_DPI = 200


def line(sku: str = "A-1", name: str = "Shirt", *, quantity: int = 1, price: int = 10000, rate: str = "0.25") -> Line:
    return Line(sku=sku, name=name, quantity=quantity, unit_price=price, tax_rate=Decimal(rate))


def content(**changes: Any) -> DocumentContent:
    """A Swedish shipment, not yet captured, with whatever is to differ."""
    buyer = Address(name="Åsa Öberg", street="Storgatan 1", postal_code="111 22", city="Stockholm", country="SE")
    shipment = DocumentContent(
        seller=Seller(
            store="Nordvik Living",
            address=Address(name="Nordvik AB", street="Hamngatan 12", postal_code="111 47", city="Visby", country="SE"),
            vat_number="SE556677889901",
            email="hello@nordvik.example",
            phone="+46 8 123 456 78",
        ),
        buyer=buyer,
        delivery=replace(buyer, street="Lillgatan 2", company="Öberg & Söner"),
        order_number="100001",
        shipment_number="100001-1",
        delivery_date=date(2026, 11, 21),
        lines=(
            line("A-1", "Skjorta, blå linne", quantity=2, price=19900),
            line("BOK-9", "Skärgårdens fåglar", price=24900, rate="0.06"),
        ),
        shipping_amount=4900,
        currency="SEK",
        locale="sv-SE",
        parcels=(Parcel(carrier="PostNord", service="MyPack Home", tracking_number="00370730254738109283"),),
        package_count=1,
        return_slip_tracking="00370730254738109290",
    )
    return replace(shipment, **changes)


def captured(shipment: DocumentContent, amount: int | None = None) -> DocumentContent:
    """The shipment after its capture, of everything it costs unless told otherwise."""
    whole = add_up(shipment.lines, shipping=shipment.shipping_amount).total
    invoice = Invoice(
        number="2026-000123", issued_on=date(2026, 11, 22), captured_amount=whole if amount is None else amount
    )
    return replace(shipment, invoice=invoice)


def pages(pdf: bytes) -> list[str]:
    """The text of each page as a reader would select it."""
    return [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in pypdfium2.PdfDocument(pdf)]


def text(pdf: bytes) -> str:
    return "\n".join(pages(pdf))


def letters(value: str) -> str:
    """Text without its white space, for what wraps over lines."""
    return "".join(value.split())


def barcodes(pdf: bytes) -> list[tuple[str, str]]:
    """Format and text of every barcode on the first page, printed and scanned."""
    bitmap = pypdfium2.PdfDocument(pdf)[0].render(scale=OFFICE_SCAN_DPI / 72, grayscale=True)
    pixels = memoryview(bytes(bitmap.buffer)).cast("B", shape=[bitmap.height, bitmap.stride])
    return [(str(found.format), found.text) for found in zxingcpp.read_barcodes(pixels)]

"""What stands where on a document: its content as the ready texts that the templates only have to place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.documents.addresses import address_lines
from service.documents.barcode import draw_barcode
from service.documents.bill import lay_out_bill
from service.documents.content import Address, DocumentContent, DocumentKind
from service.documents.fonts import families
from service.documents.language import Language, language
from service.documents.text import settable, shortened, shown


def lay_out(kind: DocumentKind, content: DocumentContent) -> dict[str, Any]:
    """Return the data of the document's template. Raise `NotCaptured` for the invoice of an uncaptured shipment."""
    speech = language(content.locale)
    return {
        **_frame(kind, content, speech),
        "recipients": list(_recipients(kind, content, speech)),
        "facts": [
            {"label": label, "value": settable(value, is_code=True)} for label, value in _facts(kind, content, speech)
        ],
        "parcels": _parcels(content, speech),
        **(_goods(content, speech) if kind is DocumentKind.DELIVERY_NOTE else lay_out_bill(kind, content, speech)),
    }


def _frame(kind: DocumentKind, content: DocumentContent, speech: Language) -> dict[str, Any]:
    barcode = draw_barcode(content.shipment_number)
    return {
        "language": speech.code,
        "region": speech.region.territory if len(speech.region.territory or "") == 2 else None,
        "families": families(locale=content.locale, country=content.delivery.country),
        "title": speech.label(_TITLES[kind]),
        "store": settable(content.seller.store),
        "plain_store": shown(content.seller.store),
        "seller_address": [settable(line) for line in _seller_address(content, speech)],
        "head": settable(shortened(content.seller.store, 60)),
        "foot": [settable(shortened(part, 90)) for part in _foot(content, speech)],
        "number": settable(content.shipment_number, is_code=True),
        "plain_number": shown(content.shipment_number),
        "barcode": {
            "width": barcode.width_mm,
            "height": barcode.height_mm,
            "quiet": barcode.quiet_mm,
            "svg": barcode.svg.decode(),
        },
        "page": speech.labels["page"],
    }


_TITLES = {
    DocumentKind.DELIVERY_NOTE: "delivery_note",
    DocumentKind.PROFORMA: "proforma",
    DocumentKind.INVOICE: "invoice",
}


def _seller_address(content: DocumentContent, speech: Language) -> list[str]:
    seller = content.seller
    lines = address_lines(seller.address, language=speech) if seller.address else []
    return lines[1:] if lines[:1] == [seller.store] else lines


def _foot(content: DocumentContent, speech: Language) -> Iterator[str]:
    seller = content.seller
    yield seller.store
    if seller.vat_number:
        yield f"{speech.label('vat_number')} {seller.vat_number}"
    yield from (way for way in (seller.email, seller.phone) if way)


def _recipients(kind: DocumentKind, content: DocumentContent, speech: Language) -> Iterator[dict[str, Any]]:
    if kind is not DocumentKind.DELIVERY_NOTE:
        yield _recipient("bill_to", content.buyer, speech)
    yield _recipient("deliver_to", content.delivery, speech)


def _recipient(label: str, address: Address, speech: Language) -> dict[str, Any]:
    lines = [settable(line) for line in address_lines(address, language=speech)]
    return {"label": speech.label(label), "lines": lines}


def _facts(kind: DocumentKind, content: DocumentContent, speech: Language) -> Iterator[tuple[str, str]]:
    if kind is DocumentKind.INVOICE and content.invoice:
        yield speech.label("invoice_number"), content.invoice.number
        yield speech.label("invoice_date"), speech.date(content.invoice.issued_on)
    yield speech.label("order"), content.order_number
    yield speech.label("shipment"), content.shipment_number
    if kind is not DocumentKind.INVOICE or content.has_left:
        yield speech.label("delivery_date" if content.has_left else "date"), speech.date(content.delivery_date)
    if kind is DocumentKind.DELIVERY_NOTE and content.package_count:
        yield speech.label("packages"), speech.number(content.package_count)


def _parcels(content: DocumentContent, speech: Language) -> dict[str, Any] | None:
    rows = [
        [
            settable(" · ".join(part for part in (parcel.carrier, parcel.service) if part)),
            settable(parcel.tracking_number or "", is_code=True),
        ]
        for parcel in content.parcels
        if parcel.carrier or parcel.service or parcel.tracking_number
    ]
    if content.return_slip_tracking:
        rows.append([speech.label("returns"), settable(content.return_slip_tracking, is_code=True)])
    if not rows:
        return None
    return {
        "title": speech.label("parcels"),
        "head": [speech.label("carrier"), speech.label("tracking_number")],
        "rows": rows,
    }


def _goods(content: DocumentContent, speech: Language) -> dict[str, Any]:
    return {
        "columns": [speech.label(key) for key in ("quantity", "sku", "article")],
        "rows": [
            [speech.number(line.quantity), settable(line.sku, is_code=True), settable(line.name)]
            for line in content.lines
        ],
        "pieces": [speech.label("pieces"), speech.number(sum(line.quantity for line in content.lines))],
    }

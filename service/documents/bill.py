"""What stands on proformas and invoices alone: prices, sums, taxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.documents.amounts import Amounts, add_up
from service.documents.content import DocumentContent, DocumentKind, Line, NotCaptured
from service.documents.language import Language
from service.documents.text import SetText, settable


def lay_out_bill(kind: DocumentKind, content: DocumentContent, speech: Language) -> dict[str, Any]:
    """Return the priced part. Raise `NotCaptured` for the invoice of an uncaptured shipment."""
    invoice = content.invoice if kind is DocumentKind.INVOICE else None
    if kind is DocumentKind.INVOICE and invoice is None:
        raise NotCaptured(content.shipment_number)
    captured = invoice.captured_amount if invoice else None
    amounts = add_up(content.lines, shipping=content.shipping_amount, captured=captured)
    return {
        "notice": None if invoice else speech.label("not_an_invoice"),
        "columns": [speech.label(key) for key in ("article", "quantity", "unit_price", "tax", "amount")],
        "rows": [_row(line, content.currency, speech) for line in content.lines],
        "sums": list(_sums(amounts, content.currency, speech)),
        "total": [speech.label("total"), speech.money(amounts.total, content.currency)],
        "included_tax": [speech.label("included_tax"), speech.money(amounts.tax, content.currency)],
        "taxes": _taxes(amounts, content.currency, speech),
        "remarks": [
            *([speech.label("paid")] if invoice else []),
            speech.label("amounts_in", currency=content.currency),
        ],
    }


def _row(line: Line, currency: str, speech: Language) -> dict[str, SetText]:
    return {
        "name": settable(line.name),
        "sku": settable(line.sku),
        "quantity": speech.number(line.quantity),
        "unit_price": speech.amount(line.unit_price, currency),
        "tax": speech.percent(line.tax_rate),
        "amount": speech.amount(line.quantity * line.unit_price, currency),
    }


def _sums(amounts: Amounts, currency: str, speech: Language) -> Iterator[list[str]]:
    yield [speech.label("goods"), speech.amount(amounts.goods, currency)]
    yield [speech.label("shipping"), speech.amount(amounts.shipping, currency)]
    if amounts.adjustment:
        yield [speech.label("adjustment"), speech.amount(amounts.adjustment, currency)]


def _taxes(amounts: Amounts, currency: str, speech: Language) -> dict[str, Any]:
    return {
        "head": [speech.label(key) for key in ("tax_rate", "net", "tax", "gross")],
        "rows": [
            [
                speech.percent(group.rate),
                *(speech.amount(amount, currency) for amount in (group.net, group.tax, group.gross)),
            ]
            for group in amounts.groups
        ],
    }

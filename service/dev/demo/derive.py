"""Make orders.jsonl from the invoices of the Online Retail data set.

Run `python -m service.dev.demo.derive INVOICES.csv` with a file whose columns are those of the data set (InvoiceNo,
StockCode, Description, Quantity, UnitPrice, …). The same file gives the same orders.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from schemas.money import to_minor, to_text
from schemas.orders import IntakeOrder

ORDERS = Path(__file__).parent / "orders.jsonl"

# Charges that the shop wrote among the goods.
POSTAGE = {"POST", "DOT"}


@dataclass(frozen=True)
class Store:
    """One of the demo's stores. `factor`: what a price of the data set becomes there, so that it looks plausible."""

    code: str
    currency: str
    tax_rate: str
    shipping: str
    factor: int = 1


SE = Store("se-web", "SEK", "0.25", "49.00", 10)
UK = Store("uk-web", "GBP", "0.2", "3.95")
DE = Store("de-web", "EUR", "0.19", "4.90")
FR = Store("fr-web", "EUR", "0.2", "5.90")
ES = Store("es-web", "EUR", "0.21", "4.50")
US = Store("us-web", "USD", "0", "6.00")
JP = Store("jp-web", "JPY", "0.1", "600", 100)

ASA = ("Åsa Öberg", "sv-SE", "Storgatan 1", "111 22", "Stockholm", "SE")
NILS = ("Nils Sjögren", "sv-SE", "Ängsvägen 12", "222 33", "Lund", "SE")
MARY = ("Mary O'Brien", "en-GB", "4 Mill Lane", "LS1 4DY", "Leeds", "GB")
SAOIRSE = ("Saoirse Ní Bhriain", "en-IE", "12 Quay Street", "H91 E2K6", "Galway", "IE")
JUERGEN = ("Jürgen Weiß", "de-DE", "Lindenstraße 7", "10969", "Berlin", "DE")
ZOE = ("Zoë Müller", "de-CH", "Rosenweg 3", "8001", "Zürich", "CH")
HELENE = ("Hélène Lefèvre", "fr-FR", "15 rue des Écoles", "75005", "Paris", "FR")
INIGO = ("Íñigo Muñoz", "es-ES", "Calle del Pez 21", "28004", "Madrid", "ES")
JOHN = ("John Doe", "en-US", "100 Main Street", "05602", "Montpelier", "US")
HANAKO = ("山田 花子", "ja-JP", "丸の内1-1", "100-0005", "東京", "JP")

# As many pieces as were ordered, of every line.
ALL: dict[str, int] = {}


@dataclass(frozen=True)
class Pick:
    """The first `most` goods of an invoice, as an order. `shipments`: status and pieces by line."""

    number: str
    invoice: str
    most: int
    store: Store
    customer: tuple[str, ...]
    shipments: tuple[tuple[str, dict[str, int]], ...] = (("RELEASED", ALL),)
    authorization: str = "ok"
    gift: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


PARTIAL = (("RELEASED", {"1": 6, "2": 2}), ("INVENTORY_ASSIGNED", {"3": 12}))
THREE = (("RELEASED", {"1": 6}), ("RELEASED", {"2": 3}), ("RELEASED", {"3": 3}))

PICKS = (
    Pick("100001", "536365", 7, SE, ASA),
    Pick("100002", "536366", 2, UK, MARY),
    Pick("100003", "536370", 9, FR, HELENE),
    Pick("100004", "536527", 6, DE, JUERGEN, PARTIAL),
    Pick("100005", "536502", 5, ES, INIGO, (("RELEASED", {"1": 10, "5": 1}),)),
    Pick("100006", "536466", 2, UK, SAOIRSE, authorization="decline"),
    Pick("100007", "536564", 2, SE, NILS, authorization="slow:3000"),
    Pick("100008", "536608", 3, DE, ZOE, authorization="lost"),
    Pick("100009", "536534", 5, UK, MARY, authorization="flaky:2"),
    Pick("100010", "536368", 4, US, JOHN, THREE),
    Pick("100011", "536389", 6, JP, HANAKO),
    Pick("100012", "536403", 1, FR, HELENE, (("INVENTORY_ASSIGNED", ALL),)),
    Pick("100013", "536532", 70, SE, NILS),
    Pick("100014", "536540", 8, UK, SAOIRSE, ()),
    Pick("100015", "536594", 5, ES, INIGO, ()),
    Pick("100016", "536748", 5, UK, MARY, (("ONHOLD", ALL),), fields={"status": "ONHOLD"}),
    Pick("100017", "536672", 4, DE, JUERGEN, (("AWAITING_INVENTORY", ALL),), fields={"waitingForPayment": True}),
    Pick("100018", "536541", 1, SE, ASA, gift=True),
)


def derive(invoices: Path) -> Iterator[dict[str, Any]]:
    """Yield the demo's orders, each as the order intake takes it."""
    rows: dict[str, list[dict[str, str]]] = {}
    with invoices.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["InvoiceNo"], []).append(row)
    for pick in PICKS:
        yield _order(pick, rows[pick.invoice])


def _order(pick: Pick, rows: list[dict[str, str]]) -> dict[str, Any]:
    name, locale, street, postal_code, city, country = pick.customer
    address = {"name": name, "street": street, "postalCode": postal_code, "city": city, "country": country}
    goods = [row for row in rows if row["StockCode"] not in POSTAGE]
    lines = [_line(position, row, pick) for position, row in enumerate(goods[: pick.most], 1)]
    everything = {line["lineId"]: line["quantity"] for line in lines}
    return {
        "orderNumber": pick.number,
        "store": pick.store.code,
        "currency": pick.store.currency,
        "locale": locale,
        **pick.fields,
        "customer": {"name": name, "email": f"customer-{pick.number}@example.com"},
        "shippingAddress": address,
        "payment": {"provider": "sandbox", "authorization": f"sandbox:{pick.authorization}#{pick.number}"},
        "shippingAmount": _shipping(pick, [row for row in rows if row["StockCode"] in POSTAGE]),
        "lines": lines,
        "shipments": [{"status": status, "lines": pieces or everything} for status, pieces in pick.shipments],
    }


def _line(position: int, row: dict[str, str], pick: Pick) -> dict[str, Any]:
    price = Decimal(0) if pick.gift else Decimal(row["UnitPrice"]) * pick.store.factor
    return {
        "lineId": str(position),
        "sku": row["StockCode"],
        "name": row["Description"].strip(),
        "quantity": int(row["Quantity"]),
        "unitPrice": _text(price, pick.store),
        "taxRate": pick.store.tax_rate,
    }


def _shipping(pick: Pick, charges: list[dict[str, str]]) -> str:
    if pick.gift:
        return _text(Decimal(0), pick.store)
    paid = sum((Decimal(row["UnitPrice"]) * int(row["Quantity"]) for row in charges), Decimal(0))
    return _text(paid * pick.store.factor or Decimal(pick.store.shipping), pick.store)


def _text(amount: Decimal, store: Store) -> str:
    return to_text(to_minor(amount, store.currency), store.currency)


def main() -> None:
    """Write orders.jsonl from the file that the command line names."""
    orders = list(derive(Path(sys.argv[1])))
    for order in orders:
        IntakeOrder.model_validate(order)
    ORDERS.write_text("".join(json.dumps(order, ensure_ascii=False) + "\n" for order in orders), encoding="utf-8")


if __name__ == "__main__":
    main()

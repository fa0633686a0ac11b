"""What an order says, in one normal form: two bodies that mean the same give equal content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from schemas.money import MAX_AMOUNT, MoneyError, to_minor, to_text
from schemas.orders import IntakeLine, IntakeOrder
from service.shipping.errors import InvalidRequest

# Whoever may write orders need not be allowed to read the customer's data or the authorization.
_PRIVATE = ("customer.", "shippingAddress", "billingAddress", "payment.authorization")


@dataclass(frozen=True, slots=True)
class ShipmentContent:
    """A shipment to create. `goods_amount` is in minor units."""

    status: str
    capture: bool
    quantities: dict[str, int]
    goods_amount: int

    @property
    def pieces(self) -> int:
        """The number of pieces on it."""
        return sum(self.quantities.values())


@dataclass(frozen=True, slots=True)
class OrderContent:
    """An order in its normal form. Amounts are in minor units; `document` is the JSON that is kept and compared."""

    document: dict[str, Any]
    lines: tuple[IntakeLine, ...]
    unit_prices: tuple[int, ...]
    shipments: tuple[ShipmentContent, ...]
    shipping_amount: int
    total_amount: int

    @property
    def pieces(self) -> int:
        """The number of pieces ordered."""
        return sum(line.quantity for line in self.lines)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two orders differ, by its path in the body."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


def normalise(order: IntakeOrder, *, currency: str, locale: str) -> OrderContent:
    """Return the order's content. Raise `InvalidRequest` naming each amount that the currency does not allow."""
    problems: list[str] = []

    def minor(field: str, amount: Decimal) -> int:
        try:
            return to_minor(amount, currency)
        except MoneyError as error:
            problems.append(f"{field}: {error}")
            return 0

    shipping_amount = minor("shippingAmount", order.shipping_amount)
    prices = tuple(minor(f"lines[{index}].unitPrice", line.unit_price) for index, line in enumerate(order.lines))
    total = shipping_amount + sum(price * line.quantity for price, line in zip(prices, order.lines, strict=True))
    if total > MAX_AMOUNT:
        problems.append(f"lines: expected a total up to {to_text(MAX_AMOUNT, currency)} {currency}")
    if problems:
        raise InvalidRequest("; ".join(problems))
    price_of = {line.line_id: price for line, price in zip(order.lines, prices, strict=True)}
    return OrderContent(
        document=_document(order, currency=currency, locale=locale, shipping_amount=shipping_amount, prices=prices),
        lines=tuple(order.lines),
        unit_prices=prices,
        shipments=tuple(
            ShipmentContent(
                status=shipment.status,
                capture=shipment.capture,
                quantities=shipment.lines,
                goods_amount=sum(price_of[line_id] * quantity for line_id, quantity in shipment.lines.items()),
            )
            for shipment in order.shipments
        ),
        shipping_amount=shipping_amount,
        total_amount=total,
    )


def _document(
    order: IntakeOrder, *, currency: str, locale: str, shipping_amount: int, prices: tuple[int, ...]
) -> dict[str, Any]:
    document = order.model_dump(mode="json", by_alias=True, exclude_none=True)
    document |= {"currency": currency, "locale": locale, "shippingAmount": to_text(shipping_amount, currency)}
    for line, price in zip(document["lines"], prices, strict=True):
        line["unitPrice"] = to_text(price, currency)
        line["taxRate"] = f"{abs(Decimal(line['taxRate'])).normalize():f}"
    for address in ("shippingAddress", "billingAddress"):
        if address in document:
            document[address].setdefault("name", order.customer.name)
    return document


def differences(known: dict[str, Any], sent: dict[str, Any]) -> list[Difference]:
    """Return where `sent` differs from `known`. The sequence of lines does not count: their ids tell them apart."""
    return list(_compare(known, sent, ""))


def _compare(known: Any, sent: Any, path: str) -> Iterator[Difference]:  # noqa: ANN401 - JSON
    if path == "lines":
        yield from _compare_lines(known, sent)
    elif isinstance(known, dict) and isinstance(sent, dict):
        for key in sent | known:
            yield from _compare(known.get(key), sent.get(key), f"{path}.{key}" if path else key)
    elif isinstance(known, list) and isinstance(sent, list):
        for index, (before, after) in enumerate(zip_longest(known, sent)):
            yield from _compare(before, after, f"{path}[{index}]")
    elif known != sent:
        private = path.startswith(_PRIVATE)
        yield Difference(path, "differs" if private else f"{_shown(known)} -> {_shown(sent)}")


def _compare_lines(known: list[dict[str, Any]], sent: list[dict[str, Any]]) -> Iterator[Difference]:
    missing = {line["lineId"]: line for line in known}
    for index, line in enumerate(sent):
        before = missing.pop(line["lineId"], None)
        if before is None:
            yield Difference(f"lines[{index}]", f"lineId {line['lineId']} is new")
        else:
            yield from _compare(before, line, f"lines[{index}]")
    for line_id in missing:
        yield Difference("lines", f"lineId {line_id} is missing")


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    return "given" if isinstance(value, dict | list) else str(value)

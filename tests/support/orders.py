"""Order intake bodies for tests."""

from __future__ import annotations

import copy
from typing import Any

from schemas.orders import IntakeOrder

_ORDER: dict[str, Any] = {
    "orderNumber": "100001",
    "store": "se-web",
    "currency": "SEK",
    "locale": "sv-SE",
    "customer": {"name": "Åsa Öberg", "email": "asa@example.com"},
    "shippingAddress": {
        "name": "Åsa Öberg",
        "street": "Storgatan 1",
        "postalCode": "111 22",
        "city": "Stockholm",
        "country": "SE",
    },
    "payment": {"provider": "sandbox", "authorization": "sandbox:ok"},
    "shippingAmount": "49.00",
    "lines": [
        {"lineId": "43243", "sku": "A-1", "name": "Shirt", "quantity": 2, "unitPrice": "199.00", "taxRate": "0.25"},
        {"lineId": "43244", "sku": "B-2", "name": "Socks", "quantity": 3, "unitPrice": "19.50", "taxRate": "0.25"},
    ],
    "shipments": [{"status": "RELEASED", "lines": {"43243": 2, "43244": 1}}],
}


def order_body(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a fresh valid body. `changes`: values by path, such as `{"lines.0.quantity": 3}`; `...` removes."""
    body = copy.deepcopy(_ORDER)
    for path, value in (changes or {}).items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        target: Any = body
        for part in parents:
            target = target[part]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return body


def intake(changes: dict[str, Any] | None = None) -> IntakeOrder:
    """Return the model of `order_body`."""
    return IntakeOrder.model_validate(order_body(changes))

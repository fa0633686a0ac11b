"""Examples of the Order API. Those of completing and creating are the contract's own, word for word."""

from __future__ import annotations

from typing import Any, Final

from schemas.order_api_answers import NO_DATE

Body = dict[str, Any]

COMPLETE: Final[Body] = {
    "shipment": "83651-1",
    "carrier": "Fedex",
    "service": "Express",
    "packages": 1,
    "trackingNumber": "TRTTET5",
    "capture": 1,
}
DONE: Final[Body] = {"status": "ok", "order": 83651, "shipment": "83651-1"}
CAPTURE_FAILED: Final[Body] = {"status": "no", "msg": "capture failed", "order": 83651, "shipment": "83651-1"}

CREATE: Final[Body] = {"order": 83651, "products": {"43243": 1, "43244": 2}}
CREATED: Final[Body] = {
    **DONE,
    "deliveryNote": "http://.../delivery-note.pdf",
    "proforma": "http://.../proforma.pdf",
    "invoice": "http://.../invoice.pdf",
}
NO_ORDER: Final[Body] = {"status": "no", "msg": "order does not exist", "order": "1337"}
NO_CAPTURE: Final[Body] = {"msg": "can not capture order", "status": "no", "order": "5"}

_ORDER_FIELDS: Final[Body] = {
    "orderId": "83651",
    "orderStatus": 3,
    "orderDate": "2026-11-21 19:30:00",
    "orderStore": "se-web",
    "orderCurrency": "SEK",
    "hold": 0,
    "waitingForPayment": 0,
    "grandTotalValue": "486.00",
    "internalComment": "",
    "paymentReference": "sandbox:ok",
    **{
        prefix + name: value
        for prefix in ("delivery", "billing")
        for name, value in {
            "Name": "Åsa Öberg",
            "Company": "",
            "Address": "Storgatan 1",
            "CoAddress": "",
            "ZipCode": "111 22",
            "City": "Stockholm",
            "State": "",
            "Country": "SE",
            "Email": "asa@example.com",
        }.items()
    },
}
_PRODUCTS: Final = [
    {"lineId": "43243", "sku": "A-1", "name": "Shirt", "qty": 1, "price": "398.00"},
    {"lineId": "43244", "sku": "B-2", "name": "Socks", "qty": 2, "price": "19.50"},
]
ORDERS: Final[Body] = {
    "status": "ok",
    "orders": [
        {
            **_ORDER_FIELDS,
            "products": _PRODUCTS,
            "shipments": [
                {
                    "shipmentId": "83651-1",
                    "shippedDate": "2026-11-21 19:40:00",
                    "carrier": "Fedex",
                    "service": "Express",
                    "trackingId": "TRTTET5",
                    "trackingUrl": "https://www.fedex.com/fedextrack/?trknbr=TRTTET5",
                    "returnSlipTracking": "",
                }
            ],
        }
    ],
}
SHIPMENTS: Final[Body] = {
    "status": "ok",
    "shipments": [
        {
            **_ORDER_FIELDS,
            "shipmentId": "83651-1",
            "gtg": 1,
            "paid": 1,
            "shouldCapture": 0,
            "shippedDate": NO_DATE,
            "carrier": "",
            "service": "",
            "trackingNumber": "",
            "trackingUrl": "",
            "returnSlipTracking": "",
            "products": _PRODUCTS,
            "deliveryNote": "http://.../delivery-note.pdf",
            "proforma": "http://.../proforma.pdf",
            "invoices": ["http://.../invoice.pdf"],
        }
    ],
}


def refused(message: str) -> Body:
    """Return a refusal of a call about a shipment."""
    return {"status": "no", "msg": message, "order": 83651, "shipment": "83651-1"}

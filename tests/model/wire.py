"""Calls as the contracts write them, and their answers as the model compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.paths import ORDERS_BASE, SHIPMENTS_BASE
from tests.model.calls import Call, Complete, CompleteShipment, Create, Remove, TakeIn, TakeMoney, Update
from tests.model.world import ANY, Answer, Content, Pieces, Told

ORDER_API = "/api/order-api"
PRICE_UNIT = 100
_CUSTOMER = {"name": "Åsa Öberg", "email": "asa@example.com"}
_ADDRESS = {"street": "Storgatan 1", "postalCode": "111 22", "city": "Stockholm", "country": "SE"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: dict[str, Any] | None


def request_of(call: Call, number: str) -> Request:  # noqa: PLR0911 - one for each kind of call
    """Return the HTTP request of a call about order `number`."""
    match call:
        case TakeIn(content):
            return Request("PUT", f"{ORDERS_BASE}/{number}", _order(content))
        case Create():
            told = {"shipped": True, **_told(call.told)} if call.told else {}
            flags = {"gtg": call.good_to_go, "capture": call.capture, "createAlways": call.always}
            body = {"order": int(number), "products": dict(call.pieces), **_given(flags), **told}
            return Request("POST", f"{ORDER_API}/shipments", body)
        case CompleteShipment():
            body = {"shipmentNumber": f"{number}-{call.n}", **_given({"carrierTrackingNumber": call.tracking})}
            return Request("POST", f"{SHIPMENTS_BASE}/complete-shipment", body)
        case Complete():
            # As a real client does, an int for a boolean.
            capture = {} if call.capture is None else {"capture": int(call.capture)}
            return Request(
                "PUT", f"{ORDER_API}/shipment", {"shipment": f"{number}-{call.n}", **capture, **_told(call.told)}
            )
        case TakeMoney():
            return Request("PUT", f"{ORDER_API}/capture", {"shipment": f"{number}-{call.n}"})
        case Update():
            pieces = {} if call.pieces is None else {"products": dict(call.pieces)}
            body = {**_given({"gtg": call.good_to_go}), **pieces}
            return Request("PUT", f"{ORDER_API}/shipments/{number}-{call.n}", body)
        case Remove():
            return Request("DELETE", f"{ORDER_API}/shipments/{number}-{call.n}", None)
        case _:
            raise TypeError(f"{call} does not come over HTTP")


def answer_of(status: int, body: Any, *, replayed: bool) -> Answer:
    """Return an answer as a value that the model's can be compared with."""
    assert isinstance(body, dict), f"{status} {body!r}"
    return Answer(status, tuple(sorted((name, _value(each)) for name, each in body.items())), replayed)


def is_as_promised(seen: Answer, promised: Answer) -> bool:
    """Return whether an answer is the promised one, where `ANY` stands for any text but none."""
    if (seen.status, seen.replayed) != (promised.status, promised.replayed) or len(seen.body) != len(promised.body):
        return False
    return all(
        name == other and (value == wanted or (wanted == ANY and isinstance(value, str) and value != ""))
        for (name, value), (other, wanted) in zip(seen.body, promised.body, strict=True)
    )


def money(amount: int) -> str:
    return f"{amount // PRICE_UNIT}.{amount % PRICE_UNIT:02}"


def _order(content: Content) -> dict[str, Any]:
    return {
        "store": "se-model",
        "currency": "SEK",
        "locale": "sv-SE",
        "status": content.status.value,
        "waitingForPayment": content.waiting_for_payment,
        "customer": _CUSTOMER,
        "shippingAddress": _ADDRESS,
        "payment": {"provider": content.payment_provider, "authorization": content.authorization},
        "shippingAmount": money(content.shipping_amount),
        "lines": [
            {
                "lineId": line.line_id,
                "sku": f"sku-{line.line_id}",
                "name": "Shirt",
                "quantity": line.quantity,
                "unitPrice": money(line.price),
                "taxRate": "0.25",
            }
            for line in content.lines
        ],
        "shipments": [
            {"status": planned.status.value, "capture": planned.capture, "lines": dict(planned.pieces)}
            for planned in content.shipments
        ],
    }


def _told(told: Told) -> dict[str, Any]:
    return _given(
        {
            "tracking": told.tracking,
            "carrier": told.carrier,
            "packages": told.packages,
            "internalComment": told.comment,
            "sendEmail": told.notify,
        }
    )


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _value(value: Any) -> object:
    return tuple(value) if isinstance(value, list) else value


def pieces_of(products: dict[str, int] | None) -> Pieces:
    return tuple(sorted((products or {}).items()))

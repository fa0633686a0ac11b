"""The words of the two contracts: what a caller is told, by the reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from tests.model.world import ANY, Answer, Order, Shipment, Status


class Why(Enum):
    """Why a call is refused."""

    NO_ORDER = auto()
    NO_SHIPMENT = auto()
    SHIPPED = auto()
    NOT_RELEASED = auto()
    ORDER_HELD = auto()
    PIECES = auto()
    FIXED_BY_MONEY = auto()
    FIXED_BY_NOTHING_DUE = auto()
    DECLINED = auto()
    OUTCOME_UNKNOWN = auto()
    PROVIDER_AWAY = auto()
    UNSUPPORTED = auto()


# Our own wording is not the model's business; what a contract spells out is.
ORDER_API: Mapping[Why, str] = {
    Why.NO_ORDER: "order does not exist",
    Why.SHIPPED: "shipment is sent and can not be updated",
    Why.FIXED_BY_MONEY: "shipment is captured and can not be updated",
    Why.FIXED_BY_NOTHING_DUE: "shipment is paid and can not be updated",
}
CREATE = {**ORDER_API, **dict.fromkeys((Why.DECLINED, Why.OUTCOME_UNKNOWN, Why.UNSUPPORTED), "can not capture order")}
COMPLETE = {**ORDER_API, **dict.fromkeys((Why.DECLINED, Why.OUTCOME_UNKNOWN, Why.UNSUPPORTED), "capture failed")}
CAPTURE = {
    **COMPLETE,
    Why.UNSUPPORTED: (
        "Action not supported by external payment plugin. Please do that action in your payment provider."
    ),
}
REMOVE = {
    **ORDER_API,
    Why.SHIPPED: ANY,
    **dict.fromkeys(
        (Why.FIXED_BY_MONEY, Why.FIXED_BY_NOTHING_DUE),
        "shipment has invoices or creditnotes and could not be deleted.",
    ),
}

_COMPLETION_STATUS = {
    Why.NO_SHIPMENT: 404,
    Why.SHIPPED: 409,
    Why.NOT_RELEASED: 400,
    Why.ORDER_HELD: 400,
    Why.DECLINED: 500,
    Why.OUTCOME_UNKNOWN: 500,
    Why.PROVIDER_AWAY: 503,
    Why.UNSUPPORTED: 503,
}


def _answer(status: int, /, **body: object) -> Answer:
    return Answer(status, tuple(sorted(body.items())))


# What a call that was cut off is answered, if at all.
AWAY_API = _answer(503, error=ANY)


def away_order_api(**subject: object) -> Answer:
    return _answer(503, status="no", msg=ANY, **subject)


def no(why: Why, messages: Mapping[Why, str], **subject: object) -> Answer:
    """A refusal of the Order API: 200 and `no`, unless the service could not even try."""
    if why is Why.PROVIDER_AWAY:
        return away_order_api(**subject)
    return _answer(200, status="no", msg=messages.get(why, ANY), **subject)


def ok(order: Order, shipment: Shipment | int, **more: object) -> Answer:
    n = shipment if isinstance(shipment, int) else shipment.n
    return _answer(200, status="ok", order=int(order.number), shipment=f"{order.number}-{n}", **more)


def about(order: Order, n: int) -> dict[str, object]:
    """How refusals of the Order API name the shipment."""
    return {"order": int(order.number), "shipment": f"{order.number}-{n}"}


def error(why: Why, number: str) -> Answer:
    """A failure of the Shipment Completion API."""
    text = f"Shipment not found: {number}" if why is Why.NO_SHIPMENT else ANY
    return _answer(_COMPLETION_STATUS[why], error=text)


def completed(order: Order, n: int) -> Answer:
    """The success of the Shipment Completion API."""
    return _answer(
        200,
        shipmentNumber=f"{order.number}-{n}",
        orderNumber=order.number,
        status="SHIPPED",
        message="Shipment completed successfully.",
    )


def taken_in(order: Order, outcome: str) -> Answer:
    """The success of the order intake."""
    shipments = tuple(f"{order.number}-{each.n}" for each in order.shipments if each.status is not Status.PROVISIONAL)
    return _answer(201 if outcome == "created" else 200, orderNumber=order.number, status=outcome, shipments=shipments)


CONFLICT = _answer(409, error=ANY)
KEY_OF_ANOTHER_REQUEST = _answer(422, status="no", msg=ANY)
DONE = Answer(0)

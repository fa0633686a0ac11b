"""The OpenAPI document of the order intake."""

from __future__ import annotations

from typing import Any

from openapi_pydantic import Operation, Parameter, PathItem, Tag

from schemas.openapi import (
    SECURITY_SCHEMES,
    common_errors,
    document,
    error,
    json_request,
    json_response,
    request_headers,
)
from schemas.order_answers import IntakeAnswer, OrderAnswer
from schemas.orders import IntakeOrder
from schemas.paths import ORDERS_BASE

_CREATED = {"orderNumber": "100001", "status": "created", "shipments": ["100001-1"]}
_NOT_ON_GET = {"408", "413", "415"}


def order_intake_document(version: str) -> dict[str, Any]:
    """Return the document of PUT and GET of orders."""
    order_number = Parameter.model_validate(
        {
            "name": "orderNumber",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
            "example": "100001",
        }
    )
    security: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
    put = Operation(
        tags=["Orders"],
        operationId="putOrder",
        summary="Send an order in",
        description=(
            "Idempotent by content: the same order again answers `unchanged`. Until a shipment exists everything may"
            " change. Afterwards only the payment's authorization may, while no capture of the order is pending or"
            " made by it; anything else is 409 and says what differs. Needs the scope `orders:write`."
        ),
        parameters=[*request_headers(), order_number],
        requestBody=json_request(IntakeOrder, "Unknown fields are ignored. At most 1 MiB."),
        responses={
            "200": json_response(
                IntakeAnswer, "The order existed.", {"unchanged": {**_CREATED, "status": "unchanged"}}
            ),
            "201": json_response(IntakeAnswer, "The order was created.", {"created": _CREATED}),
            "400": error("The body or a field is not what is expected.", line="lines[0].quantity: Field required"),
            "409": error("The order exists and may no longer change so.", conflict="lines[0].quantity: 2 -> 3"),
            "500": error("Something failed on our side; nothing was changed.", bug="Internal server error."),
            **common_errors(limit="1 MiB"),
        },
        security=security,
    )
    get = Operation(
        tags=["Orders"],
        operationId="getOrder",
        summary="Read an order",
        description="The order as it was sent in, its shipments and what was captured. Needs the scope `orders:read`.",
        parameters=[*request_headers(), order_number],
        responses={
            "200": json_response(OrderAnswer, "The order as it stands."),
            "404": error("No order has this number.", not_found="Order not found: 100001"),
            "500": error("Something failed on our side.", bug="Internal server error."),
            **{status: answer for status, answer in common_errors().items() if status not in _NOT_ON_GET},
        },
        security=security,
    )
    return document(
        title="Waybill: order intake",
        version=version,
        description="Brings orders in and shows how far they have come.",
        tags=[Tag(name="Orders")],
        paths={f"{ORDERS_BASE}/{{orderNumber}}": PathItem(put=put, get=get)},
    )

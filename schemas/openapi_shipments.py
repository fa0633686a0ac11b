"""The OpenAPI document of the Shipment Completion API, and of our own bulk request beside the contract's call."""

from __future__ import annotations

import json
from typing import Any

from openapi_pydantic import Example, MediaType, Operation, PathItem, RequestBody, Schema, Tag
from openapi_pydantic.util import PydanticSchema

from schemas.openapi import (
    SECURITY_SCHEMES,
    common_errors,
    document,
    error,
    json_request,
    json_response,
    request_headers,
)
from schemas.paths import SHIPMENTS_BASE
from schemas.shipment_completion import (
    MOST_ROWS,
    CompleteShipmentRequest,
    CompleteShipmentResponse,
    CompleteShipmentsRequest,
    CompleteShipmentsResponse,
)

_LINES = "application/x-ndjson"
_RESULTS = [
    {"row": 2, "shipmentNumber": "100001-2", "status": 409, "error": "Shipment already completed: 100001-2"},
    {"row": 1, "shipmentNumber": "100001-1", "status": 200, "orderNumber": "100001"},
]


def shipment_completion_document(version: str) -> dict[str, Any]:
    """Return the document of the Shipment Completion API."""
    return document(
        title="Waybill: Shipment Completion API",
        version=version,
        description="Marks order shipments as complete.",
        tags=[Tag(name="Shipments")],
        paths={
            f"{SHIPMENTS_BASE}/complete-shipment": PathItem(post=_complete_one()),
            f"{SHIPMENTS_BASE}/complete-shipments": PathItem(post=_complete_many()),
        },
    )


def _complete_one() -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="completeShipment",
        summary="Mark a shipment as complete",
        description=(
            "Captures the shipment's payment, sets the shipment to SHIPPED, records the tracking number and publishes"
            " `order-shipment-shipped` on the topic `VirtualTopic.ep.orders`. The customer's mail follows"
            " asynchronously. Needs the scope `shipments:complete`.\n\n"
            "Safe to repeat: 409 is sent only once the shipment is SHIPPED, so a caller may treat it as done. After a"
            " 500 or 503, or without an answer, repeat the same request; the payment is captured once however often"
            " it is repeated."
        ),
        parameters=request_headers(),
        requestBody=json_request(CompleteShipmentRequest, "Unknown fields are ignored. At most 64 KiB."),
        responses={
            "200": json_response(
                CompleteShipmentResponse,
                "The shipment was completed by this call.",
                {
                    "completed": {
                        "shipmentNumber": "100001-1",
                        "orderNumber": "100001",
                        "status": "SHIPPED",
                        "message": "Shipment completed successfully.",
                    }
                },
            ),
            "400": error(
                "shipmentNumber is missing or blank, the body or a field is not what is expected (the message names"
                " it), or the shipment is not in RELEASED status.",
                missing="shipmentNumber: Field required",
                not_released="Shipment is not in RELEASED status: 100001-1 is ONHOLD",
            ),
            "404": error("No shipment has this number.", not_found="Shipment not found: 100001-1"),
            "409": error(
                "The shipment is SHIPPED already, also when a concurrent request completed it first.",
                shipped="Shipment already completed: 100001-1",
            ),
            "500": error(
                "The payment could not be captured, or something failed on our side; the shipment is unchanged. The"
                " cause is in the server's log under the request id.",
                capture="The shipment could not be completed.",
            ),
            **common_errors(),
        },
        security=[{name: []} for name in SECURITY_SCHEMES],
    )


def _complete_many() -> Operation:
    answered = json_response(
        CompleteShipmentsResponse,
        "The rows were taken; each has one result, with the status and the words of the single call. The answer is sent"
        " while it comes about, in the form of the request.",
        {"results": {"results": _RESULTS}},
    )
    answered.content = {**(answered.content or {}), _LINES: _lines(*_RESULTS)}
    return Operation(
        tags=["Shipments"],
        operationId="completeShipments",
        summary="Mark many shipments as complete",
        description=(
            f"Up to {MOST_ROWS} shipments in one request, as JSON or as one row per line. Each row is decided by itself"
            " and keeps every promise of the single call: its payment is captured once, its event is published, and its"
            " result is sent only after the commit. One that fails changes nothing for the others, whose results do not"
            " wait for it: they come as they are decided, in no promised order, and `row` says which is which. Rows of"
            " one shipment are done in turn.\n\n"
            "Safe to repeat: whoever got no result for a row, or 500 or 503, sends it again; a shipment that has left"
            " meanwhile is answered with 409. While a process stops, rows that it has not begun are answered with 503."
            " Counts as one call against a rate limit. Needs the scope `shipments:complete`."
        ),
        parameters=request_headers(),
        requestBody=RequestBody(
            required=True,
            description="Unknown fields are ignored, as are blank lines. At most 4096 KiB.",
            content={
                "application/json": MediaType(schema=PydanticSchema(schema_class=CompleteShipmentsRequest)),
                _LINES: _lines(
                    {"shipmentNumber": "100001-1", "carrierTrackingNumber": "1Z999AA10123456784"},
                    {"shipmentNumber": "100001-2"},
                ),
            },
        ),
        responses={
            "200": answered,
            "400": error(
                f"The body as a whole is not what is expected: no rows, or more than {MOST_ROWS}. Nothing was changed.",
                missing="shipments: Field required",
            ),
            "500": error("Something failed on our side; nothing was changed.", bug="Internal server error."),
            **common_errors(limit="4096 KiB", content_type=f"application/json or {_LINES}"),
        },
        security=[{name: []} for name in SECURITY_SCHEMES],
    )


def _lines(*rows: dict[str, Any]) -> MediaType:
    """Return a body of JSON lines, of which a schema can say no more than that it is some text."""
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    return MediaType(schema=Schema(type="string", pattern=r"\S"), examples={"lines": Example(value=text)})

"""The Order API's writing calls, as OpenAPI describes them."""

from __future__ import annotations

from openapi_pydantic import Operation

from schemas import order_api_examples as examples
from schemas.openapi import json_request
from schemas.openapi_order_api_parts import SECURITY, Answers, parameters, without_400
from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from schemas.order_api_results import ShipmentCreated, ShipmentDone, ShipmentRemoved

_SCOPE = "shipments:write"
_BODY = "Unknown fields are ignored. At most 64 KiB."


def complete(answers: Answers, operation_id: str) -> Operation:
    """Describe `PUT` and `POST /shipment`."""
    return Operation(
        tags=["Shipments"],
        operationId=operation_id,
        summary="Complete a shipment",
        description=(
            "The shipment has left: captures its payment unless that was done, records how it left, and lets the"
            " customer be mailed. The call implies good-to-go and shipped. The same content again is `ok` again without"
            f" a second effect. PUT and POST mean the same. Needs the scope `{_SCOPE}`."
        ),
        parameters=parameters(body=True),
        requestBody=json_request(CompleteRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentDone,
                "The shipment is sent, or `no`.",
                {
                    "done": examples.DONE,
                    "captureFailed": examples.CAPTURE_FAILED,
                    "unknown": examples.refused("shipment does not exist"),
                    "otherContent": examples.refused("shipment is sent and can not be updated"),
                },
            ),
            **answers.errors(_SCOPE, body=True, wrong="shipment: Field required"),
        },
        security=SECURITY,
    )


def create(answers: Answers) -> Operation:
    """Describe `POST /shipments`."""
    return Operation(
        tags=["Shipments"],
        operationId="createShipment",
        summary="Create a shipment",
        description=(
            "Takes pieces of an order, never more than were ordered, and by default captures their amount; with the"
            " first captured shipment goes the order's shipping cost. If the capture is refused, nothing is created."
            f" The same selection again returns the same shipment. Needs the scope `{_SCOPE}`."
        ),
        parameters=parameters(body=True),
        requestBody=json_request(CreateRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentCreated,
                "The shipment of the request, or `no`. Links to documents are there where the service has a secret to"
                " sign them with; they expire.",
                {
                    "created": examples.CREATED,
                    "noOrder": examples.NO_ORDER,
                    "noCapture": examples.NO_CAPTURE,
                },
            ),
            **answers.errors(_SCOPE, body=True, wrong="products: Field required"),
        },
        security=SECURITY,
    )


def update(answers: Answers) -> Operation:
    """Describe `PUT /shipments/<id>`."""
    return Operation(
        tags=["Shipments"],
        operationId="updateShipment",
        summary="Change a shipment",
        description=(
            "Sets good-to-go, the pieces, or both. Pieces are fixed once they are captured."
            f" Needs the scope `{_SCOPE}`."
        ),
        parameters=parameters(body=True, path=True),
        requestBody=json_request(UpdateRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentDone,
                "The shipment is as was asked for, or `no`.",
                {
                    "done": examples.DONE,
                    "sent": examples.refused("shipment is sent and can not be updated"),
                    "paid": examples.refused("shipment is paid and can not be updated"),
                    "captured": examples.refused("shipment is captured and can not be updated"),
                },
            ),
            **answers.errors(_SCOPE, body=True, wrong="gtg: expected true or false"),
        },
        security=SECURITY,
    )


def remove(answers: Answers) -> Operation:
    """Describe `DELETE /shipments/<id>`."""
    return Operation(
        tags=["Shipments"],
        operationId="removeShipment",
        summary="Remove a shipment",
        description=(
            "Gives its pieces back to the order. Neither a sent shipment nor a captured one can be removed. Its number"
            f" is never used again. Needs the scope `{_SCOPE}`."
        ),
        parameters=parameters(body=False, path=True),
        responses={
            "200": answers.done(
                ShipmentRemoved,
                "The shipment is removed, or `no`.",
                {
                    "removed": {**examples.DONE, "msg": "shipment removed"},
                    "captured": examples.refused("shipment has invoices or creditnotes and could not be deleted."),
                    "unknown": examples.refused("shipment does not exist"),
                },
            ),
            **without_400(answers.errors(_SCOPE, body=False, wrong="")),
        },
        security=SECURITY,
    )


def capture(answers: Answers) -> Operation:
    """Describe `PUT /capture`."""
    return Operation(
        tags=["Shipments"],
        operationId="captureShipment",
        summary="Capture a shipment's amount",
        description=f"Now, unless that has been done; then it is `ok` as well. Needs the scope `{_SCOPE}`.",
        parameters=parameters(body=True),
        requestBody=json_request(CaptureRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentDone,
                "The amount is captured, or `no`.",
                {
                    "done": examples.DONE,
                    "captureFailed": examples.CAPTURE_FAILED,
                    "notHere": examples.refused(
                        "Action not supported by external payment plugin. Please do that action in your payment"
                        " provider."
                    ),
                },
            ),
            **answers.errors(_SCOPE, body=True, wrong="shipment: Field required"),
        },
        security=SECURITY,
    )

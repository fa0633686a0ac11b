"""The OpenAPI document of the Order API, reading and writing calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openapi_pydantic import Operation, PathItem, Tag

from schemas import order_api_examples as examples
from schemas.openapi import SECURITY_SCHEMES, document, json_request
from schemas.openapi_order_api_parts import Answers, parameters, parcels
from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from schemas.order_api_answers import OrderList, ShipmentList
from schemas.order_api_queries import OrdersQuery, ShipmentsQuery
from schemas.order_api_results import ShipmentCreated, ShipmentDone, ShipmentRemoved

_ABOUT = """A call that was understood is answered with 200: `status` is `ok`, or `no` with the reason in `msg`, and
then nothing was changed. Only what is wrong with the request itself, with the key or with the service has another
status.

`xml` in the query or in the body asks for the same answer as XML: one root element `response`, an element per field, a
list as one element with a child per entry. Booleans are taken as `true`, `1` and `"1"`, numbers also as text, paths
also with a slash at their end. Unknown fields are ignored. Dates are `YYYY-MM-DD HH:MM:SS` in the time zone of the
order's store, amounts decimal text in the order's currency.

All calls work on the same shipments, captures and events as the Shipment Completion API."""

_BODY = "Unknown fields are ignored. At most 64 KiB."
_SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
_READ_ORDERS, _READ_SHIPMENTS, _WRITE = "orders:read", "shipments:read", "shipments:write"


def order_api_document(version: str, *, prefix: str, as_xml: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    """Return the document of the calls below `prefix`; `as_xml` encodes the examples as the service does."""
    answers = Answers(as_xml)
    return document(
        title="Waybill: Order API",
        version=version,
        description=_ABOUT,
        tags=[Tag(name="Orders"), Tag(name="Shipments")],
        paths={
            f"{prefix}/orders": PathItem(get=_list_orders(answers)),
            f"{prefix}/shipments": PathItem(get=_list_shipments(answers), post=_create(answers)),
            f"{prefix}/shipments/{{shipment}}": PathItem(
                get=_get_shipment(answers), put=_update(answers), delete=_remove(answers)
            ),
            f"{prefix}/shipment": PathItem(
                put=_complete(answers, "completeShipment"), post=_complete(answers, "completeShipmentByPost")
            ),
            f"{prefix}/capture": PathItem(put=_capture(answers)),
        },
    )


def _list_orders(answers: Answers) -> Operation:
    return Operation(
        tags=["Orders"],
        operationId="listOrders",
        summary="List orders",
        description=(
            "Oldest first, so that a page stays the same while orders come in. `lineId` of a product names it when a"
            " shipment is created. Times in the query without an offset are in the time zone of each order's store."
            f" Needs the scope `{_READ_ORDERS}`."
        ),
        parameters=parameters(body=False, query=OrdersQuery),
        responses={
            "200": answers.made(
                [OrderList], "A page of orders; empty behind the last one.", {"orders": examples.ORDERS}
            ),
            **answers.errors(_READ_ORDERS, body=False, wrong="limit: Input should be less than or equal to 500"),
        },
        security=_SECURITY,
    )


def _list_shipments(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="listShipments",
        summary="List shipments",
        description=f"Oldest first. Removed shipments are in no list. Needs the scope `{_READ_SHIPMENTS}`.",
        parameters=[*parameters(body=False, query=ShipmentsQuery), parcels()],
        responses={
            "200": answers.made(
                [ShipmentList], "A page of shipments; empty behind the last one.", {"shipments": examples.SHIPMENTS}
            ),
            **answers.errors(
                _READ_SHIPMENTS,
                body=False,
                wrong="status: Input should be 'goodtogo', 'inprogress' or 'completed'",
            ),
        },
        security=_SECURITY,
    )


def _get_shipment(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="getShipment",
        summary="Read a shipment",
        description=f"In whatever status, as a list of one. Needs the scope `{_READ_SHIPMENTS}`.",
        parameters=[*parameters(body=False, path=True), parcels()],
        responses={
            "200": answers.done(
                ShipmentList,
                "The shipment, or `no` where there is none.",
                {"shipment": examples.SHIPMENTS, "unknown": _refused("shipment does not exist")},
            ),
            **_without_400(answers.errors(_READ_SHIPMENTS, body=False, wrong="")),
        },
        security=_SECURITY,
    )


def _complete(answers: Answers, operation_id: str) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId=operation_id,
        summary="Complete a shipment",
        description=(
            "The shipment has left: captures its payment unless that was done, records how it left, and lets the"
            " customer be mailed. The call implies good-to-go and shipped. The same content again is `ok` again without"
            f" a second effect. PUT and POST mean the same. Needs the scope `{_WRITE}`."
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
                    "unknown": _refused("shipment does not exist"),
                    "otherContent": _refused("shipment is sent and can not be updated"),
                },
            ),
            **answers.errors(_WRITE, body=True, wrong="shipment: Field required"),
        },
        security=_SECURITY,
    )


def _create(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="createShipment",
        summary="Create a shipment",
        description=(
            "Takes pieces of an order, never more than were ordered, and by default captures their amount; with the"
            " first captured shipment goes the order's shipping cost. If the capture is refused, nothing is created."
            f" The same selection again returns the same shipment. Needs the scope `{_WRITE}`."
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
            **answers.errors(_WRITE, body=True, wrong="products: Field required"),
        },
        security=_SECURITY,
    )


def _update(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="updateShipment",
        summary="Change a shipment",
        description=(
            "Sets good-to-go, the pieces, or both. Pieces are fixed once they are captured."
            f" Needs the scope `{_WRITE}`."
        ),
        parameters=parameters(body=True, path=True),
        requestBody=json_request(UpdateRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentDone,
                "The shipment is as was asked for, or `no`.",
                {
                    "done": examples.DONE,
                    "sent": _refused("shipment is sent and can not be updated"),
                    "paid": _refused("shipment is paid and can not be updated"),
                    "captured": _refused("shipment is captured and can not be updated"),
                },
            ),
            **answers.errors(_WRITE, body=True, wrong="gtg: expected true or false"),
        },
        security=_SECURITY,
    )


def _remove(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="removeShipment",
        summary="Remove a shipment",
        description=(
            "Gives its pieces back to the order. Neither a sent shipment nor a captured one can be removed. Its number"
            f" is never used again. Needs the scope `{_WRITE}`."
        ),
        parameters=parameters(body=False, path=True),
        responses={
            "200": answers.done(
                ShipmentRemoved,
                "The shipment is removed, or `no`.",
                {
                    "removed": {**examples.DONE, "msg": "shipment removed"},
                    "captured": _refused("shipment has invoices or creditnotes and could not be deleted."),
                    "unknown": _refused("shipment does not exist"),
                },
            ),
            **_without_400(answers.errors(_WRITE, body=False, wrong="")),
        },
        security=_SECURITY,
    )


def _capture(answers: Answers) -> Operation:
    return Operation(
        tags=["Shipments"],
        operationId="captureShipment",
        summary="Capture a shipment's amount",
        description=f"Now, unless that has been done; then it is `ok` as well. Needs the scope `{_WRITE}`.",
        parameters=parameters(body=True),
        requestBody=json_request(CaptureRequest, _BODY),
        responses={
            "200": answers.done(
                ShipmentDone,
                "The amount is captured, or `no`.",
                {
                    "done": examples.DONE,
                    "captureFailed": examples.CAPTURE_FAILED,
                    "notHere": _refused(
                        "Action not supported by external payment plugin. Please do that action in your payment"
                        " provider."
                    ),
                },
            ),
            **answers.errors(_WRITE, body=True, wrong="shipment: Field required"),
        },
        security=_SECURITY,
    )


def _refused(message: str) -> dict[str, Any]:
    return {"status": "no", "msg": message, "order": 83651, "shipment": "83651-1"}


def _without_400(errors: dict[str, Any]) -> dict[str, Any]:
    return {status: error for status, error in errors.items() if status != "400"}

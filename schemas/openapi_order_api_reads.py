"""The Order API's reading calls, as OpenAPI describes them."""

from __future__ import annotations

from openapi_pydantic import Operation

from schemas import order_api_examples as examples
from schemas.openapi_order_api_parts import SECURITY, Answers, parameters, parcels, without_400
from schemas.order_api_answers import OrderList, ShipmentList
from schemas.order_api_queries import OrdersQuery, ShipmentsQuery

_ORDERS, _SHIPMENTS = "orders:read", "shipments:read"


def list_orders(answers: Answers) -> Operation:
    """Describe `GET /orders`."""
    return Operation(
        tags=["Orders"],
        operationId="listOrders",
        summary="List orders",
        description=(
            "Oldest first, so that a page stays the same while orders come in. `lineId` of a product names it when a"
            " shipment is created. Times in the query without an offset are in the time zone of each order's store."
            f" Needs the scope `{_ORDERS}`."
        ),
        parameters=parameters(body=False, query=OrdersQuery),
        responses={
            "200": answers.made(
                [OrderList], "A page of orders; empty behind the last one.", {"orders": examples.ORDERS}
            ),
            **answers.errors(_ORDERS, body=False, wrong="limit: Input should be less than or equal to 500"),
        },
        security=SECURITY,
    )


def list_shipments(answers: Answers) -> Operation:
    """Describe `GET /shipments`."""
    return Operation(
        tags=["Shipments"],
        operationId="listShipments",
        summary="List shipments",
        description=f"Oldest first. Removed shipments are in no list. Needs the scope `{_SHIPMENTS}`.",
        parameters=[*parameters(body=False, query=ShipmentsQuery), parcels()],
        responses={
            "200": answers.made(
                [ShipmentList], "A page of shipments; empty behind the last one.", {"shipments": examples.SHIPMENTS}
            ),
            **answers.errors(
                _SHIPMENTS,
                body=False,
                wrong="status: Input should be 'goodtogo', 'inprogress' or 'completed'",
            ),
        },
        security=SECURITY,
    )


def get_shipment(answers: Answers) -> Operation:
    """Describe `GET /shipments/<id>`."""
    return Operation(
        tags=["Shipments"],
        operationId="getShipment",
        summary="Read a shipment",
        description=f"In whatever status, as a list of one. Needs the scope `{_SHIPMENTS}`.",
        parameters=[*parameters(body=False, path=True), parcels()],
        responses={
            "200": answers.done(
                ShipmentList,
                "The shipment, or `no` where there is none.",
                {"shipment": examples.SHIPMENTS, "unknown": examples.refused("shipment does not exist")},
            ),
            **without_400(answers.errors(_SHIPMENTS, body=False, wrong="")),
        },
        security=SECURITY,
    )

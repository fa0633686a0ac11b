"""The OpenAPI document of the Order API, reading and writing calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openapi_pydantic import PathItem, Tag

from schemas.openapi import document
from schemas.openapi_order_api_parts import Answers
from schemas.openapi_order_api_reads import get_shipment, list_orders, list_shipments
from schemas.openapi_order_api_writes import capture, complete, create, remove, update

_ABOUT = """A call that was understood is answered with 200: `status` is `ok`, or `no` with the reason in `msg`, and
then nothing was changed. Only what is wrong with the request itself, with the key or with the service has another
status.

`xml` in the query or in the body asks for the same answer as XML: one root element `response`, an element per field, a
list as one element with a child per entry. Booleans are taken as `true`, `1` and `"1"`, numbers also as text, paths
also with a slash at their end. Unknown fields are ignored. Dates are `YYYY-MM-DD HH:MM:SS` in the time zone of the
order's store, amounts decimal text in the order's currency.

All calls work on the same shipments, captures and events as the Shipment Completion API."""


def order_api_document(version: str, *, prefix: str, as_xml: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    """Return the document of the calls below `prefix`; `as_xml` encodes the examples as the service does."""
    answers = Answers(as_xml)
    return document(
        title="Waybill: Order API",
        version=version,
        description=_ABOUT,
        tags=[Tag(name="Orders"), Tag(name="Shipments")],
        paths={
            f"{prefix}/orders": PathItem(get=list_orders(answers)),
            f"{prefix}/shipments": PathItem(get=list_shipments(answers), post=create(answers)),
            f"{prefix}/shipments/{{shipment}}": PathItem(
                get=get_shipment(answers), put=update(answers), delete=remove(answers)
            ),
            f"{prefix}/shipment": PathItem(
                put=complete(answers, "completeShipment"), post=complete(answers, "completeShipmentByPost")
            ),
            f"{prefix}/capture": PathItem(put=capture(answers)),
        },
    )

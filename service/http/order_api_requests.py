"""From a body of the Order API to what the domain takes."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from schemas.order_api import DepartureTold, ParcelTold
from schemas.problems import problems_of
from service.http.bodies import read_text
from service.http.order_api_answers import note_wish
from service.shipping.departure import Departure, Parcel
from service.shipping.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)

# Beyond it, readers of JSON that keep numbers as floating point would read another number.
MAX_JSON_INT = 2**53 - 1


async def read_request(request: web.Request, model: type[Model]) -> Model:
    """Return the body as `model` and remember whether it asks for XML.

    Raises `InvalidRequest` naming each wrong field, and what `read_text` raises.
    """
    try:
        content = from_json(await read_text(request), allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    note_wish(request, content)
    if not isinstance(content, dict):
        raise InvalidRequest("the body is not a JSON object")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest("; ".join(problems_of(error))) from None


def order_value(order_number: str) -> int | str:
    """Return an order's number as the contract writes it: an int wherever that says the same."""
    if order_number.isascii() and order_number.isdecimal() and len(order_number) <= len(str(MAX_JSON_INT)):
        value = int(order_number)
        if str(value) == order_number and value <= MAX_JSON_INT:
            return value
    return order_number


def departure_of(told: DepartureTold, *, comment: str | None = None) -> Departure:
    """Return how the shipment left. Raises `InvalidRequest` where the fields contradict each other."""
    return Departure(
        parcels=_parcels(told),
        packages=told.packages,
        return_slip_tracking=told.return_slip_tracking,
        comment=comment,
        notify=told.send_email,
    )


def _parcels(told: DepartureTold) -> tuple[Parcel, ...]:
    first, *others = told.parcels or [ParcelTold()]
    for name, beside, listed in (
        ("tracking", told.number, first.number),
        ("trackingUrl", told.tracking_url, first.tracking_url),
    ):
        if beside and listed and beside != listed:
            raise InvalidRequest(f"{name}: differs from that of parcels[0]")
    parcels = [
        Parcel(
            first.carrier or told.carrier,
            first.service or told.service,
            first.number or told.number,
            first.tracking_url or told.tracking_url,
        ),
        *(
            Parcel(other.carrier or told.carrier, other.service or told.service, other.number, other.tracking_url)
            for other in others
        ),
    ]
    # Nothing is known of a single parcel: then none is told of.
    return () if parcels == [Parcel()] else tuple(parcels)

"""Answers of the Order API's writing calls, and its refusals."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ShipmentDone(_Wire):
    """What was asked for is so now; also when an earlier call had done it."""

    status: Literal["ok"]
    order: int | str = Field(
        description="the order's number: a number, or text where that says more, such as `A-17` or `007`",
        examples=[83651],
    )
    shipment: str = Field(description="the shipment's number, `<order>-<n>`", examples=["83651-1"])


class ShipmentCreated(ShipmentDone):
    """The shipment of the request, and its documents."""

    delivery_note: str | SkipJsonSchema[None] = Field(None, description="URL to a PDF delivery note for the shipment.")
    proforma: str | SkipJsonSchema[None] = Field(None, description="URL to a PDF proforma for the shipment.")
    invoice: str | SkipJsonSchema[None] = Field(
        None, description="URL to a PDF invoice for the shipment. Only set if an invoice exists."
    )


class ShipmentRemoved(ShipmentDone):
    """The shipment is gone; its pieces can be put on another."""

    msg: Literal["shipment removed"]


class Refusal(_Wire):
    """What was asked for is not done, and nothing was changed."""

    status: Literal["no"]
    msg: str = Field(description="why", examples=["capture failed"])
    order: int | str | SkipJsonSchema[None] = Field(
        None, description="as sent, where the call was about an order", examples=[83651]
    )
    shipment: str | SkipJsonSchema[None] = Field(None, description="where the call was about a shipment")


class NotAllowed(_Wire):
    """The key may not make this call."""

    status: Literal["Not Allowed"]

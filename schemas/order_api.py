"""Bodies of the Order API's writing calls (references: Order API, "Complete shipment" and "Create shipment").

One model for both ages of the contract. Fields that it does not know are ignored.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.order_api_fields import (
    Flag,
    Identifier,
    OptionalComment,
    OptionalName,
    OptionalNumber,
    OptionalUrl,
    Packages,
    Products,
)

MAX_PARCELS: Final = 100

_XML = "Answer in XML instead of JSON."


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ParcelTold(_Body):
    """One parcel, as far as the caller knows it."""

    carrier: OptionalName = Field(None, description="Carrier used for shipping.", examples=["Fedex"])
    service: OptionalName = Field(None, description="Service level used for shipping.", examples=["Express"])
    tracking: OptionalNumber = Field(None, description="Tracking number.", examples=["TRTTET5"])
    tracking_number: OptionalNumber = Field(None, description="Another name of `tracking`, which wins.")
    tracking_url: OptionalUrl = Field(
        None, description="Tracking page, http or https. Left out: the carrier's own, where the carrier is known."
    )

    @property
    def number(self) -> str | None:
        """The tracking number, by whichever name it came."""
        return self.tracking or self.tracking_number


class DepartureTold(ParcelTold):
    """How a shipment left. The fields of a parcel describe the first one."""

    packages: Packages = Field(None, description="Number of packages in the shipment; 0 is not known.", examples=[1])
    return_slip_tracking: OptionalNumber = Field(None, description="Return slip tracking number.")
    send_email: Flag = Field(
        None,
        description="Whether to mail the customer. Left out: the store's setting “Send Shipping Confirmation”.",
    )
    parcels: list[ParcelTold] = Field(
        [],
        max_length=MAX_PARCELS,
        description="Every parcel, where there are several. `carrier` and `service` beside it hold for parcels that"
        " name none.",
    )


class ShipmentRequest(_Body):
    """Names a shipment."""

    shipment: Identifier = Field(description="The shipment's number, `<order>-<n>`.", examples=["83651-1"])
    order: OptionalName = Field(None, description="The order's number; must be the shipment's, if sent.")
    xml: Flag = Field(None, description=_XML)


class CompleteRequest(ShipmentRequest, DepartureTold):
    """The shipment that has left. The call itself implies good-to-go and shipped."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "shipment": "83651-1",
                    "carrier": "Fedex",
                    "service": "Express",
                    "packages": 1,
                    "trackingNumber": "TRTTET5",
                    "capture": 1,
                }
            ]
        }
    )

    capture: Flag = Field(
        None,
        description="Default: true, unless the order was sent in with `capture: false` for the shipment. Try to"
        " capture. Ignored if the capture was already made earlier for the shipment.",
        examples=[1],
    )
    internal_comment: OptionalComment = Field(None, description="Appended to the shipment's internal comment.")
    gtg: Flag = Field(None, description="Implied.")
    shipped: Flag = Field(None, description="Implied.")


class CreateRequest(DepartureTold):
    """The pieces that are to be shipped together. How they left counts only where `shipped` is true."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order": 83651, "products": {"43243": 1, "43244": 2}}]})

    order: Identifier = Field(description="The order's number, also as a number.", examples=[83651])
    products: Products = Field(description="Quantities by `lineId` of the order.", examples=[{"43243": 1, "43244": 2}])
    gtg: Flag = Field(None, description="Default: false. Good to go.")
    capture: Flag = Field(
        None, description="Default: true. Capture the shipment's amount; if that is refused, nothing is created."
    )
    shipped: Flag = Field(None, description="Default: false. The shipment has left already.")
    create_always: Flag = Field(
        None,
        description="Default: false, so that a shipment of the order with the same products that is not sent yet is"
        " returned instead of a second one. True makes another one each time.",
    )
    deduct_previous_costs: Flag = Field(
        None, description="Accepted and always done: an order's shipping cost is captured once."
    )
    xml: Flag = Field(None, description=_XML)


class UpdateRequest(_Body):
    """What is to change. What is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"gtg": True, "products": {"43243": 1}}]})

    gtg: Flag = Field(None, description="Good to go, or not any more.")
    products: Products | None = Field(None, description="All pieces of the shipment, by `lineId`.")
    xml: Flag = Field(None, description=_XML)


class CaptureRequest(ShipmentRequest):
    """The shipment whose amount is to be captured."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"shipment": "83651-1"}]})

"""Bodies of the Shipment Completion API (reference: Shipment Completion API, "Request Body" and "Response")."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from schemas.field_schemas import PERHAPS_BLANK, VISIBLE
from schemas.fields import CONTROL

# Of one bulk request.
MOST_ROWS = 10_000


def _no_control_characters(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("must not contain control characters")
    return value


def _not_blank(value: str) -> str:
    if not value:
        raise ValueError("must not be blank")
    return value


def _blank_is_none(value: str | None) -> str | None:
    return value or None


Line = Annotated[str, StringConstraints(strip_whitespace=True, strict=True), AfterValidator(_no_control_characters)]
TrackingNumber = Annotated[
    str,
    StringConstraints(strip_whitespace=True, strict=True, max_length=255),
    AfterValidator(_no_control_characters),
    WithJsonSchema({"type": "string", "maxLength": 255, "pattern": PERHAPS_BLANK}),
]


class CompleteShipmentRequest(BaseModel):
    """The shipment that has left. Fields that the contract does not know are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"shipmentNumber": "100001-1", "carrierTrackingNumber": "1Z999AA10123456784"}]}
    )

    shipmentNumber: Annotated[Line, AfterValidator(_not_blank)] = Field(  # noqa: N815 - the contract's spelling
        description="The shipment number of the order shipment to complete. It must be in RELEASED status.",
        examples=["100001-1"],
        json_schema_extra={"minLength": 1, "pattern": VISIBLE},
    )
    carrierTrackingNumber: Annotated[TrackingNumber | None, AfterValidator(_blank_is_none)] = Field(  # noqa: N815
        None,
        description="The carrier's tracking number to record on the shipment. Blank counts as not supplied.",
        examples=["1Z999AA10123456784"],
    )


class CompleteShipmentResponse(BaseModel):
    """The shipment that this call completed."""

    shipmentNumber: str = Field(  # noqa: N815
        description="The shipment number that was completed.", examples=["100001-1"]
    )
    orderNumber: str = Field(  # noqa: N815
        description="The order number associated with the completed shipment.", examples=["100001"]
    )
    status: Literal["SHIPPED"] = Field("SHIPPED", description="The new status of the shipment.")
    message: str = Field(
        "Shipment completed successfully.",
        description="A human-readable result message.",
        examples=["Shipment completed successfully."],
    )


class CompleteShipmentsRequest(BaseModel):
    """Shipments that have left. A row that is not as it should be does not keep the others from being completed."""

    shipments: Annotated[list[CompleteShipmentRequest], Field(min_length=1, max_length=MOST_ROWS)]


class RowResult(BaseModel):
    """What became of one row: what the single call would answer. What does not apply is left out."""

    row: int = Field(ge=1, description="Which row of the request, from 1.", examples=[1])
    shipmentNumber: str | None = Field(  # noqa: N815
        None, description="As the row says; left out where that could not be read.", examples=["100001-1"]
    )
    status: Literal[200, 400, 404, 409, 500, 503] = Field(description="200: the shipment was completed by this row.")
    orderNumber: str | None = Field(  # noqa: N815
        None, description="With 200: the order of the completed shipment.", examples=["100001"]
    )
    error: str | None = Field(None, description="With any other status: what the single call says.")
    retryAfter: int | None = Field(  # noqa: N815
        None, ge=1, description="With 503: seconds to wait before the row is sent again."
    )


class CompleteShipmentsResponse(BaseModel):
    """One result for each row, in no particular order."""

    results: list[RowResult]


class ErrorResponse(BaseModel):
    """What went wrong, for a person."""

    error: str = Field(examples=["Shipment not found: 100001-1"])

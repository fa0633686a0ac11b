"""Events on the topic `VirtualTopic.ep.orders`. Fields are only ever added.

The envelope (`eventType`, `guid`, `data`) is the published contract's; `guid` is the shipment's number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel


class EventType(StrEnum):
    """CloudEvents type and routing key of an event."""

    SHIPMENT_CREATED = "order-shipment-created"
    SHIPMENT_RELEASED = "order-shipment-released"
    SHIPMENT_SHIPPED = "order-shipment-shipped"
    SHIPMENT_CANCELLED = "order-shipment-cancelled"

    @property
    def contract_name(self) -> str:
        """Return the name inside the body's `eventType`, for example `ORDER_SHIPMENT_SHIPPED`."""
        return self.value.upper().replace("-", "_")

    @property
    def schema_id(self) -> str:
        """Return the name of its body's JSON Schema, as in `ce-dataschema`.

        A URN: CloudEvents wants an absolute URI, and we do not know our host.
        """
        return f"urn:waybill:schema:{self.value}:1"


def _utc_milliseconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


UtcTime = Annotated[datetime, PlainSerializer(_utc_milliseconds, return_type=str, when_used="json")]

_CONFIG = ConfigDict(
    alias_generator=to_camel,
    populate_by_name=True,
    frozen=True,
    # What we publish has every field, so the published schema promises every field.
    json_schema_serialization_defaults_required=True,
)


# Plain dataclasses, which pydantic reads, writes and describes like its own models. One that is made of our own rows,
# as nearly all are, is not checked again for what the types and the tables say.


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """Pieces of one order line on the shipment."""

    __pydantic_config__ = _CONFIG

    line_id: str
    sku: str
    quantity: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventParcel:
    """One parcel of the shipment; what is null is not known."""

    __pydantic_config__ = _CONFIG

    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentData:
    """The shipment right after what the event tells. It carries no customer address, by design."""

    __pydantic_config__ = _CONFIG

    order_number: str
    shipment_number: str
    store: str
    status: str
    shipped_at: Annotated[UtcTime | None, Field(description="UTC, milliseconds; set once the shipment is SHIPPED")] = (
        None
    )
    carrier: str | None = None
    service: str | None = None
    packages: Annotated[int | None, Field(ge=0, description="number of packages, when known")] = None
    carrier_tracking_number: str | None = None
    tracking_url: str | None = None
    parcels: Annotated[
        list[EventParcel],
        Field(
            description="every parcel; carrier, service, carrierTrackingNumber and trackingUrl are those of the first",
            json_schema_extra={"default": []},
        ),
    ] = field(default_factory=list)
    lines: list[EventLine]
    notify_customer: Annotated[bool, Field(description="whether the customer is to be mailed about this event")]
    sequence: Annotated[int, Field(gt=0, description="1 for the shipment's first event, then one more each")]


class ContractEventType(BaseModel):
    """The published contract's event type."""

    model_config = ConfigDict(populate_by_name=True, frozen=True, json_schema_serialization_defaults_required=True)

    class_: Literal["OrderEvent"] = Field("OrderEvent", alias="@class")
    name: str


class ShipmentEvent(BaseModel):
    """Body of every event, UTF-8 JSON."""

    model_config = _CONFIG

    event_type: ContractEventType
    guid: str = Field(description="the shipment's number")
    data: ShipmentData


def shipment_event(kind: EventType, data: ShipmentData) -> ShipmentEvent:
    """Wrap `data` in the contract's envelope."""
    return ShipmentEvent(event_type=_contract_event_type(kind), guid=data.shipment_number, data=data)


@cache
def _contract_event_type(kind: EventType) -> ContractEventType:
    return ContractEventType(name=kind.contract_name)

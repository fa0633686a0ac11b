"""Events that other systems publish on the topic `VirtualTopic.ep.orders` to bring orders in. Waybill reads them.

The envelope is the published contract's; `guid` is the order's number and `data` the body of the order intake.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from schemas.fields import Code
from schemas.orders import IntakeOrder
from schemas.problems import NAMES_ITS_FIELDS


class OrderEventType(StrEnum):
    """Routing key of an event about a whole order."""

    CREATED = "order-created"
    RELEASED = "order-released"


_KINDS = {
    "ORDER_CREATED": OrderEventType.CREATED,
    "ORDER_RELEASED": OrderEventType.RELEASED,
}


class OrderEventName(BaseModel):
    """The published contract's event type."""

    model_config = ConfigDict(frozen=True)

    class_: Literal["OrderEvent"] = Field("OrderEvent", alias="@class")
    name: Literal["ORDER_CREATED", "ORDER_RELEASED"]


class OrderEvent(BaseModel):
    """Body of an event about a whole order, UTF-8 JSON. Unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    event_type: OrderEventName
    guid: Code = Field(description="the order's number")
    data: IntakeOrder = Field(description="the whole order; orderNumber may be left out")

    @property
    def kind(self) -> OrderEventType:
        """What the event tells. The body says it: a message that was retried has lost its routing key."""
        return _KINDS[self.event_type.name]

    @property
    def order(self) -> IntakeOrder:
        """The order with its number."""
        return self.data.model_copy(update={"order_number": self.guid})

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = []
        if self.data.order_number not in {None, self.guid}:
            problems.append("guid, data.orderNumber: expected the same number")
        if self.kind is OrderEventType.RELEASED and self.data.status == "ONHOLD":
            problems.append("data.status: a released order is not ONHOLD")
        if self.kind is OrderEventType.RELEASED and self.data.waiting_for_payment:
            problems.append("data.waitingForPayment: a released order is not waiting for its payment")
        if problems:
            raise PydanticCustomError(NAMES_ITS_FIELDS, "{problems}", {"problems": "; ".join(problems)})
        return self

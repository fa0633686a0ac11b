"""Order intake: the body of `PUT /integration/api/orders/v1/orders/{orderNumber}` and a line of an import file.

Unknown fields are ignored. Numbers may be sent as text and identifiers as numbers.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from schemas.field_schemas import MAX_QUANTITY, pieces_schema
from schemas.fields import (
    Amount,
    Authorization,
    Code,
    Country,
    Currency,
    Email,
    LineId,
    LocaleTag,
    LongText,
    OptionalText,
    Provider,
    Quantity,
    Rate,
    Sku,
    Switch,
    Text,
    blank_as_none,
)
from schemas.problems import NAMES_ITS_FIELDS

MAX_LINES: Final = 10_000
MAX_SHIPMENTS: Final = 1_000

OrderIntakeStatus = Literal["CONFIRMED", "ONHOLD"]
ShipmentIntakeStatus = Literal["AWAITING_INVENTORY", "INVENTORY_ASSIGNED", "RELEASED", "ONHOLD"]
BlankAsNone = BeforeValidator(blank_as_none)


EXAMPLE_ORDER: Final[JsonDict] = {
    "orderNumber": "100001",
    "store": "se-web",
    "currency": "SEK",
    "locale": "sv-SE",
    "customer": {"name": "Åsa Öberg", "email": "asa@example.com"},
    "shippingAddress": {
        "name": "Åsa Öberg",
        "street": "Storgatan 1",
        "postalCode": "111 22",
        "city": "Stockholm",
        "country": "SE",
    },
    "payment": {"provider": "sandbox", "authorization": "sandbox:ok"},
    "shippingAmount": "49.00",
    "lines": [
        {"lineId": "43243", "sku": "A-1", "name": "Shirt", "quantity": 2, "unitPrice": "199.00", "taxRate": "0.25"}
    ],
    "shipments": [{"status": "RELEASED", "lines": {"43243": 2}}],
}


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Address(_Wire):
    """A postal address."""

    name: OptionalText = Field(None, description="who lives there; the customer's name if left out")
    company: OptionalText = None
    street: Text
    street2: OptionalText = None
    postal_code: OptionalText = None
    city: Text
    region: OptionalText = Field(None, description="state, province or county")
    country: Country = Field(description="ISO 3166 alpha-2 code", examples=["SE"])


class Customer(_Wire):
    """Who ordered, and where the mails go."""

    name: Text = Field(examples=["Åsa Öberg"])
    email: Email = Field(examples=["asa@example.com"])


class Payment(_Wire):
    """The authorization from which shipments are captured."""

    provider: Provider = Field(examples=["sandbox"])
    authorization: Authorization = Field(examples=["sandbox:ok"])


class IntakeLine(_Wire):
    """Pieces of one article at one gross price."""

    line_id: LineId = Field(description="unique within the order")
    sku: Sku
    name: LongText
    quantity: Quantity
    unit_price: Amount = Field(description="gross price of one piece, in the order's currency", examples=["199.00"])
    tax_rate: Rate = Field(Decimal(0), description="share of tax: 0.25 is 25 %", examples=["0.25"])


class IntakeShipment(_Wire):
    """A shipment that exists from the start; it gets the number `<order>-<n>`."""

    status: ShipmentIntakeStatus
    capture: Switch = Field(True, description="false: somebody else takes the money")
    lines: Annotated[dict[LineId, Quantity], WithJsonSchema(pieces_schema() | {"minProperties": 1})] = Field(
        min_length=1, description="pieces by lineId", examples=[{"43243": 2}]
    )


class IntakeOrder(_Wire):
    """An order as it is sent in."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ORDER]})

    order_number: Annotated[Code | None, BlankAsNone] = Field(
        None, description="may be left out where the path has it", examples=["100001"]
    )
    store: Code = Field(description="an unknown code creates the store", examples=["se-web"])
    currency: Annotated[Currency | None, BlankAsNone] = Field(
        None, description="ISO 4217; the store's if left out", examples=["SEK"]
    )
    locale: Annotated[LocaleTag | None, BlankAsNone] = Field(
        None, description="language of the mails; the store's if left out", examples=["sv-SE"]
    )
    status: OrderIntakeStatus = "CONFIRMED"
    waiting_for_payment: Switch = False
    customer: Customer
    shipping_address: Address
    billing_address: Address | None = None
    payment: Payment
    shipping_amount: Amount = Field(Decimal(0), description="gross shipping cost", examples=["49.00"])
    lines: list[IntakeLine] = Field(min_length=1, max_length=MAX_LINES)
    shipments: Annotated[
        list[IntakeShipment],
        Field(max_length=MAX_SHIPMENTS, json_schema_extra={"type": ["array", "null"]}),
        BeforeValidator(lambda value: [] if value is None else value),
    ] = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = [*_line_problems(self), *_shipment_problems(self)]
        if problems:
            raise PydanticCustomError(NAMES_ITS_FIELDS, "{problems}", {"problems": "; ".join(problems)})
        return self


def _line_problems(order: IntakeOrder) -> list[str]:
    first: dict[str, int] = {}
    problems = [
        f"lines[{index}].lineId: {line.line_id} is already the lineId of lines[{first[line.line_id]}]"
        for index, line in enumerate(order.lines)
        if first.setdefault(line.line_id, index) != index
    ]
    if sum(line.quantity for line in order.lines) > MAX_QUANTITY:
        problems.append(f"lines: expected at most {MAX_QUANTITY} pieces in all")
    return problems


def _shipment_problems(order: IntakeOrder) -> list[str]:
    left = Counter({line.line_id: line.quantity for line in order.lines})
    problems = []
    for index, shipment in enumerate(order.shipments):
        for line_id, quantity in shipment.lines.items():
            field = f"shipments[{index}].lines.{line_id}"
            if line_id not in left:
                problems.append(f"{field}: the order has no line with this lineId")
            elif quantity > left[line_id]:
                problems.append(f"{field}: {quantity} pieces, but only {left[line_id]} of this line are left to ship")
            else:
                left[line_id] -= quantity
        # Whoever hears that a shipment is released starts to pack it.
        if shipment.status == "RELEASED" and (order.status == "ONHOLD" or order.waiting_for_payment):
            problems.append(
                f"shipments[{index}].status: not RELEASED while the order is on hold or waiting for payment"
            )
    return problems

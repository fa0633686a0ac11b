"""Settings of a store, as they are changed and told."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from schemas.fields import (
    Code,
    Country,
    Currency,
    LocaleTag,
    OptionalText,
    Text,
    clean_text,
    parse_email,
)


def _parse_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise PydanticCustomError("time_zone", 'expected an IANA time zone such as "Europe/Stockholm"')
    return value


def _parse_sender(value: str) -> str:
    name, bracket, address = value.removesuffix(">").rpartition("<")
    if bool(bracket) != value.endswith(">") or set(name) & set("<>@"):
        raise PydanticCustomError("sender", 'expected "Shop <mail@example.com>" or "mail@example.com"')
    address = parse_email(address.strip())
    return f"{name.strip()} <{address}>" if name.strip() else address


TimeZone = Annotated[str, AfterValidator(_parse_time_zone), BeforeValidator(clean_text)]
Sender = Annotated[str, StringConstraints(max_length=320), AfterValidator(_parse_sender), BeforeValidator(clean_text)]


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class SellerAddress(_Wire):
    """Who sells, as documents show it."""

    name: Text
    street: Text
    street2: OptionalText = None
    postal_code: OptionalText = None
    city: Text
    region: OptionalText = None
    country: Country
    vat_number: OptionalText = None
    email: OptionalText = None
    phone: OptionalText = None


class StoreChanges(_Wire):
    """What to change about a store; None leaves a setting as it is."""

    code: Code
    name: Text | None = None
    locale: LocaleTag | None = None
    time_zone: TimeZone | None = Field(None, description="IANA name")
    currency: Currency | None = None
    sender: Sender | None = Field(None, description="of its mails: `Shop <mail@example.com>` or a bare address")
    seller_address: SellerAddress | None = None
    send_shipping_confirmation: bool | None = Field(None, description="whether customers are mailed")


class StoreAnswer(_Wire):
    """A store's settings."""

    code: str
    name: str
    locale: str
    time_zone: str
    currency: str | None
    sender: str | None
    seller_address: dict[str, str] | None
    send_shipping_confirmation: bool

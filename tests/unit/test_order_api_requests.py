"""From a body of the Order API to what the domain takes."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.order_api import CompleteRequest
from service.http.order_api_requests import departure_of, order_value
from service.shipping.departure import Departure, Parcel
from service.shipping.errors import InvalidRequest


def departure(**fields: Any) -> Departure:
    return departure_of(CompleteRequest.model_validate({"shipment": "1-1", **fields}), comment=fields.get("comment"))


def test_nothing_told_is_nothing_known() -> None:
    assert departure() == departure(packages=0, carrier="", parcels=[], tracking=None) == Departure()
    assert departure(parcels=[{}, {}]).parcels == (Parcel(), Parcel())


def test_the_fields_beside_describe_the_first_parcel() -> None:
    assert departure(
        carrier="UPS", service="S", trackingNumber="T", trackingUrl="http://a.example", packages=3,
        returnSlipTracking="R", sendEmail=0, comment="c",
    ) == Departure((Parcel("UPS", "S", "T", "http://a.example"),), 3, "R", "c", notify=False)  # fmt: skip


def test_carrier_and_service_hold_for_parcels_that_name_none() -> None:
    told = departure(
        carrier="UPS", service="S", tracking="A", parcels=[{}, {"tracking": "B", "carrier": "DHL"}, {"service": "X"}]
    )
    assert told.parcels == (Parcel("UPS", "S", "A"), Parcel("DHL", "S", "B"), Parcel("UPS", "X"))
    same = departure(tracking="A", trackingUrl="http://a.example", parcels=[{"trackingNumber": "A"}])
    assert same.parcels == (Parcel(tracking_number="A", tracking_url="http://a.example"),)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tracking": "A", "parcels": [{"tracking": "B"}]}, "tracking: differs from that of parcels[0]"),
        (
            {"trackingUrl": "http://a.example", "parcels": [{"trackingUrl": "http://b.example"}]},
            "trackingUrl: differs from that of parcels[0]",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        departure(**fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("83651", 83651),
        ("0", 0),
        ("9007199254740991", 9007199254740991),
        ("9007199254740992", "9007199254740992"),
        ("1" * 5000, "1" * 5000),
        ("007", "007"),
        ("-5", "-5"),
        ("+5", "+5"),
        ("1_0", "1_0"),
        ("٣", "٣"),
        ("²", "²"),
        ("SE-7", "SE-7"),
    ],
)
def test_an_order_number_is_an_int_where_that_says_the_same(number: str, expected: int | str) -> None:
    value = order_value(number)
    assert (value, type(value)) == (expected, type(expected))

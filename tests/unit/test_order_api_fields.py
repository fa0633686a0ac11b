"""What the Order API takes: every spelling that clients of both ages use, and a message for everything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from schemas.order_api_fields import MAX_COMMENT, MAX_PACKAGES
from schemas.problems import problems_of

MODELS: list[type[BaseModel]] = [CompleteRequest, CreateRequest, UpdateRequest, CaptureRequest]
CREATE: dict[str, Any] = {"order": 5, "products": {"1": 1}}


def problems(model: type[BaseModel], body: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return problems_of(caught.value)


def complete(**fields: Any) -> CompleteRequest:
    return CompleteRequest.model_validate({"shipment": "83651-1", **fields})


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "true", "TRUE", " True ", "yes", "on"])
def test_every_true(value: object) -> None:
    assert complete(capture=value).capture is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "0", "false", "FALSE", "no", "off"])
def test_every_false(value: object) -> None:
    assert complete(capture=value).capture is False


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_blank_field_counts_as_not_sent(value: object) -> None:
    fields = [
        "capture",
        "sendEmail",
        "packages",
        "carrier",
        "service",
        "tracking",
        "trackingNumber",
        "trackingUrl",
        "returnSlipTracking",
        "internalComment",
        "order",
        "xml",
    ]
    assert complete(**dict.fromkeys(fields, value)) == complete()


@pytest.mark.parametrize("value", [2, -1, "2", "maybe", [], {}, 0.5])
def test_what_is_no_boolean(value: object) -> None:
    assert problems(CompleteRequest, {"shipment": "1-1", "capture": value}) == ["capture: expected true or false"]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, None), ("0", None), (0.0, None), (1, 1), ("1", 1), (" 2 ", 2), (3.0, 3)]
)
def test_packages(value: object, expected: int | None) -> None:
    assert complete(packages=value).packages == expected


@pytest.mark.parametrize("value", [-1, 1.5, "one", True, [], MAX_PACKAGES + 1, "1e3", float("nan")])
def test_what_is_no_number_of_packages(value: object) -> None:
    assert problems(CompleteRequest, {"shipment": "1-1", "packages": value}) == [
        "packages: expected a whole number from 0 to 1000000"
    ]


def test_numbers_are_taken_for_text() -> None:
    told = complete(order=83651, tracking=123, carrier=7)
    assert (told.order, told.tracking, told.carrier) == ("83651", "123", "7")
    assert CaptureRequest.model_validate({"shipment": 836511}).shipment == "836511"
    assert CreateRequest.model_validate(CREATE).order == CreateRequest.model_validate(CREATE | {"order": "5"}).order


def test_a_tracking_number_has_two_names() -> None:
    assert complete(trackingNumber="B").number == "B"
    assert complete(tracking="A", trackingNumber="B").number == "A"
    assert complete(tracking="", trackingNumber="B").number == "B"
    assert complete().number is None


def test_quantities_may_be_text_and_an_empty_array_is_an_empty_object() -> None:
    products = CreateRequest.model_validate({"order": 5, "products": {"1441": "2", " 1442 ": 1}}).products
    assert products == {"1441": 2, "1442": 1}
    assert CreateRequest.model_validate({"order": 5, "products": []}).products == {}
    assert UpdateRequest.model_validate({"products": []}).products == {}
    assert UpdateRequest.model_validate({"products": None}).products is None


@pytest.mark.parametrize(
    ("products", "problem"),
    [
        ([1], 'products: expected an object of quantities by lineId such as {"43243": 1}'),
        ("43243", 'products: expected an object of quantities by lineId such as {"43243": 1}'),
        ({"1": 0}, "products.1: expected a whole number from 1 to 1000000000"),
        ({"1": "1.5"}, "products.1: expected a whole number from 1 to 1000000000"),
        ({"1": None}, "products.1: expected a whole number from 1 to 1000000000"),
        ({"1": 1, " 1": 2}, "products: the same line is named twice"),
        ({" ": 1}, "products. : String should have at least 1 character"),
        (None, 'products: expected an object of quantities by lineId such as {"43243": 1}'),
    ],
)
def test_what_are_no_products(products: object, problem: str) -> None:
    assert problems(CreateRequest, {"order": 5, "products": products}) == [problem]


@pytest.mark.parametrize(
    "url", ["http://a.example/x?y=1#z", "https://a.example:8443/", "HTTPS://A.EXAMPLE", "https://a.example/%C3%A5"]
)
def test_an_http_address_is_a_tracking_url(url: str) -> None:
    assert complete(trackingUrl=url).tracking_url == url


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://a", "a.example", "//a.example", "https://", "http://a b", "http://a:x/"]
)
def test_another_address_is_none(url: str) -> None:
    assert problems(CompleteRequest, {"shipment": "1-1", "trackingUrl": url}) == [
        "trackingUrl: expected an http or https address"
    ]


def test_a_comment_may_have_lines() -> None:
    assert complete(internalComment=" one\r\ntwo\rthree\tx \n").internal_comment == "one\ntwo\nthree\tx"
    assert complete(internalComment=7).internal_comment == "7"
    assert problems(CompleteRequest, {"shipment": "1-1", "internalComment": "a\x00"}) == [
        "internalComment: expected text without control characters"
    ]
    assert problems(CompleteRequest, {"shipment": "1-1", "internalComment": "x" * (MAX_COMMENT + 1)}) == [
        f"internalComment: String should have at most {MAX_COMMENT} characters"
    ]


def test_each_wrong_field_is_named() -> None:
    assert problems(CompleteRequest, {}) == ["shipment: Field required"]
    assert problems(CompleteRequest, {"shipment": " "}) == ["shipment: String should have at least 1 character"]
    assert problems(CreateRequest, {"order": True}) == [
        "order: Input should be a valid string",
        "products: Field required",
    ]
    assert problems(CompleteRequest, {"shipment": "1-1", "parcels": [{}, {"carrier": []}], "tracking": "a\nb"}) == [
        "tracking: expected text without control characters",
        "parcels[1].carrier: Input should be a valid string",
    ]
    assert problems(CompleteRequest, {"shipment": "1-1", "parcels": [{}] * 101}) == [
        "parcels: List should have at most 100 items after validation, not 101"
    ]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, "9" * 5000, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [info.alias or name for model in MODELS for name, info in model.model_fields.items()]


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_any_json_is_read_or_refused(model: type[BaseModel], fields: dict[str, Any]) -> None:
    # Anything else would be a 500.
    with suppress(ValidationError):
        model.model_validate({"shipment": "1-1", "order": 1, "products": {"1": 1}} | fields)


@pytest.mark.parametrize("model", MODELS)
def test_the_examples_of_the_documents_are_valid(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    for example in schema["examples"]:
        model.model_validate(json.loads(json.dumps(example)))
    assert all("description" in each for name, each in schema["properties"].items())

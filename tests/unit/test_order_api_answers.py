"""The Order API's answers: one body in JSON or XML, and each failure in the contract's words."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.http.errors import Bug
from service.http.order_api_answers import answer, is_true, note_wish, wants_xml
from service.http.order_api_errors import SUBJECT, Subject, order_api_error
from service.http.xml_answers import to_xml
from service.settings import Settings
from service.shipping.errors import (
    CaptureDeclined,
    CaptureOutcomeUnknown,
    InvalidRequest,
    OrderNotFound,
    SelectionRefused,
    ShipmentAlreadyShipped,
    ShipmentNotFound,
    ShipmentNotReleased,
    TemporarilyUnavailable,
)
from tests.support.xml import assert_same

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r<>&\"']")
)
NAMES = st.from_regex(r"[a-z][A-Za-z]{0,9}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXT.filter(bool), inner, max_size=4),
    max_leaves=20,
)


def request(path: str = "/api/order-api/shipments", body: object = None) -> web.Request:
    made = make_mocked_request("POST", path)
    note_wish(made, body)
    return made


def test_the_shape_of_the_xml() -> None:
    body = {
        "status": "ok",
        "order": 83651,
        "shipment": {"paid": 1, "products": [{"lineId": "1"}, {"lineId": "2"}], "invoices": []},
        "note": None,
        "hold": False,
        "quantities": {"43243": 1},
        "nested": [["a"]],
    }
    assert to_xml(body) == (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        "<response><status>ok</status><order>83651</order>"
        "<shipment><paid>1</paid><products><product><lineId>1</lineId></product><product><lineId>2</lineId></product>"
        "</products><invoices /></shipment><note /><hold>false</hold>"
        '<quantities><entry key="43243">1</entry></quantities><nested><entry><entry>a</entry></entry></nested>'
        "</response>"
    )


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_the_xml_says_what_the_json_says(body: dict[str, Any]) -> None:
    assert_same(to_xml(body), json.loads(json.dumps(body)))


def test_a_comparison_that_differs_fails() -> None:
    for other in ({"a": "2"}, {"b": "1"}, {}, {"a": "1", "b": ""}, {"a": ["1"]}, {"a": {"b": "1"}}):
        with pytest.raises(AssertionError):
            assert_same(to_xml({"a": "1"}), other)


def test_what_xml_cannot_carry_is_replaced() -> None:
    text = to_xml({"a": "\x00\x08\x1f\ud800\ufffe<", "b": {"\x01": 1}})
    root = ET.fromstring(text.encode())
    assert root[0].text == "\ufffd" * 5 + "<"
    assert root[1][0].attrib == {"key": "\ufffd"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (1, True), (1.0, True), ("1", True), (" TRUE ", True), ("yes", True)]
    + [(value, False) for value in (False, 0, "0", "false", "", None, 2, [], {}, "no")],
)
def test_booleans_of_both_ages(value: object, expected: bool) -> None:
    assert is_true(value) is expected
    assert wants_xml(request(body={"xml": value})) is expected


def test_the_query_or_the_body_asks_for_xml() -> None:
    assert not wants_xml(request())
    assert wants_xml(request("/api/order-api/orders?limit=1&xml=1"))
    assert not wants_xml(request("/api/order-api/orders?xml=0"))
    assert not wants_xml(request(body=["xml"]))
    as_json, as_xml = answer(request(), {"a": "ö"}), answer(request(body={"xml": 1}), {"a": "ö"}, status=400)
    assert (as_json.content_type, as_json.charset, as_json.status) == ("application/json", "utf-8", 200)
    assert (as_xml.content_type, as_xml.charset, as_xml.status) == ("application/xml", "utf-8", 400)
    assert_same(as_xml.text or "", json.loads(as_json.text or ""))


def retry_after(seconds: str) -> web.HTTPException:
    return web.HTTPTooManyRequests(text="Too many requests.", headers={"Retry-After": seconds})


def challenge() -> web.HTTPException:
    return web.HTTPUnauthorized(text="An API key is required.", headers={"WWW-Authenticate": "Basic"})


LATER = "temporarily unavailable, repeat the request later"
NO: dict[str, Any] = {"status": "no"}


@pytest.mark.parametrize(
    ("failure", "status", "body", "headers"),
    [
        (challenge(), 401, NO | {"msg": "an API key is required"}, {"WWW-Authenticate": "Basic"}),
        (web.HTTPForbidden(text="The API key lacks the scope x."), 403, {"status": "Not Allowed"}, {}),
        (web.HTTPNotFound(), 404, NO | {"msg": "path does not exist"}, {}),
        (web.HTTPMethodNotAllowed("GET", ["PUT"]), 405, NO | {"msg": "method is not allowed"}, {"Allow": "PUT"}),
        (retry_after("7"), 429, NO | {"msg": "too many requests"}, {"Retry-After": "7"}),
        (web.HTTPUnsupportedMediaType(text="X-Type must be y."), 415, NO | {"msg": "X-Type must be y"}, {}),
        (Bug(), 500, NO | {"msg": "internal error"}, {}),
        (TemporarilyUnavailable(), 503, NO | {"msg": LATER}, {"Retry-After": "5"}),
        (InvalidRequest("order: Field required"), 400, NO | {"msg": "order: Field required"}, {}),
        (OrderNotFound("1"), 200, NO | {"msg": "order does not exist"}, {}),
        (ShipmentNotFound("1-1"), 200, NO | {"msg": "shipment does not exist"}, {}),
        (ShipmentAlreadyShipped("1-1"), 200, NO | {"msg": "shipment is sent and can not be updated"}, {}),
        (ShipmentNotReleased("Order is ONHOLD"), 200, NO | {"msg": "order is ONHOLD"}, {}),
        (SelectionRefused("line 1 has none"), 200, NO | {"msg": "line 1 has none"}, {}),
        (CaptureDeclined(), 200, NO | {"msg": "capture failed"}, {}),
        (CaptureOutcomeUnknown(), 200, NO | {"msg": "capture failed"}, {}),
    ],
)  # fmt: skip
async def test_every_failure_in_json_and_xml(
    failure: Any, status: int, body: dict[str, str], headers: dict[str, str]
) -> None:
    as_json = await order_api_error(request(), failure)
    assert (as_json.status, json.loads(as_json.text or "")) == (status, body)
    as_xml = await order_api_error(request("/?xml=1"), failure)
    assert as_xml.status == status
    assert_same(as_xml.text or "", body)
    for answered in (as_json, as_xml):
        assert {name: answered.headers.get(name) for name in ("WWW-Authenticate", "Allow", "Retry-After")} == {
            "WWW-Authenticate": None,
            "Allow": None,
            "Retry-After": None,
        } | headers


async def test_a_refusal_repeats_the_subject_in_the_words_of_its_call() -> None:
    asked = request()
    asked[SUBJECT] = Subject({"order": "5"}, {CaptureDeclined: "can not capture order"})
    assert json.loads((await order_api_error(asked, CaptureDeclined())).text or "") == {
        "status": "no",
        "msg": "can not capture order",
        "order": "5",
    }


@pytest.mark.parametrize("prefix", ["/api/order-api", "/v1", "/a/b.c/d_e~"])
def test_the_prefix_can_be_chosen(prefix: str) -> None:
    assert Settings(order_api_prefix=prefix).order_api_prefix == prefix


@pytest.mark.parametrize("prefix", ["", "/", "api", "/api/", "//api", "/a b", "/{x}"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        Settings(order_api_prefix=prefix)

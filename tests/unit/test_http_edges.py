"""What is read from a request before anything is done: credentials, origin, body."""

from __future__ import annotations

import base64

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from schemas.shipment_completion import CompleteShipmentRequest
from service.http.authentication import Credentials, credentials_of
from service.http.bodies import describe
from service.http.context import origin_of


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": basic(b"key_1:secret")}, Credentials("key_1", "secret")),
        ({"Authorization": basic(b"key_1:with:colon")}, Credentials("key_1", "with:colon")),
        ({"Authorization": basic(b"key_1:secret").replace("Basic", "bAsIc")}, Credentials("key_1", "secret")),
        ({"Authorization": "Bearer  secret "}, Credentials(None, "secret")),
        ({"API-Authorization": "secret"}, Credentials(None, "secret")),
        ({"api-authorization": " secret "}, Credentials(None, "secret")),
        ({"API-Authorization": "one", "Authorization": "Bearer two"}, Credentials(None, "one")),
        ({}, None),
        ({"Authorization": ""}, None),
        ({"Authorization": "Basic"}, None),
        ({"Authorization": "Basic !!!"}, None),
        ({"Authorization": basic(b"no-colon")}, None),
        ({"Authorization": basic(b"\xff\xfe:x")}, None),
        ({"Authorization": "Digest abc"}, None),
    ],
)
def test_credentials(headers: dict[str, str], expected: Credentials | None) -> None:
    assert credentials_of(make_mocked_request("POST", "/", headers=headers)) == expected


def test_a_wellformed_origin_is_taken_over_with_a_span_of_our_own() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = make_mocked_request(
        "POST", "/", headers={"X-Request-Id": "wms-42", "traceparent": f"00-{trace}-b7ad6b7169203331-00"}
    )
    origin = origin_of(request)
    assert origin.request_id == "wms-42"
    assert origin.traceparent.startswith(f"00-{trace}-")
    assert origin.traceparent.endswith("-00")
    assert "b7ad6b7169203331" not in origin.traceparent


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "åäö", "a\tb"])
def test_an_odd_request_id_is_replaced(given: str) -> None:
    origin = origin_of(make_mocked_request("POST", "/", headers={"X-Request-Id": given}))
    assert origin.request_id != given
    assert len(origin.request_id) == 32


@pytest.mark.parametrize("given", ["", "junk", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-" + "1" * 32])
def test_an_odd_trace_is_replaced(given: str) -> None:
    origin = origin_of(make_mocked_request("POST", "/", headers={"traceparent": given}))
    version, trace, span, flags = origin.traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert int(trace, 16) > 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", "shipmentNumber: Field required"),
        ('{"shipmentNumber": null}', "shipmentNumber: Input should be a valid string"),
        ('{"shipmentNumber": 100001}', "shipmentNumber: Input should be a valid string"),
        ('{"shipmentNumber": ["100001-1"]}', "shipmentNumber: Input should be a valid string"),
        ('{"shipmentNumber": ""}', "shipmentNumber: must not be blank"),
        ('{"shipmentNumber": " \\t "}', "shipmentNumber: must not be blank"),
        ('{"shipmentNumber": "a\\u0000b"}', "shipmentNumber: must not contain control characters"),
        (
            '{"shipmentNumber": "1", "carrierTrackingNumber": 5}',
            "carrierTrackingNumber: Input should be a valid string",
        ),
        (
            '{"shipmentNumber": "1", "carrierTrackingNumber": "%s"}' % ("x" * 256),
            "carrierTrackingNumber: String should have at most 255 characters",
        ),
        ("[]", "body: Input should be an object"),
        ('"100001-1"', "body: Input should be an object"),
        ("", "The body is not valid JSON: EOF while parsing a value at line 1 column 0"),
        ("{", "The body is not valid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_a_wrong_body_names_its_field(body: str, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompleteShipmentRequest.model_validate_json(body)
    assert describe(caught.value) == expected


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValidationError):
        CompleteShipmentRequest.model_validate_json('{"shipmentNumber": "\\ud800"}')


@pytest.mark.parametrize("tracking", ["null", '""', '"  "'])
def test_a_blank_tracking_number_counts_as_none(tracking: str) -> None:
    body = CompleteShipmentRequest.model_validate_json(
        '{"shipmentNumber": " 100001-1 ", "carrierTrackingNumber": %s, "unknown": {}}'.replace("%s", tracking)
    )
    assert (body.shipmentNumber, body.carrierTrackingNumber) == ("100001-1", None)

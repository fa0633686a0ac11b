"""The Order API's OpenAPI document: valid, complete, and true of what the service takes and answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from service.http import order_api, order_api_reads
from service.http.api_docs import documents
from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Answer, Api, serve_api
from tests.support.rows import Line, insert_order, insert_parcel, insert_shipment
from tests.support.xml import assert_same

Pool = asyncpg.Pool
Document = dict[str, Any]

BASE = "/api/order-api"
JSON, XML = "application/json", "application/xml"


@pytest.fixture(scope="module")
def document() -> Document:
    return read(BASE)


def read(prefix: str) -> Document:
    [described] = [each for each in documents(prefix) if each.path == f"{prefix}/api-docs"]
    content: Document = json.loads(described.build())
    return content


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def check(document: Document, schema: Document, value: object) -> None:
    """Fail unless `value` is as `schema` says and has no field that it does not name."""
    components = copy.deepcopy(document["components"])
    for component in components["schemas"].values():
        component.setdefault("additionalProperties", False)
    Draft202012Validator({**schema, "components": components}).validate(value)


# The document by itself


@pytest.mark.parametrize("described", documents("/shop/v1"), ids=lambda each: each.title)
def test_every_document_is_valid(described: Any) -> None:
    content = json.loads(described.build())
    validate(content)
    assert described.title in content["info"]["title"] or described.title.lower() in content["info"]["title"]


def test_it_describes_every_call_and_no_other(document: Document) -> None:
    served = {
        (route.method.lower(), route.path.rstrip("/"))
        for edge in (order_api, order_api_reads)
        for route in edge.routes(BASE)
    }
    assert {(method, path) for method, path, _ in operations(document)} == served
    assert {path.replace(BASE, "/shop/v1") for path in document["paths"]} == set(read("/shop/v1")["paths"])


def test_every_call_says_who_may_make_it_and_how_it_may_end(document: Document) -> None:
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    for method, path, operation in operations(document):
        reads = method == "get"
        scope = Scope.WRITE_SHIPMENTS if not reads else Scope.READ_ORDERS if "orders" in path else Scope.READ_SHIPMENTS
        assert [*map(list, operation["security"])] == [["basic"], ["apiAuthorization"], ["bearer"]]
        assert f"`{scope}`" in operation["description"]
        assert operation["summary"]
        expected = {"200", "401", "403", "429", "500", "503"}
        if method in {"put", "post"}:
            expected |= {"400", "408", "413", "415", "422"}
        if reads and "{" not in path:
            expected |= {"400"}
        assert set(operation["responses"]) == expected
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert {"xml", "X-Request-Id"} <= names
        assert ("Idempotency-Key" in names) == (method in {"put", "post"})
        assert ("shipment" in names) == ("{shipment}" in path)


def test_every_answer_has_examples_that_are_as_its_schema_says(document: Document) -> None:
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            as_json, as_xml = response["content"][JSON], response["content"][XML]
            assert as_json["schema"] == as_xml["schema"]
            assert as_json["examples"], (operation["operationId"], status)
            for name, example in as_json["examples"].items():
                check(document, as_json["schema"], example["value"])
                assert_same(as_xml["examples"][name]["value"], example["value"])


def test_the_contracts_examples_are_there_word_for_word(document: Document) -> None:
    def shown(method: str, path: str) -> list[Document]:
        content = document["paths"][BASE + path][method]["responses"]["200"]["content"][JSON]
        return [example["value"] for example in content["examples"].values()]

    for method in ("put", "post"):
        answers = shown(method, "/shipment")
        assert {"status": "ok", "order": 83651, "shipment": "83651-1"} in answers
        assert {"status": "no", "msg": "capture failed", "order": 83651, "shipment": "83651-1"} in answers
    answers = shown("post", "/shipments")
    assert {
        "status": "ok",
        "order": 83651,
        "shipment": "83651-1",
        "deliveryNote": "http://.../delivery-note.pdf",
        "proforma": "http://.../proforma.pdf",
        "invoice": "http://.../invoice.pdf",
    } in answers
    assert {"status": "no", "msg": "order does not exist", "order": "1337"} in answers
    assert {"msg": "can not capture order", "status": "no", "order": "5"} in answers
    schemas = document["components"]["schemas"]
    assert schemas["CompleteRequest"]["examples"] == [
        {
            "shipment": "83651-1",
            "carrier": "Fedex",
            "service": "Express",
            "packages": 1,
            "trackingNumber": "TRTTET5",
            "capture": 1,
        }
    ]
    assert schemas["CreateRequest"]["examples"] == [{"order": 83651, "products": {"43243": 1, "43244": 2}}]


REQUESTS = {
    "CompleteRequest": (
        CompleteRequest,
        [
            {"shipment": "83651-1"},
            {"shipment": "83651-1", "order": 83651, "capture": "1", "packages": 0, "carrier": "", "tracking": None},
            {"shipment": "83651-1", "packages": "2", "capture": False, "sendEmail": "false", "parcels": []},
            {
                "shipment": "83651-1",
                "parcels": [{"carrier": "UPS", "tracking": 17, "trackingUrl": "https://a.example"}],
            },
        ],
    ),
    "CreateRequest": (
        CreateRequest,
        [
            {"order": "83651", "products": {"43243": "2"}, "gtg": 1, "shipped": "0", "createAlways": True},
            {"order": 83651, "products": {"43243": 1}, "deductPreviousCosts": 1, "xml": ""},
        ],
    ),
    "UpdateRequest": (UpdateRequest, [{}, {"gtg": "1"}, {"products": {"1": 1}}]),
    "CaptureRequest": (CaptureRequest, [{"shipment": "83651-1", "order": "83651"}]),
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_what_callers_send_is_as_the_schema_says(document: Document, name: str) -> None:
    model, bodies = REQUESTS[name]
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    for body in [*bodies, *document["components"]["schemas"][name]["examples"]]:
        Draft202012Validator(schema).validate(body)
        model.model_validate(body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("CompleteRequest", {}),
        ("CompleteRequest", {"shipment": ""}),
        ("CompleteRequest", {"shipment": "1-1", "capture": 2}),
        ("CompleteRequest", {"shipment": "1-1", "packages": -1}),
        ("CompleteRequest", {"shipment": "1-1", "tracking": "x" * 256}),
        ("CompleteRequest", {"shipment": "1-1", "parcels": {}}),
        ("CreateRequest", {"order": 1}),
        ("CreateRequest", {"order": 1, "products": {"1": 0}}),
        ("CreateRequest", {"order": 1, "products": {"1": "one"}}),
        ("CreateRequest", {"order": 1, "products": {"": 1}}),
        ("UpdateRequest", {"gtg": "perhaps"}),
        ("CaptureRequest", {"shipment": ["1-1"]}),
    ],
)
def test_what_is_refused_is_not_as_the_schema_says(document: Document, name: str, body: Document) -> None:
    model, _ = REQUESTS[name]
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert not Draft202012Validator(schema).is_valid(body)
    with pytest.raises(ValueError, match="validation error"):
        model.model_validate(body)


# The document and the service


class Told:
    """Makes calls and holds each answer against the document."""

    def __init__(self, api: Api, document: Document) -> None:
        self._api = api
        self._document = document
        self.seen: set[tuple[str, int]] = set()

    async def call(self, method: str, path: str, template: str = "", **arguments: Any) -> Answer:
        answer = await self._api.call(method, BASE + path, **arguments)
        operation = self._document["paths"][BASE + (template or path.partition("?")[0])][method.lower()]
        response = operation["responses"][str(answer.status)]
        check(self._document, response["content"][JSON]["schema"], answer.body)
        for name, header in response["headers"].items():
            assert name in answer.headers or not header.get("required"), name
        self.seen.add((operation["operationId"], answer.status))
        return answer


BY_ID = "/shipments/{shipment}"
CALLS = [
    ("GET", "/orders", ""),
    ("GET", "/shipments", ""),
    ("GET", "/shipments/1-1", BY_ID),
    ("DELETE", "/shipments/1-1", BY_ID),
    ("PUT", "/shipments/1-1", BY_ID),
    ("PUT", "/shipment", ""),
    ("POST", "/shipment", ""),
    ("POST", "/shipments", ""),
    ("PUT", "/capture", ""),
]


async def read_everything(told: Told) -> None:
    for path in ("/orders", "/orders?limit=x", "/shipments?parcels=1", "/shipments", "/shipments?status=x"):
        await told.call("GET", path)
    for number in ("83651-1", "83651-9", "A-17-1"):
        await told.call("GET", f"/shipments/{number}?parcels=1", BY_ID)


async def create_and_change(told: Told) -> None:
    create = {"order": 83651, "products": {"43243": 1, "43244": 2}}
    bodies = [
        (create, "ok"),
        (create | {"products": {"43244": 9}}, "no"),
        (create | {"capture": False, "products": {"43244": 1}}, "ok"),
        ({"order": "1337", "products": {"1": 1}}, "no"),
        ({"order": "5", "products": {"43243": 1}}, "no"),
        ({"order": "5"}, "no"),
    ]
    for body, status in bodies:
        assert (await told.call("POST", "/shipments", json=body)).body["status"] == status
    for body in ({"gtg": 1}, {"products": {"43244": 2}}, {"gtg": "?"}):
        for number in ("83651-2", "83651-3", "83651-9"):
            await told.call("PUT", f"/shipments/{number}", BY_ID, json=body)


async def complete_and_remove(told: Told) -> None:
    for method in ("PUT", "POST"):
        for body in ({"shipment": "83651-2", "trackingNumber": "TRTTET5"}, {"shipment": "83651-9"}, {}):
            await told.call(method, "/shipment", json=body)
    for body in ({"shipment": "83651-3"}, {"shipment": "83651-9"}, {"shipment": "A-17-1"}, {}):
        await told.call("PUT", "/capture", json=body)
    for n, status in ((7, "ok"), (7, "no"), (2, "no"), (9, "no")):
        assert (await told.call("DELETE", f"/shipments/83651-{n}", BY_ID)).body["status"] == status


async def be_turned_away(told: Told, *, secret: str, strangers_secret: str) -> None:
    ours, strangers = {"API-Authorization": secret}, {"API-Authorization": strangers_secret}
    done = {"shipment": "83651-2", "order": 83651, "products": {"43243": 1}}
    for number, (method, path, template) in enumerate(CALLS):
        assert (await told.call(method, path, template, headers={})).status == 401
        assert (await told.call(method, path, template, headers=strangers)).status == 403
        if method not in {"PUT", "POST"}:
            continue
        wrong_type, json_type = ours | {"Content-Type": "text/xml"}, ours | {"Content-Type": JSON}
        assert (await told.call(method, path, template, data=b"<a/>", headers=wrong_type)).status == 415
        assert (await told.call(method, path, template, data=b" " * 70_000, headers=json_type)).status == 413
        once = ours | {"Idempotency-Key": f"{number}"}
        assert (await told.call(method, path, template, json=done, headers=once)).status == 200
        assert (await told.call(method, path, template, json=done | {"more": 1}, headers=once)).status == 422


async def test_the_service_answers_as_it_says(api_settings: Settings, pool: Pool, document: Document) -> None:
    lines = (Line(quantity=5), Line("43244", "B-2", "Socks", 5, 1950))
    order = await insert_order(pool, "83651", lines=lines)
    await insert_parcel(pool, await insert_shipment(pool, order, quantities={"43243": 1}))
    await insert_order(pool, "5", payment_authorization="sandbox:decline")
    await insert_shipment(pool, await insert_order(pool, "A-17"))
    async with serve_api(api_settings.model_copy(update={"documents_secret": "s" * 32}), pool) as api:
        told = Told(api, document)
        await read_everything(told)
        await create_and_change(told)
        await insert_shipment(pool, order, n=7, quantities={"43243": 1})
        await complete_and_remove(told)
        stranger = await create_key(pool, partner="stranger", scopes=[Scope.OPS])
        await be_turned_away(told, secret=api.key.secret, strangers_secret=stranger.secret)
    unseen = {
        (operation["operationId"], int(status))
        for _, _, operation in operations(document)
        for status in operation["responses"]
    } - told.seen
    assert {status for _, status in unseen} == {408, 429, 500, 503}


@pytest.mark.parametrize("prefix", [BASE, "/shop/v1"])
async def test_it_is_served_and_the_page_knows_it(api_settings: Settings, pool: Pool, prefix: str) -> None:
    async with serve_api(api_settings.model_copy(update={"order_api_prefix": prefix}), pool) as api:
        answer = await api.call("GET", f"{prefix}/api-docs", headers={})
        assert (answer.status, answer.body) == (200, read(prefix))
        script = await api.call("GET", "/docs/page.js", headers={})
        assert f'{{"url": "{prefix}/api-docs", "name": "Order API"}}' in script.body

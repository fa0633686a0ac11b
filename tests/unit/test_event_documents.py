"""The events' documents are the events, and nothing can be taken away from their readers unnoticed."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.compatibility import breaking_changes
from schemas.event_schemas import asyncapi_document, event_schema
from schemas.events import EventLine, EventParcel, EventType, ShipmentData, shipment_event
from schemas.write_event_documents import broken, documents, main

PUBLISHED = Path(__file__).parents[2] / "docs/events"


def data(**fields: Any) -> ShipmentData:
    usual: dict[str, Any] = {
        "order_number": "100001",
        "shipment_number": "100001-1",
        "store": "se-web",
        "status": "SHIPPED",
        "shipped_at": datetime(2026, 11, 21, 18, 40, 0, 123456, UTC),
        "parcels": [EventParcel(carrier="UPS", tracking_number="1Z")],
        "lines": [EventLine(line_id="43243", sku="A-1", quantity=2)],
        "notify_customer": True,
        "sequence": 3,
    }
    return ShipmentData(**usual | fields)


@pytest.mark.parametrize("kind", list(EventType))
@pytest.mark.parametrize("fields", [{}, {"shipped_at": None, "parcels": [], "packages": 0}])
def test_a_published_body_satisfies_its_schema(kind: EventType, fields: dict[str, Any]) -> None:
    schema = event_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    body = json.loads(shipment_event(kind, data(**fields)).model_dump_json(by_alias=True))
    jsonschema.Draft202012Validator(schema).validate(body)
    for missing in body["data"]:
        poorer = copy.deepcopy(body)
        del poorer["data"][missing]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(poorer)


def test_a_schema_tells_its_type_from_the_others() -> None:
    body = json.loads(shipment_event(EventType.SHIPMENT_CREATED, data()).model_dump_json(by_alias=True))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(event_schema(EventType.SHIPMENT_SHIPPED)).validate(body)


def test_what_is_committed_is_what_the_models_say() -> None:
    assert {path.name: json.loads(path.read_text(encoding="utf-8")) for path in PUBLISHED.glob("*.json")} == documents()


def test_asyncapi_refers_to_every_schema_beside_it() -> None:
    messages = asyncapi_document()["components"]["messages"]
    assert {message["payload"]["schema"]["$ref"] for message in messages.values()} == {
        f"./{kind.value}.schema.json" for kind in EventType
    }


def change(path: list[str], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(event_schema(EventType.SHIPMENT_SHIPPED))
    place = changed["$defs"]
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (["ShipmentData", "properties", "store"], None, "body.data.store: removed"),
        (["EventLine", "properties", "sku"], None, "body.data.lines[].sku: removed"),
        (["ShipmentData", "properties", "sequence"], {"type": "string"}, "body.data.sequence: was integer, is string"),
        (["ShipmentData", "properties", "store"], {"anyOf": [{"type": "string"}, {"type": "null"}]}, "body.data.store"),
        (["ShipmentData", "required"], ["orderNumber"], "body.data.shipmentNumber: no longer always present"),
        (["ContractEventType", "properties", "name", "const"], "OTHER", "body.eventType.name: was always"),
    ],
)
def test_what_breaks_readers_is_named(path: list[str], value: Any, problem: str) -> None:
    found = breaking_changes(event_schema(EventType.SHIPMENT_SHIPPED), change(path, value))
    assert any(each.startswith(problem) for each in found), found


def test_a_new_field_breaks_nobody() -> None:
    added = change(["ShipmentData", "properties", "weight"], {"type": "integer"})
    assert breaking_changes(event_schema(EventType.SHIPMENT_SHIPPED), added) == []


def test_writing_refuses_to_take_a_field_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 0
    name = "order-shipment-shipped.schema.json"
    richer = change(["ShipmentData", "properties", "weight"], {"type": "integer"})
    (tmp_path / name).write_text(json.dumps(richer))
    assert broken(tmp_path) == [f"{name}: body.data.weight: removed"]
    assert main(tmp_path) == 1
    assert "body.data.weight: removed" in capsys.readouterr().err
    assert json.loads((tmp_path / name).read_text()) == richer

"""The contract of the events as documents: one JSON Schema per event type, and AsyncAPI 3 over all of them."""

from __future__ import annotations

from typing import Any, Final

from schemas.events import EventType, ShipmentEvent
from schemas.topology import TOPIC

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# Of the events, not of the program: a field more raises the second number, and nothing raises the first.
CONTRACT_VERSION: Final = "1.0.0"

_WHEN: Final = {
    EventType.SHIPMENT_CREATED: "A shipment was created.",
    EventType.SHIPMENT_RELEASED: "A shipment was released: it is good to go.",
    EventType.SHIPMENT_SHIPPED: "A shipment has left, its payment captured where one was due.",
    EventType.SHIPMENT_CANCELLED: "A shipment was removed; its pieces are free again.",
}


def schema_file(kind: EventType) -> str:
    """Return the file name of the type's schema."""
    return f"{kind.value}.schema.json"


def event_schema(kind: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the type's body. Readers must ignore fields they do not know: fields are added."""
    schema: dict[str, Any] = ShipmentEvent.model_json_schema(by_alias=True, mode="serialization")
    _drop_titles(schema)
    definitions = schema.pop("$defs")
    definitions["ContractEventType"]["properties"]["name"] = {"const": kind.contract_name, "type": "string"}
    return {
        "$schema": DIALECT,
        "$id": kind.schema_id,
        "title": kind.value,
        **schema,
        "description": _WHEN[kind],
        "$defs": definitions,
    }


def asyncapi_document() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of the topic."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Waybill: shipment events",
            "version": CONTRACT_VERSION,
            "description": (
                "Events on a durable RabbitMQ topic exchange, at least once, in no order across shipments;"
                " `data.sequence` counts the events of one shipment. The same event always has the same `ce-id` and"
                " `message_id`. Fields are only ever added."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            kind.value: {
                "address": kind.value,
                "messages": {kind.value: {"$ref": f"#/components/messages/{kind.value}"}},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {"name": TOPIC, "type": "topic", "durable": True, "autoDelete": False},
                        "bindingVersion": "0.3.0",
                    }
                },
            }
            for kind in EventType
        },
        "operations": {
            f"publish-{kind.value}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{kind.value}"},
                "summary": _WHEN[kind],
                "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}},
            }
            for kind in EventType
        },
        "components": {
            "messages": {
                kind.value: {
                    "name": kind.value,
                    "summary": _WHEN[kind],
                    "contentType": "application/json",
                    "headers": _headers(kind),
                    # Beside this document. Within it, a schema's own references would point to the wrong root.
                    "payload": {
                        "schemaFormat": "application/schema+json;version=draft-2020-12",
                        "schema": {"$ref": f"./{schema_file(kind)}"},
                    },
                    "correlationId": {"location": "$message.header#/waybill-request-id"},
                }
                for kind in EventType
            }
        },
    }


def _headers(kind: EventType) -> dict[str, Any]:
    texts = {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"format": "uuid", "description": "the event's id, equal to message_id"},
        "ce-type": {"const": kind.value},
        "ce-source": {"description": "/waybill/<store>"},
        "ce-subject": {"description": "the shipment's number"},
        "ce-time": {"format": "date-time"},
        "ce-dataschema": {"const": kind.schema_id},
        "traceparent": {"description": "W3C trace context of the call that caused the event"},
        "waybill-request-id": {"description": "id of the call that caused the event"},
    }
    return {
        "type": "object",
        "properties": {name: {"type": "string", **rest} for name, rest in texts.items()},
        "required": list(texts),
    }


def _drop_titles(schema: dict[str, Any]) -> None:
    # pydantic's are the field's name over again.
    for part in (schema, *schema["$defs"].values()):
        part.pop("title", None)
        for field in part.get("properties", {}).values():
            field.pop("title", None)

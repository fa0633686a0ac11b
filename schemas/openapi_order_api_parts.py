"""What the Order API's operations are described with: answers as JSON and XML, errors in its words, parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openapi_pydantic import Example, Header, MediaType, Parameter, Response, Schema
from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from schemas.openapi import SECURITY_SCHEMES, request_headers
from schemas.order_api_results import NotAllowed, Refusal

Examples = Mapping[str, Mapping[str, Any]]

SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]

_TEXT = Schema(type="string")
_SECONDS = Schema(type="integer", minimum=1)
_ANY_TEXT: dict[str, Any] = {"type": "string", "examples": ["1"]}


@dataclass(frozen=True, slots=True)
class Answers:
    """Describes answers; `as_xml` shows what the service makes of an example when it answers in XML."""

    as_xml: Callable[[Mapping[str, Any]], str]

    def made(self, models: list[type[BaseModel]], description: str, examples: Examples) -> Response:
        """Return an answer of one of the `models`, as JSON and as XML."""
        schemas: list[Schema] = [PydanticSchema(schema_class=model) for model in models]

        def media(shown: Mapping[str, Any]) -> MediaType:
            schema = schemas[0] if len(schemas) == 1 else Schema(oneOf=list(schemas))
            return MediaType(
                schema=schema, examples={name: Example(value=value) for name, value in shown.items()} or None
            )

        return Response(
            description=description,
            headers={"X-Request-Id": Header(description="The request's id, also in our log.", schema=_TEXT)},
            content={
                "application/json": media(examples),
                # The example is the document as text; the schema is that of the fields.
                "application/xml": media({name: self.as_xml(value) for name, value in examples.items()}),
            },
        )

    def done(self, model: type[BaseModel], description: str, examples: Examples) -> Response:
        """Return the 200 of a call that may also be refused."""
        return self.made([model, Refusal], description, examples)

    def error(self, description: str, message: str) -> Response:
        """Return an error in the contract's words, with an example of its `msg`."""
        return self.made([Refusal], description, {"no": {"status": "no", "msg": message}})

    def errors(self, scope: str, *, body: bool, wrong: str) -> dict[str, Response]:
        """Return the errors of a call that needs `scope`; `wrong` is an example of what a 400 says."""
        unauthorized = self.error("No API key, or not a valid one.", "an API key is required")
        too_many = self.error("The key's rate limit is reached.", "too many requests")
        unavailable = self.error(
            "A lock, a connection, the database or the payment provider could not be had in time. Nothing was changed"
            " for good; repeat the same request.",
            "temporarily unavailable, repeat the request later",
        )
        _add_header(unauthorized, "WWW-Authenticate", "The Basic challenge.", _TEXT)
        for response in (too_many, unavailable):
            _add_header(response, "Retry-After", "Seconds to wait before the next try.", _SECONDS)
        with_body = {
            "408": self.error("The body did not arrive in time.", "the body did not arrive within 30 s"),
            "413": self.error("The body is larger than 64 KiB.", "the body is larger than 64 KiB"),
            "415": self.error("The body is not JSON by its headers.", "Content-Type must be application/json"),
            "422": self.error(
                "The Idempotency-Key was used with another request.", "Idempotency-Key: was used with another request"
            ),
        }
        return {
            "400": self.error("The body or a value is not what is expected; `msg` names it.", wrong),
            "401": unauthorized,
            "403": self.made([NotAllowed], f"The key lacks the scope `{scope}`.", {"scope": {"status": "Not Allowed"}}),
            **(with_body if body else {}),
            "429": too_many,
            "500": self.error("Something failed on our side. The cause is in the server's log.", "internal error"),
            "503": unavailable,
        }


def _add_header(response: Response, name: str, description: str, schema: Schema) -> None:
    response.headers = {
        **(response.headers or {}),
        name: Header(description=description, required=True, schema=schema),
    }


def parameters(*, body: bool, query: type[BaseModel] | None = None, path: bool = False) -> list[Any]:
    """Return the parameters of a call: with a `body`, with those of a `query` model, with a shipment in the `path`."""
    xml = "Answer in XML instead of JSON." + (" The body may say so too." if body else "")
    return [
        *([_shipment()] if path else []),
        *(_of_query(query) if query else []),
        _wish("xml", xml),
        *([_idempotency_key()] if body else []),
        *request_headers(),
    ]


def parcels() -> Any:  # noqa: ANN401 - the union of openapi_pydantic's models
    """Return the parameter that asks for parcels."""
    return _wish("parcels", "List every parcel of each shipment.")


def _wish(name: str, description: str) -> Any:  # noqa: ANN401
    return _parameter(
        name,
        "query",
        f"{description} Wished for by `1`, `true`, `yes` or `on`; nothing else is wrong, but no wish.",
        _ANY_TEXT,
    )


def _of_query(model: type[BaseModel]) -> list[Any]:
    found = []
    for name, described in model.model_json_schema()["properties"].items():
        schema = {key: value for key, value in described.items() if key not in {"title", "description", "anyOf"}}
        if schema.get("default", "") is None:
            del schema["default"]
        found.append(_parameter(name, "query", described["description"], {**schema, **described.get("anyOf", [{}])[0]}))
    return found


def _shipment() -> Any:  # noqa: ANN401
    return _parameter("shipment", "path", "The shipment's number.", {"type": "string", "examples": ["83651-1"]})


def _idempotency_key() -> Any:  # noqa: ANN401
    return _parameter(
        "Idempotency-Key",
        "header",
        "For 24 hours the same request under the same key is answered with the same bytes, marked by the header"
        " `Idempotency-Replayed: true`. Refusals are not kept.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~](?:[ -~]*[!-~])?$"},
    )


def _parameter(name: str, place: str, description: str, schema: dict[str, Any]) -> Any:  # noqa: ANN401
    # What is sent blank in a query counts as not sent.
    return Parameter.model_validate(
        {"name": name, "in": place, "required": place == "path", "description": description, "schema": schema}
        | ({"allowEmptyValue": True} if place == "query" and schema != _ANY_TEXT else {})
    )


def without_400(errors: dict[str, Response]) -> dict[str, Response]:
    """Return the errors of a call that takes nothing which could be wrong."""
    return {status: error for status, error in errors.items() if status != "400"}

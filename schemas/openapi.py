"""OpenAPI 3.1 documents, generated from the pydantic models. What every operation shares is said once, here."""

from __future__ import annotations

from typing import Any

from openapi_pydantic import (
    Components,
    Example,
    Header,
    Info,
    MediaType,
    OpenAPI,
    Parameter,
    PathItem,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
    Tag,
)
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

from schemas.shipment_completion import ErrorResponse

SECURITY_SCHEMES: dict[str, SecurityScheme] = {
    "basic": SecurityScheme(type="http", scheme="basic", description="HTTP Basic: key id and secret."),
    "apiAuthorization": SecurityScheme.model_validate(
        {
            "type": "apiKey",
            "name": "API-Authorization",
            "in": "header",
            "description": "The key's secret alone, without a scheme.",
        }
    ),
    "bearer": SecurityScheme(type="http", scheme="bearer", description="The key's secret."),
}

# What no operation can say, because the request belongs to none.
_EVERYWHERE = """White space around a value is no part of it, and an optional value that is blank counts as not sent.
Bodies are UTF-8, also with `Content-Encoding: gzip` or `deflate`; limits are those of the decoded body.

Another method of a known path is answered with 405 and `Allow`, another path with 404. What is no valid HTTP, has a
line or a header of more than 8190 bytes or more than 128 headers is answered with 400 and `{"error": …}`, and the
connection is closed. An idle connection is closed after 75 seconds."""

_TEXT = Schema(type="string")
_SECONDS = Schema(type="integer", minimum=1)


def document(
    *, title: str, version: str, description: str, tags: list[Tag], paths: dict[str, PathItem]
) -> dict[str, Any]:
    """Assemble a document; the models that the operations name become its components."""
    description = f"{description}\n\n{_EVERYWHERE}"
    api = OpenAPI(
        openapi="3.1.0",
        info=Info(title=title, version=version, description=description),
        tags=tags,
        paths=paths,
        components=Components(securitySchemes=dict(SECURITY_SCHEMES)),
    )
    # Unset: the library would write out its defaults where the standard knows no such field.
    dumped: dict[str, Any] = construct_open_api_with_schema_class(api).model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_unset=True
    )
    for schema in dumped["components"]["schemas"].values():
        _drop_field_titles(schema)
    return dumped


def _drop_field_titles(schema: dict[str, Any]) -> None:
    # pydantic makes them from the field's name, "Shipmentnumber", and pages show them instead of the name.
    for field in schema.get("properties", {}).values():
        field.pop("title", None)


def json_request(model: type[BaseModel], description: str) -> RequestBody:
    """Return a required JSON body of `model`."""
    return RequestBody(
        required=True,
        description=description,
        content={"application/json": MediaType(schema=PydanticSchema(schema_class=model))},
    )


def json_response(model: type[BaseModel], description: str, examples: dict[str, Any] | None = None) -> Response:
    """Return an answer of `model` with named examples."""
    return Response(
        description=description,
        headers={"X-Request-Id": Header(description="The request's id, also in our log.", schema=_TEXT)},
        content={
            "application/json": MediaType(
                schema=PydanticSchema(schema_class=model),
                examples={name: Example(value=value) for name, value in (examples or {}).items()} or None,
            )
        },
    )


def error(description: str, **examples: str) -> Response:
    """Return the error answer; each example is the text of `error`."""
    return json_response(ErrorResponse, description, {name: {"error": text} for name, text in examples.items()})


def common_errors(limit: str = "64 KiB", content_type: str = "application/json") -> dict[str, Response]:
    """Return the answers that every endpoint with a key shares."""
    unauthorized = error("No API key, or not a valid one.", no_key="An API key is required.")
    too_many = error("The key's rate limit is reached.", too_many="Too many requests.")
    unavailable = error(
        "A lock, a connection, the database or the payment provider could not be had in time. Nothing was changed;"
        " repeat the same request.",
        later="The service is temporarily unavailable; repeat the request later.",
    )
    retry_after = Header(description="Seconds to wait before the next try.", required=True, schema=_SECONDS)
    unauthorized.headers = {
        **(unauthorized.headers or {}),
        "WWW-Authenticate": Header(description="The Basic challenge.", required=True, schema=_TEXT),
    }
    for response in (too_many, unavailable):
        response.headers = {**(response.headers or {}), "Retry-After": retry_after}
    return {
        "401": unauthorized,
        "403": error("The API key lacks the scope.", scope="The API key lacks the scope shipments:complete."),
        "408": error("The body did not arrive in time.", slow="The body did not arrive within 30 s."),
        "413": error(f"The body is larger than {limit}.", too_large=f"The body is larger than {limit}."),
        "415": error("The body is not JSON by its headers.", type=f"Content-Type must be {content_type}."),
        "429": too_many,
        "503": unavailable,
    }


def request_headers() -> list[Any]:
    """Return the optional headers that every request may carry."""
    return [
        Parameter.model_validate(
            {
                "name": "X-Request-Id",
                "in": "header",
                "required": False,
                "description": "Taken over when it is 1 to 128 visible ASCII characters, else made by us; it"
                " follows the shipment into logs, event and mail.",
                "schema": {"type": "string"},
            }
        )
    ]

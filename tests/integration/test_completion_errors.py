"""Every row of the error table of the Shipment Completion API, and what odd clients send."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import asyncpg
import pytest

from service.http.authentication import CACHE_S
from service.http.bodies import USUAL_LIMIT
from service.keys import Scope, create_key, revoke_key
from service.settings import Settings
from tests.support.api import COMPLETE, Api, serve_api
from tests.support.rows import insert_order, insert_shipment
from tests.support.waiting import until

Pool = asyncpg.Pool
BODY = {"shipmentNumber": "100001-1"}


@pytest.fixture
async def shipment(pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))


def basic(key_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(key_id, secret)}


async def test_every_way_to_present_a_key(api: Api, shipment: None) -> None:
    ways = [
        basic(api.key.id, api.key.secret),
        {"API-Authorization": api.key.secret},
        {"Authorization": f"Bearer {api.key.secret}"},
    ]
    answers = [await api.call("POST", COMPLETE, json=BODY, headers=way) for way in ways]
    assert [answer.status for answer in answers] == [200, 409, 409]


async def test_no_key_or_a_wrong_one_is_401_with_a_challenge(api: Api, pool: Pool, shipment: None) -> None:
    wrong: list[dict[str, str]] = [
        {},
        basic(api.key.id, "guess"),
        basic("key_other", api.key.secret),
        basic("", api.key.secret),
        {"API-Authorization": "guess"},
        {"API-Authorization": api.key.id},
        {"Authorization": "Bearer guess"},
        {"Authorization": "Basic ???"},
        {"Authorization": api.key.secret},
    ]
    for headers in wrong:
        answer = await api.call("POST", COMPLETE, json=BODY, headers=headers)
        assert answer.status == 401, headers
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert set(answer.body) == {"error"}
    assert await pool.fetchval("SELECT status FROM shipments") == "RELEASED"


async def test_a_key_is_asked_for_before_the_body_is_read(api: Api) -> None:
    assert (await api.call("POST", COMPLETE, data=b"{", headers={})).status == 401


async def test_a_key_without_the_scope_is_403(api: Api, pool: Pool, shipment: None) -> None:
    key = await create_key(pool, partner="reader", scopes=sorted(set(Scope) - {Scope.COMPLETE_SHIPMENTS}))
    answer = await api.call("POST", COMPLETE, json=BODY, headers=basic(key.id, key.secret))
    assert (answer.status, answer.body) == (403, {"error": "The API key lacks the scope shipments:complete."})


async def test_an_expired_key_is_401(api: Api, pool: Pool) -> None:
    key = await create_key(pool, partner="old", scopes=list(Scope))
    await pool.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", key.id)
    assert (await api.call("POST", COMPLETE, json=BODY, headers=basic(key.id, key.secret))).status == 401


async def test_a_revoked_key_stops_working_within_five_seconds(api: Api, pool: Pool) -> None:
    assert (await api.call("POST", COMPLETE, json=BODY)).status == 404
    await revoke_key(pool, api.key.id)
    assert CACHE_S < 5

    async def refused() -> bool:
        return (await api.call("POST", COMPLETE, json=BODY)).status == 401

    await until(refused, timeout=5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not valid JSON: EOF while parsing a value at line 1 column 0"),
        (b"shipmentNumber=100001-1", "The body is not valid JSON: expected value at line 1 column 1"),
        (
            b'{"shipmentNumber": "100001-1"',
            "The body is not valid JSON: EOF while parsing an object at line 1 column 29",
        ),
        (b"[]", "body: Input should be an object"),
        (b"{}", "shipmentNumber: Field required"),
        (b'{"shipmentNumber": "   "}', "shipmentNumber: must not be blank"),
        (b'{"shipmentNumber": 100001}', "shipmentNumber: Input should be a valid string"),
        (b'{"shipmentNumber": "a\\u0000"}', "shipmentNumber: must not contain control characters"),
        (
            b'{"shipmentNumber": "1", "carrierTrackingNumber": {}}',
            "carrierTrackingNumber: Input should be a valid string",
        ),
        (b'{"shipmentNumber": "\xff"}', "The body is not valid in its charset; UTF-8 is expected."),
        (b"[" * 5000, "The body is not valid JSON: recursion limit exceeded at line 1 column 202"),
    ],
)
async def test_a_wrong_body_is_400_and_names_the_field(api: Api, body: bytes, message: str) -> None:
    headers = basic(api.key.id, api.key.secret) | {"Content-Type": "application/json"}
    answer = await api.call("POST", COMPLETE, data=body, headers=headers)
    assert (answer.status, answer.body) == (400, {"error": message})


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=utf-8", b'{"shipmentNumber": "100001-1"}'),
        ("application/json; charset=UTF8", b'\xef\xbb\xbf{"shipmentNumber": "100001-1"}'),
        ("application/json;charset=utf-16", '{"shipmentNumber": "100001-1"}'.encode("utf-16")),
        ("application/json; charset=iso-8859-1", b'{"shipmentNumber": "100001-1", "note": "\xe5"}'),
        ("text/json", b' \r\n{"shipmentNumber": " 100001-1 ", "shipmentNumber": "100001-1", "extra": [1, {}]}\n'),
        ("application/vnd.wms+json", b'{"shipmentNumber": "100001-1", "carrierTrackingNumber": null}'),
        ("", b'{"shipmentNumber": "100001-1"}'),
    ],
)
async def test_what_old_clients_send_is_understood(api: Api, shipment: None, content_type: str, body: bytes) -> None:
    headers = basic(api.key.id, api.key.secret)
    arguments: dict[str, Any] = {"skip_auto_headers": ["Content-Type"]}
    if content_type:
        headers["Content-Type"] = content_type
    assert (await api.call("POST", COMPLETE, data=body, headers=headers, **arguments)).status == 200


async def test_a_trailing_slash_is_tolerated(api: Api, shipment: None) -> None:
    assert (await api.call("POST", COMPLETE + "/?source=wms", json=BODY)).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_another_content_type_is_415(api: Api, content_type: str) -> None:
    headers = basic(api.key.id, api.key.secret) | {"Content-Type": content_type}
    answer = await api.call("POST", COMPLETE, data=b"{}", headers=headers)
    assert (answer.status, answer.body) == (415, {"error": "Content-Type must be application/json."})


async def test_an_unknown_charset_is_415(api: Api) -> None:
    headers = basic(api.key.id, api.key.secret) | {"Content-Type": "application/json; charset=klingon"}
    assert (await api.call("POST", COMPLETE, data=b"{}", headers=headers)).status == 415


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_64_kib_is_413(api: Api, chunked: bool) -> None:
    body = b'{"shipmentNumber": "' + b"x" * USUAL_LIMIT + b'"}'

    async def chunks() -> Any:
        yield body

    headers = basic(api.key.id, api.key.secret) | {"Content-Type": "application/json"}
    answer = await api.call("POST", COMPLETE, data=chunks() if chunked else body, headers=headers)
    assert (answer.status, answer.body) == (413, {"error": "The body is larger than 64 KiB."})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_is_405(api: Api, method: str) -> None:
    answer = await api.call(method, COMPLETE)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert set(answer.body) == {"error"}


async def test_an_unknown_path_is_a_json_404(api: Api) -> None:
    answer = await api.call("GET", "/integration/api/nothing")
    assert answer.status == 404
    assert set(answer.body) == {"error"}


async def test_the_rate_limit_is_429_per_key_with_retry_after(api_settings: Settings, pool: Pool) -> None:
    async with serve_api(api_settings.model_copy(update={"rate_limit": "2/minute"}), pool) as api:
        answers = [await api.complete("100001-1") for _ in range(3)]
        assert [answer.status for answer in answers] == [404, 404, 429]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
        other = await create_key(pool, partner="other", scopes=list(Scope))
        assert (await api.call("POST", COMPLETE, json=BODY, headers=basic(other.id, other.secret))).status == 404


async def test_a_bug_is_500_without_its_text(api: Api, pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    await pool.execute("ALTER TABLE captures RENAME TO elsewhere")
    answer = await api.complete("100001-1")
    assert (answer.status, answer.body) == (500, {"error": "Internal server error."})


async def test_the_database_is_down_and_comes_back(
    api: Api, pool: Pool, database_settings: Settings, shipment: None
) -> None:
    assert (await api.call("GET", "/readyz")).status == 200
    name = database_settings.database_url.rsplit("/", 1)[1]
    admin = await asyncpg.connect(database_settings.database_url.rsplit("/", 1)[0] + "/postgres")
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        for _ in range(3):
            answer = await api.complete("100001-1")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await api.call("GET", "/readyz")).status == 503
        assert (await api.call("GET", "/integration/healthcheck", headers={})).status == 503
        assert (await api.call("GET", "/healthz", headers={})).status == 200
        assert (await api.call("GET", "/integration/status", headers={})).status == 200
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    finally:
        await admin.close()
    assert (await api.call("GET", "/readyz", headers={})).status == 200
    assert (await api.complete("100001-1")).status == 200


async def test_a_client_that_speaks_no_http_harms_nobody(api: Api) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    for sent in (
        b"\x16\x03\x01",
        b"GET\r\n\r\n",
        b"POST " + COMPLETE.encode() + b" HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert (await api.call("GET", "/healthz", headers={})).status == 200


async def test_the_document_names_every_answer(api: Api) -> None:
    answer = await api.call("GET", COMPLETE.replace("complete-shipment", "api-docs"), headers={})
    operation = answer.body["paths"][COMPLETE]["post"]
    assert answer.body["openapi"].startswith("3.1")
    assert set(operation["responses"]) == {
        *("200", "400", "401", "403", "404", "408", "409", "413", "415", "429", "500", "503")
    }
    assert {name for way in operation["security"] for name in way} == set(answer.body["components"]["securitySchemes"])
    page = await api.call("GET", "/docs", headers={})
    assert page.status == 200
    assert "http" not in page.body.replace("<!doctype html>", "")
    async with aiohttp.ClientSession() as session:
        for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"):
            async with session.get(f"{api.url}/docs/assets/{asset}") as response:
                assert response.status == 200

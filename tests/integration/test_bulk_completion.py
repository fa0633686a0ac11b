"""A bulk request decides every row by itself, and answers each as the single call would."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import asyncpg
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from service.bulk_completions import MOST_TOGETHER, BulkCompletions
from service.settings import Settings
from tests.input.raw_http import exchange, request
from tests.support.api import COMPLETE, Api, serve_api
from tests.support.bulk import (
    COMPLETE_MANY,
    LINES,
    bulk,
    complete_many,
    counted,
    insert_paid,
    insert_unpaid,
    rows_of,
    shipped_and_told,
    statuses,
    written,
)
from tests.support.rows import Line, insert_capture, insert_event, insert_order, insert_shipment
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool

BOTH_FORMS = pytest.mark.parametrize("lines", [False, True], ids=["json", "lines"])


async def ledger_keys(sandbox: Sandbox) -> list[str]:
    return sorted(entry["idempotency_key"] for entry in sandbox.ledger())


@BOTH_FORMS
async def test_every_row_has_the_answer_of_its_single_call(
    api_settings: Settings, pool: Pool, sandbox: Sandbox, lines: bool
) -> None:
    await insert_paid(pool, "paid")
    await insert_unpaid(pool, "unpaid")
    await insert_unpaid(pool, "refused", "sandbox:decline")
    await insert_unpaid(pool, "silent", "sandbox:lost")
    await insert_unpaid(pool, "away", "sandbox:flaky:1000000")
    gone = await insert_paid(pool, "gone", status="SHIPPED")
    async with pool.acquire() as connection:
        await insert_event(connection, gone)
    await insert_paid(pool, "stopped", status="ONHOLD")
    await insert_shipment(pool, await insert_order(pool, "elsewhere", payment_provider="unknown"))
    await pool.execute("DELETE FROM shipment_lines WHERE shipment_id = $1", (await insert_paid(pool, "broken")).id)
    rows: dict[str, tuple[Any, int]] = {
        "paid": ({"shipmentNumber": " paid-1 ", "carrierTrackingNumber": "1Z"}, 200),
        "unpaid": ({"shipmentNumber": "unpaid-1", "unknown": [1]}, 200),
        "refused": ({"shipmentNumber": "refused-1"}, 500),
        "silent": ({"shipmentNumber": "silent-1"}, 500),
        "away": ({"shipmentNumber": "away-1"}, 503),
        "gone": ({"shipmentNumber": "gone-1"}, 409),
        "stopped": ({"shipmentNumber": "stopped-1"}, 400),
        "elsewhere": ({"shipmentNumber": "elsewhere-1"}, 503),
        "broken": ({"shipmentNumber": "broken-1"}, 500),
        "none": ({"shipmentNumber": "none-1"}, 404),
        "a number": (5, 400),
        "a list": ([], 400),
        "null": (None, 400),
        "nothing": ({}, 400),
        "blank": ({"shipmentNumber": " "}, 400),
        "a number's number": ({"shipmentNumber": 1}, 400),
        "a line": ({"shipmentNumber": "a\nb"}, 400),
        "too long": ({"shipmentNumber": "paid-1", "carrierTrackingNumber": "x" * 256}, 400),
    }
    async with serve_api(api_settings.model_copy(update={"capture_timeout_s": 0.5}), pool) as api:
        results = dict(zip(rows, await complete_many(api, [row for row, _ in rows.values()], lines=lines), strict=True))
        for name, (row, status) in rows.items():
            assert results[name]["status"] == status, results[name]
            if status == 200:
                continue
            headers = {"API-Authorization": api.key.secret, "Content-Type": "application/json"}
            single = await api.call("POST", COMPLETE, data=json.dumps(row), headers=headers)
            if name == "silent":
                # Asked, the provider knows of the money.
                assert (results[name]["error"], single.status) == ("The shipment could not be completed.", 200)
                continue
            assert single.status == status, (name, single)
            assert results[name]["error"] == single.body["error"]
            assert results[name].get("retryAfter") == (int(single.headers["Retry-After"]) if status == 503 else None)
    assert results["paid"] == {"row": 1, "shipmentNumber": "paid-1", "status": 200, "orderNumber": "paid"}
    assert results["gone"].keys() == {"row", "shipmentNumber", "status", "error"}
    assert results["blank"].keys() == {"row", "status", "error"}
    assert await shipped_and_told(pool) == ["gone-1", "paid-1", "silent-1", "unpaid-1"]
    captured = await ledger_keys(sandbox)
    assert captured == ["shipment:silent-1:capture:1", "shipment:unpaid-1:capture:1"]
    assert await pool.fetchval("SELECT tracking_number FROM parcels") == "1Z"


@BOTH_FORMS
async def test_rows_of_one_shipment_are_done_in_turn(api: Api, pool: Pool, sandbox: Sandbox, lines: bool) -> None:
    order = await insert_order(pool, lines=(Line(quantity=3),), shipping_amount=0)
    for n in (1, 2, 3):
        shipment = await insert_shipment(pool, order, n=n, quantities={"43243": 1})
        if n > 1:
            await insert_capture(pool, shipment)
    await insert_unpaid(pool, "refused", "sandbox:decline")
    results = await complete_many(
        api,
        [
            {"shipmentNumber": "100001-1", "carrierTrackingNumber": "first"},
            {"shipmentNumber": "100001-1", "carrierTrackingNumber": "second"},
            *rows_of("100001-3", "refused-1", "100001-2", "refused-1", "100001-3", "100001-1 "),
        ],
        lines=lines,
    )
    assert statuses(results) == [200, 409, 200, 500, 200, 500, 409, 409]
    assert await shipped_and_told(pool) == ["100001-1", "100001-2", "100001-3"]
    assert await pool.fetchval("SELECT status FROM orders WHERE order_number = '100001'") == "COMPLETED"
    assert await pool.fetchval("SELECT tracking_number FROM parcels") == "first"
    # Each refusal was an attempt of its own.
    assert await pool.fetchval("SELECT count(*) FROM captures WHERE state = 'DECLINED'") == 2
    assert await ledger_keys(sandbox) == ["shipment:100001-1:capture:1"]


async def test_more_than_one_transaction_takes_are_all_shipped(api: Api, pool: Pool) -> None:
    numbers = [f"{n}-1" for n in range(2 * MOST_TOGETHER + 1)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    assert counted(await complete_many(api, rows_of(*numbers))) == {200: len(numbers)}
    assert await shipped_and_told(pool) == sorted(numbers)
    assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM shipments WHERE status = 'SHIPPED'") == 3


async def test_the_same_request_twice_at_once_ships_and_captures_everything_once(
    api: Api, pool: Pool, sandbox: Sandbox
) -> None:
    numbers = [f"{n}-1" for n in range(200)]
    for n, number in enumerate(numbers):
        await (insert_paid if n % 10 else insert_unpaid)(pool, number[:-2])
    both = await asyncio.gather(*(complete_many(api, rows_of(*numbers), lines=lines) for lines in (False, True)))
    for first, second in zip(*both, strict=True):
        assert {first["status"], second["status"]} == {200, 409}
    assert await shipped_and_told(pool) == sorted(numbers)
    assert await ledger_keys(sandbox) == sorted(f"shipment:{number}:capture:1" for number in numbers[::10])


async def test_single_calls_for_the_same_shipments_are_answered_as_truly(
    api: Api, pool: Pool, sandbox: Sandbox
) -> None:
    numbers = [f"{n}-1" for n in range(60)]
    for n, number in enumerate(numbers):
        await (insert_paid if n % 3 else insert_unpaid)(pool, number[:-2])
    results, *singles = await asyncio.gather(
        complete_many(api, rows_of(*numbers)), *(api.complete(number) for number in reversed(numbers))
    )
    for result, single in zip(results, reversed(singles), strict=True):
        assert {result["status"], single.status} == {200, 409}
    assert await shipped_and_told(pool) == sorted(numbers)
    assert len(sandbox.ledger()) == 20


async def test_one_bad_row_of_a_set_fails_alone(api: Api, pool: Pool) -> None:
    taken = await insert_paid(pool, "taken")
    async with pool.acquire() as connection:
        await insert_event(connection, taken, sequence=1, in_outbox=False)
    numbers = [f"{n}-1" for n in range(20)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    results = await complete_many(api, rows_of("taken-1", *numbers))
    assert statuses(results) == [500, *[200] * 20]
    assert results[0]["error"] == "Internal server error."
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 20


# Bodies


WRONG = [
    (b"", "body"),
    (b"5", "body: Input should be an object"),
    (b"{}", "shipments: Field required"),
    (b'{"shipments": {}}', "shipments: Input should be a valid array"),
    (b'{"shipments": []}', "shipments: List should have at least 1 item"),
    (b'{"shipments": [' + b"5," * 10_000 + b"5]}", "shipments: List should have at most 10000 items"),
    (b'[{"shipmentNumber": "100001-1"}]', "body: Input should be an object"),
    (b'{"shipmentNumber": "100001-1"}', "shipments: Field required"),
    (b'{"shipments": [{"shipmentNumber": "100001-1"}', "not valid JSON"),
    (b'{"shipments": [{"shipmentNumber": "100001-1"}, {"shipmentNumber": "\\ud800"}]}', "not valid JSON"),
    (b'{"shipments": [{"shipmentNumber": "\xff"}]}', "not valid in its charset"),
]
WRONG_LINES = [
    (b"", "expected 1 to 10000 lines, not 0"),
    (b"\n \n\r\n", "expected 1 to 10000 lines, not 0"),
    (b'{"shipmentNumber": "100001-1"}\n' * 10_001, "expected 1 to 10000 lines, not 10001"),
    (b'{"shipmentNumber": "100001-1"}\n\xff', "not valid in its charset"),
]


async def test_a_body_that_is_wrong_as_a_whole_changes_nothing(api: Api, pool: Pool) -> None:
    await insert_paid(pool, "100001")
    for content_type, bodies in (("application/json", WRONG), (LINES, WRONG_LINES)):
        for body, why in bodies:
            answer = await api.call(
                "POST",
                COMPLETE_MANY,
                data=body,
                headers={"API-Authorization": api.key.secret, "Content-Type": content_type},
            )
            assert (answer.status, set(answer.body)) == (400, {"error"}), body[:80]
            assert why in answer.body["error"]
    assert await shipped_and_told(pool) == []


async def test_ten_thousand_rows_are_taken(api: Api) -> None:
    for lines in (False, True):
        results = await complete_many(api, rows_of(*(f"none-{n}" for n in range(10_000))), lines=lines)
        assert counted(results) == {404: 10_000}
        assert results[-1]["error"] == "Shipment not found: none-9999"


async def test_lines_are_numbered_without_the_blank_ones(api: Api, pool: Pool) -> None:
    for order in ("1", "2", "3"):
        await insert_paid(pool, order)
    one, odd, broken, three = (
        '{"shipmentNumber": "1-1"}',
        '{"shipmentNumber": "2\u2028-1"}',
        "{",
        '{"shipmentNumber": "3-1"}',
    )
    text = f"\ufeff\r\n{one}\r\n\n  \n{odd}\n{broken}\n{three}"
    sent: dict[str, bytes] = {"": text.encode(), "gzip": gzip.compress(text.encode())}
    found = []
    for encoding, body in sent.items():
        headers = {"API-Authorization": api.key.secret, "Content-Type": "application/jsonl; charset=utf-8"}
        if encoding:
            headers["Content-Encoding"] = encoding
        answer = await api.call("POST", COMPLETE_MANY, data=body, headers=headers)
        assert answer.status == 200
        found.append(sorted((json.loads(line) for line in answer.body.splitlines()), key=lambda each: int(each["row"])))
    assert statuses(found[0]) == [200, 400, 400, 200]
    assert statuses(found[1]) == [409, 400, 400, 409]
    assert found[0][1]["error"] == "shipmentNumber: must not contain control characters"
    assert found[0][2]["error"].startswith("The body is not valid JSON: ")


async def test_every_name_of_the_forms_is_known_and_others_are_not(api: Api) -> None:
    for content_type, lines in {
        None: False,
        "text/json": False,
        "application/vnd.waybill+json": False,
        "application/x-ndjson": True,
        "application/ndjson": True,
        "application/jsonl": True,
        "application/x-jsonlines": True,
    }.items():
        body, _ = written(rows_of("none"), lines=lines)
        headers = [f"Content-Type: {content_type}"] if content_type else []
        sent = request(api, body, *headers, path=COMPLETE_MANY)
        [reply] = await exchange(
            api.url, sent if content_type else sent.replace(b"Content-Type: application/json\r\n", b"")
        )
        assert reply.status == 200
        assert reply.headers["content-type"] == f"{LINES if lines else 'application/json'}; charset=utf-8"
        assert reply.headers["transfer-encoding"] == "chunked"
    for content_type in ("text/plain", "application/xml", "text/csv"):
        [reply] = await exchange(api.url, request(api, b"{}", f"Content-Type: {content_type}", path=COMPLETE_MANY))
        assert (reply.status, reply.json) == (
            415,
            {"error": "Content-Type must be application/json or application/x-ndjson."},
        )
    # The single call knows one only.
    [reply] = await exchange(api.url, request(api, b"{}", f"Content-Type: {LINES}"))
    assert reply.status == 415


@BOTH_FORMS
async def test_a_client_of_http_1_0_reads_until_the_end(api: Api, pool: Pool, lines: bool) -> None:
    await insert_paid(pool, "100001")
    body, headers = written(rows_of("100001-1", "none"), lines=lines)
    sent = request(api, body, f"Content-Type: {headers['Content-Type']}", path=COMPLETE_MANY + "/")
    parts = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(parts[0], int(parts[1]))
    writer.write(sent.replace(b"HTTP/1.1", b"HTTP/1.0"))
    head, _, answer = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.0 200")
    assert b"Transfer-Encoding" not in head
    results = [json.loads(line) for line in answer.splitlines()] if lines else json.loads(answer)["results"]
    assert sorted(statuses(results)) == [200, 404]


async def test_the_answer_and_the_log_carry_the_request_id_and_the_counts(api: Api, pool: Pool) -> None:
    await insert_paid(pool, "100001")
    body, headers = written([*rows_of("100001-1", "none", "100001-1"), 5], lines=False)
    with capture_logs(processors=[merge_contextvars]) as logs:
        answer = await api.call(
            "POST",
            COMPLETE_MANY,
            data=body,
            headers={**headers, "API-Authorization": api.key.secret, "X-Request-Id": "req-7"},
        )
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, "req-7")
    assert await pool.fetchval("SELECT request_id FROM events") == "req-7"
    [line] = logs
    assert (line["event"], line["rows"], line["statuses"]) == (
        "request_finished",
        4,
        {"200": 1, "400": 1, "404": 1, "409": 1},
    )


async def test_a_key_without_the_scope_is_refused_and_the_path_takes_post_only(api: Api) -> None:
    refused = await api.call("POST", COMPLETE_MANY, json={"shipments": rows_of("1-1")}, headers={})
    assert refused.status == 401
    assert (await api.call("GET", COMPLETE_MANY)).status == 405


async def test_an_answer_that_cannot_go_on_ends_as_no_whole_one_does(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(BulkCompletions, "complete", fail)
    with capture_logs() as logs:
        for lines in (False, True):
            with pytest.raises(aiohttp.ClientError):
                async with bulk(api, rows_of("100001-1"), lines=lines) as response:
                    await response.read()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["request_failed"] * 2

"""The sandbox provider's HTTP interface, spoken to without our client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.dev.sandbox_provider import LEDGER_FILE, run_sandbox
from service.dev.sandbox_provider_captures import Behaviour, behaviour_of
from service.dev.sandbox_provider_ledger import LedgerError
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

GOOD = {"authorization": "sandbox:ok", "amount": 100, "currency": "SEK", "final": True}
Answer = tuple[int, Any]
Post = Callable[..., Coroutine[Any, Any, Answer]]
Get = Callable[[str], Coroutine[Any, Any, Answer]]


@pytest.fixture
async def session(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sandbox.url) as session:
        yield session


@pytest.fixture
def post(session: aiohttp.ClientSession) -> Post:
    async def post(key: str | None = "k", **changes: object) -> Answer:
        headers = {} if key is None else {"Idempotency-Key": key}
        async with session.post("/captures", json=GOOD | changes, headers=headers) as response:
            return response.status, await response.json()

    return post


@pytest.fixture
def get(session: aiohttp.ClientSession) -> Get:
    async def get(path: str) -> Answer:
        async with session.get(path) as response:
            return response.status, await response.json()

    return get


@pytest.mark.parametrize(
    ("authorization", "behaviour"),
    [
        ("sandbox:ok", Behaviour()),
        ("sandbox:ok#sandbox:decline", Behaviour()),
        ("sandbox:decline#1", Behaviour(decline_reason="declined by the sandbox")),
        ("sandbox:slow:250", Behaviour(delay_ms=250)),
        ("sandbox:lost##", Behaviour(answers=False)),
        ("sandbox:flaky:3#a", Behaviour(refusals=3)),
    ],
)
def test_an_authorization_says_how_the_provider_behaves(authorization: str, behaviour: Behaviour) -> None:
    assert behaviour_of(authorization) == behaviour


@pytest.mark.parametrize(
    "authorization",
    [
        *("", "#", "ok", "sandbox", "sandbox:", "sandbox:OK", " sandbox:ok", "sandbox:ok:1", "pm_card_visa"),
        *("sandbox:slow", "sandbox:slow:", "sandbox:slow:-1", "sandbox:slow:1.5", "sandbox:slow:²"),
        *("sandbox:slow:12345678", "sandbox:flaky:x"),
    ],
)
def test_an_authorization_that_means_nothing_is_declined(authorization: str) -> None:
    assert behaviour_of(authorization) == Behaviour(decline_reason="unknown authorization")


async def test_the_ledger_lists_what_moved_money_and_nothing_else(post: Post, get: Get) -> None:
    _, first = await post("k1", amount=250, currency="EUR", authorization="sandbox:ok#1")
    await post("k2", authorization="sandbox:decline")
    await post("k3", authorization="elsewhere")
    _, last = await post("k4")
    status, rows = await get("/ledger")
    assert status == 200
    assert [row.pop("captured_at")[-5] for row in rows] == [".", "."]
    assert rows == [
        {"id": first["id"], "idempotency_key": "k1", "authorization": "sandbox:ok#1", "amount": 250, "currency": "EUR"},
        {"id": last["id"], "idempotency_key": "k4", "authorization": "sandbox:ok", "amount": 100, "currency": "SEK"},
    ]


async def test_a_declined_capture_says_why(post: Post, get: Get) -> None:
    status, answer = await post(authorization="elsewhere")
    assert (status, answer["status"], answer["reason"]) == (200, "declined", "unknown authorization")
    assert await get("/captures/k") == (200, answer)


async def test_health(get: Get) -> None:
    assert await get("/healthz") == (200, {"status": "ok"})


async def test_a_key_never_seen(get: Get) -> None:
    assert await get("/captures/k") == (404, {"status": "unknown"})


async def test_a_repeat_is_marked_as_one(session: aiohttp.ClientSession) -> None:
    marks = []
    for _ in range(2):
        async with session.post("/captures", json=GOOD, headers={"Idempotency-Key": "k"}) as response:
            marks.append(response.headers["Idempotency-Replayed"])
    assert marks == ["false", "true"]


@pytest.mark.parametrize(
    "changes",
    [{"amount": 101}, {"currency": "EUR"}, {"authorization": "sandbox:ok#2"}],
)
async def test_a_key_used_for_something_else_is_refused(
    sandbox: Sandbox, post: Post, changes: dict[str, object]
) -> None:
    _, captured = await post()
    status, answer = await post(**changes)
    assert (status, answer) == (422, {"error": "this idempotency key was used with other parameters"})
    assert [row["id"] for row in sandbox.ledger()] == [captured["id"]]


async def test_a_repeat_may_see_differently_whether_it_is_the_last_capture(sandbox: Sandbox, post: Post) -> None:
    first = await post(final=True)
    assert await post(final=False) == first
    assert [row["id"] for row in sandbox.ledger()] == [first[1]["id"]]


async def test_a_key_under_way_for_something_else_is_refused(sandbox: Sandbox, post: Post) -> None:
    slow = asyncio.create_task(post(authorization="sandbox:slow:200"))
    await sandbox.accepted("k")
    status, _ = await post(authorization="sandbox:slow:200", amount=1)
    assert status == 422
    await slow
    assert [row["amount"] for row in sandbox.ledger()] == [100]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "100"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": 2**63}, "amount"),
        ({"currency": "sek"}, "currency"),
        ({"currency": "SEK\n"}, "currency"),
        ({"final": 1}, "final"),
        ({"authorization": ""}, "authorization"),
        ({"authorization": "x" * 256}, "authorization"),
        ({"authorization": None}, "authorization"),
    ],
)
async def test_a_wrong_request_is_refused_and_its_key_stays_free(
    sandbox: Sandbox, post: Post, changes: dict[str, object], field: str
) -> None:
    assert await post(**changes) == (422, {"error": f"wrong: {field}"})
    assert sandbox.ledger() == []
    status, _ = await post()
    assert status == 200


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'"text"', b"\xff\xfe"])
async def test_a_body_that_is_no_document_is_refused(
    sandbox: Sandbox, session: aiohttp.ClientSession, body: bytes
) -> None:
    async with session.post("/captures", data=body, headers={"Idempotency-Key": "k"}) as response:
        assert (response.status, await response.json()) == (422, {"error": "wrong: body"})
    assert sandbox.ledger() == []


@pytest.mark.parametrize("key", [None, "", "k" * 256])
async def test_without_a_usable_key_nothing_is_captured(sandbox: Sandbox, post: Post, key: str | None) -> None:
    status, answer = await post(key)
    assert status == 400
    assert "Idempotency-Key" in answer["error"]
    assert sandbox.ledger() == []


async def test_flaky_refuses_as_often_as_it_says_for_each_authorization(sandbox: Sandbox, post: Post) -> None:
    statuses = [(await post("a", authorization="sandbox:flaky:2#a"))[0] for _ in range(4)]
    assert statuses == [503, 503, 200, 200]
    statuses = [(await post(key, authorization="sandbox:flaky:2#b"))[0] for key in ("b1", "b2", "b3")]
    assert statuses == [503, 503, 200]
    assert [row["idempotency_key"] for row in sandbox.ledger()] == ["a", "b3"]


async def test_what_is_accepted_is_completed_though_the_client_has_left(sandbox: Sandbox, post: Post, get: Get) -> None:
    leaving = asyncio.create_task(post(authorization="sandbox:slow:300"))
    await sandbox.accepted("k")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await get("/captures/k") == (202, {"status": "processing"})
    assert sandbox.ledger() == []
    # The same key joins what is under way.
    status, answer = await post(authorization="sandbox:slow:300")
    assert (status, answer["status"]) == (200, "captured")
    assert await get("/captures/k") == (200, answer)
    assert [row["id"] for row in sandbox.ledger()] == [answer["id"]]


async def test_twenty_at_once_wait_for_one_capture(sandbox: Sandbox, post: Post) -> None:
    answers = await asyncio.gather(*(post(authorization="sandbox:slow:50") for _ in range(20)))
    assert answers == [answers[0]] * 20
    assert len(sandbox.ledger()) == 1


async def test_a_lost_answer_is_given_to_whoever_asks_again(sandbox: Sandbox, post: Post, get: Get) -> None:
    lost = asyncio.create_task(post(authorization="sandbox:lost"))
    await captured(sandbox)
    status, answer = await post(authorization="sandbox:lost")
    assert (status, answer["status"]) == (200, "captured")
    assert await get("/captures/k") == (200, answer)
    assert not lost.done()
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lost
    assert [row["id"] for row in sandbox.ledger()] == [answer["id"]]


async def test_a_lost_request_ends_with_its_client(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession(sandbox.url) as session:
        before = asyncio.all_tasks()
        lost = asyncio.create_task(capture_alone(session, GOOD | {"authorization": "sandbox:lost"}))
        await captured(sandbox)
        lost.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lost

    async def is_over() -> bool:
        return not asyncio.all_tasks() - before

    await until(is_over)


@pytest.mark.parametrize("authorization", ["sandbox:lost", "sandbox:slow:9999999"])
async def test_a_stop_does_not_wait_for_what_never_ends(tmp_path: Path, authorization: str) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        async with run_sandbox(host="127.0.0.1", port=0, data_dir=tmp_path) as running:
            waiting = asyncio.create_task(
                capture_alone(session, GOOD | {"authorization": authorization}, base_url=running.url)
            )

            async def has_begun() -> bool:
                return bool(running.captures.captured()) or running.captures.is_accepted("k")

            await until(has_begun)
        with pytest.raises(aiohttp.ClientConnectionError):
            await waiting


async def test_a_restart_knows_what_was_told(tmp_path: Path) -> None:
    answers = []
    for _ in range(2):
        async with (
            run_sandbox(host="127.0.0.1", port=0, data_dir=tmp_path) as running,
            aiohttp.ClientSession(running.url) as session,
        ):
            answers.append(await capture_alone(session, GOOD))
    assert answers[0] == answers[1]
    assert len((tmp_path / LEDGER_FILE).read_text().splitlines()) == 1


async def test_a_second_provider_on_the_same_ledger_does_not_start(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="in use"):
        async with run_sandbox(host="127.0.0.1", port=0, data_dir=tmp_path / "sandbox"):
            pass
    assert sandbox.ledger() == []


async def test_a_broken_ledger_is_not_answered_from(
    sandbox: Sandbox, post: Post, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    assert (await post())[0] == 500
    assert (await post())[0] == 500
    assert (await get("/captures/k"))[0] == 500
    assert (await get("/ledger"))[0] == 500
    monkeypatch.undo()


async def captured(sandbox: Sandbox) -> None:
    async def has_captured() -> bool:
        return bool(sandbox.ledger())

    await until(has_captured)


async def capture_alone(session: aiohttp.ClientSession, body: dict[str, object], *, base_url: str = "") -> Answer:
    async with session.post(f"{base_url}/captures", json=body, headers={"Idempotency-Key": "k"}) as response:
        return response.status, await response.json()

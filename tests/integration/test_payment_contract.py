"""The contract of the payment port, run against every provider that speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import aiohttp
import pytest

from service.payments.provider import Captured, Declined, ProviderUnavailable
from service.payments.sandbox import SandboxProvider
from tests.support.payment_contract import Subject, capture, find_decided
from tests.support.sandbox import Sandbox


@pytest.fixture
async def sandbox_subject(sandbox: Sandbox) -> AsyncIterator[Subject]:
    numbers = count(1)
    async with aiohttp.ClientSession() as session:
        yield Subject(
            provider=SandboxProvider(sandbox.url, session),
            good=lambda: f"sandbox:ok#{next(numbers)}",
            declining=lambda: f"sandbox:decline#{next(numbers)}",
            never_answering=lambda: f"sandbox:lost#{next(numbers)}",
            unavailable_once=lambda: f"sandbox:flaky:1#{next(numbers)}",
            moved=lambda key: [row["amount"] for row in sandbox.ledger() if row["idempotency_key"] == key],
        )


@pytest.fixture(params=["sandbox"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found = request.getfixturevalue(f"{request.param}_subject")
    assert isinstance(found, Subject)
    return found


async def test_a_capture_moves_its_amount_and_names_it(subject: Subject) -> None:
    result = await capture(subject, subject.good(), key="k", amount=24_800)
    assert isinstance(result, Captured)
    assert result.reference
    assert subject.moved("k") == [24_800]


async def test_a_repeated_capture_is_the_same_capture(subject: Subject) -> None:
    authorization = subject.good()
    results = [await capture(subject, authorization, key="k") for _ in range(3)]
    assert results == [results[0]] * 3
    assert subject.moved("k") == [24_800]


async def test_captures_raced_with_one_key_move_money_once(subject: Subject) -> None:
    authorization = subject.good()
    results = await asyncio.gather(*(capture(subject, authorization, key="k") for _ in range(20)))
    assert isinstance(results[0], Captured)
    assert results == [results[0]] * 20
    assert subject.moved("k") == [24_800]


async def test_find_tells_what_capture_told(subject: Subject) -> None:
    result = await capture(subject, subject.good(), key="k")
    assert await subject.provider.find("k") == result


@pytest.mark.parametrize("key", ["k", "shipment:7:1", "a/b%2Fc", "?q=1#x y", "é€", "." * 3, "k" * 255])
async def test_find_takes_any_key(subject: Subject, key: str) -> None:
    assert await subject.provider.find(key) is None
    result = await capture(subject, subject.good(), key=key)
    assert await subject.provider.find(key) == result


async def test_a_decline_stays_declined(subject: Subject) -> None:
    authorization = subject.declining()
    result = await capture(subject, authorization, key="k")
    assert isinstance(result, Declined)
    assert result.reason
    assert await capture(subject, authorization, key="k") == result
    assert await subject.provider.find("k") == result
    assert subject.moved("k") == []


async def test_after_a_decline_a_new_key_may_capture(subject: Subject) -> None:
    assert isinstance(await capture(subject, subject.declining(), key="k1"), Declined)
    assert isinstance(await capture(subject, subject.good(), key="k2"), Captured)
    assert subject.moved("k1") == []
    assert subject.moved("k2") == [24_800]


async def test_a_key_never_seen_is_not_found(subject: Subject) -> None:
    assert await subject.provider.find("never") is None


async def test_an_answer_that_never_comes_can_be_asked_for(subject: Subject) -> None:
    authorization = subject.never_answering()
    waiting = asyncio.create_task(capture(subject, authorization, key="k"))
    found = await find_decided(subject.provider, "k")
    assert isinstance(found, Captured)
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await capture(subject, authorization, key="k") == found
    assert subject.moved("k") == [24_800]


async def test_one_authorization_is_captured_in_parts(subject: Subject) -> None:
    authorization = subject.good()
    first = await capture(subject, authorization, key="k1", amount=100, final=False)
    second = await capture(subject, authorization, key="k2", amount=250, final=True)
    assert isinstance(first, Captured)
    assert isinstance(second, Captured)
    assert first != second
    assert (subject.moved("k1"), subject.moved("k2")) == ([100], [250])


async def test_an_unavailable_provider_decides_nothing_until_it_is_back(subject: Subject) -> None:
    authorization = subject.unavailable_once()
    with pytest.raises(ProviderUnavailable):
        await capture(subject, authorization, key="k")
    assert await subject.provider.find("k") is None
    assert isinstance(await capture(subject, authorization, key="k"), Captured)
    assert subject.moved("k") == [24_800]

"""The contract of the payment port, run against every provider that speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import count

import aiohttp
import pytest

from service.payments.provider import Captured, Declined, ProviderUnavailable
from service.payments.sandbox import SandboxProvider
from service.payments.stripe import StripeProvider
from service.payments.stripe_client import StripeClient
from tests.support import documented_stripe
from tests.support.documented_stripe import open_documented_stripe
from tests.support.localstripe import API_KEY, FAILING_CARD, GOOD_CARD, LocalStripe, open_lossy_way
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


def names(key: str, amount: int, notes: Iterable[str]) -> bool:
    """Tell whether one of these notes says that the key was about to take the amount, or took it."""
    return any(note == f"{amount} {key}" or note.rpartition(" ")[0] == f"{amount} {key}" for note in notes)


@pytest.fixture
async def localstripe_subject(localstripe: LocalStripe) -> AsyncIterator[Subject]:
    authorizations: list[str] = []

    def authorize(card: str = GOOD_CARD) -> str:
        authorizations.append(localstripe.authorize(card=card))
        return authorizations[-1]

    def moved(key: str) -> list[int]:
        taken = {each: localstripe.taken(each) for each in authorizations}
        return [
            amount
            for each, amount in taken.items()
            if amount is not None and names(key, amount, localstripe.intent(each)["metadata"].values())
        ]

    def listed(authorization: str, losses: set[str]) -> str:
        losses.add(authorization)
        return authorization

    async with open_lossy_way(localstripe.url) as way, aiohttp.ClientSession() as session:
        yield Subject(
            provider=StripeProvider(StripeClient(way.url, API_KEY, session)),
            good=authorize,
            declining=lambda: authorize(FAILING_CARD),
            never_answering=lambda: listed(authorize(), way.held_back),
            unavailable_once=lambda: listed(authorize(), way.out_of_service),
            moved=moved,
        )


@pytest.fixture
async def documented_stripe_subject() -> AsyncIterator[Subject]:
    async with (
        open_documented_stripe() as stripe,
        open_lossy_way(stripe.url) as way,
        aiohttp.ClientSession() as session,
    ):

        def canceled() -> str:
            intent = stripe.authorize()
            intent.status, intent.cancellation_reason = "canceled", "automatic"
            return intent.id

        def listed(losses: set[str]) -> str:
            authorization = stripe.authorize().id
            losses.add(authorization)
            return authorization

        yield Subject(
            provider=StripeProvider(StripeClient(way.url, documented_stripe.API_KEY, session)),
            good=lambda: stripe.authorize().id,
            declining=canceled,
            never_answering=lambda: listed(way.held_back),
            unavailable_once=lambda: listed(way.out_of_service),
            moved=lambda key: [each.amount for each in stripe.captures if names(key, each.amount, each.notes)],
        )


@pytest.fixture(params=["sandbox", "localstripe", "documented_stripe"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return subject_named(request.param, request)


@pytest.fixture(params=["sandbox", "documented_stripe"])
def subject_that_keeps_the_rest(request: pytest.FixtureRequest) -> Subject:
    return subject_named(request.param, request)


def subject_named(name: str, request: pytest.FixtureRequest) -> Subject:
    found = request.getfixturevalue(f"{name}_subject")
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
    authorization = subject.good()
    result = await capture(subject, authorization, key="k")
    assert await subject.provider.find("k", authorization=authorization) == result


@pytest.mark.parametrize("key", ["k", "shipment:7:1", "a/b%2Fc", "?q=1#x y", "é€", "." * 3, "k" * 255])
async def test_find_takes_any_key(subject: Subject, key: str) -> None:
    authorization = subject.good()
    assert await subject.provider.find(key, authorization=authorization) is None
    result = await capture(subject, authorization, key=key)
    assert isinstance(result, Captured)
    assert await subject.provider.find(key, authorization=authorization) == result


async def test_a_decline_stays_declined(subject: Subject) -> None:
    authorization = subject.declining()
    result = await capture(subject, authorization, key="k")
    assert isinstance(result, Declined)
    assert result.reason
    assert await capture(subject, authorization, key="k") == result
    assert await subject.provider.find("k", authorization=authorization) == result
    assert subject.moved("k") == []


async def test_after_a_decline_a_new_key_may_capture(subject: Subject) -> None:
    assert isinstance(await capture(subject, subject.declining(), key="k1"), Declined)
    assert isinstance(await capture(subject, subject.good(), key="k2"), Captured)
    assert subject.moved("k1") == []
    assert subject.moved("k2") == [24_800]


async def test_a_key_never_seen_is_not_found(subject: Subject) -> None:
    assert await subject.provider.find("never", authorization=subject.good()) is None


async def test_an_answer_that_never_comes_can_be_asked_for(subject: Subject) -> None:
    authorization = subject.never_answering()
    waiting = asyncio.create_task(capture(subject, authorization, key="k"))
    found = await find_decided(subject.provider, "k", authorization)
    assert isinstance(found, Captured)
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await capture(subject, authorization, key="k") == found
    assert subject.moved("k") == [24_800]


async def test_one_authorization_is_captured_in_parts(subject_that_keeps_the_rest: Subject) -> None:
    subject = subject_that_keeps_the_rest
    authorization = subject.good()
    first = await capture(subject, authorization, key="k1", amount=100, final=False)
    second = await capture(subject, authorization, key="k2", amount=250, final=False)
    third = await capture(subject, authorization, key="k3", amount=250, final=True)
    for key, result in (("k1", first), ("k2", second), ("k3", third)):
        assert isinstance(result, Captured)
        assert await subject.provider.find(key, authorization=authorization) == result
    assert [subject.moved(key) for key in ("k1", "k2", "k3")] == [[100], [250], [250]]


async def test_of_a_capture_in_parts_the_part_that_was_not_sent_is_not_found(
    subject_that_keeps_the_rest: Subject,
) -> None:
    subject = subject_that_keeps_the_rest
    authorization = subject.good()
    await capture(subject, authorization, key="k1", amount=100, final=False)
    assert await subject.provider.find("k2", authorization=authorization) is None
    assert isinstance(await capture(subject, authorization, key="k1", amount=100, final=False), Captured)
    assert subject.moved("k1") == [100]


@pytest.mark.parametrize(("amount", "final"), [(24_800, True), (100, False)])
async def test_a_repeat_may_see_differently_whether_it_is_the_last(
    subject_that_keeps_the_rest: Subject, amount: int, final: bool
) -> None:
    subject = subject_that_keeps_the_rest
    authorization = subject.good()
    first = await capture(subject, authorization, key="k", amount=amount, final=final)
    assert isinstance(first, Captured)
    assert await capture(subject, authorization, key="k", amount=amount, final=not final) == first
    assert subject.moved("k") == [amount]


async def test_an_unavailable_provider_decides_nothing_until_it_is_back(subject: Subject) -> None:
    authorization = subject.unavailable_once()
    with pytest.raises(ProviderUnavailable):
        await capture(subject, authorization, key="k")
    assert await subject.provider.find("k", authorization=authorization) is None
    assert isinstance(await capture(subject, authorization, key="k"), Captured)
    assert subject.moved("k") == [24_800]

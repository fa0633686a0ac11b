"""Our client against the answers that Stripe documents, and against what is no answer at all."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from service.payments.exchange import LONGEST_ANSWER
from service.payments.provider import Captured, Declined, OutcomeUnknown, ProviderUnavailable
from service.payments.stripe import StripeProvider
from service.payments.stripe_client import API_VERSION, StripeClient
from tests.support.documented_stripe import API_KEY, DocumentedStripe, Intent, open_documented_stripe
from tests.support.localstripe import open_lossy_way
from tests.support.waiting import until

KEY = "shipment:100001-1:capture:1"


@pytest.fixture
async def stripe() -> AsyncIterator[DocumentedStripe]:
    async with open_documented_stripe() as running:
        yield running


@pytest.fixture
async def provider(stripe: DocumentedStripe) -> AsyncIterator[StripeProvider]:
    async with aiohttp.ClientSession() as session:
        yield StripeProvider(StripeClient(stripe.url, API_KEY, session))


async def capture(
    provider: StripeProvider,
    authorization: str,
    *,
    amount: int = 24_800,
    currency: str = "SEK",
    key: str = KEY,
    final: bool = True,
) -> Captured | Declined:
    return await provider.capture(
        authorization=authorization, amount=amount, currency=currency, idempotency_key=key, final=final
    )


def error(kind: str = "invalid_request_error", **fields: str) -> bytes:
    return json.dumps({"error": {"type": kind, "message": "secret sentence", **fields}}).encode()


async def test_all_there_will_be_is_taken_in_a_plain_capture(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    assert await capture(provider, intent.id, amount=20_000) == Captured("ch_1")
    assert [request for request, _, _ in stripe.requests] == [
        "GET /v1/payment_intents/pi_1",
        "POST /v1/payment_intents/pi_1",
        "POST /v1/payment_intents/pi_1/capture",
    ]
    _, headers, form = stripe.requests[-1]
    assert form == {"amount_to_capture": "20000"}
    assert headers["Stripe-Version"] == API_VERSION
    assert len(headers["Idempotency-Key"]) <= 255
    [note] = intent.metadata.values()
    assert note.rpartition(" ")[0] == f"20000 {KEY}"
    assert (intent.status, intent.received) == ("succeeded", 20_000)


async def test_a_part_keeps_the_rest_and_carries_its_key(provider: StripeProvider, stripe: DocumentedStripe) -> None:
    intent = stripe.authorize()
    assert await capture(provider, intent.id, amount=100, final=False) == Captured("ch_1")
    _, _, form = stripe.requests[-1]
    assert form.pop("amount_to_capture") == "100"
    assert form.pop("final_capture") == "false"
    assert list(form.values()) == [f"100 {KEY}"]
    assert (intent.status, intent.capturable) == ("requires_capture", 24_700)
    await capture(provider, intent.id, key="last", amount=200)
    assert (intent.status, intent.received) == ("succeeded", 300)
    assert stripe.requests[-1][2]["final_capture"] == "true"


async def test_a_part_is_declined_where_the_rest_would_be_released(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize(multicapture=False)
    refused = await capture(provider, intent.id, amount=100, final=False)
    assert refused == Declined("multicapture is not available for this PaymentIntent")
    assert stripe.captures == []
    # Nothing is left to release.
    assert await capture(provider, intent.id, key="k2", final=False) == Captured("ch_1")


async def test_a_lost_answer_is_found_also_when_stripe_has_forgotten_the_key(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    for final in (True, False):
        intent = stripe.authorize()
        async with open_lossy_way(stripe.url) as way, aiohttp.ClientSession() as session:
            lossy = StripeProvider(StripeClient(way.url, API_KEY, session))
            way.cut_off.add(intent.id)
            with pytest.raises(OutcomeUnknown):
                await capture(lossy, intent.id, amount=100, final=final)
        stripe.forget_idempotency_keys()
        found = await provider.find(KEY, authorization=intent.id)
        assert isinstance(found, Captured)
        assert await capture(provider, intent.id, amount=100, final=final) == found
    assert [each.amount for each in stripe.captures] == [100, 100]


async def test_what_was_sent_and_not_captured_may_be_sent_again_however_late(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    stripe.scripted["capture"] = [(500, error("api_error"))]
    with pytest.raises(OutcomeUnknown):
        await capture(provider, intent.id)
    stripe.forget_idempotency_keys()
    assert await provider.find(KEY, authorization=intent.id) is None
    assert await capture(provider, intent.id) == Captured("ch_1")


def as_seen(intent: Intent) -> tuple[int, bytes]:
    """Return the answer to a look at the PaymentIntent as it is now, to be given later."""
    return 200, json.dumps(intent.as_json(expanded=True)).encode()


@pytest.mark.parametrize("final", [True, False])
async def test_the_request_that_is_still_under_way_is_the_one_that_counts(
    provider: StripeProvider, stripe: DocumentedStripe, final: bool
) -> None:
    # An earlier request with this key arrives right after we have looked and found nothing.
    intent = stripe.authorize()
    early = as_seen(intent)
    first = await capture(provider, intent.id, amount=100, final=final)
    stripe.scripted["retrieve"] = [early]
    assert await capture(provider, intent.id, amount=100, final=final) == first
    assert [each.amount for each in stripe.captures] == [100]


async def test_refused_because_the_same_capture_was_quicker_is_captured(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    early = as_seen(intent)
    first = await capture(provider, intent.id)
    stripe.forget_idempotency_keys()
    stripe.scripted["retrieve"] = [early]
    with capture_logs() as logs:
        assert await capture(provider, intent.id) == first
    assert [line["code"] for line in logs] == ["payment_intent_unexpected_state"]
    assert len(stripe.captures) == 1


async def test_refused_because_somebody_else_was_quicker_is_declined(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    early = as_seen(intent)
    await capture(provider, intent.id, amount=20_000, key="another")
    stripe.scripted["retrieve"] = [early]
    assert await capture(provider, intent.id) == Declined("the PaymentIntent was captured, but not with this key")
    assert [each.amount for each in stripe.captures] == [20_000]


async def test_two_installations_with_the_same_key_do_not_meet(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    for _ in range(2):
        assert isinstance(await capture(provider, stripe.authorize().id), Captured)
    assert len(stripe.captures) == 2


def by_hand(intent: Intent) -> None:
    intent.status, intent.received, intent.capturable = "succeeded", intent.amount, 0


async def test_what_was_captured_by_hand_is_declined_and_not_taken_for_ours(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    by_hand(intent)
    expected = Declined("the PaymentIntent was captured, but not with this key")
    assert await capture(provider, intent.id) == expected
    assert await provider.find(KEY, authorization=intent.id) == expected
    assert intent.metadata == {}


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        (24_801, "SEK", "the PaymentIntent is good for less"),
        (100, "EUR", "the PaymentIntent is in another currency"),
        (5124, "KWD", "Stripe has no such amount in KWD"),
    ],
)
async def test_what_would_take_the_wrong_money_is_never_sent(
    provider: StripeProvider, stripe: DocumentedStripe, amount: int, currency: str, reason: str
) -> None:
    intent = stripe.authorize()
    assert await capture(provider, intent.id, amount=amount, currency=currency) == Declined(reason)
    assert [request for request, _, _ in stripe.requests if request.startswith("POST")] == []


async def test_amounts_are_stripes(provider: StripeProvider, stripe: DocumentedStripe) -> None:
    intent = stripe.authorize(amount=50_000, currency="isk")
    assert isinstance(await capture(provider, intent.id, amount=500, currency="ISK"), Captured)
    assert intent.received == 50_000


@pytest.mark.parametrize("authorization", ["", "sandbox:ok", "ch_1", "pi_", "pi_1/../x", "pi_1?x", "pi_é", "pi_1\n"])
async def test_what_is_no_payment_intent_is_declined_unasked(
    provider: StripeProvider, stripe: DocumentedStripe, authorization: str
) -> None:
    expected = Declined("the authorization is not the id of a PaymentIntent")
    assert await capture(provider, authorization) == expected
    assert await provider.find(KEY, authorization=authorization) == expected
    assert stripe.requests == []


async def test_a_payment_intent_that_nobody_knows_took_nothing_but_may_have_been_anothers(
    provider: StripeProvider,
) -> None:
    with capture_logs() as logs:
        refused = await capture(provider, "pi_unknown")
        assert refused == Declined("no such PaymentIntent in this account and mode")
        with pytest.raises(ProviderUnavailable):
            await provider.find(KEY, authorization="pi_unknown")
    assert [(line["event"], line["setting"]) for line in logs] == [
        ("stripe_payment_intent_not_found", "WAYBILL_STRIPE_API_KEY")
    ] * 2


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (402, error("card_error", code="card_declined", decline_code="insufficient_funds"), "insufficient_funds"),
        (402, error("card_error", code="capture_charge_authorization_expired"), "capture_charge_authorization_expired"),
        (400, error(code="amount_too_small"), "amount_too_small"),
        (400, error(), "invalid_request_error"),
        (404, error(code="resource_missing"), "resource_missing"),
    ],
)
async def test_a_refused_capture_is_declined_with_stripes_code(
    provider: StripeProvider, stripe: DocumentedStripe, status: int, body: bytes, reason: str
) -> None:
    intent = stripe.authorize()
    stripe.scripted["capture"] = [(status, body)]
    with capture_logs() as logs:
        assert await capture(provider, intent.id) == Declined(reason)
    assert [(line["event"], line["code"]) for line in logs] == [("stripe_capture_refused", reason)]
    assert stripe.captures == []
    # A refused card is a clear answer; behind any other refusal may stand a quicker request.
    assert stripe.requests[-1][0].startswith("POST" if status == 402 else "GET")


async def test_no_room_on_the_payment_intent_is_declined_before_money_moves(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    intent.metadata = {f"shop_{n}": "x" for n in range(50)}
    assert await capture(provider, intent.id) == Declined("metadata_too_many_keys")
    assert stripe.captures == []


UNCLEAR = [
    (409, error("idempotency_error", code="idempotency_key_in_use")),
    (400, error("idempotency_error")),
    (400, b""),
    (400, b"<html>"),
    (402, b"{}"),
    (404, b"Not Found"),
    (400, error(code="Not a code")),
    (422, error()),
    (500, error("api_error")),
    (502, b"<html>bad gateway</html>"),
    (504, b""),
    (302, b""),
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b'{"id":"pi_1","status":"captured","currency":"sek","amount":1}'),
    (200, b'{"status":"succeeded","currency":"sek","amount":1}'),
    (200, b'{"id":"pi_1","status":"succeeded","currency":"sek","amount":1,"latest_charge":"%s"}' % (b"x" * 256)),
    (200, b'{"id":"pi_1","status":"processing","currency":"sek","amount":1}'),
    (200, b'{"id":"pi_1","status":"requires_capture","currency":"sek","amount":1}'),
    (200, b'{"id":"pi_1","status":"succeeded","currency":"sek","amount":1}' + b" " * LONGEST_ANSWER),
]
LATER = [
    (401, error("authentication_error", code="api_key_expired")),
    (401, b""),
    (403, error("invalid_request_error", code="more_permissions_required")),
    (429, error("invalid_request_error", code="rate_limit")),
    (429, error("invalid_request_error", code="lock_timeout")),
    (400, error("invalid_request_error", code="lock_timeout")),
    (503, b""),
]


@pytest.mark.parametrize(("status", "body"), UNCLEAR)
async def test_no_clear_answer_to_a_capture_is_an_unknown_outcome(
    provider: StripeProvider, stripe: DocumentedStripe, status: int, body: bytes
) -> None:
    intent = stripe.authorize()
    stripe.scripted["capture"] = [(status, body)]
    with pytest.raises(OutcomeUnknown) as caught:
        await capture(provider, intent.id)
    assert type(caught.value) is OutcomeUnknown


@pytest.mark.parametrize("request_kind", ["retrieve", "annotate", "capture"])
@pytest.mark.parametrize(("status", "body"), LATER)
async def test_later_is_not_never(
    provider: StripeProvider, stripe: DocumentedStripe, request_kind: str, status: int, body: bytes
) -> None:
    intent = stripe.authorize()
    stripe.scripted[request_kind] = [(status, body)]
    with capture_logs() as logs, pytest.raises(ProviderUnavailable):
        await capture(provider, intent.id)
    wrong_key = status in {401, 403}
    assert [line["setting"] for line in logs] == ["WAYBILL_STRIPE_API_KEY"] * wrong_key
    assert isinstance(await capture(provider, intent.id), Captured)


@pytest.mark.parametrize(
    ("status", "body"), [each for each in UNCLEAR if b'"pi_1"' not in each[1] or len(each[1]) > 255]
)
async def test_no_clear_answer_to_a_question_is_an_unknown_outcome(
    provider: StripeProvider, stripe: DocumentedStripe, status: int, body: bytes
) -> None:
    intent = stripe.authorize()
    stripe.scripted["retrieve"] = [(status, body)] * 2
    for call in (capture(provider, intent.id), provider.find(KEY, authorization=intent.id)):
        with pytest.raises(OutcomeUnknown):
            await call
    assert [request for request, _, _ in stripe.requests if request.startswith("POST")] == []


async def test_a_key_used_for_something_else_is_our_error_in_the_log(
    provider: StripeProvider, stripe: DocumentedStripe
) -> None:
    intent = stripe.authorize()
    await capture(provider, intent.id, amount=100, final=False)
    intent.metadata.clear()
    with capture_logs() as logs, pytest.raises(OutcomeUnknown):
        await capture(provider, intent.id, amount=101, final=False)
    assert [line["event"] for line in logs] == ["stripe_idempotency_key_reused"]
    assert [each.amount for each in stripe.captures] == [100]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 404, 500])
async def test_neither_the_key_nor_stripes_sentences_are_told(
    provider: StripeProvider, stripe: DocumentedStripe, status: int
) -> None:
    intent = stripe.authorize()
    stripe.scripted["capture"] = [(status, error("card_error", code="card_declined"))]
    with capture_logs() as logs:
        try:
            told = repr(await capture(provider, intent.id))
        except OutcomeUnknown as unknown:
            told = "".join(traceback.format_exception(unknown))
    told += repr(logs) + repr(provider) + repr(provider._client)
    assert API_KEY not in told
    assert "secret sentence" not in told


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        nobody = StripeProvider(StripeClient(f"http://127.0.0.1:{unused_tcp_port}", API_KEY, session))
        with pytest.raises(ProviderUnavailable):
            await capture(nobody, "pi_1")
        with pytest.raises(ProviderUnavailable):
            await nobody.find(KEY, authorization="pi_1")


async def test_the_callers_deadline_passes_through(stripe: DocumentedStripe) -> None:
    intent = stripe.authorize()
    async with open_lossy_way(stripe.url) as way, aiohttp.ClientSession() as session:
        way.held_back.add(intent.id)
        waiting = asyncio.create_task(capture(StripeProvider(StripeClient(way.url, API_KEY, session)), intent.id))

        async def is_captured() -> bool:
            return bool(stripe.captures)

        await until(is_captured)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

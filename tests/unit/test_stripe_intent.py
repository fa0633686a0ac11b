"""What a PaymentIntent says of one capture, in every state that it can be found in."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from service.payments import stripe_outcome
from service.payments.provider import Captured, Declined, OutcomeUnknown
from service.payments.stripe_intent import PaymentIntent
from service.payments.stripe_outcome import is_partly_captured, mark, outcome

OURS = "shipment:100001-1:capture:1"
OTHER = "shipment:100001-2:capture:1"


NOW = 1_800_000_000


def claim(key: str, amount: int, *, now: float = NOW, on: PaymentIntent | None = None) -> dict[str, str]:
    return stripe_outcome.claim(on or intent(), key, amount, now=now)


def intent(status: str = "requires_capture", *metadata: dict[str, str], **fields: Any) -> PaymentIntent:
    merged = {name: value for each in metadata for name, value in each.items()}
    usual = {"id": "pi_1", "currency": "sek", "amount": 1000, "latest_charge": "ch_1", "amount_received": 0}
    return PaymentIntent.model_validate(usual | {"status": status, "metadata": merged} | fields)


@pytest.mark.parametrize("status", ["requires_capture", "succeeded", "canceled", "processing"])
def test_a_mark_came_with_the_money_whatever_became_of_the_rest(status: str) -> None:
    assert outcome(intent(status, mark(OURS, 400), amount_received=400), OURS) == Captured("ch_1")


@pytest.mark.parametrize("metadata", [{}, claim(OURS, 1000), mark(OTHER, 400)])
def test_money_on_hold_was_not_taken(metadata: dict[str, str]) -> None:
    assert outcome(intent("requires_capture", metadata), OURS) is None


def test_one_capture_of_all_there_will_be_shows_in_the_status() -> None:
    assert outcome(intent("succeeded", claim(OURS, 1000), amount_received=1000), OURS) == Captured("ch_1")
    assert outcome(intent("succeeded", claim(OURS, 700), amount_received=700), OURS) == Captured("ch_1")


def test_a_last_capture_that_overlapped_with_a_part_is_counted_apart_from_it() -> None:
    found = intent("succeeded", mark(OTHER, 400), claim(OURS, 600), amount_received=1000)
    assert outcome(found, OURS) == Captured("ch_1")


@pytest.mark.parametrize(
    ("metadata", "received"),
    [
        ([], 1000),
        ([claim(OTHER, 1000)], 1000),
        # Somebody took another amount by hand.
        ([claim(OURS, 700)], 1000),
        ([claim(OURS, 700), claim(OTHER, 1000)], 1000),
        ([mark(OTHER, 1000)], 1000),
        ([mark(OTHER, 400), claim(OURS, 700)], 1000),
    ],
)
def test_money_that_somebody_else_took_is_not_ours(metadata: list[dict[str, str]], received: int) -> None:
    assert outcome(intent("succeeded", *metadata, amount_received=received), OURS) == Declined(
        "the PaymentIntent was captured, but not with this key"
    )


def test_of_two_claims_that_fit_none_is_believed() -> None:
    found = intent("succeeded", claim(OURS, 1000), claim(OTHER, 1000), amount_received=1000)
    for key in (OURS, OTHER):
        with capture_logs() as logs, pytest.raises(OutcomeUnknown, match="several captures claim"):
            outcome(found, key)
        assert [(line["event"], line["log_level"]) for line in logs] == [("stripe_capture_ambiguous", "error")]


def test_a_claim_withdraws_what_has_not_captured_in_an_hour() -> None:
    given_up, under_way = claim(OTHER, 1000, now=NOW - 3601), claim("k", 1000, now=NOW - 3599)
    found = intent("requires_capture", given_up, under_way, mark("k2", 1), {"waybill": "the shop's", "cart": "1"})
    assert claim(OURS, 1000, on=found) == dict.fromkeys(given_up, "") | claim(OURS, 1000)


def test_what_was_withdrawn_counts_no_more() -> None:
    [name] = claim(OTHER, 1000)
    assert outcome(intent("succeeded", {name: ""}, claim(OURS, 1000), amount_received=1000), OURS) == Captured("ch_1")
    assert outcome(intent("succeeded", {name: ""}, amount_received=1000), OTHER) == Declined(
        "the PaymentIntent was captured, but not with this key"
    )


def test_a_claim_that_somebody_has_changed_stops_the_next() -> None:
    [name] = claim(OTHER, 1000)
    with pytest.raises(OutcomeUnknown, match="somebody has changed"):
        claim(OURS, 1000, on=intent("requires_capture", {name: "x"}))


@pytest.mark.parametrize("changed", [mark(OTHER, 400), claim(OURS, 600)])
def test_what_somebody_has_changed_decides_nothing(changed: dict[str, str]) -> None:
    [name] = changed
    with pytest.raises(OutcomeUnknown, match="somebody has changed"):
        outcome(intent("succeeded", claim(OURS, 600), {name: "paid"}, amount_received=1000), OURS)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("canceled", "the PaymentIntent is canceled: expired"),
        ("requires_payment_method", "the PaymentIntent is requires_payment_method"),
        ("requires_confirmation", "the PaymentIntent is requires_confirmation"),
        ("requires_action", "the PaymentIntent is requires_action"),
    ],
)
def test_without_money_on_hold_nothing_can_be_taken(status: str, reason: str) -> None:
    assert outcome(intent(status, claim(OURS, 1000), cancellation_reason="expired"), OURS) == Declined(reason)


def test_while_stripe_works_on_it_nobody_can_tell() -> None:
    with pytest.raises(OutcomeUnknown, match="processing"):
        outcome(intent("processing", claim(OURS, 1000)), OURS)


def test_without_a_received_amount_the_only_claim_counts() -> None:
    assert outcome(intent("succeeded", claim(OURS, 1000), amount_received=None), OURS) == Captured("ch_1")
    with pytest.raises(OutcomeUnknown):
        outcome(intent("succeeded", claim(OURS, 1000), claim(OTHER, 1), amount_received=None), OURS)


@pytest.mark.parametrize("key", ["k", "k" * 255, "é€" * 127, "a[b]=c&d"])
def test_what_is_left_there_fits_into_stripes_limits(key: str) -> None:
    for note in (claim(key, 10**17), mark(key, 10**17)):
        [(name, value)] = note.items()
        assert len(name) <= 40
        assert not set("[]") & set(name)
        assert len(value) <= 500
    assert claim(key, 1).keys() != mark(key, 1).keys()


def test_the_money_has_a_name() -> None:
    assert intent(latest_charge="ch_1").reference == "ch_1"
    assert intent(latest_charge={"id": "ch_2"}).reference == "ch_2"
    assert intent(latest_charge=None).reference == "pi_1"


def test_a_part_that_was_taken_shows_in_the_amount_or_by_its_mark() -> None:
    assert not is_partly_captured(intent(amount_received=None))
    assert not is_partly_captured(intent("requires_capture", claim(OURS, 1), amount_received=0))
    assert is_partly_captured(intent(amount_received=1))
    assert is_partly_captured(intent("requires_capture", mark(OTHER, 1), amount_received=0))


@pytest.mark.parametrize(
    ("charge", "expected"),
    [
        (None, False),
        ("ch_1", False),
        ({"id": "ch_1"}, False),
        ({"id": "ch_1", "payment_method_details": {"type": "klarna"}}, False),
        ({"id": "ch_1", "payment_method_details": {"card": {"multicapture": None}}}, False),
        ({"id": "ch_1", "payment_method_details": {"card": {"multicapture": {"status": "unavailable"}}}}, False),
        ({"id": "ch_1", "payment_method_details": {"card": {"multicapture": {"status": "available"}}}}, True),
    ],
)
def test_several_captures_need_stripes_word(charge: object, expected: bool) -> None:
    assert intent(latest_charge=charge).captures_in_parts is expected

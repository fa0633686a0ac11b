from __future__ import annotations

from typing import Any

import pytest

from publishers.backoff import exponential_s, reconnect_delays_s
from publishers.broker import Blamed, ConnectionLost, Refused, Unroutable
from publishers.verdict import judge

REQUIRED = {"order-shipment-shipped"}


def row(**columns: Any) -> dict[str, Any]:
    return {"type": "order-shipment-shipped", "target": None, "attempts": 0} | columns


def test_what_a_queue_has_taken_is_done() -> None:
    assert judge(row(), None, required=REQUIRED) is None


def test_a_type_that_nobody_needs_is_done_without_a_queue() -> None:
    assert judge(row(type="order-shipment-created"), Unroutable(), required=REQUIRED) is None


@pytest.mark.parametrize("columns", [{}, {"type": "order-shipment-created", "target": "Consumer.x"}])
def test_a_required_type_and_an_addressed_row_wait_for_their_queue(columns: dict[str, Any]) -> None:
    failure = judge(row(**columns), Unroutable("no queue"), required=REQUIRED)
    assert failure is not None
    assert failure.unrouted
    assert 0.5 <= failure.delay_s <= 1
    assert "no queue" in failure.error


def test_an_outage_does_not_postpone() -> None:
    failure = judge(row(attempts=40), ConnectionLost("gone"), required=REQUIRED)
    assert failure is not None
    assert failure.delay_s == 0


def test_what_was_not_answered_waits_the_same_however_often_it_was_tried() -> None:
    failure = judge(row(attempts=40), TimeoutError(), required=REQUIRED)
    assert failure is not None
    assert failure.delay_s == 1


@pytest.mark.parametrize("outcome", [Unroutable(), Refused(), Blamed(), ValueError(), KeyError("body")])
def test_other_failures_wait_longer_each_time_but_never_more_than_five_minutes(outcome: Exception) -> None:
    for attempts, longest in [(0, 1), (1, 2), (2, 4), (8, 256), (9, 300), (2000, 300)]:
        failure = judge(row(attempts=attempts), outcome, required=REQUIRED)
        assert failure is not None
        assert longest / 2 <= failure.delay_s <= longest
        assert failure.error.startswith(type(outcome).__name__)


def test_waits_differ_from_one_another() -> None:
    assert len({exponential_s(3, first_s=1, cap_s=300) for _ in range(50)}) > 40


def test_reconnecting_is_tried_again_within_two_seconds_for_ever() -> None:
    delays = reconnect_delays_s()
    first = next(delays)
    assert 0.05 <= first <= 0.1
    assert 1 <= [next(delays) for _ in range(1500)][-1] <= 2

from __future__ import annotations

import pytest

from consumers.outcome import DatabaseAway, Dead, Pause, Rejected, Retry, TryLater, decide

DELAYS = (5, 30, 300)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5), (2, 30), (3, 300)])
def test_what_may_work_later_waits_longer_each_time(attempt: int, delay: int) -> None:
    assert decide(TryLater("SMTP 451 later"), attempt, DELAYS) == Retry(delay, "SMTP 451 later")


@pytest.mark.parametrize("attempt", [4, 5, 99])
def test_after_the_last_delay_there_is_no_further_attempt(attempt: int) -> None:
    outcome = decide(TryLater("SMTP 451 later"), attempt, DELAYS)
    assert outcome == Dead(f"SMTP 451 later (attempt {attempt} was the last)")


def test_without_delays_the_first_failure_is_the_last() -> None:
    assert isinstance(decide(TryLater("no"), 1, ()), Dead)


@pytest.mark.parametrize("attempt", [1, 4])
def test_what_can_never_work_is_dead_at_once(attempt: int) -> None:
    assert decide(Rejected("SMTP 550 no such user"), attempt, DELAYS) == Dead("SMTP 550 no such user")


@pytest.mark.parametrize("attempt", [1, 4, 99])
def test_a_database_that_is_away_is_never_the_messages_fault(attempt: int) -> None:
    assert decide(DatabaseAway("gone"), attempt, DELAYS) == Pause("gone")


def test_a_handler_out_of_time_may_have_more_luck_later() -> None:
    assert decide(TimeoutError(), 1, DELAYS) == Retry(5, "handling took too long")


def test_the_text_of_an_unforeseen_error_goes_nowhere() -> None:
    outcome = decide(ValueError("asa@example.com is odd"), 1, DELAYS)
    assert outcome == Retry(5, "unexpected ValueError")

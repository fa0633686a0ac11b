from __future__ import annotations

from consumers.runtime import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Backoff


def test_waits_grow_to_a_ceiling_and_never_vanish() -> None:
    backoff = Backoff()
    ceiling = FIRST_BACKOFF_S
    for _ in range(20):
        assert ceiling / 2 <= backoff.next_s() <= ceiling
        ceiling = min(ceiling * 2, LONGEST_BACKOFF_S)
    assert ceiling == LONGEST_BACKOFF_S


def test_after_a_reset_they_are_short_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= FIRST_BACKOFF_S


def test_two_workers_do_not_come_back_at_once() -> None:
    assert len({Backoff().next_s() for _ in range(20)}) > 1

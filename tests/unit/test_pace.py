"""Payments that were waited for go on one after another."""

from __future__ import annotations

import pytest

from service.shipping.pace import APART_S, SLOW_S, Pace


def test_answers_that_come_together_go_on_one_after_another() -> None:
    pace = Pace()
    assert [pace.wait_s(asked=10, answered=10.3) for _ in range(4)] == pytest.approx([n * APART_S for n in range(4)])


def test_who_comes_a_little_later_waits_for_what_is_left() -> None:
    pace = Pace()
    assert pace.wait_s(asked=10, answered=10.3) == 0
    assert pace.wait_s(asked=10, answered=10.3 + APART_S / 4) == pytest.approx(APART_S * 3 / 4)


def test_who_comes_after_the_others_does_not_wait() -> None:
    pace = Pace()
    for _ in range(3):
        pace.wait_s(asked=10, answered=10.3)
    assert pace.wait_s(asked=10, answered=10.3 + 3 * APART_S) == pytest.approx(0)


def test_quick_answers_neither_wait_nor_are_waited_for() -> None:
    pace = Pace()
    quick = [pace.wait_s(asked=10, answered=10 + SLOW_S * 0.9) for _ in range(3)]
    assert quick == [0, 0, 0]
    assert pace.wait_s(asked=9, answered=10 + SLOW_S * 0.9) == 0

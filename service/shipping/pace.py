"""The pace at which slow payments go on: one after another."""

from __future__ import annotations

# An answer that took less is passed on at once: quick payments come and go in no step that would need breaking.
SLOW_S = 0.1
# About as long as writing one down keeps a process busy, so that nobody could be quicker anyway.
APART_S = 0.005


class Pace:
    """Spreads out the payments of one process that were waited for.

    Calls that began together are answered together, and would then write down together, give their connections to the
    next ones together, and so on for ever: each of them late, and everybody else's calls late with them. A few
    milliseconds between them, once, and they keep out of each other's way from then on.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def wait_s(self, *, asked: float, answered: float) -> float:
        """Return how many seconds to wait after the answer. Both moments are by one clock, in seconds."""
        if answered - asked < SLOW_S:
            return 0
        turn = max(self._next, answered)
        self._next = turn + APART_S
        return turn - answered

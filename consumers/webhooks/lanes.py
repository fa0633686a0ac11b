"""How many requests may be under way, in all and for each endpoint, so that none of them is in another's way.

It is this process's view; another worker has its own. Pure: the clock is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

# Whoever takes longer than this to answer is slow.
SLOW_S: Final = 2.0


@dataclass(slots=True)
class _Lane:
    # When each running request began.
    running: list[float] = field(default_factory=list)
    failed_last: bool = False
    slow_last: bool = False


class Lanes:
    """Counts requests by endpoint.

    An endpoint whose last request failed gets one at a time, until one succeeds. All slow endpoints together get half
    of the places: the other half is always there for those that answer at once.
    """

    def __init__(self, *, most: int, most_each: int, clock: Callable[[], float]) -> None:
        self.most_each = most_each
        self._most = most
        self._most_slow = max(most // 2, 1)
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def begin(self, endpoint_id: str) -> float:
        """Count a request and return when it began, for `end`."""
        began = self._clock()
        self._lanes.setdefault(endpoint_id, _Lane()).running.append(began)
        return began

    def end(self, endpoint_id: str, began: float, *, failed: bool, took_s: float) -> None:
        """Count a request that has ended; its receiver took `took_s`."""
        lane = self._lanes[endpoint_id]
        lane.running.remove(began)
        lane.failed_last = failed
        lane.slow_last = took_s > SLOW_S
        if not (lane.running or lane.failed_last or lane.slow_last):
            del self._lanes[endpoint_id]

    def rooms(self) -> dict[str, int]:
        """Return how many more each endpoint may have; one that is not named here may have `most_each`."""
        return {endpoint_id: max(self._bound(lane) - len(lane.running), 0) for endpoint_id, lane in self._lanes.items()}

    def slow(self) -> list[str]:
        """Return the endpoints that were slow last, or are so now."""
        now = self._clock()
        return [endpoint_id for endpoint_id, lane in self._lanes.items() if _is_slow(lane, now)]

    def free(self) -> int:
        """Return how many more there may be."""
        return max(self._most - self._running(), 0)

    def free_for_slow(self) -> int:
        """Return how many more there may be for slow endpoints together."""
        now = self._clock()
        used = sum(len(lane.running) for lane in self._lanes.values() if _is_slow(lane, now))
        return max(min(self._most_slow - used, self.free()), 0)

    def _bound(self, lane: _Lane) -> int:
        return 1 if lane.failed_last else self.most_each

    def _running(self) -> int:
        return sum(len(lane.running) for lane in self._lanes.values())


def _is_slow(lane: _Lane, now: float) -> bool:
    return lane.slow_last or any(now - began > SLOW_S for began in lane.running)

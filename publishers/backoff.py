"""How long to wait before the next attempt. Jitter keeps what failed together from coming back together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

RECONNECT_FIRST_S: Final = 0.1
# Low, because it is how late the first event is after an outage, and a refused connection costs next to nothing.
RECONNECT_CAP_S: Final = 2.0


def exponential_s(attempts: int, *, first_s: float, cap_s: float) -> float:
    """Return the seconds to wait after `attempts` earlier failures: the doubled wait or a part of it, at least half."""
    # The exponent is bounded because 2.0 ** 1100 overflows.
    return min(first_s * 2.0 ** min(attempts, 60), cap_s) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def reconnect_delays_s() -> Iterator[float]:
    """Yield the waits between attempts to reach a server again, for ever."""
    attempts = 0
    while True:
        yield exponential_s(attempts, first_s=RECONNECT_FIRST_S, cap_s=RECONNECT_CAP_S)
        attempts += 1

"""What the end of a publish means for its row in the outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from publishers.backoff import exponential_s
from publishers.broker import ConnectionLost, Unroutable
from publishers.message import destination

FIRST_RETRY_S: Final = 1.0
RETRY_CAP_S: Final = 300.0
# Short, because the whole broker may have been stalled; not 0, because it may be one queue that never answers, and
# then the rows behind must have their turn.
UNANSWERED_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row stays in the outbox, and for how long it is left alone; 0 leaves it due."""

    error: str
    delay_s: float
    unrouted: bool = False


def judge(row: Any, outcome: Exception | None, *, required: Collection[str]) -> Failure | None:  # noqa: ANN401
    """Return None if the row is done.

    An event of a type in `required`, or addressed to one queue, is done once a queue has taken it. Any other is also
    done when nobody has subscribed to it: docs/decisions/0002-unrouted-events.md.
    """
    match outcome:
        case None:
            return None
        case Unroutable() if row["target"] is None and row["type"] not in required:
            return None
        case ConnectionLost():
            # An outage is no fault of the row: it goes out with the next session.
            delay_s = 0.0
        case TimeoutError():
            delay_s = UNANSWERED_RETRY_S
        case _:
            # Also when the broker hung up because of something in the batch: the jitter gives each row a while of its
            # own, so that after a few attempts the culprit travels alone.
            delay_s = exponential_s(row["attempts"], first_s=FIRST_RETRY_S, cap_s=RETRY_CAP_S)
    return Failure(f"{type(outcome).__name__}: {outcome}", delay_s, unrouted=isinstance(outcome, Unroutable))


def tell_unrouted(rows: Sequence[Any], failures: Mapping[int, Failure]) -> None:
    """Log what found no queue: one line for each kind, however many rows, or a forgotten worker floods the log."""
    kinds: dict[str, list[Any]] = {}
    for row in rows:
        if (failure := failures.get(row["seq"])) and failure.unrouted:
            kinds.setdefault(destination(row)[1], []).append(row)
    for routing_key, unrouted in kinds.items():
        structlog.get_logger().error(
            "unrouted_event",
            routing_key=routing_key,
            events=len(unrouted),
            first_event_id=str(unrouted[0]["event_id"]),
            attempts=max(row["attempts"] for row in unrouted) + 1,
            retry_in_s=round(min(failures[row["seq"]].delay_s for row in unrouted), 1),
        )

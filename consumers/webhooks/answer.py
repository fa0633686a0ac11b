"""What came back of one request, and what follows from it. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

# However long a receiver asks us to wait.
LONGEST_PAUSE_S: Final = 3600.0
LONGEST_EXCERPT: Final = 500

_PAUSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's end. Without a `code` there was no answer, and `error` says why."""

    took_s: float
    code: int | None = None
    error: str | None = None
    # How the body begins, on one line.
    excerpt: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It has it not, as far as we know. Again in `retry_in_s` seconds, or given up if that is None."""

    reason: str
    retry_in_s: float | None
    # Nothing else to this endpoint either, for as many seconds.
    pause_s: float = 0.0
    # It wants nothing any more.
    gone: bool = False


Verdict = Accepted | Failed


def is_accepted(answer: Answer) -> bool:
    """Say whether the receiver has taken the webhook."""
    return answer.code is not None and 200 <= answer.code <= 299


def judge(answer: Answer, *, failures: int, delays_s: Sequence[float], stretch: float) -> Verdict:
    """Return what follows from `answer` after `failures` earlier failed attempts.

    There is one delay for each further attempt, multiplied by `stretch`: what failed together does not come back
    together.
    """
    if is_accepted(answer):
        return Accepted()
    pause_s = min(answer.retry_after_s, LONGEST_PAUSE_S) if answer.code in _PAUSING else 0.0
    retry_in_s = max(delays_s[failures] * stretch, pause_s) if failures < len(delays_s) else None
    return Failed(_reason(answer), retry_in_s, pause_s, gone=answer.code == HTTPStatus.GONE)


def excerpt(body: bytes) -> str:
    """Return the beginning of a body as one line that can be stored and shown."""
    return _BLANK.sub(" ", body.decode("utf-8", "replace")).strip()[:LONGEST_EXCERPT]


def _reason(answer: Answer) -> str:
    if answer.code is None:
        return answer.error or "no answer"
    if 300 <= answer.code <= 399:
        return f"HTTP {answer.code}: redirects are not followed"
    return f"HTTP {answer.code}"

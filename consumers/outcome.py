"""What became of one message, and what an error makes of it. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# A reason travels in a header: a message with one that does not fit could not even be declared dead.
LONGEST_REASON: Final = 2000


@dataclass(frozen=True, slots=True)
class Handled:
    """The effect happened and is committed."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was rightly nothing to do, now or ever again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later: again in `delay_s` seconds, as one more attempt."""

    delay_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It will not work: to be looked at by a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The message is not to blame: back to its queue as if nothing had been, and the consumer waits."""

    reason: str


Done = Handled | Skipped
Outcome = Handled | Skipped | Retry | Dead | Pause


class Rejected(Exception):
    """This message can never be handled. The text goes to logs and dead letters: no secrets, no addresses."""


class TryLater(Exception):
    """Whoever is needed for this message cannot do it now. The text goes to logs: no secrets, no addresses."""


class DatabaseAway(Exception):
    """The database cannot be used, so no message can be handled."""


def decide(error: Exception, attempt: int, delays_s: Sequence[int]) -> Outcome:
    """Return what `error` makes of a message in its `attempt`-th attempt (1 is the first).

    There is one delay per further attempt; the attempt after the last delay is the last one.
    """
    match error:
        case DatabaseAway():
            return Pause(str(error))
        case Rejected():
            return Dead(_fit(str(error)))
        case TryLater():
            reason = _fit(str(error))
        case TimeoutError():
            reason = "handling took too long"
        case _:
            # Only the kind: the text of an unforeseen error may quote anything, a customer's address included.
            reason = f"unexpected {type(error).__name__}"
    if attempt <= len(delays_s):
        return Retry(delays_s[attempt - 1], reason)
    return Dead(f"{reason} (attempt {attempt} was the last)")


def _fit(reason: str) -> str:
    """Make the text fit for a header and a log line, whoever chose its words: printable and of bounded length."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in reason)
    return printable if len(printable) <= LONGEST_REASON else f"{printable[: LONGEST_REASON - 1]}…"

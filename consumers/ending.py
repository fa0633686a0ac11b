"""Why a session with the broker ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stopped:
    """Somebody asked."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A message found that no message can be handled now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody planned it."""

    reason: str


End = Stopped | Paused | Lost

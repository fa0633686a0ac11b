"""What the sandbox provider does with a capture: its authorization says how the provider behaves.

    sandbox:ok         captures
    sandbox:decline    declines
    sandbox:slow:<ms>  captures after so many milliseconds
    sandbox:lost       captures, then leaves the request without an answer
    sandbox:flaky:<n>  is out of service for n requests, then captures

Anything after a `#` is ignored, but tells authorizations apart. Every other authorization is declined.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from service.dev.sandbox_provider_entry import CaptureRequest, Entry
from service.dev.sandbox_provider_ledger import Ledger, LedgerError

log = structlog.get_logger()


class KeyReused(Exception):
    """The idempotency key belongs to a capture with other parameters."""


class OutOfService(Exception):
    """The provider does not serve this request; nothing was decided."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an authorization makes the provider behave."""

    decline_reason: str = ""
    delay_ms: int = 0
    refusals: int = 0
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """An entry of the ledger, and whether an earlier request with this key brought it about."""

    entry: Entry
    repeated: bool


@dataclass(frozen=True, slots=True)
class _Accepted:
    request: CaptureRequest
    task: asyncio.Task[Entry]


def behaviour_of(authorization: str) -> Behaviour:
    """Read an authorization; one that means nothing is declined."""
    match authorization.partition("#")[0].split(":"):
        case ["sandbox", "ok"]:
            return Behaviour()
        case ["sandbox", "decline"]:
            return Behaviour(decline_reason="declined by the sandbox")
        case ["sandbox", "slow", delay_ms] if _is_count(delay_ms):
            return Behaviour(delay_ms=int(delay_ms))
        case ["sandbox", "lost"]:
            return Behaviour(answers=False)
        case ["sandbox", "flaky", refusals] if _is_count(refusals):
            return Behaviour(refusals=int(refusals))
        case _:
            return Behaviour(decline_reason="unknown authorization")


def _is_count(text: str) -> bool:
    most_digits = 7
    return text.isascii() and text.isdigit() and len(text) <= most_digits


class Captures:
    """Decides every capture once per idempotency key.

    An accepted capture belongs to the provider: it is completed even when the client that asked for it has left.
    Refusals of `sandbox:flaky` are counted per authorization for as long as the process lives.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._accepted: dict[str, _Accepted] = {}
        self._refused: Counter[str] = Counter()

    async def capture(self, idempotency_key: str, request: CaptureRequest) -> Decision:
        """Decide, or repeat what was decided. Raises `KeyReused`, `OutOfService`, `LedgerError`."""
        known = self._ledger.get(idempotency_key)
        if known is not None:
            _check_same(known.request, request)
            return Decision(known, repeated=True)
        accepted = self._accepted.get(idempotency_key)
        if accepted is not None:
            _check_same(accepted.request, request)
            return Decision(await asyncio.shield(accepted.task), repeated=True)
        task = self._accept(idempotency_key, request)
        return Decision(await asyncio.shield(task), repeated=False)

    def find(self, idempotency_key: str) -> Entry | None:
        """Return the decided capture with this key. Raises `LedgerError`."""
        return self._ledger.get(idempotency_key)

    def is_accepted(self, idempotency_key: str) -> bool:
        """Tell whether a capture with this key is under way."""
        return idempotency_key in self._accepted

    def captured(self) -> list[Entry]:
        """Return every capture that moved money. Raises `LedgerError`."""
        return self._ledger.captured()

    async def stop(self) -> None:
        """Give up what is accepted and not decided, as a power cut would: nobody was told, no money has moved."""
        tasks = [accepted.task for accepted in self._accepted.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, idempotency_key: str, request: CaptureRequest) -> asyncio.Task[Entry]:
        behaviour = behaviour_of(request.authorization)
        if self._refused[request.authorization] < behaviour.refusals:
            self._refused[request.authorization] += 1
            raise OutOfService
        task = asyncio.create_task(self._decide(idempotency_key, request, behaviour))
        self._accepted[idempotency_key] = _Accepted(request, task)
        task.add_done_callback(lambda _: self._accepted.pop(idempotency_key))
        return task

    async def _decide(self, idempotency_key: str, request: CaptureRequest, behaviour: Behaviour) -> Entry:
        await asyncio.sleep(behaviour.delay_ms / 1000)
        entry = Entry(
            id=f"cap_{uuid4().hex}",
            idempotency_key=idempotency_key,
            request=request,
            status="declined" if behaviour.decline_reason else "captured",
            reason=behaviour.decline_reason,
            decided_at=datetime.now(UTC),
        )
        try:
            await self._ledger.append(entry)
        except LedgerError as error:
            log.exception("sandbox_ledger_failed", idempotency_key=idempotency_key, exc_info=error)
            raise
        log.debug("sandbox_capture_decided", id=entry.id, idempotency_key=idempotency_key, status=entry.status)
        return entry


def _check_same(earlier: CaptureRequest, request: CaptureRequest) -> None:
    # Not `final`: meanwhile, other captures of the order came or went.
    if request.model_copy(update={"final": earlier.final}) != earlier:
        raise KeyReused

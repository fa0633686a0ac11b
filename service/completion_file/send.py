"""Sends the rows of a sheet that have no answer yet, in requests of many, until each has one or the service is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Final, Protocol

from publishers.backoff import exponential_s
from service.completion_file.client import Unavailable
from service.completion_file.sheet import Answer, Sheet, Shipment

ROWS_A_REQUEST: Final = 1000
# Of a request's text. A character takes at most six bytes, and the API takes 4 MiB.
_LONGEST_REQUEST: Final = 512 * 1024
_LONGEST_ROW_OVERHEAD: Final = 64

# Tries of one request that bring not a single answer: 24 to 47 seconds, enough for a service to start again.
TRIES: Final = 7
# However long the service asks us to wait; a person can come back later.
_PATIENCE_S: Final = 300.0
# Further times that rows are sent that were answered 503.
ROUNDS: Final = 3


class GaveUp(Exception):
    """The service is away; rows may be without an answer."""


class Sends(Protocol):
    """What completes shipments; `Client` is one."""

    def complete(self, shipments: list[Shipment]) -> AsyncGenerator[tuple[int, Answer]]:
        """Yield answers with the indexes of their shipments."""
        ...


class Sending:
    """One sending of a sheet. `tell` hears of each answer once it is in the sheet, `note` of each wait."""

    def __init__(
        self,
        client: Sends,
        sheet: Sheet,
        *,
        tell: Callable[[Answer], None],
        note: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._sheet = sheet
        self._tell = tell
        self._note = note
        self._pause = pause

    async def send_all(self) -> None:
        """Send every row without an answer, and again those that the service had no time for.

        Raises `GaveUp`, or what the client raises where no repetition helps.
        """
        wanted = self._sheet.unanswered()
        for round_ in range(ROUNDS + 1):
            for batch in batches(self._sheet, wanted):
                await self._send(batch)
            later = {index: answer for index in wanted if (answer := self._sheet.answers[index]) and answer.later}
            wanted = list(later)
            if not wanted or round_ == ROUNDS:
                return
            wait_s = max(_backoff_s(round_), *(answer.retry_after_s for answer in later.values()))
            await self._wait(f"rows that could not be decided in time: {len(wanted)}", min(wait_s, _PATIENCE_S))

    async def _send(self, batch: list[int]) -> None:
        failures = 0
        while batch:
            answered: set[int] = set()
            try:
                async with aclosing(
                    self._client.complete([self._sheet.shipments[index] for index in batch])
                ) as answers:
                    async for position, answer in answers:
                        answered.add(batch[position])
                        self._sheet.answers[batch[position]] = answer
                        self._tell(answer)
                problem = Unavailable("the answer ended early")
            except Unavailable as error:
                problem = error
            batch = [index for index in batch if index not in answered]
            if not batch:
                return
            failures = 0 if answered else failures + 1
            if failures == TRIES or problem.retry_after_s > _PATIENCE_S:
                raise GaveUp(str(problem))
            await self._wait(str(problem), max(_backoff_s(failures - 1), problem.retry_after_s))

    async def _wait(self, reason: str, seconds: float) -> None:
        self._note(f"{reason}; again in {seconds:.0f} s")
        await self._pause(seconds)


def _backoff_s(failures: int) -> float:
    return exponential_s(max(failures, 0), first_s=1, cap_s=16)


def batches(sheet: Sheet, wanted: Iterable[int]) -> Iterator[list[int]]:
    """Yield rows to send together, by number and length."""
    batch: list[int] = []
    length = 0
    for index in wanted:
        shipment = sheet.shipments[index]
        adds = len(shipment.number) + len(shipment.tracking) + _LONGEST_ROW_OVERHEAD
        if batch and (len(batch) == ROWS_A_REQUEST or length + adds > _LONGEST_REQUEST):
            yield batch
            batch, length = [], 0
        batch.append(index)
        length += adds
    if batch:
        yield batch

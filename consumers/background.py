"""Work that a consumer does beside its messages, for as long as its process lives."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from consumers.inbox import Pool


@runtime_checkable
class Background(Protocol):
    """What a handler is besides, if it has such work."""

    @property
    def connections(self) -> int:
        """How many database connections the work needs, beside those of the messages."""
        ...

    def beside(self, pool: Pool, stop: asyncio.Event) -> AbstractAsyncContextManager[None]:
        """Work while the block runs, and take up nothing new once `stop` is set.

        Work that ends before the block sets `stop` itself, so that the process ends; its error leaves with the block.
        """
        ...

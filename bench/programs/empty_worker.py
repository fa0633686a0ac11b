"""`waybill worker` with a handler that does nothing: everything around a handler, and only that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from consumers.delivery import Delivery
from consumers.inbox import Connection, Handler
from consumers.outcome import Done, Handled
from consumers.registry import Consumer, UseCases
from consumers.settings import ConsumerSettings
from schemas.events import EventType
from service.commands.worker import run_worker
from service.logs import configure_logs
from service.settings import load_settings


async def _nothing(connection: Connection, delivery: Delivery) -> Done:
    return Handled()


@asynccontextmanager
async def _open(_settings: ConsumerSettings, _use_cases: UseCases) -> AsyncIterator[Handler]:
    yield _nothing


EMPTY: Final = Consumer(
    name="benchEmptyHandler", routing_keys=(EventType.SHIPMENT_SHIPPED.value,), open_handler=_open, together=True
)


def main() -> None:
    """Run until stopped."""
    settings = load_settings()
    configure_logs(settings, process="worker bench")
    asyncio.run(run_worker(settings, EMPTY))


if __name__ == "__main__":
    main()

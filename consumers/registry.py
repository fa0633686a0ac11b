"""Every consumer of this project: the one place to add another.

A consumer is a module or package with an `open_handler`, and an entry here. Its queues, retries, dead letters, inbox,
logs and its command `waybill worker NAME` follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from consumers import email, webhooks
from consumers.inbox import Handler
from consumers.settings import ConsumerSettings
from schemas.events import EventType
from schemas.topology import ConsumerTopology


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer. `name` is its name on the broker and in the inbox, which never changes."""

    name: str
    routing_keys: tuple[str, ...]
    # Opens what the handler needs for as long as the process runs. Raises `WrongSetting`. A handler that is also a
    # `Background` has work of its own beside the messages.
    open_handler: Callable[[ConsumerSettings], AbstractAsyncContextManager[Handler]]
    # Names of the settings that must have a value, beside the database and the broker.
    requires: tuple[str, ...] = ()

    def topology(self, retry_delays_s: Sequence[int]) -> ConsumerTopology:
        """Return what the consumer owns on the broker."""
        return ConsumerTopology(self.name, self.routing_keys, tuple(retry_delays_s))


# By the name on the command line.
CONSUMERS: Final = MappingProxyType(
    {
        "email": Consumer(
            name="orderShipmentShippedEmailHandler",
            routing_keys=(EventType.SHIPMENT_SHIPPED.value,),
            open_handler=email.open_handler,
            requires=("smtp_url",),
        ),
        "webhooks": Consumer(
            name="orderEventWebhookHandler",
            routing_keys=tuple(kind.value for kind in EventType),
            open_handler=webhooks.open_handler,
        ),
    }
)

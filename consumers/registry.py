"""Every consumer of this project: the one place to add another.

A consumer is a module or package with a handler, and an entry here (docs/writing-a-consumer.md). Its queues, retries,
dead letters, inbox, logs and its command `waybill worker NAME` follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from consumers import email, order_intake, webhooks
from consumers.delivery import read_delivery
from consumers.inbox import Handler
from consumers.settings import ConsumerSettings
from consumers.work import Read
from schemas.events import EventType
from schemas.order_events import OrderEventType
from schemas.topology import ConsumerTopology


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the service does for consumers, which may not import it."""

    take_in: order_intake.TakeIn


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer. `name` is its name on the broker and in the inbox, which never changes."""

    name: str
    routing_keys: tuple[str, ...]
    # Opens what the handler needs for as long as the process runs. Raises `WrongSetting`. A handler that is also a
    # `Background` has work of its own beside the messages.
    open_handler: Callable[[ConsumerSettings, UseCases], AbstractAsyncContextManager[Handler[Any]]]
    # Names of the settings that must have a value, beside the database and the broker.
    requires: tuple[str, ...] = ()
    # Whether the relay declares its queue, so that nothing is missed before its worker has first run. Only for one that
    # every installation runs: the queue of a worker that nobody runs would grow for ever.
    standing: bool = False
    # How its messages are read, and what the log calls their `guid`.
    read: Read = read_delivery
    subject: str = "shipment_number"
    # Whether messages that wait at the same time may share a transaction, because all that the handler does is in the
    # database (ADR 0014).
    together: bool = False

    def topology(self, retry_delays_s: Sequence[int]) -> ConsumerTopology:
        """Return what the consumer owns on the broker."""
        return ConsumerTopology(self.name, self.routing_keys, tuple(retry_delays_s))


# By the name on the command line.
CONSUMERS: Final = MappingProxyType(
    {
        "email": Consumer(
            name="orderShipmentShippedEmailHandler",
            routing_keys=(EventType.SHIPMENT_SHIPPED.value,),
            open_handler=lambda settings, _: email.open_handler(settings),
            requires=("smtp_url",),
            standing=True,
        ),
        "webhooks": Consumer(
            name="orderEventWebhookHandler",
            routing_keys=tuple(kind.value for kind in EventType),
            open_handler=lambda settings, _: webhooks.open_handler(settings),
            together=True,
        ),
        "order-intake": Consumer(
            name="orderIntakeHandler",
            routing_keys=tuple(kind.value for kind in OrderEventType),
            open_handler=lambda _, use_cases: nullcontext(order_intake.OrderIntakeHandler(use_cases.take_in)),
            read=order_intake.read_order,
            subject="order_number",
        ),
    }
)

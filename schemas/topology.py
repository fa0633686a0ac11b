"""The broker's topology as data. Whoever declares it, relay or worker, declares the same.

Names follow the virtual-topic convention of the published contract: a consumer's queue is
`Consumer.<consumer>.<topic>`. Arguments of an existing queue cannot be changed, so a change here needs a new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

TOPIC: Final = "VirtualTopic.ep.orders"

# Header of a retried copy: how many times this consumer has already failed it. Ours, because `x-` headers belong to
# the broker.
ATTEMPT_HEADER: Final = "waybill-attempt"
# Headers of a dead letter.
DEAD_REASON_HEADER: Final = "waybill-dead-reason"
DEAD_AT_HEADER: Final = "waybill-dead-at"

# Crash guard only: a message that takes its worker down with it this often is dead. Failures that the worker survives
# are counted in ATTEMPT_HEADER. High, because brokers before 4.3 count lost connections too, and those are no failure.
DELIVERY_LIMIT: Final = 100

# A look at a dead letter gives it back, which counts as a delivery. Brokers from 4.0 drop what was delivered 20 times
# unless they are told otherwise, and older ones do not know -1.
NO_DELIVERY_LIMIT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue and its declaration arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConsumerTopology:
    """Everything that one consumer owns on the broker."""

    consumer: str
    routing_keys: tuple[str, ...]
    retry_delays_s: tuple[int, ...]

    @property
    def work(self) -> Queue:
        """The queue that its worker consumes, bound to the topic."""
        return Queue(
            self._name(),
            {
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                # A letter the broker itself gives up on must arrive in the dead queue: at-least-once needs
                # reject-publish, otherwise it silently falls back to at-most-once.
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.dead.name,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )

    @property
    def retries(self) -> tuple[Queue, ...]:
        """One waiting room per delay. One TTL per queue: expired messages leave only from the head."""
        return tuple(
            Queue(
                self.retry_name(delay),
                {
                    "x-queue-type": "quorum",
                    "x-message-ttl": delay * 1000,
                    # Back to its own work queue through the default exchange: through the topic every other
                    # subscriber would receive the retry too.
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": self._name(),
                    "x-dead-letter-strategy": "at-least-once",
                    "x-overflow": "reject-publish",
                },
            )
            for delay in dict.fromkeys(self.retry_delays_s)
        )

    @property
    def dead(self) -> Queue:
        """Where what cannot be handled waits for a person."""
        return Queue(self._name("dead"), {"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT})

    def retry_name(self, delay_s: int) -> str:
        """Return the name of the waiting room for `delay_s` seconds."""
        return self._name(f"retry.{delay_s}s")

    def _name(self, suffix: str = "") -> str:
        return f"Consumer.{self.consumer}.{TOPIC}" + (f".{suffix}" if suffix else "")

"""Acknowledging several messages of a channel with one answer, where it answers for no other."""

from __future__ import annotations

from collections.abc import Sequence

from aio_pika.abc import AbstractIncomingMessage

from consumers.settle import acknowledge


class Acknowledging:
    """Knows up to which delivery everything on one channel is settled. Delivery tags count from 1, without a gap."""

    def __init__(self) -> None:
        self._up_to = 0
        self._beyond: set[int] = set()

    async def acknowledge(self, messages: Sequence[AbstractIncomingMessage]) -> None:
        """Acknowledge, in as few answers as can be. A channel that is gone is no error."""
        tags = [message.delivery_tag for message in messages]
        if tags == list(range(self._up_to + 1, self._up_to + 1 + len(tags))):
            await acknowledge(messages[-1], all_before=True)
        else:
            # In between is one that is not settled.
            for message in messages:
                await acknowledge(message)
        for message in messages:
            self.settled(message)

    def settled(self, message: AbstractIncomingMessage) -> None:
        """Note that a message has its answer."""
        if message.delivery_tag is not None:
            self._beyond.add(message.delivery_tag)
        while self._up_to + 1 in self._beyond:
            self._up_to += 1
            self._beyond.remove(self._up_to)

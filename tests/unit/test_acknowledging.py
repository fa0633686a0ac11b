"""One answer for several messages, and never for one that is not settled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiormq.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from consumers.acknowledging import Acknowledging


class Channel:
    """A channel as the broker sees it: what it has delivered and has no answer for."""

    def __init__(self, delivered: int) -> None:
        self.open = set(range(1, delivered + 1))
        self.answers = 0
        self.gone = False

    def messages(self, *tags: int) -> list[Any]:
        return [
            SimpleNamespace(delivery_tag=tag, ack=lambda multiple, tag=tag: self._ack(tag, multiple)) for tag in tags
        ]

    async def _ack(self, tag: int, multiple: bool) -> None:
        if self.gone:
            raise ChannelInvalidStateError
        self.answers += 1
        self.open -= {each for each in self.open if each == tag or (multiple and each < tag)}


async def test_what_was_delivered_in_a_row_takes_one_answer_each_time() -> None:
    channel, acknowledging = Channel(8), Acknowledging()
    await acknowledging.acknowledge(channel.messages(1, 2, 3))
    await acknowledging.acknowledge(channel.messages(4, 5, 6))
    assert (channel.open, channel.answers) == ({7, 8}, 2)


async def test_one_that_is_still_open_keeps_its_place() -> None:
    channel, acknowledging = Channel(9), Acknowledging()
    await acknowledging.acknowledge(channel.messages(1, 3, 4))
    await acknowledging.acknowledge(channel.messages(5, 6))
    assert (channel.open, channel.answers) == ({2, 7, 8, 9}, 5)
    [second] = channel.messages(2)
    await second.ack(False)
    acknowledging.settled(second)
    await acknowledging.acknowledge(channel.messages(7, 8))
    assert (channel.open, channel.answers) == ({9}, 7)


async def test_a_channel_that_is_gone_is_no_error() -> None:
    channel, acknowledging = Channel(3), Acknowledging()
    channel.gone = True
    await acknowledging.acknowledge(channel.messages(1, 2, 3))
    assert channel.open == {1, 2, 3}


@given(st.permutations(range(1, 13)), st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=12, max_size=12))
async def test_nothing_is_ever_acknowledged_that_was_not_named(order: list[int], parts: list[tuple[int, bool]]) -> None:
    channel, acknowledging = Channel(12), Acknowledging()
    left = set(channel.open)
    for size, alone in parts:
        tags, order = order[:size], order[size:]
        left -= set(tags)
        messages = channel.messages(*(tags if alone else sorted(tags)))
        if alone:
            for message in messages:
                await message.ack(False)
                acknowledging.settled(message)
        elif messages:
            await acknowledging.acknowledge(messages)
        assert channel.open == left

"""The stack by itself, without a fault: the checker finds nothing, and would find what is missing."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.faults.conftest import OpenStack
from tests.faults.ledgers import Told, count, find_faults


async def test_a_run_without_faults_leaves_nothing_to_find(new_stack: OpenStack) -> None:
    async with new_stack(apis=2) as stack:
        numbers = [*await stack.order(4, parts=2), *await stack.order(1, authorization="sandbox:decline")]
        calls = await asyncio.gather(*(stack.complete(number) for number in numbers for _ in range(2)))
        assert Counter(call.told for call in calls) == {Told.SHIPPED: 8, Told.ALREADY: 8, Told.UNKNOWN: 2}
        assert await stack.settle()
        ledgers = await stack.ledgers()
    assert find_faults(ledgers, deadline_s=30) == []
    counts = count(ledgers)
    assert (counts.calls, counts.shipped, counts.events_lost, counts.between_states) == (18, 8, 0, 0)
    assert len(ledgers.mails) == len(ledgers.received) == len(ledgers.provider_captures) == 8

"""Load with random faults, for a short time; `make faults` does it for longer."""

from __future__ import annotations

import random

import pytest

from tests.faults.conftest import OpenStack
from tests.faults.loading import Plan, run_load

# Others in turn in every run; pytest-randomly prints what makes them the same again.
SEED = random.randrange(1_000_000)


@pytest.mark.timeout(400)
async def test_nothing_is_doubled_or_lost_under_load_while_things_break(new_stack: OpenStack) -> None:
    plan = Plan(seconds=24, rate=8, seed=SEED, fault_every_s=4, attempts=2)
    async with new_stack(apis=2, relays=2, workers=2) as stack:
        outcome = await run_load(stack, plan)
    assert not outcome.findings, f"seed {SEED}, {', '.join(outcome.faults)}:\n" + "\n".join(outcome.findings[:20])
    assert len(outcome.faults) >= 3
    assert outcome.counts.shipped >= plan.seconds * plan.rate * 0.9
    assert outcome.answers.keys() >= {"200", "409", "500"}

"""A payment provider that is slow, silent, away, or answers anything at all: money moves once, and nobody hangs."""

from __future__ import annotations

import pytest

from tests.faults.conftest import OpenStack
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.provider_faults import PROVIDER_FAULTS
from tests.faults.provider_front import open_front
from tests.faults.suffer import suffer_all


@pytest.mark.timeout(1200)
async def test_the_payment_provider(new_stack: OpenStack, subtests: pytest.Subtests) -> None:
    async with (
        new_stack(**IMPATIENT) as stack,
        open_front(f"http://127.0.0.1:{stack.provider_port}", stack.session) as front,
    ):
        stack.hops["provider"].redirect("127.0.0.1", front.port)
        await suffer_all(Rig(stack, more={"front": front}), PROVIDER_FAULTS, subtests)
        stack.processes.close()

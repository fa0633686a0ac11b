"""The name service fails, for one server or for all: answers stay bounded, and all goes on when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import OpenStack
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.name_faults import NAME_FAULTS, Names, by_name
from tests.faults.suffer import suffer_all


@pytest.mark.timeout(1200)
async def test_names(new_stack: OpenStack, tmp_path: Path, subtests: pytest.Subtests) -> None:
    names = Names(tmp_path / "names")
    async with new_stack(apis=0, relays=0, workers=0, **IMPATIENT) as stack:
        settings = stack.settings.model_copy(update=by_name(stack))
        await stack.start_api(settings=settings, env=names.environment)
        await stack.start_relay(settings=settings, env=names.environment)
        await stack.start_worker(settings=settings, env=names.environment)
        await suffer_all(Rig(stack, more={"names": names}), NAME_FAULTS, subtests)

"""The sandbox payment provider, served in the test's own event loop by the code that serves it in its process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.dev.sandbox_provider import RunningSandbox, run_sandbox
from tests.support.waiting import until


@dataclass(frozen=True)
class Sandbox:
    running: RunningSandbox

    @property
    def url(self) -> str:
        return self.running.url

    def ledger(self) -> list[dict[str, Any]]:
        """Every capture that moved money, as `GET /ledger` lists it."""
        return [entry.as_ledger_row() for entry in self.running.captures.captured()]

    async def accepted(self, idempotency_key: str) -> None:
        """Return once a capture with this key is under way. Only slow ones stay so for long enough to be seen."""

        async def is_accepted() -> bool:
            return self.running.captures.is_accepted(idempotency_key)

        await until(is_accepted)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with run_sandbox(host="127.0.0.1", port=0, data_dir=tmp_path / "sandbox") as running:
        yield Sandbox(running)

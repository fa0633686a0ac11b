"""The stack of a fault test: everything the tests of this folder start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.settings import Settings
from tests.faults.forking import Forks, open_nursery
from tests.faults.stack import Stack, open_stack
from tests.support.processes import Processes
from tests.support.smtp_sink import SmtpSink

OpenStack = Callable[..., AbstractAsyncContextManager[Stack]]


@pytest.fixture
def new_stack(
    processes: Processes, settings: Settings, pool: asyncpg.Pool[Any], smtp: SmtpSink, tmp_path: Path
) -> OpenStack:
    """`open_stack` on the test's own database and virtual host; numbers of processes and settings as arguments."""
    return partial(open_stack, processes, settings, pool=pool, smtp=smtp, folder=tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[str]:
    """Address of a process that has imported `waybill` and forks whatever is started."""
    with open_nursery() as address:
        yield address


@pytest.fixture
def forks(nursery: str, tmp_path: Path) -> Iterator[Forks]:
    """As `processes`, for tests that start dozens: each costs a twentieth."""
    started = Forks(nursery, tmp_path)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def open_forks(forks: Forks, settings: Settings, pool: asyncpg.Pool[Any], smtp: SmtpSink, tmp_path: Path) -> OpenStack:
    """As `new_stack`, of forked processes and without proxies."""
    return partial(open_stack, forks, settings, pool=pool, smtp=smtp, folder=tmp_path, proxied=())

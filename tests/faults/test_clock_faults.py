"""Clocks are set forward and back: nothing waits for the time that has been lost, nothing happens twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.faults.application_role import admin_pool, as_application
from tests.faults.clock import Clock, clear_up
from tests.faults.clock_faults import CLOCK_FAULTS
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.private_servers import open_postgres
from tests.faults.stack import open_stack
from tests.faults.suffer import suffer_all
from tests.support.processes import Processes
from tests.support.smtp_sink import SmtpSink


@pytest.fixture(autouse=True)
def _cleared_up(processes: Processes) -> Iterator[None]:
    yield
    # First, so that nothing is left of them either.
    processes.close()
    clear_up()


@pytest.mark.timeout(1200)
async def test_clocks(
    processes: Processes,
    amqp_url: str,
    smtp: SmtpSink,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    ours, its = Clock(tmp_path / "ours"), Clock(tmp_path / "its")
    with open_postgres(environment=its.environment) as postgres:
        settings = Settings(database_url=as_application(postgres.url), amqp_url=amqp_url)
        async with (
            admin_pool(postgres) as admin,
            open_stack(
                processes,
                settings,
                pool=admin,
                smtp=smtp,
                folder=tmp_path,
                apis=0,
                relays=0,
                workers=0,
                rate_limit="1000/second",
                **IMPATIENT,
            ) as stack,
        ):
            await stack.start_api(env=ours.environment)
            await stack.start_relay(env=ours.environment)
            await stack.start_worker(env=ours.environment)
            await suffer_all(Rig(stack, more={"ours": ours, "its": its}), CLOCK_FAULTS, subtests)
        processes.close()

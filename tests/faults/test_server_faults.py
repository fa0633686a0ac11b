"""PostgreSQL and RabbitMQ restarted, killed, frozen, filled up, locked: nothing lost, nothing doubled, nobody hangs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.dev.servers_rabbitmq import find_server
from service.settings import Settings
from tests.faults.application_role import admin_pool, as_application
from tests.faults.broker_faults import BROKER_FAULTS
from tests.faults.database_faults import DATABASE_FAULTS
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.private_servers import open_broker, open_postgres
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.stack import open_stack
from tests.faults.suffer import suffer_all
from tests.support.processes import Processes
from tests.support.smtp_sink import SmtpSink

pytestmark = pytest.mark.timeout(1200)


async def test_the_database(
    processes: Processes, amqp_url: str, smtp: SmtpSink, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    with open_postgres() as postgres:
        settings = Settings(database_url=as_application(postgres.url), amqp_url=amqp_url)
        async with (
            admin_pool(postgres) as admin,
            open_stack(processes, settings, pool=admin, smtp=smtp, folder=tmp_path, **IMPATIENT) as stack,
        ):
            await suffer_all(Rig(stack, postgres=postgres), DATABASE_FAULTS, subtests)
        processes.close()


@pytest.mark.skipif(find_server() is None, reason="stopping a broker takes an installed rabbitmq-server of our own")
async def test_the_broker(  # noqa: PLR0917 - what a stack on the run's own database takes
    processes: Processes,
    database_url: str,
    pool: asyncpg.Pool[Any],
    smtp: SmtpSink,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    with open_broker() as broker:
        settings = Settings(database_url=database_url, amqp_url=f"{broker.amqp_url}?heartbeat=2")
        async with open_stack(processes, settings, pool=pool, smtp=smtp, folder=tmp_path, apis=2, **IMPATIENT) as stack:
            await suffer_all(Rig(stack, broker=broker), BROKER_FAULTS + PROCESS_FAULTS, subtests)
        processes.close()

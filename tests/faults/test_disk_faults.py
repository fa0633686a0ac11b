"""Disks that are full to the last block, of the database and of the broker: what was confirmed is there afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.dev.servers_rabbitmq import find_server
from service.settings import Settings
from tests.faults.application_role import admin_pool, as_application
from tests.faults.broker_faults import BROKER_DISK_FULL, BROKER_FAULTS
from tests.faults.database_faults import DATABASE_FAULTS, DISK_FULL
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.private_servers import SmallDisk, can_mount, open_broker, open_postgres, small_disk
from tests.faults.stack import open_stack
from tests.faults.suffer import suffer
from tests.support.processes import Processes
from tests.support.smtp_sink import SmtpSink

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk | None]:
    """A small disk, or None where this user cannot make one."""
    parent = tmp_path_factory.mktemp("disk")
    for folder in (parent, *parent.parents[:2]):
        folder.chmod(0o755)  # PostgreSQL may have to run as somebody else
    if not can_mount(parent):
        yield None
        return
    with small_disk(parent, megabytes=220) as mounted:
        yield mounted


async def test_the_database(
    processes: Processes, amqp_url: str, smtp: SmtpSink, tmp_path: Path, disk: SmallDisk | None
) -> None:
    fault = DISK_FULL if disk else next(fault for fault in DATABASE_FAULTS if fault.name == "turned read-only")
    with open_postgres(folder=disk and disk.folder) as postgres:
        settings = Settings(database_url=as_application(postgres.url), amqp_url=amqp_url)
        async with (
            admin_pool(postgres) as admin,
            open_stack(processes, settings, pool=admin, smtp=smtp, folder=tmp_path, **IMPATIENT) as stack,
        ):
            await suffer(Rig(stack, postgres=postgres, more={"disk": disk}), fault)


@pytest.mark.skipif(find_server() is None, reason="filling its disk takes an installed rabbitmq-server")
async def test_the_broker(  # noqa: PLR0917 - what a stack on the run's own database takes
    processes: Processes,
    database_url: str,
    pool: asyncpg.Pool[Any],
    smtp: SmtpSink,
    tmp_path: Path,
    disk: SmallDisk | None,
) -> None:
    fault = BROKER_DISK_FULL if disk else next(fault for fault in BROKER_FAULTS if fault.name == "disk alarm")
    with open_broker(folder=disk and disk.folder) as broker:
        settings = Settings(database_url=database_url, amqp_url=f"{broker.amqp_url}?heartbeat=2")
        async with open_stack(processes, settings, pool=pool, smtp=smtp, folder=tmp_path, **IMPATIENT) as stack:
            await suffer(Rig(stack, broker=broker, more={"disk": disk}), fault)

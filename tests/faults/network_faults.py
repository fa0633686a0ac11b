"""Every fault of servers, networks and clocks: what `docs/faults.md` has a row for."""

from __future__ import annotations

from typing import Final

from tests.faults.broker_faults import BROKER_DISK_FULL, BROKER_FAULTS
from tests.faults.clock_faults import CLOCK_FAULTS
from tests.faults.database_faults import DATABASE_FAULTS, DISK_FULL
from tests.faults.fault import Fault
from tests.faults.mail_faults import MAIL_FAULTS
from tests.faults.name_faults import NAME_FAULTS
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.provider_faults import PROVIDER_FAULTS

FAULTS: Final[tuple[Fault, ...]] = (
    *DATABASE_FAULTS,
    *BROKER_FAULTS,
    *PROCESS_FAULTS,
    *PROVIDER_FAULTS,
    *MAIL_FAULTS,
    *NAME_FAULTS,
    *CLOCK_FAULTS,
    DISK_FULL,
    BROKER_DISK_FULL,
)

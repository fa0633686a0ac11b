"""A mail server that is away, silent, hangs up or refuses at every stage: each mail arrives, and hardly ever twice."""

from __future__ import annotations

import pytest

from tests.faults.conftest import OpenStack
from tests.faults.fault import IMPATIENT, Rig
from tests.faults.mail_faults import MAIL_FAULTS
from tests.faults.suffer import suffer_all
from tests.support.smtp_script import open_script


@pytest.mark.timeout(1200)
async def test_the_mail_server(new_stack: OpenStack, subtests: pytest.Subtests) -> None:
    async with new_stack(**IMPATIENT | {"smtp_timeout_s": 3}) as stack, open_script() as script:
        await suffer_all(Rig(stack, more={"script": script}), MAIL_FAULTS, subtests)
        stack.processes.close()

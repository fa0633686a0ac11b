"""Thousands of random calls, repetitions, races and crashes, over both APIs, beside a small model of the promises.

The short form lives the same lives each time. WAYBILL_TEST_MODEL_LIVES=N goes on with N others, from a seed that is
printed or given as WAYBILL_TEST_MODEL_SEED.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.model.machine import live
from tests.model.rig import Rig, open_rig

LIVES = int(os.environ.get("WAYBILL_TEST_MODEL_LIVES", "0"))
SHORT = 24
STEPS = 100
# How often each of these must have happened in the short form, whatever the speed of the machine.
LEAST = {
    "CompleteShipment 200": 4,
    "CompleteShipment 409": 8,
    "Complete 200 ok": 8,
    "Create 200 ok": 20,
    "can not capture order": 2,
    "capture failed": 2,
    " 503": 3,
    " 422": 4,
    "CUT_": 5,
    "KILL_": 5,
    "HANG_UP": 2,
    "at once": 200,
    "read": 30,
    "changed nothing": 200,
    "settled in the end": 2,
}


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    with open_rig(database_url) as opened:
        yield opened


# A failure is made as short as it can be, which takes minutes.
@pytest.mark.timeout(900 + 10 * LIVES)
def test_the_service_keeps_its_promises(rig: Rig) -> None:
    first = int(os.environ.get("WAYBILL_TEST_MODEL_SEED", random.SystemRandom().randrange(10**9))) if LIVES else 0
    tally: Counter[str] = Counter()
    for seed in range(first, first + (LIVES or SHORT)):
        try:
            tally += live(rig, seed, steps=STEPS, shrink=True)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    # It was no quiet life: all that matters has happened, and often.
    for what, least in ({} if LIVES else LEAST).items():
        assert sum(times for happened, times in tally.items() if what in happened) >= least, (what, tally)

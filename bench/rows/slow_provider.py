"""Completions at a provider that takes 300 ms: are its waits all that is waited for, and who waits with them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

from bench.bench import COMPLETE, Bench, Supply, load_variables
from bench.data import Numbers
from bench.measure.wrk import WrkResult, read_wrk, start_wrk
from bench.results import Round, Row
from bench.servers import Api
from service.settings import Settings

GROUP = "Completions, provider takes 300 ms"
TAKES_MS = 300
# What is cut off at the end counts for nothing, so the end must be far away.
LONGER = 4
# All callers begin at the same moment and keep step for a while, as a day's calls do not.
BEGINNING_S = 3
NOT_FOUND = Numbers(1, 1_000_000)


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the completions' row, and two of a 404: with nothing else going on, and beside those completions."""
    size = bench.size
    callers, workers = size.callers[-1], size.workers[-1]
    connections = workers * int(Settings.model_fields["payment_pool_size"].default)
    possible = min(connections, callers) / (TAKES_MS / 1000)
    seconds = max(size.seconds, 3)
    calls: list[Round] = []
    idle: list[Round] = []
    beside: list[Round] = []
    with bench.servers.api(workers=workers, payment_url=bench.servers.payment_url) as api:
        # Twice what is possible, for what is cut off at the end.
        each, longer = (2 * int(possible * each) + 4 * callers for each in (BEGINNING_S + seconds, LONGER * seconds))
        pause_s = callers / possible + 1
        authorization = f"sandbox:slow:{TAKES_MS}"
        needed = size.rounds * (each + longer)
        supply = Supply(bench.servers.database.add_released(needed, captured=False, authorization=authorization))
        bench.warm_up(api, captured=False)
        bench.servers.database.settle()
        for _ in range(size.rounds):
            with bench.watch(api=api.pid) as used:
                alone = bench.http(api, COMPLETE, "unknown.lua", NOT_FOUND, callers=1, seconds=seconds)
            idle.append(bench.round(alone.rate, used, units=alone.requests, latency=alone, void=_not_404(alone)))
            with bench.watch(api=api.pid) as used:
                slow = bench.http(
                    api, COMPLETE, "complete.lua", supply.take(longer), callers=callers, seconds=LONGER * seconds
                )
            figures = bench.round(slow.rate, used, units=slow.requests, latency=slow, void=slow.void)
            calls.append(replace(figures, ratio=slow.rate / possible))
            time.sleep(pause_s)
            among = _beside(api, supply.take(each), callers=callers, seconds=seconds)
            beside.append(
                replace(
                    Round(among.rate, p50_ms=among.p50_ms, p99_ms=among.p99_ms, void=_not_404(among)),
                    ratio=among.p99_ms / alone.p99_ms,
                )
            )
            # What wrk has cut off goes on, and must not be in the way of the next idle 404.
            time.sleep(pause_s)
    bench.servers.database.look("empty_outbox")
    name = f"HTTP, {callers} callers, {workers} API processes"
    yield Row(GROUP, name, "/s", tuple(calls), f"{min(connections, callers)} at once / 0.3 s", ">= 0.95")
    yield Row(GROUP, "404, nothing else going on, 1 caller", "/s", tuple(idle))
    yield Row(GROUP, "404 beside these, 1 caller", "/s", tuple(beside), "p99 of the idle 404", "<= 2")


def _beside(api: Api, numbers: Numbers, *, callers: int, seconds: int) -> WrkResult:
    """Measure a 404 while the slow ones go on."""

    def start(script: str, numbers: Numbers, callers: int, seconds: int) -> subprocess.Popen[str]:
        variables = load_variables(api, numbers, callers=callers)
        return start_wrk(api.url + COMPLETE, script, callers=callers, seconds=seconds, variables=variables)

    slow = start("complete.lua", numbers, callers, BEGINNING_S + seconds)
    time.sleep(BEGINNING_S)
    among = start("unknown.lua", NOT_FOUND, 1, seconds)
    read_wrk(slow)
    return read_wrk(among)


def _not_404(result: WrkResult) -> str:
    # wrk counts a 404 as refused, and here it is the right answer.
    others = result.requests - result.refused + result.broken
    return f"{others} answers were not 404" if others else ""

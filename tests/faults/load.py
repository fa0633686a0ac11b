"""`python -m tests.faults.load`: load for a while, with random faults, then the checker; or with a look at memory.

Exit code 1 if anything was found. The report is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.settings import Settings
from service.wiring import open_pool
from tests.faults.bystanders import SETTINGS
from tests.faults.loading import Outcome, Plan, measure_capacity, run_load
from tests.faults.report import MemoryRow, record, row
from tests.faults.stack import Stack, open_stack
from tests.support.databases import Databases
from tests.support.processes import Processes
from tests.support.servers import open_servers
from tests.support.smtp_sink import open_smtp_sink
from tests.support.vhosts import fresh_vhost

# A rate: half of the capacity.
HALF = -1.0


@asynccontextmanager
async def open_loaded_stack(*, keep: Path | None = None, **numbers: Any) -> AsyncIterator[Stack]:
    """Open servers, unless the environment names some, and a stack on them. `keep` is where its logs stay."""
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="waybill-load-") as folder:
        async with AsyncExitStack() as opened:
            servers = opened.enter_context(open_servers())
            databases = Databases(servers.database_admin_url)
            opened.callback(databases.close)
            databases.make_template()
            settings = Settings(
                database_url=opened.enter_context(databases.fresh()),
                amqp_url=opened.enter_context(fresh_vhost(servers.amqp_management_url, servers.amqp_url)),
            )
            pool = await opened.enter_async_context(open_pool(settings, name="faults"))
            smtp = await opened.enter_async_context(open_smtp_sink(keep_bodies=False))
            processes = Processes(Path(folder))
            opened.callback(processes.close)
            yield await opened.enter_async_context(
                open_stack(processes, settings, pool=pool, smtp=smtp, folder=Path(folder), **numbers)
            )


def _record(outcome: Outcome) -> None:
    plan, minutes = outcome.plan, outcome.plan.seconds / 60
    kinds = len({fault.partition(" at ")[0] for fault in outcome.faults})
    half = f", half of {plan.capacity:g}" if plan.capacity else ""
    if plan.fault_every_s:
        record(
            row(
                part="load",
                step=f"{minutes:g} minutes at {plan.rate:g} completions a second{half}",
                fault=f"a random one every {plan.fault_every_s:g} s",
                repetitions=len(outcome.faults),
                counts=outcome.counts,
                note=f"{kinds} kinds of faults, {outcome.counts.calls:,} calls, {outcome.counts.shipped:,} shipped",
            )
        )
    for each in outcome.memory:
        figures = {name: value for name, value in asdict(each).items() if name not in {"process", "samples"}}
        record(MemoryRow(step=each.process, minutes=minutes, completions=outcome.counts.shipped, **figures))


def _rate(text: str) -> float:
    rate = float(text)
    if rate <= 0:
        raise argparse.ArgumentTypeError("expected completions a second")
    return rate


async def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--rate", type=_rate, default=HALF, help="completions begun a second; default: half of what is found possible"
    )
    parser.add_argument("--faults", choices=("random", "none"), default="random")
    parser.add_argument("--fault-every", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults and of the callers' habits")
    parser.add_argument("--memory", action="store_true", help="sample every process's memory each 10 s")
    parser.add_argument("--keep", type=Path, help="folder in which the processes' logs stay")
    parser.add_argument("--report", type=Path, help="write the outcome there, as JSON")
    options = parser.parse_args(arguments)
    # Every call under way has a connection, and every connection of a process two more at its proxy.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with open_loaded_stack(keep=options.keep, apis=2, relays=2, workers=2, **SETTINGS) as stack:
        capacity = await measure_capacity(stack) if options.rate == HALF else None
        plan = Plan(
            seconds=options.minutes * 60,
            rate=options.rate if capacity is None else round(capacity / 2, 1),
            seed=options.seed,
            fault_every_s=options.fault_every if options.faults == "random" else None,
            sample_every_s=10 if options.memory else None,
            capacity=capacity,
        )
        outcome = await run_load(stack, plan)
    if not outcome.findings:
        _record(outcome)
    report = json.dumps(asdict(outcome), indent=2)
    sys.stdout.write(report + "\n")
    if options.report:
        options.report.write_text(report)
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))

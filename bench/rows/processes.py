"""How soon each process is ready after its start, and what memory it has then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.bench import Bench, Supply
from bench.measure.usage import resident_mb
from bench.results import Round, Row
from bench.servers import CannotMeasure
from consumers.registry import CONSUMERS
from service.dev.children import Child
from service.dev.private_files import free_port
from service.dev.probes import http_answers
from service.dev.programs import waybill

GROUP = "Start to ready, memory"
LOOK_EVERY_S = 0.005
LONGEST_S = 60.0


def measure(bench: Bench) -> Iterator[Row]:
    """Yield a row for each process, and one for the API's memory after a load."""
    port = free_port()
    api = Row(
        GROUP, "waybill api", "s", _starts(bench, ["api", f"--port={port}"], lambda _: http_answers(port, "/readyz"))
    )
    yield replace(api, wanted="< 1.5 s, < 90 MB")
    yield Row(GROUP, "waybill api, one process, after a load", "s", (_loaded(bench),), wanted="< 90 MB")
    for name, command, line in (
        ("waybill relay", ["relay"], '"relay_started"'),
        *((f"waybill worker {queue}", ["worker", queue], '"worker_started"') for queue in CONSUMERS),
    ):
        yield Row(GROUP, name, "s", _starts(bench, command, _told(line)))


def _told(line: str) -> Callable[[Child], bool]:
    return lambda child: line in child.output()


def _starts(bench: Bench, command: list[str], ready: Callable[[Child], bool]) -> tuple[Round, ...]:
    env = bench.servers.environment(
        WAYBILL_AMQP_URL=bench.servers.amqp_url,
        WAYBILL_PAYMENT_URL="http://127.0.0.1:9",
        WAYBILL_SMTP_URL="smtp://127.0.0.1:9",
    )
    rounds = []
    for _ in range(bench.size.starts):
        began = time.perf_counter()
        with bench.servers.process(command[0], waybill(*command), ready=lambda _: True, env=env) as child:
            while not ready(child):
                if child.process.poll() is not None or time.perf_counter() - began > LONGEST_S:
                    raise CannotMeasure(f"waybill {' '.join(command)} did not start: {child.output()[-500:]}")
                time.sleep(LOOK_EVERY_S)
            seconds = time.perf_counter() - began
            resident, unshared = resident_mb(child.pid)
        rounds.append(Round(seconds, memory_mb={"RSS": resident, "USS": unshared}))
    return tuple(rounds)


def _loaded(bench: Bench) -> Round:
    callers = bench.size.callers[-1]
    supply = Supply(bench.servers.database.add_released(bench.most(callers), captured=True))
    began = time.perf_counter()
    with bench.servers.api(workers=1) as api:
        seconds = time.perf_counter() - began
        figures = bench.completions(api, supply.take(bench.most(callers)), callers=callers)
        resident, unshared = resident_mb(api.pid)
    bench.servers.database.look("empty_outbox")
    return Round(seconds, memory_mb={"RSS": resident, "USS": unshared}, void=figures.void)

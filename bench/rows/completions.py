"""Completions over HTTP whose capture is made, beside pgbench doing the same to the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from bench.bench import Bench, Supply
from bench.data import say
from bench.results import Round, Row

GROUP = "Completions, capture made"
LIMIT = "pgbench, best"
PIPELINED = "pgbench, pipelined, {} clients"
WANTED = {(64, 2): ">= 1.2"}


def measure(bench: Bench) -> Iterator[Row]:
    """Yield pgbench's rows, then HTTP's for each number of callers and API processes."""
    size = bench.size
    each = [bench.most(callers) * (1 + len(size.workers)) for callers in size.callers]
    needed = size.rounds * (sum(each) + bench.most(size.callers[-1]))
    rounds: dict[str, list[Round]] = {}
    wanted: dict[str, str] = {}
    with ExitStack() as stack:
        apis = {workers: stack.enter_context(bench.servers.api(workers=workers)) for workers in size.workers}
        supply = Supply(bench.servers.database.add_released(needed, captured=True))
        for api in apis.values():
            bench.warm_up(api)
        bench.servers.database.settle()
        for number in range(size.rounds):
            limits: dict[str, Round] = {}
            calls: dict[str, Round] = {}
            for callers in size.callers:
                say(f"  round {number + 1}: {callers} callers")
                most = bench.most(callers)
                limits[f"pgbench, {callers} clients"], _ = bench.limit(supply.take(most), clients=callers)
                for workers, api in apis.items():
                    name = f"HTTP, {callers} callers, {workers} API process{'es' if workers > 1 else ''}"
                    calls[name] = bench.completions(api, supply.take(most), callers=callers)
                    wanted[name] = WANTED.get((callers, workers), "")
            best = max(each.value for each in limits.values())
            clients = min(16, size.callers[-1])
            limits[PIPELINED.format(clients)], _ = bench.limit(
                supply.take(bench.most(clients)), clients=clients, pipelined=True
            )
            for name, figures in (limits | calls).items():
                rounds.setdefault(name, []).append(replace(figures, ratio=figures.value / best))
    bench.servers.database.look("empty_outbox")
    for name, figures_of_rounds in rounds.items():
        yield Row(GROUP, name, "/s", tuple(figures_of_rounds), LIMIT, wanted.get(name, ""))

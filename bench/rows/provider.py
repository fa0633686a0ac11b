"""Completions whose money is still to be taken, from a payment provider that answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.bench import Bench, Supply
from bench.results import Round, Row

WANTED = ">= 0.3"


def measure(bench: Bench) -> Iterator[Row]:
    """Yield one row: as many callers and API processes as there are at most, the limit measured in the same rounds."""
    size = bench.size
    callers, workers = size.callers[-1], size.workers[-1]
    database = bench.servers.database
    rounds: list[Round] = []
    with bench.servers.api(workers=workers, payment_url=bench.servers.payment_url) as api:
        paid = Supply(database.add_released(size.rounds * bench.most(size.clients), captured=True))
        unpaid = Supply(database.add_released(size.rounds * bench.most(callers), captured=False))
        bench.warm_up(api, captured=False)
        database.settle()
        for _ in range(size.rounds):
            _, limit = bench.limit(paid.take(bench.most(size.clients)), clients=size.clients)
            figures = bench.completions(api, unpaid.take(bench.most(callers)), callers=callers)
            rounds.append(replace(figures, ratio=figures.value / limit.rate))
    database.look("empty_outbox")
    name = f"HTTP, {callers} callers, {workers} API processes"
    yield Row("Completions, provider at once", name, "/s", tuple(rounds), f"pgbench, {size.clients} clients", WANTED)

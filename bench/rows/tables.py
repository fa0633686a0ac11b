"""The same completions with large tables and with small ones, in one server and in the same rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.bench import Bench, Supply
from bench.results import Round, Row
from bench.size import SMALL_SCALE

GROUP = "Size of the tables"
WANTED = ">= 0.9"


def measure(bench: Bench) -> Iterator[Row]:
    """Yield nothing unless there is a --scale to compare."""
    size = bench.size
    if size.scale <= SMALL_SCALE:
        return
    callers, workers = size.callers[-1], size.workers[-1]
    databases = {
        SMALL_SCALE: bench.servers.another_database("bench_small", scale=SMALL_SCALE),
        size.scale: bench.servers.database,
    }
    rounds: dict[str, list[Round]] = {}
    most = bench.most(callers)
    needed = 2 * size.rounds * most
    supplies = {scale: Supply(each.add_released(needed, captured=True)) for scale, each in databases.items()}
    with (
        bench.servers.api(workers=workers, database=databases[SMALL_SCALE]) as small,
        bench.servers.api(workers=workers, database=databases[size.scale]) as large,
    ):
        for api in (small, large):
            bench.warm_up(api)
            api.database.settle()
        for _ in range(size.rounds):
            first: dict[str, float] = {}
            for scale, api in ((SMALL_SCALE, small), (size.scale, large)):
                limit, _ = bench.limit(supplies[scale].take(most), clients=size.clients, database=databases[scale])
                calls = bench.completions(api, supplies[scale].take(most), callers=callers)
                for kind, figures in ((f"pgbench, {size.clients} clients", limit), (f"HTTP, {callers} callers", calls)):
                    base = first.setdefault(kind, figures.value)
                    rounds.setdefault(f"{kind}, {scale:,} shipments", []).append(
                        replace(figures, ratio=figures.value / base)
                    )
    for database in databases.values():
        database.look("empty_outbox")
    for name, figures_of_rounds in rounds.items():
        large_one = f"{size.scale:,}" in name
        wanted = WANTED if large_one and name.startswith("HTTP") else ""
        yield Row(GROUP, name, "/s", tuple(figures_of_rounds), "the small tables", wanted)

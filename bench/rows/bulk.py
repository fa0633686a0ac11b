"""Completions by bulk requests, the captures made, beside pgbench doing the same to the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.bench import COMPLETE, WARM_UP_S, Bench, Supply
from bench.data import Numbers
from bench.results import Round, Row
from bench.servers import Api

WANTED = ">= 3"
ROWS_EACH = 1000
# Few, as bulk callers are; but enough that no process of two is without one.
CALLERS = 6
# What is cut off at the end counts for nothing, so the end must be far away.
LONGER = 3
# A second that no measurement here will exceed; each of wrk's threads has its own half, and one may do most of it.
MOST_PER_SECOND = 24_000


def measure(bench: Bench) -> Iterator[Row]:
    """Yield one row: as many API processes as there are at most, the limit measured in the same rounds."""
    size = bench.size
    clients, workers = size.callers[-2:], size.workers[-1]
    seconds = LONGER * size.seconds
    most = MOST_PER_SECOND * seconds
    database = bench.servers.database
    rounds: list[Round] = []
    with bench.servers.api(workers=workers) as api:
        limits = Supply(database.add_released(size.rounds * sum(map(bench.most, clients)), captured=True))
        bulk = Supply(database.add_released(size.rounds * most + MOST_PER_SECOND * WARM_UP_S, captured=True))
        bench.warm_up(api)
        _complete(bench, api, bulk.take(MOST_PER_SECOND * WARM_UP_S), seconds=WARM_UP_S)
        database.settle()
        for _ in range(size.rounds):
            best = max(bench.limit(limits.take(bench.most(each)), clients=each)[1].rate for each in clients)
            figures = _complete(bench, api, bulk.take(most), seconds=seconds)
            rounds.append(replace(figures, ratio=figures.value / best))
    database.look("empty_outbox")
    name = f"{CALLERS} callers, {ROWS_EACH} rows a request, {workers} API processes"
    yield Row("Completions in bulk, capture made", name, "rows/s", tuple(rounds), "pgbench, best", WANTED)


def _complete(bench: Bench, api: Api, numbers: Numbers, *, seconds: int) -> Round:
    with bench.watch(api=api.pid) as used:
        result = bench.http(
            api, f"{COMPLETE}s", "bulk.lua", numbers, callers=CALLERS, seconds=seconds, ROWS=str(ROWS_EACH)
        )
    done = api.database.look("shipped", first=numbers.first, last=numbers.last)
    answered = result.requests * ROWS_EACH
    # Of a request that is cut off at the end, some rows may be done.
    exact = answered <= done <= answered + CALLERS * ROWS_EACH
    void = result.void or ("" if exact else f"{answered} rows answered, but {done} effects in the database")
    # Latency is of a whole request.
    return bench.round(answered / result.seconds, used, units=done, latency=result, void=void)

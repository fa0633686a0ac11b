"""Shipments created over the Order API, of all that their order holds."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench, Supply, missed
from bench.results import Round, Row

PATH = "/api/order-api/shipments"


def measure(bench: Bench) -> Iterator[Row]:
    """Yield a row without capture and one with the sandbox provider."""
    size = bench.size
    callers, workers = size.callers[-1], size.workers[-1]
    database = bench.servers.database
    rounds: dict[str, list[Round]] = {"false": [], "true": []}
    with bench.servers.api(workers=workers, payment_url=bench.servers.payment_url) as api:
        supply = Supply(database.add_unshipped_orders((2 * size.rounds) * bench.most(callers)))
        bench.warm_up(api, captured=False)
        database.settle()
        for _ in range(size.rounds):
            for capture, figures in rounds.items():
                numbers = supply.take(bench.most(callers))
                with bench.watch(api=api.pid) as used:
                    result = bench.http(api, PATH, "create.lua", numbers, callers=callers, CAPTURE=capture)
                # A refusal is a 200 here, so that only the database knows.
                done = database.look("shipments_of_orders", first=numbers.first, last=numbers.last)
                void = result.void or missed(result, done, callers)
                figures.append(bench.round(result.rate, used, units=result.requests, latency=result, void=void))
    database.look("empty_outbox")
    for capture, told in (("false", "no capture"), ("true", "provider at once")):
        name = f"HTTP, {callers} callers, {workers} API processes, {told}"
        yield Row("Create shipment", name, "/s", tuple(rounds[capture]))

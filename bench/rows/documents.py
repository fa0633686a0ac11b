"""Documents: delivery notes as PDF, each made anew for whoever opens a signed link."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bench.bench import Bench
from bench.results import Round, Row
from service.documents.content import DocumentKind
from service.documents.links import document_url

CALLERS = 16
DIFFERENT = 1000


def measure(bench: Bench) -> Iterator[Row]:
    """Yield one row."""
    size = bench.size
    workers = size.workers[-1]
    numbers = bench.servers.database.add_shipped(DIFFERENT)
    rounds: list[Round] = []
    with bench.servers.api(workers=workers) as api:
        links = bench.servers.folder / "links"
        links.write_text("".join(_link(number, api.secret) for number in range(numbers.first, numbers.last + 1)))
        bench.warm_up(api)
        bench.servers.database.settle()
        for _ in range(size.rounds):
            with bench.watch(api=api.pid) as used:
                result = bench.http(api, "/", "documents.lua", numbers, callers=CALLERS, LINKS=str(links))
            rounds.append(bench.round(result.rate, used, units=result.requests, latency=result, void=result.void))
    yield Row("Documents", f"delivery note, {CALLERS} callers, {workers} API processes", "/s", tuple(rounds))


def _link(number: int, secret: str) -> str:
    url = urlsplit(
        document_url(
            "http://bench",
            [secret],
            kind=DocumentKind.DELIVERY_NOTE,
            shipment_number=f"{number}-1",
            now=datetime.now(UTC),
        )
    )
    return f"{url.path}?{url.query}\n"

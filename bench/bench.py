"""What a row works with: the servers, how much is measured, and the one way to measure a load."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.data import Database, Numbers, TooFew
from bench.measure.pgbench import PgbenchResult, run_pgbench
from bench.measure.usage import Used, watch
from bench.measure.wrk import WrkResult, run_wrk, threads
from bench.results import Round
from bench.servers import Api, Servers
from bench.size import Size

COMPLETE = "/integration/api/shipping/v1/shipments/complete-shipment"
WARM_UP_S = 1


@dataclass(slots=True)
class Supply:
    """Numbers for several measurements, loaded together, each handed out once."""

    numbers: Numbers
    taken: int = 0

    def take(self, count: int) -> Numbers:
        """Return `count` numbers that nobody had. Raises `TooFew`."""
        first = self.numbers.first + self.taken
        self.taken += count
        if self.taken > self.numbers.count:
            raise TooFew(f"{self.numbers.count} shipments do not suffice")
        return Numbers(first, first + count - 1)


@dataclass(frozen=True, slots=True)
class Bench:
    """Servers and sizes, and how a load is measured on them."""

    servers: Servers
    size: Size

    def most(self, callers: int, seconds: int | None = None) -> int:
        """Return how many shipments one measurement gets; each thread or client has its own part of them."""
        # Nobody gets beyond this with a single connection: every commit waits for the disk.
        per_second = self.size.most_per_second if callers > 1 else self.size.most_per_second // 2
        return per_second * (seconds or self.size.seconds)

    def limit(
        self, numbers: Numbers, *, clients: int, database: Database | None = None, pipelined: bool = False
    ) -> tuple[Round, PgbenchResult]:
        """Measure the limit: pgbench with the same work."""
        database = database or self.servers.database
        with self.watch() as used:
            result = run_pgbench(
                database.url,
                self.servers.folder,
                clients=clients,
                seconds=self.size.seconds,
                first=numbers.first,
                per_client=numbers.count // clients,
                pipelined=pipelined,
            )
        done = database.look("shipped", first=numbers.first, last=numbers.last)
        void = "" if done == result.transactions else f"{result.transactions} transactions shipped {done}"
        return self.round(result.rate, used, units=result.transactions, latency=result, void=void), result

    def completions(self, api: Api, numbers: Numbers, *, callers: int, also: Mapping[str, int] | None = None) -> Round:
        """Measure completions over HTTP, and check in the database that each 200 was one."""
        with self.watch(api=api.pid, **(also or {})) as used:
            result = self.http(api, COMPLETE, "complete.lua", numbers, callers=callers)
        done = api.database.look("shipped", first=numbers.first, last=numbers.last)
        return self.round(
            result.rate, used, units=result.requests, latency=result, void=result.void or missed(result, done, callers)
        )

    def http(
        self,
        api: Api,
        path: str,
        script: str,
        numbers: Numbers,
        *,
        callers: int,
        seconds: int | None = None,
        **variables: str,
    ) -> WrkResult:
        """Run wrk against the API, each of its threads with an equal part of the numbers."""
        return run_wrk(
            api.url + path,
            script,
            callers=callers,
            seconds=seconds or self.size.seconds,
            variables=load_variables(api, numbers, callers=callers) | variables,
        )

    def warm_up(self, api: Api, *, captured: bool = True) -> None:
        """Let pools open and caches fill; nothing of it is measured.

        What is captured already is completed in groups, over few connections; what is not takes one each.
        """
        callers = max(self.size.callers)
        numbers = api.database.add_released(self.most(callers, WARM_UP_S), captured=captured)
        self.http(api, COMPLETE, "complete.lua", numbers, callers=callers, seconds=WARM_UP_S)

    def watch(self, **also: int) -> AbstractContextManager[Used]:
        """Count CPU and memory of the servers that always run and of `also`."""
        return watch({**self.servers.pids, **also})

    @staticmethod
    def round(
        value: float, used: Used, *, units: float, latency: PgbenchResult | WrkResult | None = None, void: str = ""
    ) -> Round:
        """Put one measurement together."""
        return Round(
            value,
            p50_ms=latency.p50_ms if latency else None,
            p99_ms=latency.p99_ms if latency else None,
            cpu_ms=used.cpu_ms_per(units),
            memory_mb=used.memory_mb,
            void=void,
        )


def load_variables(api: Api, numbers: Numbers, *, callers: int) -> dict[str, str]:
    """Return what the load scripts need to know."""
    return {
        "FIRST": str(numbers.first),
        "PER_THREAD": str(numbers.count // threads(callers)),
        "AUTHORIZATION": api.authorization,
    }


def missed(result: WrkResult, done: int, callers: int) -> str:
    """Say if the database holds another number of effects than there were answers; calls may be cut off at the end."""
    if result.requests <= done <= result.requests + callers:
        return ""
    return f"{result.requests} answers, but {done} effects in the database"

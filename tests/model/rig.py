"""The API as production serves it, twice, over one database, for a test that is not a coroutine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import asyncpg
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from service.http.app import build_app
from service.keys import NewKey, Scope, create_key
from service.payments.provider import PaymentProvider
from service.services import SERVICES
from service.settings import Settings
from service.shipping.reconcile import GIVEN_UP_S, SETTLED_BY_CALLS_S, settle_pending
from tests.model import invariants
from tests.model.calls import Call, Hold, Reconcile
from tests.model.faults import PLAN, Plan, points_at_queries
from tests.model.money import SUPPORTED
from tests.model.observation import Observation, observe
from tests.model.provider import ScriptedProvider
from tests.model.wire import answer_of, request_of
from tests.model.world import Answer
from tests.support.waiting import until

T = TypeVar("T")

PROCESSES = 2
# A call that waits for another one's lock gets it long before.
_PATIENCE_S = 30


@dataclass
class Process:
    """One API process but for the process: its own pool, its own memory, its own port."""

    runner: web.AppRunner
    pool: asyncpg.Pool
    url: str


@dataclass
class Rig:
    """`adapter` stands between the service and the provider, `middlewares` between a caller and the service."""

    settings: Settings
    adapter: Callable[[ScriptedProvider], PaymentProvider] = lambda provider: provider
    middlewares: Sequence[Middleware] = ()
    provider: ScriptedProvider = field(default_factory=ScriptedProvider)
    processes: list[Process] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _plans: dict[str, Plan] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def new_order_number(self) -> str:
        return str(100_000 + next(self._numbers))

    def observe(self, number: str) -> Observation:
        """Read an order once nothing is under way, and check what must always hold."""

        async def look() -> Observation:
            return await observe(self._connection, self.provider, number)

        seen = self.run(look())
        invariants.check(seen.rows, self.provider.ledger(number))
        assert not self.provider.mistakes, self.provider.mistakes
        return seen

    def call(
        self, number: str, calls: Sequence[tuple[Call, str | None]], plans: Sequence[Plan], place: int = 0
    ) -> list[Answer | None]:
        """Make calls at the same time, each at a process of its own, and wait until nothing of them is left.

        The answer of a call that was cut off or hung up is None.
        """

        async def make() -> list[Answer | None]:
            for call, _ in calls:
                if isinstance(call, Reconcile):
                    await self._let_pending_be(number, GIVEN_UP_S if call.given_up else SETTLED_BY_CALLS_S)
            answers = await asyncio.gather(
                *(
                    self._call(number, call, key, plan, self.processes[(place + turn) % PROCESSES])
                    for turn, ((call, key), plan) in enumerate(zip(calls, plans, strict=True))
                )
            )
            await self._until_idle()
            if any(isinstance(call, Reconcile) for call, _ in calls):
                # What is still open is not for the next one, which may be about another order.
                await self._let_pending_be(number, -1)
            return answers

        return self.run(make())

    def get(self, path: str, **query: str) -> Any:
        """Read over HTTP."""

        async def read() -> Any:
            async with self._session.get(self.processes[0].url + path, params=query) as response:
                body = await response.json()
                assert response.status == 200, body
                return body

        return self.run(read())

    def execute(self, statement: str, *arguments: Any) -> None:
        self.run(self._connection.execute(statement, *arguments))

    def restart(self, place: int) -> None:
        """End a process and start another one in its place."""

        async def restart() -> None:
            await self.processes[place].runner.cleanup()
            self.processes[place] = await self._serve()

        self.run(restart())

    def open(self) -> None:
        self.run(self._open())

    def close(self) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._runner.close()

    async def _call(self, number: str, call: Call, key: str | None, plan: Plan, process: Process) -> Answer | None:
        if isinstance(call, Reconcile):
            return await self._reconcile(process)
        if isinstance(call, Hold):
            return await self._hold(number, plan, process)
        request = request_of(call, number)
        name = f"model-{next(self._numbers)}"
        self._plans[name] = plan
        plan.terminate = self._terminate
        headers = {"X-Request-Id": name} | ({"Idempotency-Key": key} if key else {})
        if plan.fault is not None:
            # Its connection serves no other call: what strikes it strikes nobody else.
            headers["Connection"] = "close"
        sending = plan.client_task = asyncio.create_task(
            self._send(process.url + request.path, method=request.method, json=request.body, headers=headers)
        )
        await asyncio.wait([sending], timeout=_PATIENCE_S)
        del self._plans[name]
        return None if sending.cancelled() else sending.result()

    async def _send(self, url: str, **arguments: Any) -> Answer | None:
        try:
            async with self._session.request(url=url, **arguments) as response:
                body = await response.json()
                assert (response.status == 503) == ("Retry-After" in response.headers), response
                return answer_of(response.status, body, replayed="Idempotency-Replayed" in response.headers)
        except aiohttp.ClientError:
            return None

    async def _let_pending_be(self, number: str, older_than_s: float) -> None:
        await self._connection.execute(
            "UPDATE captures c SET created_at = now() - make_interval(secs => $2)"
            " FROM orders o WHERE o.id = c.order_id AND o.order_number = $1 AND c.state = 'PENDING'",
            number,
            older_than_s + 1,
        )

    async def _reconcile(self, process: Process) -> Answer:
        async with process.pool.acquire() as connection:
            await settle_pending(connection, providers={SUPPORTED: self.provider}, timeout_s=_PATIENCE_S)
        return Answer(0)

    async def _hold(self, number: str, plan: Plan, process: Process) -> Answer:
        await asyncio.sleep(sum(plan.delays_ms) / 1000)
        await process.pool.execute(
            "UPDATE orders SET status = 'ONHOLD' WHERE order_number = $1 AND status IN ('CONFIRMED', 'IN_PROGRESS')",
            number,
        )
        return Answer(0)

    async def _until_idle(self) -> None:
        async def idle() -> bool:
            pools = [process.pool for process in self.processes]
            return not self._under_way and all(pool.get_size() == pool.get_idle_size() for pool in pools)

        if not await idle():
            await until(idle, timeout=_PATIENCE_S)

    async def _terminate(self, pid: int) -> None:
        # Waits until the server process is gone.
        await self._connection.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)

    async def _serve(self) -> Process:
        app = build_app(self.settings)
        app.middlewares[:0] = [self._watch(), *self.middlewares]
        runner = web.AppRunner(app, handler_cancellation=False, access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        services = app[SERVICES]
        services.providers[SUPPORTED] = self.adapter(self.provider)  # type: ignore[index]
        host, port = runner.addresses[0][:2]
        return Process(runner, services.pool, f"http://{host}:{port}")

    def _watch(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Any) -> web.StreamResponse:
            name = request.headers.get("X-Request-Id", "")
            plan = self._plans.get(name)
            if plan is not None:
                plan.server_task = asyncio.current_task()
            token = PLAN.set(plan)
            self._under_way.add(name)
            try:
                return await handler(request)
            finally:
                self._under_way.discard(name)
                PLAN.reset(token)

        return watch

    async def _open(self) -> None:
        self._connection = await self._stack.enter_async_context(_connect(self.settings.database_url))
        self._stack.push_async_callback(self._end_processes)
        self.processes = [await self._serve() for _ in range(PROCESSES)]
        key: NewKey = await create_key(self.processes[0].pool, partner="model", scopes=list(Scope))
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"API-Authorization": key.secret})
        )
        # A call that was cut off is over; it must not be made again behind our back.
        self._session._retry_connection = False

    async def _end_processes(self) -> None:
        for process in self.processes:
            await process.runner.cleanup()


@asynccontextmanager
async def _connect(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def open_rig(database_url: str, **different: Any) -> Iterator[Rig]:
    """Serve until the block ends. Quiet: thousands of calls would write thousands of lines."""
    rig = Rig(Settings(database_url=database_url, database_pool_size=4), **different)
    configured = structlog.get_config()
    with ExitStack() as stack:
        stack.callback(structlog.configure, **configured)
        structlog.configure(
            logger_factory=structlog.ReturnLoggerFactory(), processors=[structlog.processors.KeyValueRenderer()]
        )
        stack.enter_context(points_at_queries())
        stack.callback(rig.close)
        rig.open()
        yield rig

"""Run `waybill` and die by SIGKILL at a named step: `python -m tests.faults.failing --at STEP [OPTIONS] -- ARGUMENTS`.

The step's place is wrapped from outside before the command starts, so that a fail point costs production nothing: it
is not there. Where the named place no longer is, nothing starts and the exit code is 3.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any

import asyncpg

import sql
from service.cli import main
from tests.faults.kill_steps import STEPS, Call, Commit, Place, Provider, Query, Step, When

NO_SUCH_PLACE = 3
# What the process says with its last breath, followed by the step's name.
LAST_WORDS = "killed at"
LOOK_AGAIN_S = 0.001

# What begins a process's groups, and where it keeps what waits for one.
_GROUPS = {
    "api": ("service.completions:Completions._take_groups", "_waiting"),
    "worker webhooks": ("consumers.handling:Handling._process_group", "_for_group"),
}

# Called with what the watched function is called with.
Tell = Callable[..., Awaitable[None]]
Reached = Callable[[], Awaitable[None]]


class NoSuchPlace(Exception):
    """The code no longer has the place that the table names."""


def arm(step: Step, *, nth: int, reached: Reached) -> None:
    """Have `reached` called at the `nth` time that this process comes to the step. Raises `NoSuchPlace`."""
    times = 0
    armed = step.since is None

    async def begin(*_: Any, **__: Any) -> None:
        nonlocal armed
        armed = True

    async def count(*_: Any, **__: Any) -> None:
        nonlocal times
        if armed:
            times += 1
            if times == nth:
                await reached()

    if step.since is not None:
        _watch(step.since, "after", begin)
    if step.together > 1:
        _let_gather(step)
    _watch(step.place, step.when, count)


def _watch(place: Place, when: When, tell: Tell) -> None:
    match place:
        case Call(path):
            owner, name = _find(path)
            _replace(owner, name, _telling(when, tell))
        case Query():
            _replace(_queries_with(place), place.name, _telling(when, tell))
        case Commit(query):
            _watch_commit(query, when, tell)
        case Provider(module, method):
            owner, name = _find(f"{module}:provider_for")
            _replace(owner, name, _opening(method, _telling(when, tell)))


def _find(path: str) -> tuple[Any, str]:
    """Return the object that holds the last name of the path, and that name."""
    module, _, names = path.partition(":")
    *parents, name = names.split(".")
    try:
        owner = functools.reduce(getattr, parents, import_module(module))
        getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise NoSuchPlace(f"{path}: {error}") from error
    return owner, name


def _queries_with(query: Query) -> Any:
    try:
        queries = sql.queries(query.file)
    except Exception as error:
        raise NoSuchPlace(f"sql/queries/{query.file}.sql: {error}") from error
    if query.name not in queries.available_queries:
        raise NoSuchPlace(f"sql/queries/{query.file}.sql has no query {query.name}")
    return queries


def _replace(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(wrap(original)))


def _telling(when: When, tell: Tell) -> Callable[[Any], Any]:
    """Return what wraps a function of any kind so that `tell` is called before it, or after it has returned."""
    before, after = (tell, _nothing) if when == "before" else (_nothing, tell)

    def wrap(original: Any) -> Any:
        if inspect.isasyncgenfunction(original):

            async def rows(*args: Any, **kwargs: Any) -> Any:
                await before(*args, **kwargs)
                async for row in original(*args, **kwargs):
                    yield row
                await after(*args, **kwargs)

            return rows
        if not inspect.iscoroutinefunction(original):
            raise NoSuchPlace(f"{original!r} is no longer a coroutine function")

        async def called(*args: Any, **kwargs: Any) -> Any:
            await before(*args, **kwargs)
            result = await original(*args, **kwargs)
            await after(*args, **kwargs)
            return result

        return called

    return wrap


def _opening(method: str, wrap: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what wraps `provider_for` so that one method of every provider is wrapped."""

    def wrap_lookup(provider_for: Any) -> Any:
        def found(*args: Any, **kwargs: Any) -> Any:
            provider = provider_for(*args, **kwargs)
            return _Wrapped(provider, method, wrap(getattr(provider, method)))

        return found

    return wrap_lookup


class _Wrapped:
    def __init__(self, provider: Any, method: str, wrapped: Any) -> None:
        self._provider, self._method, self._wrapped = provider, method, wrapped

    def __getattr__(self, name: str) -> Any:
        return self._wrapped if name == self._method else getattr(self._provider, name)


def _watch_commit(query: Query, when: When, tell: Tell) -> None:
    transactions: set[Any] = set()

    async def note(connection: Any, **_: Any) -> None:
        if connection.is_in_transaction():
            # What a pool hands out stands for the connection that the driver commits on.
            transactions.add(getattr(connection, "_con", connection))

    def watching(execute: Any) -> Any:
        async def called(connection: Any, statement: str, *args: Any, **kwargs: Any) -> Any:
            verb = statement.strip(" ;").upper()
            ours = verb == "COMMIT" and connection in transactions
            if verb in {"COMMIT", "ROLLBACK"}:
                transactions.discard(connection)
            if ours and when == "before":
                await tell()
            result = await execute(connection, statement, *args, **kwargs)
            if ours and when == "after":
                await tell()
            return result

        return called

    _replace(_queries_with(query), query.name, _telling("after", note))
    _replace(asyncpg.Connection, "execute", watching)


def _let_gather(step: Step) -> None:
    """Let the first group of completions, or of messages, begin once so many are waiting."""
    path, waiting = _GROUPS[step.process]
    owner, name = _find(path)

    def gathering(begin: Any) -> Any:
        async def called(groups: Any) -> None:
            while len(getattr(groups, waiting)) < step.together:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(LOOK_AGAIN_S)
            await begin(groups)

        return called

    _replace(owner, name, gathering)


async def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _die(name: str, *, linger_s: float) -> None:
    if linger_s:
        await asyncio.sleep(linger_s)
    # Not through a stream, whose buffer would die with us.
    os.write(2, f"{LAST_WORDS} {name}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def run(name: str, *, nth: int, linger_s: float, arguments: Sequence[str]) -> None:
    """Run `waybill *arguments`, killed at the step. Ends like the command, or with 3 if the step is not in the code."""
    try:
        arm(STEPS[name], nth=nth, reached=functools.partial(_die, name, linger_s=linger_s))
    except (KeyError, NoSuchPlace) as error:
        sys.stderr.write(f"no such step: {name}: {error}\n")
        raise SystemExit(NO_SUCH_PLACE) from error
    sys.argv = ["waybill", *arguments]
    main()


def launch(arguments: Sequence[str]) -> None:
    """Read the launcher's own arguments and run what stands behind `--`."""
    parser = ArgumentParser(prog="python -m tests.faults.failing")
    parser.add_argument("--at", required=True, metavar="STEP")
    parser.add_argument("--nth", type=int, default=1)
    # What is done at the step waits so long, and the rest of the process goes on: an answer that does not wait for what
    # it depends on then goes out.
    parser.add_argument("--linger", type=float, default=0, metavar="SECONDS")
    parser.add_argument("arguments", nargs="+", help="of waybill, after --")
    given = parser.parse_args(arguments)
    run(given.at, nth=given.nth, linger_s=given.linger, arguments=given.arguments)


if __name__ == "__main__":
    launch(sys.argv[1:])

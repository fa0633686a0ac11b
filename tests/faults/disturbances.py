"""Random faults, one at a time: each disturbs the running stack for some seconds and leaves it healthy."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from random import Random

from tests.faults.stack import HOPS, Stack
from tests.support.processes import Process

Disturbance = Callable[[Stack, Random], Awaitable[None]]
SHORTEST_S, LONGEST_S = 1.0, 5.0

# Of everything but the tests' own connections.
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name NOT IN ('waybill faults', 'waybill tests')
"""


async def kill(kind: str, stack: Stack, random: Random) -> None:
    """kill -9; what watches over processes starts another one."""
    process = random.choice(processes_of(stack, kind))
    process.kill()
    await _replace(stack, kind, process, after_s=random.uniform(0.1, 1))


async def terminate(kind: str, stack: Stack, random: Random) -> None:
    """SIGTERM, as a deployment does, and another one in its place."""
    process = random.choice(processes_of(stack, kind))
    process.terminate()
    await _replace(stack, kind, process, after_s=0)


async def stop(kind: str, stack: Stack, random: Random) -> None:
    """SIGSTOP for some seconds: the process hangs, its connections stay."""
    process = random.choice(processes_of(stack, kind))
    os.kill(process.pid, signal.SIGSTOP)
    await _last(random)
    os.kill(process.pid, signal.SIGCONT)


async def cut(hop: str, stack: Stack, random: Random) -> None:
    """Every connection of the hop is cut, new ones are refused."""
    await stack.hops[hop].down()
    await _last(random)
    await stack.hops[hop].up()


async def freeze(hop: str, stack: Stack, random: Random, *, answers_only: bool = False) -> None:
    """Connections stay, nothing passes; or only what is asked passes, and no answer."""
    stack.hops[hop].freeze(answers_only=answers_only)
    await _last(random)
    stack.hops[hop].thaw()


async def end_database_sessions(stack: Stack, _random: Random) -> None:
    """The database ends all sessions."""
    await stack.pool.execute(_END_SESSIONS)


async def refuse_mails(stack: Stack, random: Random) -> None:
    """The mail server is busy."""
    stack.smtp.reply_to_data = lambda _: "451 4.3.0 later"
    await _last(random)
    stack.smtp.reply_to_data = None


async def _last(random: Random) -> None:
    await asyncio.sleep(random.uniform(SHORTEST_S, LONGEST_S))


async def _replace(stack: Stack, kind: str, process: Process, *, after_s: float) -> None:
    await process.wait_for_exit()
    await asyncio.sleep(after_s)
    match kind:
        case "api":
            await stack.start_api(port=next(port for port, each in stack.apis.items() if each is process))
        case "relay":
            stack.relays.remove(process)
            await stack.start_relay()
        case "worker":
            stack.workers.remove(process)
            await stack.start_worker()
        case _:
            await stack.start_provider()


def processes_of(stack: Stack, kind: str) -> list[Process]:
    """Return the running processes of a kind."""
    return {
        "api": list(stack.apis.values()),
        "relay": stack.relays,
        "worker": stack.workers,
        "provider": [stack.provider] if stack.provider else [],
        "other": list(stack.others.values()),
    }[kind]


DISTURBANCES: dict[str, Disturbance] = {
    **{f"{kind} killed": partial(kill, kind) for kind in ("api", "relay", "worker", "provider")},
    **{f"{kind} replaced": partial(terminate, kind) for kind in ("api", "relay", "worker")},
    **{f"{kind} stopped": partial(stop, kind) for kind in ("api", "relay", "worker", "provider")},
    **{f"{hop} cut off": partial(cut, hop) for hop in HOPS},
    **{f"{hop} frozen": partial(freeze, hop) for hop in HOPS},
    **{f"{hop} silent": partial(freeze, hop, answers_only=True) for hop in HOPS},
    "database sessions ended": end_database_sessions,
    "mails refused for now": refuse_mails,
}


def shuffled(random: Random) -> Iterator[tuple[str, Disturbance]]:
    """Yield disturbances for ever, each once before any comes again."""
    while True:
        names = list(DISTURBANCES)
        random.shuffle(names)
        yield from ((name, DISTURBANCES[name]) for name in names)

"""What the matrix of kills is made of: a process that dies at a step, and what its shipments' ledgers say then."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

import aiohttp

from service.keys import Scope, create_key
from tests.faults import failing
from tests.faults.books import Ledgers
from tests.faults.kill_steps import STEPS
from tests.faults.ledgers import Call, Told, count, find_faults
from tests.faults.report import record, row
from tests.faults.stack import Stack
from tests.support.api import Answer, Api
from tests.support.order_api import Caller
from tests.support.processes import Process, free_port

KILLED = -9
LINGER_S = 0.05
# The window that the guarantees name: accepted by the mail server, not committed by us.
MAILED_TWICE = frozenset({"email.sent", "email.uncommitted"})


def steps_of(scenario: str) -> list[str]:
    """Return the names of a scenario's steps, in their order."""
    found = [name for name in STEPS if name.partition(".")[0] == scenario]
    assert found, f"no steps of {scenario}"
    return found


def start_failing(stack: Stack, step: str, *arguments: str, nth: int = 1, linger_s: float = 0, **start: Any) -> Process:
    """Start `waybill *arguments`, to die when it comes to the step for the `nth` time.

    `linger_s`: what else the process does goes on for so long before it dies.
    """
    launcher = ("-m", failing.__spec__.name, "--at", step, "--nth", str(nth), "--linger", str(linger_s), "--")
    start.setdefault("settings", stack.settings)
    return stack.processes.start(*launcher, *arguments, program=sys.executable, **start)


async def failing_api(stack: Stack, step: str, *, nth: int = 1, callers: int = 1) -> tuple[Process, str]:
    """Start an API process that dies at the step, to which only those calls go that name its URL; return both.

    Where several callers repeat, it lingers too: the two are other ways of meeting the same step.
    """
    port = free_port()
    linger_s = LINGER_S if callers > 1 else 0
    process = start_failing(stack, step, "api", "--port", str(port), nth=nth, linger_s=linger_s)
    url = f"http://127.0.0.1:{port}"
    await process.wait_until_ready(f"{url}/readyz")
    return process, url


async def died(process: Process, step: str) -> None:
    """Return once the process has been killed at exactly this step; fail if it ended otherwise, or lives on."""
    code = await process.wait_for_exit(timeout_s=30)
    last = f"{failing.LAST_WORDS} {step}"
    assert code == KILLED, f"{step}: ended with {code}:\n{process.output()}"
    assert last in process.output().splitlines(), f"{step}: killed, but not there:\n{process.output()}"


async def stopped(process: Process) -> None:
    """Ask a healthy process to end and return once it has."""
    process.terminate()
    assert await process.wait_for_exit() == 0, process.output()


async def repeat(stack: Stack, number: str, *, callers: int) -> None:
    """Repeat a completion as its caller does, or as so many impatient ones do at once, until it is done."""
    calls = await asyncio.gather(*(stack.complete(number) for _ in range(callers)))
    said = "\n".join(process.output()[-4000:] for process in stack.apis.values())
    assert all(call.told in {Told.SHIPPED, Told.ALREADY} for call in calls), f"{calls}\n{said}"


def told(callers: int) -> str:
    """Return what a row says of the retries."""
    return "the caller repeats" if callers == 1 else f"the rest goes on a while; {callers} callers repeat at once"


def restarted(what: str, linger_s: float) -> str:
    """Return what a row says of the restart."""
    return f"the rest goes on a while; {what}" if linger_s else what


async def standing(stack: Stack, number: str) -> tuple[str, list[str], int]:
    """Return a shipment's status, the states of its captures, and how often its money has moved."""
    status = await stack.pool.fetchval("SELECT status FROM shipments WHERE shipment_number = $1", number)
    states = await stack.pool.fetch(
        "SELECT state FROM captures c JOIN shipments s ON s.id = c.shipment_id WHERE shipment_number = $1"
        " ORDER BY attempt",
        number,
    )
    return status, [row["state"] for row in states], await taken(stack, number)


async def taken(stack: Stack, number: str) -> int:
    """Return how often the provider has taken money for the shipment."""
    return sum(entry["idempotency_key"].startswith(f"shipment:{number}:") for entry in await stack.ledger())


async def handle_all(stack: Stack) -> None:
    """Start a relay and a mail worker as after any crash, and return once everything has gone everywhere."""
    for process in (await stack.start_relay(), await stack.start_worker()):
        assert process.running
    assert await stack.settle(), "something never arrived"


async def complete_all(stack: Stack, numbers: Sequence[str]) -> None:
    """Complete shipments without any fault."""
    calls = await asyncio.gather(*(stack.complete(number) for number in numbers))
    assert all(call.told is Told.SHIPPED for call in calls), calls


async def pay_otherwise(stack: Stack, number: str) -> None:
    """Give the shipment's order an authorization that is good for its amount."""
    await stack.pool.execute(
        "UPDATE orders SET payment_authorization = 'sandbox:ok' WHERE order_number = $1", number.rpartition("-")[0]
    )


async def order_caller(stack: Stack) -> Caller:
    """Return a caller with a key for everything, of a healthy API."""
    key = await create_key(stack.pool, partner="faults", scopes=list(Scope))
    return Caller(Api(f"http://127.0.0.1:{next(iter(stack.apis))}", key, stack.session))


def calling(caller: Caller, url: str) -> Caller:
    """Return the same caller, of the API at `url`."""
    return Caller(dataclasses.replace(caller.api, url=url))


async def finished(call: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return the answer to a call, or None where the connection broke before there was one."""
    try:
        return await call
    except aiohttp.ClientError:
        return None


def judge(
    ledgers: Ledgers,
    shipments: Mapping[str, Sequence[str]],
    *,
    retried: str,
    each: int = 1,
    removed: Collection[str] = (),
) -> None:
    """Record a row for each step by its shipments, `each` of a kill, and fail if the ledgers hold any fault.

    `removed` are shipments that were rightly cancelled, for which nothing may have been captured.
    """
    ledgers = without(ledgers, removed)
    for step, numbers in shipments.items():
        counts = count(about(ledgers, numbers))
        told = STEPS[step].told
        record(
            row(
                part="kill",
                step=f"{STEPS[step].process}: {step}",
                fault=f"kill -9: {told}; {retried}",
                repetitions=len(numbers) // each,
                counts=counts,
            )
        )
    faults = [
        f"{step}: {fault}"
        for step, numbers in shipments.items()
        for fault in find_faults(about(ledgers, numbers), mails_may_repeat=step in MAILED_TWICE)
    ]
    assert faults == []
    assert find_faults(ledgers, mails_may_repeat=bool(MAILED_TWICE & shipments.keys())) == []
    for step in MAILED_TWICE & shipments.keys():
        assert count(about(ledgers, shipments[step])).mails_twice == len(shipments[step]), step


def without(ledgers: Ledgers, removed: Collection[str]) -> Ledgers:
    """Return the ledgers without shipments of which nobody was to hear or pay anything."""
    assert not [each for each in ledgers.captures if each.shipment in removed]
    return dataclasses.replace(
        ledgers, shipments=tuple(each for each in ledgers.shipments if each.number not in removed)
    )


def about(ledgers: Ledgers, numbers: Collection[str]) -> Ledgers:
    """Return what the ledgers hold of the orders of these shipments."""
    orders = {number.rpartition("-")[0] for number in numbers}
    shipments = {each.number for each in ledgers.shipments if each.order in orders}
    captures = [each for each in ledgers.captures if each.shipment in shipments]
    events = {each.id for each in ledgers.events if each.shipment.rpartition("-")[0] in orders}
    keys = {each.key for each in captures}

    def ours(call: Call) -> bool:
        return call.shipment_number in shipments

    return dataclasses.replace(
        ledgers,
        calls=tuple(filter(ours, ledgers.calls)),
        orders=tuple(each for each in ledgers.orders if each.number in orders),
        shipments=tuple(each for each in ledgers.shipments if each.number in shipments),
        captures=tuple(captures),
        events=tuple(each for each in ledgers.events if each.id in events),
        inbox=tuple(each for each in ledgers.inbox if each in events),
        emails=tuple(each for each in ledgers.emails if each.event_id in events),
        provider_captures=tuple(each for each in ledgers.provider_captures if each.key in keys),
        received=tuple(each for each in ledgers.received if each.event_id in events),
        mails=tuple(each for each in ledgers.mails if each.event_id in events),
    )

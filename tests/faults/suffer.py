"""Does a fault to the running system while it works, and looks at what becomes of everything."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.books import Told
from tests.faults.fault import Fault, Rig, answer_deadline_s
from tests.faults.ledgers import Call, Ledgers, count, find_faults
from tests.faults.report import record, repetitions, row
from tests.faults.stack import Stack
from tests.support.processes import Process
from tests.support.waiting import until

TOLD = {Told.SHIPPED, Told.ALREADY}
# A line for each call and for each attempt to come back, and no more.
MOST_LINES = 80


async def suffer_all(rig: Rig, faults: Sequence[Fault], subtests: pytest.Subtests) -> None:
    """Suffer one fault after the other, each a subtest; `FAULTS_ONLY` in the environment is a part of their names."""
    for fault in faults:
        if os.environ.get("FAULTS_ONLY", "") in fault.name:
            with subtests.test(msg=fault.name):
                await suffer(rig, fault)


async def suffer(rig: Rig, fault: Fault) -> None:
    """Repeat the fault as often as wanted, write the row of the table, and fail if anything is wrong."""
    times = repetitions(1, fault.repetitions)
    numbers: list[str] = []
    for _ in range(times):
        numbers += await _once(rig, fault)
    ledgers = concerning(await rig.stack.ledgers(), numbers)
    record(
        row(
            part="server" if fault.step in {"PostgreSQL", "RabbitMQ", "processes", "clocks"} else "network",
            step=fault.step,
            fault=fault.name,
            repetitions=times,
            counts=count(ledgers),
            note=fault.note,
        )
    )
    deadline_s = answer_deadline_s(rig.stack.settings) + fault.standstill_s
    findings = find_faults(ledgers, deadline_s=deadline_s, mails_may_repeat=fault.mails_may_repeat)
    wrong = [finding for finding in findings if finding.kind not in fault.tolerated]
    assert not wrong, "\n".join(map(str, wrong))


async def _once(rig: Rig, fault: Fault) -> list[str]:
    stack = rig.stack
    logs = _Logs(stack)
    before = {process.pid for process in logs.processes.values()}
    first = len(stack.calls)
    under_way = [
        *await stack.order(fault.callers // 2, authorization="sandbox:slow:300" if fault.amid else fault.authorization),
        *await stack.order(fault.callers - fault.callers // 2, authorization=fault.authorization),
    ]
    later = await stack.order(2, authorization=fault.authorization)
    patience_s = answer_deadline_s(stack.settings) + fault.standstill_s + 10
    async with asyncio.TaskGroup() as group:

        def call(numbers: Sequence[str]) -> list[asyncio.Task[Call]]:
            return [group.create_task(stack.complete(number, timeout_s=patience_s)) for number in numbers]

        calls = call(under_way) if fault.amid else []
        if fault.amid:
            await _capturing(stack, under_way[: fault.callers // 2])
        async with fault.strike(rig):
            calls += call(later if fault.amid else under_way + later)
            await _probe(stack, fault)
            await asyncio.wait(calls)
    statuses = {each.status for each in stack.calls[first:]}
    assert statuses <= set(fault.statuses), f"answered {statuses}"
    told = {each.shipment_number: each.status for each in reversed(stack.calls[first:])}
    assert not fault.refused or not {number for number in later if told[number] == 200}, "it has hindered nobody"
    await _repeat(stack, under_way + later)
    assert await stack.settle(timeout_s=90), f"not settled; {await _left(stack)}"
    assert all(process.running for process in logs.processes.values()), "a process has ended"
    assert before == {process.pid for process in logs.processes.values()}
    logs.check(fault)
    return under_way + later


async def _capturing(stack: Stack, numbers: Sequence[str]) -> None:
    async def begun() -> bool:
        return bool(
            await stack.pool.fetchval(
                "SELECT EXISTS (SELECT FROM captures c JOIN shipments s ON s.id = c.shipment_id"
                " WHERE s.shipment_number = ANY($1))",
                numbers,
            )
        )

    await until(begun)


async def _probe(stack: Stack, fault: Fault) -> None:
    """Ask each API process whether it lives and whether it should be given work."""
    for port in stack.apis:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(10), stack.session.get(url + "/healthz") as answer:
            assert answer.status == 200
        if fault.ready is not None:

            async def says_so(url: str = url) -> bool:
                async with stack.session.get(url + "/readyz") as answer:
                    return answer.status == fault.ready

            await until(says_so, timeout=15)


async def _repeat(stack: Stack, numbers: Sequence[str]) -> None:
    """Do as a caller does who was told nothing certain, and then once more: a 409 for everything."""

    async def until_told(number: str) -> None:
        async def told() -> bool:
            return (await stack.complete(number)).told in TOLD

        await until(told, timeout=90)
        again = await stack.complete(number)
        assert again.status == 409, f"{number}: {again.status} after it was told to be shipped"

    open_ones = set(numbers)
    done = {each.shipment_number for each in stack.calls if each.told in TOLD}
    await asyncio.gather(*(until_told(number) for number in sorted(open_ones - done)))


async def _left(stack: Stack) -> str:
    outbox = await stack.pool.fetch("SELECT attempts, last_error FROM outbox LIMIT 5")
    return f"outbox {[tuple(each) for each in outbox]}, {await stack.depth()}"


def concerning(ledgers: Ledgers, numbers: Sequence[str]) -> Ledgers:
    """Return what the ledgers hold of these shipments, whose orders have no others."""
    wanted = set(numbers)
    orders = {each.order for each in ledgers.shipments if each.number in wanted}
    keys = {each.key for each in ledgers.captures if each.shipment in wanted}
    events = {each.id for each in ledgers.events if each.shipment in wanted}
    return replace(
        ledgers,
        calls=tuple(each for each in ledgers.calls if each.shipment_number in wanted),
        orders=tuple(each for each in ledgers.orders if each.number in orders),
        shipments=tuple(each for each in ledgers.shipments if each.number in wanted),
        captures=tuple(each for each in ledgers.captures if each.shipment in wanted),
        events=tuple(each for each in ledgers.events if each.shipment in wanted),
        inbox=tuple(each for each in ledgers.inbox if each in events),
        emails=tuple(each for each in ledgers.emails if each.event_id in events),
        provider_captures=tuple(each for each in ledgers.provider_captures if each.key in keys),
        received=tuple(each for each in ledgers.received if each.event_id in events),
        mails=tuple(each for each in ledgers.mails if each.event_id in events),
    )


class _Logs:
    """What the processes have written since."""

    def __init__(self, stack: Stack) -> None:
        self.processes: dict[str, Process] = {
            f"{name}-{n}": process
            for name, processes in (("api", [*stack.apis.values()]), ("relay", stack.relays), ("worker", stack.workers))
            for n, process in enumerate(processes)
        }
        self._from = {name: len(process.output()) for name, process in self.processes.items()}

    def check(self, fault: Fault) -> None:
        """Fail unless the fault was told of, or if it was told of too often."""
        for name, process in self.processes.items():
            kind = name.partition("-")[0]
            text = process.output()[self._from[name] :]
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            troubles = Counter(line["event"] for line in lines if line.get("level") in {"warning", "error"})
            if kind in fault.logged:
                assert troubles.keys() & set(fault.logged[kind]), f"the {kind} does not tell of it: {troubles}"
            assert sum(troubles.values()) <= MOST_LINES, f"the {kind} floods its log: {troubles}"
            assert "Traceback" not in text, text[-3000:]

"""`waybill complete` as a warehouse runs it: against a real API, fed back, interrupted, and with everything wrong."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.keys import NewKey, Scope, create_key
from service.settings import Settings
from tests.support.locks import until_somebody_waits
from tests.support.processes import Process, Processes, free_port
from tests.support.rows import insert_order, insert_shipment
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

Pool = asyncpg.Pool
COLUMNS = ["shipmentNumber", "carrierTrackingNumber"]
OURS = ["status", "orderNumber", "error"]


@dataclass
class Service:
    """A Waybill that can be crashed and started again, and a partner with a key."""

    settings: Settings
    processes: Processes
    pool: Pool
    key: NewKey
    port: int
    api: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start_again(self) -> None:
        self.api = await start_api(self.processes, self.settings, self.port)

    def complete(self, file: Path, *options: str, key: str | None = None, url: str | None = None) -> Process:
        environment = {"WAYBILL_API_KEY": f"{self.key.id}:{self.key.secret}" if key is None else key}
        return self.processes.start("complete", str(file), "--url", url or self.url, *options, env=environment)

    async def rows_sent(self) -> list[int]:
        """Return how many rows each bulk request had that this API has answered to its end."""
        lines = [json.loads(line) for line in self.api.output().splitlines() if '"request_finished"' in line]
        return [line["rows"] for line in lines if line["route"].rstrip("/").endswith("complete-shipments")]


async def start_api(processes: Processes, settings: Settings, port: int) -> Process:
    api = processes.start("api", "--port", str(port), settings=settings)
    await api.wait_until_ready(f"http://127.0.0.1:{port}/readyz")
    return api


@pytest.fixture
async def service(processes: Processes, api_settings: Settings, pool: Pool) -> Service:
    key = await create_key(pool, partner="warehouse", scopes=[Scope.COMPLETE_SHIPMENTS])
    port = free_port()
    api = await start_api(processes, api_settings, port)
    return Service(api_settings, processes, pool, key, port, api)


async def finished(process: Process) -> tuple[int, str]:
    code = await process.wait_for_exit(timeout_s=60)
    return code, process.output()


async def insert_shipments(pool: Pool, count: int, **order: Any) -> list[str]:
    numbers = []
    for number in range(count):
        row = await insert_order(pool, str(number), **order)
        numbers.append((await insert_shipment(pool, row)).number)
    return numbers


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def statuses(path: Path) -> list[str]:
    return [row["status"] for row in read(path)]


async def assert_each_shipped_once(service: Service, sandbox: Sandbox, numbers: list[str]) -> None:
    shipped = await service.pool.fetch("SELECT shipment_number FROM shipments WHERE status = 'SHIPPED'")
    assert sorted(row["shipment_number"] for row in shipped) == sorted(numbers)
    keys = Counter(row["idempotency_key"] for row in sandbox.ledger())
    assert keys == Counter(f"shipment:{number}:capture:1" for number in numbers)
    assert await service.pool.fetchval("SELECT count(*) FROM events WHERE type = 'order-shipment-shipped'") == len(
        numbers
    )


async def test_a_mixed_file_and_its_result_fed_back(
    service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path
) -> None:
    order = await insert_order(pool)
    for n, status in ((1, "RELEASED"), (2, "ONHOLD")):
        await insert_shipment(pool, order, n=n, status=status, quantities={"43243": 1})
    gone = await insert_shipment(pool, await insert_order(pool, "gone"))
    assert (await finished(service.complete(write(tmp_path / "gone.csv", [[gone.number, ""]]))))[0] == 0
    file = tmp_path / "shipped.csv"
    file.write_text(
        "Ref,shipmentNumber,carrierTrackingNumber\n"
        "=1+1,100001-1,1Z\n"
        "b,none,\n"
        "c,100001-2,1Z\n"
        "d,gone-1,\n"
        "e,,1Z\n"
        "f,100001-1\n"
    )
    original = file.read_text()
    code, output = await finished(service.complete(file))
    result = tmp_path / "shipped.result.csv"
    assert code == 1, output
    assert "6 rows in shipped.csv: 1 shipped, 1 shipped before, 4 refused (400: 3, 404: 1), 0 unanswered" in output
    assert f"The result is in {result}. Feed it back to send what is not done in it." in output
    assert [" ".join(line.split()) for line in output.splitlines() if "none" in line] == [
        "3 none 404 Shipment not found: none"
    ]
    assert result.read_text().splitlines() == [
        ",".join(["Ref", *COLUMNS, *OURS]),
        "'=1+1,100001-1,1Z,200,100001,",
        "b,none,,404,,Shipment not found: none",
        "c,100001-2,1Z,400,,Shipment is not in RELEASED status: 100001-2 is ONHOLD",
        "d,gone-1,,409,,Shipment already completed: gone-1",
        "e,,1Z,400,,line 6: shipmentNumber: must not be blank",
        ',,,400,,"line 7: 2 cells, but the header has 3: f,100001-1"',
    ]
    assert file.read_text() == original
    assert await service.rows_sent() == [1, 4]

    # What was in the way is out of it.
    await pool.execute("UPDATE shipments SET status = 'RELEASED', good_to_go = true WHERE status = 'ONHOLD'")
    code, output = await finished(service.complete(result, "--json"))
    assert code == 1, output
    second = tmp_path / "shipped.result-2.csv"
    assert json.loads(output) == {
        "file": str(result),
        "result": str(second),
        "rows": 6,
        "doneAlready": 2,
        "shipped": 1,
        "shippedBefore": 0,
        "refused": {"400": 2, "404": 1},
        "unanswered": 0,
        "seconds": json.loads(output)["seconds"],
    }
    assert await service.rows_sent() == [1, 4, 2]
    before, after = result.read_text().splitlines(), second.read_text().splitlines()
    assert after == [*before[:3], "c,100001-2,1Z,200,100001,", *before[4:]]
    await assert_each_shipped_once(service, sandbox, ["gone-1", "100001-1", "100001-2"])
    tracked = await pool.fetch("SELECT tracking_number FROM parcels")
    assert [row["tracking_number"] for row in tracked] == ["1Z", "1Z"]


async def test_more_rows_than_one_request_takes(service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path) -> None:
    numbers = await insert_shipments(pool, 3)
    rows = [[f"none-{n}", ""] for n in range(2500)]
    rows[500], rows[1500], rows[2499] = ([number, ""] for number in numbers)
    code, output = await finished(service.complete(write(tmp_path / "many.csv", rows)))
    assert code == 1
    assert "2500 rows in many.csv: 3 shipped, 0 shipped before, 2497 refused (404: 2497), 0 unanswered" in output
    assert "… and 2477 more; the result tells all." in output
    assert await service.rows_sent() == [1000, 1000, 500]
    result = read(tmp_path / "many.result.csv")
    assert [row["shipmentNumber"] for row in result] == [number for number, _ in rows]
    assert [index for index, row in enumerate(result) if row["status"] == "200"] == [500, 1500, 2499]
    await assert_each_shipped_once(service, sandbox, numbers)


@asynccontextmanager
async def under_way(service: Service, file: Path, held: Sequence[str]) -> AsyncIterator[Process]:
    """A command that has kept all answers but those for the shipments `held`, which somebody else has locked."""
    async with service.pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("SELECT FROM shipments WHERE shipment_number = ANY($1) FOR UPDATE", held)
        command = service.complete(file)
        await until_somebody_waits(service.pool)
        result = file.with_name("shipped.result.csv")

        async def others_are_kept() -> bool:
            assert command.running, command.output()
            return result.exists() and statuses(result).count("") == len(held)

        await until(others_are_kept)
        try:
            yield command
        finally:
            await transaction.rollback()


@pytest.mark.parametrize("how", ["interrupt", "terminate", "kill"])
async def test_however_it_ends_the_result_has_what_was_answered(
    service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path, how: str
) -> None:
    numbers = await insert_shipments(pool, 8)
    file = write(tmp_path / "shipped.csv", [[number, f"1Z{number}"] for number in numbers])
    async with under_way(service, file, [numbers[3]]) as command:
        getattr(command, how)()
        code, output = await finished(command)
    assert code == {"interrupt": 130, "terminate": 143, "kill": -9}[how], output
    if how != "kill":
        assert "8 rows in shipped.csv: 7 shipped, 0 shipped before, 0 refused, 1 unanswered" in output
        assert "waybill: interrupted" in output
        assert "Traceback" not in output
    result = tmp_path / "shipped.result.csv"
    assert statuses(result) == ["200" if number != numbers[3] else "" for number in numbers]
    code, output = await finished(service.complete(result))
    assert code == 0, output
    assert "8 rows in shipped.result.csv: 7 done already, " in output
    assert set(statuses(tmp_path / "shipped.result-2.csv")) <= {"200", "409"}
    await assert_each_shipped_once(service, sandbox, numbers)
    assert [row["carrierTrackingNumber"] for row in read(result)] == [f"1Z{number}" for number in numbers]


@pytest.mark.parametrize("patient", [True, False], ids=["and the caller waits", "and the caller runs it again"])
async def test_an_api_that_is_killed_in_the_middle(
    service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path, patient: bool
) -> None:
    numbers = await insert_shipments(pool, 12)
    file = write(tmp_path / "shipped.csv", [[number, ""] for number in numbers])
    async with under_way(service, file, numbers[1::6]) as command:
        service.api.kill()
        await command.wait_for_line("; again in 1 s")
        if not patient:
            command.interrupt()
            assert (await finished(command))[0] == 130
    await service.start_again()
    if not patient:
        command = service.complete(tmp_path / "shipped.result.csv")
    code, output = await finished(command)
    assert code == 0, output
    # Only those without an answer were sent again.
    assert await service.rows_sent() == [2]
    result = tmp_path / ("shipped.result.csv" if patient else "shipped.result-2.csv")
    assert set(statuses(result)) <= {"200", "409"}
    await assert_each_shipped_once(service, sandbox, numbers)


async def test_what_is_wrong_is_told_and_the_same_command_can_be_given_again(
    service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path
) -> None:
    numbers = await insert_shipments(pool, 1)
    file = write(tmp_path / "shipped.csv", [[numbers[0], ""]])
    reader = await create_key(pool, partner="reader", scopes=[Scope.READ_ORDERS])
    wrong: list[tuple[dict[str, str], str]] = [
        ({"key": "key_1:mistaken"}, "The key is not accepted"),
        ({"key": reader.secret}, "it needs the scope shipments:complete"),
        ({"url": f"{service.url}/api"}, "Is --url the base address of a Waybill"),
    ]
    for given, told in wrong:
        code, output = await finished(service.complete(file, **given))
        assert code == 2, output
        assert told in output
        assert "mistaken" not in output
        assert reader.secret not in output
    nobody = service.complete(file, url=f"http://127.0.0.1:{free_port()}")
    await nobody.wait_for_line("no connection to 127.0.0.1")
    nobody.interrupt()
    code, output = await finished(nobody)
    assert code == 130
    assert "No row was answered, and no result is written." in output
    assert not (tmp_path / "shipped.result.csv").exists()

    (tmp_path / "key").write_text(f"{service.key.secret}\n")
    code, output = await finished(service.complete(file, "--key-file", str(tmp_path / "key"), key="wrong"))
    assert code == 0, output
    # A result is not replaced unless that is asked for.
    assert (await finished(service.complete(file)))[0] == 2
    assert statuses(tmp_path / "shipped.result.csv") == ["200"]
    code, output = await finished(service.complete(file, "--force"))
    assert (code, statuses(tmp_path / "shipped.result.csv")) == (0, ["409"])
    await assert_each_shipped_once(service, sandbox, numbers)


async def test_rows_for_which_there_was_no_time_are_sent_again(
    service: Service, pool: Pool, sandbox: Sandbox, tmp_path: Path
) -> None:
    numbers = await insert_shipments(pool, 2)
    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:flaky:1' WHERE order_number = '0'")
    file = write(tmp_path / "shipped.csv", [[number, ""] for number in numbers])
    code, output = await finished(service.complete(file))
    assert code == 0, output
    assert "rows that could not be decided in time: 1; again in 5 s" in output
    assert await service.rows_sent() == [2, 1]
    await assert_each_shipped_once(service, sandbox, numbers)

"""`waybill orders import` in this process: what gets in, what is told, and that it can be run again."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.order_import.jsonl import JsonLines
from service.order_import.records import Record
from service.order_import.run import ImportStopped, Result, import_records
from service.settings import Settings
from service.wiring import open_pool
from tests.support.cli import Cli, make_cli
from tests.support.locks import until_somebody_waits
from tests.support.orders import order_body
from tests.support.waiting import until

Pool = asyncpg.Pool


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Cli:
    return make_cli(monkeypatch, capsys, database_url)


def query(database_url: str, statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def write_jsonl(path: Path, *bodies: dict[str, Any] | str) -> Path:
    file = path / "orders.jsonl"
    lines = [body if isinstance(body, str) else json.dumps(body, ensure_ascii=False) for body in bodies]
    file.write_text("\n".join(lines) + "\n")
    return file


def records_of(*bodies: dict[str, Any]) -> list[Record]:
    return [Record(line, line, body["orderNumber"], body) for line, body in enumerate(bodies, 1)]


def numbered(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [order_body({"orderNumber": f"o{n}", **changes}) for n in range(count)]


def summary(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output)
    return {key: found[key] for key in ("orders", "created", "updated", "unchanged", "rejected")}


def test_good_orders_get_in_and_bad_ones_are_told(cli: Cli, tmp_path: Path, database_url: str) -> None:
    file = write_jsonl(
        tmp_path,
        order_body(),
        '{"orderNumber": ',
        order_body({"orderNumber": "2", "lines.1.quantity": -1, "customer.email": "nobody"}),
        order_body({"orderNumber": "3", "currency": "JPY"}),
        order_body({"orderNumber": "4", "shipments": []}),
        order_body({"orderNumber": "100001"}),
    )
    ran = cli("orders", "import", str(file))
    assert ran.code == 1
    assert [" ".join(line.split()) for line in ran.out.splitlines()[:5]] == [
        "line order rejected because",
        "2 - not JSON: Expecting value at column 16",
        '3 2 customer.email: expected an e-mail address such as "name@example.com" (and 1 more)',
        "4 3 lines[1].unitPrice: JPY has no decimals",
        "6 100001 orderNumber: an earlier line has it",
    ]
    assert ran.out.splitlines()[-1].startswith(
        "6 orders in orders.jsonl: 2 created, 0 updated, 0 unchanged, 4 rejected"
    )
    assert query(database_url, "SELECT array_agg(order_number ORDER BY order_number) FROM orders") == ["100001", "4"]


def test_it_can_be_run_again(cli: Cli, tmp_path: Path, database_url: str) -> None:
    bodies = numbered(30)
    file = write_jsonl(tmp_path, *bodies)
    assert summary(cli("orders", "import", str(file), "--json").out)["created"] == 30
    again = cli("orders", "import", str(file), "--json")
    assert (again.code, summary(again.out)) == (
        0,
        {"orders": 30, "created": 0, "updated": 0, "unchanged": 30, "rejected": 0},
    )
    assert query(database_url, "SELECT count(*) FROM events") == 60
    write_jsonl(tmp_path, *bodies[:10], order_body({"orderNumber": "o11", "lines.0.unitPrice": "1"}), *bodies[12:])
    ran = cli("orders", "import", str(file))
    assert ran.code == 1
    assert "Order o11 can no longer be changed: lines[0].unitPrice: 199.00 -> 1.00" in ran.out


def test_a_dry_run_judges_the_same_and_changes_nothing(cli: Cli, tmp_path: Path, database_url: str) -> None:
    cli("orders", "import", str(write_jsonl(tmp_path, *numbered(2, shipments=[]))))
    mixed = [*numbered(1, shipments=[]), *numbered(2)[1:], *numbered(4)[2:], order_body({"lines": []})]
    file = write_jsonl(tmp_path, *mixed)
    tables = ("stores", "orders", "shipments", "events", "outbox")
    before = [query(database_url, f"SELECT count(*) FROM {table}") for table in tables]
    ran = cli("orders", "import", str(file), "--dry-run", "--json")
    wanted = {"orders": 5, "created": 2, "updated": 1, "unchanged": 1, "rejected": 1}
    assert (ran.code, summary(ran.out), json.loads(ran.out)["dryRun"]) == (1, wanted, True)
    assert [query(database_url, f"SELECT count(*) FROM {table}") for table in tables] == before
    assert "Nothing was changed. It would be: 5 orders" in cli("orders", "import", str(file), "--dry-run").out
    assert summary(cli("orders", "import", str(file), "--json").out) == wanted


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_the_report_tells_of_every_order_in_the_files_sequence(cli: Cli, tmp_path: Path, suffix: str) -> None:
    bodies: list[dict[str, Any] | str] = [*numbered(40)]
    bodies[7] = order_body({"orderNumber": "\u001b[31mred", "store": "a b"})
    report = tmp_path / f"report{suffix}"
    cli("orders", "import", str(write_jsonl(tmp_path, *bodies)), "--report", str(report), "--jobs", "8")
    with report.open(newline="") as file:
        entries = json.load(file) if suffix == ".json" else list(csv.DictReader(file))
    assert [entry["lines"] for entry in entries] == [str(n) for n in range(1, 41)]
    assert [entry["outcome"] for entry in entries] == ["created"] * 7 + ["rejected"] + ["created"] * 32
    assert entries[0]["shipments"] in (["o0-1"], "o0-1")
    assert entries[7]["orderNumber"] == ""
    assert entries[7]["reason"].startswith("orderNumber: expected text without control characters; store: String")


def test_csv_from_the_command_line(cli: Cli, tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("No|Sku|Qty|Price|Land\n1|A|2|9.99|EIRE\n1|POST|1|5|EIRE\n2|B|-1|1|Norway\n3|C|1|1|Norway\n")
    sets = {
        "store": "uk-web", "currency": "GBP", "customer.name": "N", "customer.email": "c{No}@example.com",
        "shippingAddress.street": "S", "shippingAddress.city": "C", "payment.provider": "sandbox",
        "payment.authorization": "sandbox:ok#{No}", "line.name": "{Sku}", "shipments": "RELEASED",
    }  # fmt: skip
    maps = {"orderNumber": "No", "line.sku": "Sku", "line.quantity": "Qty", "line.unitPrice": "Price"}
    maps["shippingAddress.country"] = "Land"
    options = [
        *(part for field, text in sets.items() for part in ("--set", f"{field}={text}")),
        *(part for field, column in maps.items() for part in ("--map", f"{field}={column}")),
    ]
    given = ["--format", "csv", "--delimiter", "|", "--country", "EIRE=IE", "--shipping-sku", "POST"]
    ran = cli("orders", "import", str(file), *given, *options)
    assert ran.code == 1
    assert "lines[0].quantity: expected a whole number from 1 to 1000000000 (line 4, column Qty)" in ran.out
    assert query(database_url, "SELECT array_agg(order_number ORDER BY order_number) FROM orders") == ["1", "3"]
    assert query(database_url, "SELECT shipping_amount FROM orders WHERE order_number = '1'") == 500
    assert query(database_url, "SELECT shipping_address->>'country' FROM orders WHERE order_number = '1'") == "IE"
    assert query(database_url, "SELECT array_agg(shipment_number ORDER BY shipment_number) FROM shipments") == [
        "1-1",
        "3-1",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.jsonl"], "does not exist"),
        (["orders.txt"], "the name of FILE does not say what it is"),
        (["orders.jsonl", "--map", "orderNumber=No"], "a JSON Lines file has the fields already"),
        (["orders.csv"], "--map orderNumber=COLUMN is needed"),
        (["orders.csv", "--map", "orderNumber=Nr"], "the column 'Nr' is not in the header"),
        (["orders.csv", "--map", "orderNumber=No", "--encoding", "klingon"], "there is no encoding 'klingon'"),
        (["orders.csv", "--map", "orderNumber=No", "--delimiter", ";;"], "expected one character"),
        (["orders.jsonl", "--report", "report.txt"], "the name must end with .csv or .json"),
        (["orders.jsonl", "--report", "missing/report.csv"], "No such file or directory"),
        (["orders.jsonl", "--jobs", "0"], "Invalid value for '--jobs'"),
    ],
)
def test_a_wrong_command_is_2_and_says_why(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("orders.txt", "orders.csv"):
        (tmp_path / name).write_text("No\n1\n")
    write_jsonl(tmp_path, order_body())
    ran = cli("orders", "import", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in " ".join(ran.err.replace("│", " ").split())


def test_without_a_database_nothing_is_done(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_jsonl(tmp_path, order_body())
    monkeypatch.setenv("WAYBILL_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    ran = cli("orders", "import", str(file), "--report", str(tmp_path / "report.csv"))
    assert (ran.code, ran.out) == (2, "")
    assert "WAYBILL_DATABASE_URL: cannot connect to the database" in ran.err


async def test_results_come_in_sequence_however_long_each_takes(pool: Pool) -> None:
    results: list[Result] = []
    async with pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("INSERT INTO stores (code, name) VALUES ('slow', 'slow')")
        bodies = numbered(12)
        bodies[0]["store"] = "slow"
        importing = asyncio.create_task(
            import_records(pool, records_of(*bodies), jobs=4, dry_run=False, tell=results.append)
        )
        # The first waits for the store; meanwhile others get in.
        await until(lambda: pool.fetchval("SELECT count(*) = 11 FROM orders"))
        assert results == []
        await transaction.rollback()
        await importing
    assert [result.lines for result in results] == [str(n) for n in range(1, 13)]
    assert {result.outcome for result in results} == {"created"}


async def test_memory_holds_a_few_orders_however_many_there_are(pool: Pool) -> None:
    read = told = most_ahead = 0

    def records() -> Any:
        nonlocal read, most_ahead
        for record in records_of(*numbered(100)):
            read += 1
            most_ahead = max(most_ahead, read - told)
            yield record

    def tell(_result: Result) -> None:
        nonlocal told
        told += 1

    await import_records(pool, records(), jobs=2, dry_run=False, tell=tell)
    assert (read, told) == (100, 100)
    assert most_ahead <= 9


async def test_an_import_that_loses_the_database_stops_and_can_be_repeated(pool: Pool, database_url: str) -> None:
    results: list[Result] = []
    bodies = numbered(20)
    bodies[10]["store"] = "slow"
    other = await asyncpg.connect(database_url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO stores (code, name) VALUES ('slow', 'slow')")
        importing = asyncio.create_task(
            import_records(pool, records_of(*bodies), jobs=3, dry_run=False, tell=results.append)
        )
        await until_somebody_waits(other)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(ImportStopped):
            await importing
        await transaction.rollback()
    finally:
        await other.close()
    assert [result.lines for result in results] == [str(n) for n in range(1, len(results) + 1)]
    assert len(results) <= 10
    results.clear()
    await import_records(pool, records_of(*bodies), jobs=3, dry_run=False, tell=results.append)
    assert {result.outcome for result in results} <= {"created", "unchanged"}
    assert len(results) == 20
    assert await pool.fetchval("SELECT count(*) FROM events") == 40


async def test_a_locked_order_is_told_and_the_others_get_in(pool: Pool, settings: Settings) -> None:
    results: list[Result] = []
    await import_records(pool, records_of(*numbered(1)), jobs=1, dry_run=False, tell=results.append)
    hurried = settings.model_copy(update={"lock_timeout_s": 0.05})
    async with pool.acquire() as holder, holder.transaction(), open_pool(hurried, name="tests", size=2) as hurried_pool:
        await holder.execute("SELECT FROM orders FOR UPDATE")
        await import_records(hurried_pool, records_of(*numbered(3)), jobs=2, dry_run=False, tell=results.append)
    assert [result.outcome for result in results] == ["created", "rejected", "created", "created"]
    assert results[1].reasons == ("another process is working on this order; import it again",)


def test_the_file_is_read_as_it_goes(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path, *numbered(3), "nonsense")
    records = JsonLines(file).records()
    assert next(records).order_number == "o0"
    records.close()  # type: ignore[attr-defined]

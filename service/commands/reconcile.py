"""`waybill reconcile`: settle captures that were left open, and report money that waits for a person."""

from __future__ import annotations

import asyncio
import csv
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from schemas.money import to_text
from service.commands.output import age, print_json, print_table
from service.commands.repeating import repeat
from service.logs import configure_logs
from service.payments.registry import open_providers
from service.settings import Settings, load_settings
from service.shipping.reconcile import Settlement, Unshipped, paid_and_not_shipped, settle_pending
from service.stop import stop_on_signals
from service.wiring import borrow_connection, check_migrated, open_pool

HOUR_S = 3600.0


class Format(StrEnum):
    """How the report is written."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Report:
    """One reconciliation."""

    settlements: list[Settlement]
    unshipped: list[Unshipped]


def reconcile(
    *,
    every: Annotated[float | None, typer.Option(min=0.01, help="Again every so many minutes, until stopped.")] = None,
    unshipped_after: Annotated[
        float, typer.Option(min=0, help="List paid shipments that have not left for so many hours.")
    ] = 24.0,
    output: Annotated[Format, typer.Option("--format", help="How the report is written.")] = Format.TEXT,
) -> None:
    """Ask the provider about captures left PENDING, settle them, and list money taken for what has not left.

    Moves no money. Safe while everything runs.
    """
    settings = load_settings()
    settings.require("database_url", "payment_url|stripe_api_key")
    # The report is on standard output; a single run writes no log beside it.
    configure_logs(settings if every else settings.model_copy(update={"log_level": "error"}), process="reconcile")
    asyncio.run(_run(settings, every_s=every * 60 if every else None, older_s=unshipped_after * HOUR_S, output=output))


async def _run(settings: Settings, *, every_s: float | None, older_s: float, output: Format) -> None:
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        pool = await stack.enter_async_context(open_pool(settings, name="reconcile", size=1))
        await check_migrated(pool)
        providers = await stack.enter_async_context(open_providers(settings))

        async def look() -> None:
            async with borrow_connection(pool, timeout_s=settings.database_acquire_timeout_s) as connection:
                settlements = await settle_pending(
                    connection, providers=providers, timeout_s=settings.capture_timeout_s
                )
                report = Report(settlements, await paid_and_not_shipped(connection, older_s=older_s))
            _write(report, output)

        await repeat(look, every_s=every_s, stop=stop)


def _write(report: Report, output: Format) -> None:
    rows = [*map(_settlement_row, report.settlements), *map(_unshipped_row, report.unshipped)]
    match output:
        case Format.JSON:
            print_json({"at": _iso(datetime.now(UTC)), "captures": rows})
        case Format.CSV:
            writer = csv.DictWriter(sys.stdout, fieldnames=_FIELDS)
            writer.writeheader()
            writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
        case Format.TEXT:
            _write_text(report)
    sys.stdout.flush()


def _write_text(report: Report) -> None:
    typer.echo(f"{len(report.settlements)} captures were left open")
    if report.settlements:
        print_table(
            ("shipment", "amount", "key", "age", "finding"),
            [
                (
                    each.shipment_number,
                    f"{to_text(each.amount, each.currency)} {each.currency}",
                    each.idempotency_key,
                    age(each.created_at),
                    each.finding,
                )
                for each in report.settlements
            ],
        )
    typer.echo(f"{len(report.unshipped)} shipments are paid and have not left")
    if report.unshipped:
        print_table(
            ("shipment", "status", "amount", "provider's reference", "paid"),
            [
                (
                    each.shipment_number,
                    each.status,
                    f"{to_text(each.amount, each.currency)} {each.currency}",
                    each.provider_reference,
                    age(each.captured_at),
                )
                for each in report.unshipped
            ],
        )


_FIELDS = ("kind", "shipment", "status", "amount", "currency", "provider", "reference", "key", "since", "finding")


def _settlement_row(each: Settlement) -> dict[str, Any]:
    return {
        "kind": "left open",
        "shipment": each.shipment_number,
        "status": "",
        "amount": to_text(each.amount, each.currency),
        "currency": each.currency,
        "provider": each.provider,
        "reference": "",
        "key": each.idempotency_key,
        "since": _iso(each.created_at),
        "finding": each.finding.value,
    }


def _unshipped_row(each: Unshipped) -> dict[str, Any]:
    return {
        "kind": "paid, not shipped",
        "shipment": each.shipment_number,
        "status": each.status,
        "amount": to_text(each.amount, each.currency),
        "currency": each.currency,
        "provider": each.provider,
        "reference": each.provider_reference,
        "key": each.idempotency_key,
        "since": _iso(each.captured_at),
        "finding": "",
    }


def _harmless(value: str) -> str:
    # A cell that begins like a formula is one to a spreadsheet.
    return f"'{value}" if value[:1] in {"=", "+", "-", "@"} else value


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

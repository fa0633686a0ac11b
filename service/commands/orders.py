"""`waybill orders`: import orders from files."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from publishers.wakeup import RelayWakeup
from service.commands.csv_options import csv_format
from service.commands.import_summary import Tally, print_json_summary, print_summary
from service.commands.output import fail
from service.commands.progress import progress_bar
from service.order_import.csv_orders import CsvOrders
from service.order_import.csv_rows import CsvFormat
from service.order_import.jsonl import JsonLines
from service.order_import.mapping import WrongMapping, parse_mapping
from service.order_import.records import Source, UnusableFile
from service.order_import.report import FORMATS, open_report
from service.order_import.run import ImportStopped, Result, import_records
from service.settings import Settings, load_settings
from service.wiring import check_migrated, open_pool

app = typer.Typer(no_args_is_help=True, help="Orders.")


class FileFormat(StrEnum):
    """How an import file is written."""

    JSONL = "jsonl"
    CSV = "csv"


@app.callback()
def orders() -> None:
    """Keep `import` a command of its own, although it is the only one."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    *,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="What FILE is; by default what its name says.")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="CSV: take a field from a column, such as orderNumber=InvoiceNo, customer.name=Name or"
            " line.sku=StockCode. Rows of one order must stand together.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=TEXT",
            help="CSV: set a field to a text, in which {Column} stands for a cell, such as currency=GBP or"
            " payment.authorization=sandbox:ok#{InvoiceNo}. shipments=RELEASED makes one shipment of all lines.",
        ),
    ] = None,
    countries: Annotated[
        list[str] | None,
        typer.Option(
            "--country",
            metavar="NAME=CODE",
            help="CSV: what a country is called in the file, such as EIRE=IE. English names are known.",
        ),
    ] = None,
    shipping_skus: Annotated[
        list[str] | None,
        typer.Option(
            "--shipping-sku",
            metavar="SKU",
            help="CSV: rows with this line.sku, such as POST, are no goods: their price is added to shippingAmount.",
        ),
    ] = None,
    delimiter: Annotated[str, typer.Option(help='CSV: what separates cells; "tab" for a tabulator.')] = ",",
    encoding: Annotated[str, typer.Option(help="CSV: such as latin-1 or cp1252.")] = "utf-8-sig",
    report: Annotated[
        Path | None, typer.Option(help="Write what became of each order to this .csv or .json file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge everything and change nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Orders taken in at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Import orders from JSON Lines (the body of the order intake, one a line) or CSV.

    Each order is taken in on its own: those that are wrong are told with their lines and reasons, the others are in.
    The same file can be imported again; what is in stays as it is. Exit code 0: all are in; 1: some were rejected;
    2: nothing could be done.
    """
    if report and report.suffix not in FORMATS:
        raise typer.BadParameter("the name must end with .csv or .json", param_hint="--report")
    settings = load_settings()
    settings.require("database_url")
    tally = Tally()
    started = perf_counter()
    stopped = ""
    try:
        source = _source(
            file,
            file_format or _format_of(file),
            {
                "maps": maps or [],
                "sets": sets or [],
                "countries": countries or [],
                "shipping_skus": shipping_skus or [],
            },
            form=csv_format(encoding, delimiter),
        )
        asyncio.run(_import(settings, source, tally, jobs=jobs, dry_run=dry_run, report=report))
    except (WrongMapping, UnusableFile) as error:
        raise typer.BadParameter(str(error)) from None
    except ImportStopped as error:
        stopped = f"the database went away: {error}"
    except OSError as error:
        stopped = str(error)
    except KeyboardInterrupt:
        stopped = "interrupted"
    tell = print_json_summary if as_json else print_summary
    tell(file, tally, seconds=perf_counter() - started, dry_run=dry_run)
    if stopped:
        raise fail(f"{stopped}. What is told above is done; run the same command again for the rest.")
    if tally.counts["rejected"]:
        raise typer.Exit(1)


def _source(file: Path, kind: FileFormat, mapping: dict[str, list[str]], *, form: CsvFormat) -> Source:
    if not file.is_file():
        raise UnusableFile("FILE must be a file that can be read twice, not a pipe")
    if kind is FileFormat.CSV:
        return CsvOrders(file, parse_mapping(**mapping), form)
    if any(mapping.values()):
        raise WrongMapping("--map, --set and the like are for CSV; a JSON Lines file has the fields already")
    return JsonLines(file)


def _format_of(file: Path) -> FileFormat:
    kinds = {".csv": FileFormat.CSV, ".tsv": FileFormat.CSV, ".jsonl": FileFormat.JSONL, ".ndjson": FileFormat.JSONL}
    try:
        return kinds[file.suffix.lower()]
    except KeyError:
        raise UnusableFile("the name of FILE does not say what it is: add --format jsonl or --format csv") from None


async def _import(
    settings: Settings, source: Source, tally: Tally, *, jobs: int, dry_run: bool, report: Path | None
) -> None:
    total = source.look_through()
    async with open_pool(settings, name="orders import", size=jobs) as pool:
        await check_migrated(pool)
        with open_report(report) as write, progress_bar() as bar:
            task = bar.add_task("Checking" if dry_run else "Importing", total=total)

            def tell(result: Result) -> None:
                tally.add(result)
                write(result)
                bar.advance(task)

            await import_records(pool, source.records(), jobs=jobs, dry_run=dry_run, tell=tell)
        if tally.changed and not dry_run:
            await RelayWakeup().wake(pool)

"""`waybill complete`: complete the shipments of a file, through the API of a Waybill anywhere."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.text import Text

from service.commands.complete_summary import print_json_summary, print_summary, summarize
from service.commands.csv_options import csv_format
from service.commands.output import fail
from service.commands.progress import progress_bar
from service.completion_file.client import Refused, check_base, open_client
from service.completion_file.columns import Columns, parse_columns
from service.completion_file.key import NoKey, read_authorization
from service.completion_file.result_file import ResultFile, default_result
from service.completion_file.send import GaveUp, Sending
from service.completion_file.sheet import Answer, Sheet, find_delimiter, read_sheet
from service.order_import.mapping import WrongMapping
from service.order_import.records import UnusableFile
from service.visible import visible


class _Interrupted(Exception):
    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.code = 128 + number


def complete(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    *,
    url: Annotated[str, typer.Option(help="The API's base address, such as https://shipping.example.com.")],
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="KEYFILE", help="A file with the API key; without it, WAYBILL_API_KEY has the key."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Take shipmentNumber or carrierTrackingNumber from a column of another name;"
            " carrierTrackingNumber= if there is none.",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help='What separates cells, "tab" for a tabulator; by default what the header has.'),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Such as latin-1 or cp1252.")] = "utf-8-sig",
    result: Annotated[
        Path | None, typer.Option(help="Where to write what became of each row; by default beside FILE.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a result file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Complete the shipments of a CSV file with the columns shipmentNumber and carrierTrackingNumber.

    The result file has the same rows with three more columns: status (200: shipped, 409: had shipped before, otherwise
    why not, empty: no answer), orderNumber and error. Given as FILE in its turn, what is done in it is left out. That
    is safe whatever interrupted the command: a shipment is completed once.

    The API key (scope shipments:complete) comes from the environment variable WAYBILL_API_KEY or from --key-file, as
    id:secret, as the secret alone, or as `waybill keys create --json` prints it.

    Exit code 0: every row is done; 1: some are not; 2: nothing could be done, or the service refused the request.
    """
    started = perf_counter()
    try:
        authorization = read_authorization(key_file, os.environ)
        base = check_base(url)
    except NoKey as error:
        raise fail(str(error), code=2) from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    try:
        sheet = _read(file, parse_columns(maps or []), encoding=encoding, delimiter=delimiter)
        kept = ResultFile(result or default_result(file), sheet, source=file)
        kept.open(replace=force)
    except (WrongMapping, UnusableFile) as error:
        raise typer.BadParameter(str(error)) from None
    before = [answer for answer in sheet.answers if answer]
    stopped, code = _run(sheet, kept, base=base, authorization=authorization)
    summary = summarize(sheet, before)
    tell = print_json_summary if as_json else print_summary
    tell(file, kept.path if kept.written else None, summary, seconds=perf_counter() - started)
    if stopped:
        raise fail(stopped, code=code)
    if not summary.complete:
        raise typer.Exit(1)


def _read(file: Path, columns: Columns, *, encoding: str, delimiter: str | None) -> Sheet:
    if not file.is_file():
        raise UnusableFile("FILE must be a file that can be read twice, not a pipe")
    form = csv_format(encoding, delimiter or ",")
    if delimiter is None:
        form = csv_format(encoding, find_delimiter(file, form.encoding, columns))
    return read_sheet(file, form, columns)


def _run(sheet: Sheet, kept: ResultFile, *, base: str, authorization: str) -> tuple[str, int]:
    """Send, keep the result, and return why that ended before its end with the exit code for it; "" if it did not."""
    to_send = len(sheet.unanswered())
    try:
        try:
            asyncio.run(_send(sheet, kept, base=base, authorization=authorization))
        finally:
            if to_send and len(sheet.unanswered()) == to_send:
                # The same command can be given again, with what was wrong put right.
                kept.discard()
            else:
                kept.save()
    except Refused as error:
        return str(error), 2
    except GaveUp as error:
        return str(error), 1
    except _Interrupted as error:
        return "interrupted", error.code
    except OSError as error:
        return f"{kept.path} could not be written: {error.strerror}", 1
    return "", 0


async def _send(sheet: Sheet, kept: ResultFile, *, base: str, authorization: str) -> None:
    """Send what has no answer. Raises what `Sending` does, OSError, and `_Interrupted` for Ctrl-C and SIGTERM."""
    sending = asyncio.current_task()
    assert sending is not None  # noqa: S101 - a coroutine runs in a task
    signals: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        signals.append(number)
        sending.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    with progress_bar() as bar:
        task = bar.add_task("Completing", total=len(sheet.unanswered()))

        def tell(answer: Answer) -> None:
            bar.advance(task, 0 if answer.later else 1)
            kept.outdated = True

        def note(text: str) -> None:
            bar.console.print(Text(f"waybill: {visible(text)}"), soft_wrap=True)

        try:
            async with asyncio.TaskGroup() as group, open_client(base, authorization) as client:
                saving = group.create_task(kept.keep_saving())
                await Sending(client, sheet, tell=tell, note=note).send_all()
                saving.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        except asyncio.CancelledError:
            if signals:
                raise _Interrupted(signals[0]) from None
            raise

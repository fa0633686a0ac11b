"""`--delimiter` and `--encoding`, as every command that reads CSV has them."""

from __future__ import annotations

import codecs

import typer

from service.order_import.csv_rows import CsvFormat


def csv_format(encoding: str, delimiter: str) -> CsvFormat:
    """Return the format that the options' values mean. Raises `typer.BadParameter`."""
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise typer.BadParameter(f"there is no encoding {encoding!r}", param_hint="--encoding") from None
    delimiter = "\t" if delimiter == "tab" else delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise typer.BadParameter("expected one character", param_hint="--delimiter")
    return CsvFormat("utf-8-sig" if codec.name == "utf-8" else encoding, delimiter)

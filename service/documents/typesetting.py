"""From a template and its data to PDF bytes, with one typst compiler per process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

import typst

from service.documents.fonts import load_fonts

_TEMPLATES = Path(__file__).parent / "templates"
# For archives, and for screen readers.
_STANDARDS: Final[list[typst.PDFStandard]] = ["a-2a", "ua-1"]
# A compiler refuses a second caller while it works.
_compiling = Lock()


def typeset(template: str, data: bytes, *, day: date) -> bytes:
    """Return the PDF of a template, `data` being its `data.json`, dated `day`. The same input gives the same bytes.

    Data is a file beside the template, never part of its source, so that no text in it can be taken for markup.
    """
    files = {
        "main.typ": _source(f"{template}.typ"),
        "frame.typ": _source("frame.typ"),
        "data.json": data,
    }
    timestamp = datetime.combine(day, time(12), UTC)
    with _compiling:
        try:
            return _compile(files, timestamp, standards=_STANDARDS)
        except typst.TypstError:
            # The standards forbid what no typeface has a shape for. Better a box for that character than no document.
            return _compile(files, timestamp, standards=[])


def _compile(files: Mapping[str, bytes], timestamp: datetime, *, standards: list[typst.PDFStandard]) -> bytes:
    # The package documents mappings of files as input; its type stub has yet to learn of them.
    pdf = _compiler().compile(input=files, timestamp=timestamp, pdf_standards=standards)  # type: ignore[type-var]
    if not isinstance(pdf, bytes):
        raise TypeError(f"typst returned {type(pdf).__name__} instead of one PDF")
    return pdf


@cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(root=_TEMPLATES, font_paths=load_fonts(), ignore_system_fonts=True)


@cache
def _source(name: str) -> bytes:
    return (_TEMPLATES / name).read_bytes()

"""The result file: replaced as a whole, so that at every moment it is one that can be fed back."""

from __future__ import annotations

import asyncio
import codecs
import csv
import os
import re
from pathlib import Path
from time import monotonic
from typing import Final

from service.completion_file.sheet import Sheet
from service.order_import.records import UnusableFile

# What a crash of this process can lose of what it was told; those rows are sent again, and answered 409.
SAVE_EVERY_S: Final = 1.0
# A large file takes a while to write: at most this part of the time.
_SHARE: Final = 0.1

_RESULT: Final = re.compile(r"(.*\.result)(?:-([0-9]{1,9}))?", re.DOTALL)


def default_result(path: Path) -> Path:
    """Return the name beside a file: x.csv, x.result.csv, x.result-2.csv, x.result-3.csv and so on."""
    if earlier := _RESULT.fullmatch(path.stem):
        return path.with_name(f"{earlier[1]}-{int(earlier[2] or 1) + 1}{path.suffix}")
    return path.with_name(f"{path.stem}.result{path.suffix or '.csv'}")


class ResultFile:
    """Where a sheet is kept."""

    def __init__(self, path: Path, sheet: Sheet, *, source: Path) -> None:
        self.path = path
        self._sheet = sheet
        self._source = source
        self._is_new = False
        self._took_s = 0.0
        # Whether there is one of this sheet, and whether the sheet has learned something since.
        self.written = False
        self.outdated = False
        # Whoever may not read the one may not read the other.
        self._mode = source.stat().st_mode & 0o666 | 0o600
        # Without a byte order mark spreadsheets take UTF-8 for something else, and with one many a program does.
        plain = sheet.form.encoding == "utf-8-sig" and not _begins_with_a_mark(source)
        self._encoding = "utf-8" if plain else "utf-8-sig"

    def open(self, *, replace: bool) -> None:
        """Make sure that it can be written, before anything is sent. One that exists stays until there is an answer.

        Raises `UnusableFile` rather than overwrite the source or, unless told to `replace` it, any file.
        """
        try:
            exists = self.path.exists()
            if exists and (self.path.samefile(self._source) or not self.path.is_file()):
                raise UnusableFile(f"{self.path} is FILE itself or no file: name another with --result")
            if exists and replace:
                return
            # Taken at once, so that of two commands only one gets it.
            self.path.touch(self._mode, exist_ok=False)
            self._is_new = True
            self.save()
        except FileExistsError:
            raise UnusableFile(
                f"{self.path} exists. Feed it back to send what is not done in it, name another with --result,"
                " or replace it with --force"
            ) from None
        except OSError as error:
            self.discard()
            raise UnusableFile(f"{self.path}: {error.strerror}") from None

    def discard(self) -> None:
        """Leave things as they were before `open`, so that the same command can be given again."""
        if self._is_new:
            self.path.unlink(missing_ok=True)
        self.written = False

    async def keep_saving(self) -> None:
        """Save it whenever it is outdated, until cancelled. Raises OSError."""
        while True:
            await asyncio.sleep(max(SAVE_EVERY_S, self._took_s / _SHARE))
            if self.outdated:
                self.save()

    def save(self) -> None:
        """Replace the file by what is known now. Raises OSError, and then it is as it was."""
        began = monotonic()
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
            # Bytes that were no text are written as they were read.
            with open(descriptor, "w", encoding=self._encoding, errors="surrogateescape", newline="") as file:  # noqa: PTH123
                csv.writer(file, delimiter=self._sheet.form.delimiter).writerows(self._sheet.result_rows())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            self.written, self.outdated = True, False
        finally:
            draft.unlink(missing_ok=True)
        self._took_s = monotonic() - began


def _begins_with_a_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

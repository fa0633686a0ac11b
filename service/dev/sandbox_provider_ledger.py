"""The sandbox provider's ledger: a file of one JSON object a line, only ever appended to.

An entry counts once its line is complete and synced to disk, and nobody is told before. What a crash leaves of a line
was never told to anybody and is cut off at the next start.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from service.dev.sandbox_provider_entry import Entry


class LedgerError(Exception):
    """The ledger cannot be read or written. The message says why."""


class Ledger:
    """Entries by idempotency key.

    Once a write has failed every call raises `LedgerError`: what the file holds is known only when it is read again.
    """

    def __init__(self, file: BinaryIO, entries: dict[str, Entry]) -> None:
        self._file = file
        self._entries = entries
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._failure: OSError | None = None

    def get(self, idempotency_key: str) -> Entry | None:
        """Return the entry with this key."""
        self._check()
        return self._entries.get(idempotency_key)

    def captured(self) -> list[Entry]:
        """Return every entry that moved money, in the order in which it did."""
        self._check()
        return [entry for entry in self._entries.values() if entry.status == "captured"]

    async def append(self, entry: Entry) -> None:
        """Return when the entry is on disk. Entries that arrive during a write share the next one, and its sync."""
        self._check()
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        await written

    async def finish(self) -> None:
        """Wait until everything appended so far is written."""
        if self._writer is not None:
            await self._writer

    def _check(self) -> None:
        if self._failure is not None:
            raise LedgerError(
                f"the ledger could not be written: {self._failure.strerror}; restart to read what it holds"
            )

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            lines = "".join(f"{entry.model_dump_json()}\n" for entry, _ in batch).encode()
            try:
                await asyncio.to_thread(self._write, lines)
            except OSError as error:
                self._failure = error
                batch += self._waiting
                self._waiting.clear()
            else:
                self._entries.update((entry.idempotency_key, entry) for entry, _ in batch)
            for _, written in batch:
                if written.cancelled():
                    continue
                if self._failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(LedgerError("the ledger could not be written"))

    def _write(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())


@asynccontextmanager
async def open_ledger(path: Path) -> AsyncIterator[Ledger]:
    """Open the ledger, or make a new one; no second process may have it open. Raises `LedgerError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise LedgerError(f"cannot open {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(f"{path} is in use by another process") from None
        ledger = Ledger(file, _read(file))
        _sync_folder(path.parent)
        try:
            yield ledger
        finally:
            await ledger.finish()


def _read(file: BinaryIO) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    complete = 0
    file.seek(0)
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            raise LedgerError(f"{file.name}, line {number}: not an entry of the ledger") from None
        if entry.idempotency_key in entries:
            raise LedgerError(f"{file.name}, line {number}: its idempotency key is not new")
        entries[entry.idempotency_key] = entry
        complete += len(line)
    file.truncate(complete)
    # What a killed process wrote but did not sync is about to be told as true.
    os.fsync(file.fileno())
    return entries


def _sync_folder(folder: Path) -> None:
    # A new file survives a power cut only with the folder that names it.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The data folder of `waybill dev`: ours alone, used by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from service.dev.children import StartError

_MARKER = "waybill-data-folder"
_MARKER_TEXT = "`waybill dev` keeps its data in this folder; `waybill dev --fresh` deletes it.\n"
_LOCK = "lock"


@contextmanager
def open_data_folder(folder: Path) -> Iterator[None]:
    """Make the folder if need be and keep other processes out for as long as the block runs.

    Raises `StartError` if another process uses the folder, or if it holds what is not ours.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise StartError(f"the data folder {folder} cannot be used: {error.strerror}") from error
    with lock:
        _take(lock, folder)
        yield


def empty(folder: Path) -> None:
    """Delete all data. Only for a folder that is open."""
    for path in folder.iterdir():
        if path.name in (_MARKER, _LOCK):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _claim(folder: Path) -> None:
    marker = folder / _MARKER
    if marker.exists():
        return
    if any(folder.iterdir()):
        raise StartError(f"{folder} holds files that `waybill dev` did not make; choose another --data-dir")
    marker.write_text(_MARKER_TEXT)


def _take(lock: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise StartError(
            f"`waybill dev` already runs on {folder} (process {lock.read().strip()});"
            " stop it, or choose another --data-dir and --port"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()

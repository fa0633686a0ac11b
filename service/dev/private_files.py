"""Small files of the data folder: written whole or not at all, those with secrets for their owner only."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Below the range from which the kernel takes the ports of outgoing connections, so that nothing takes ours by chance.
FIRST_PORT, LAST_PORT = 15_000, 31_999


def write_private(path: Path, text: str, *, durably: bool = True) -> None:
    """Replace a file atomically; only its owner can read it. `durably` means over a power cut too."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if durably:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
    if durably:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def recall(path: Path) -> dict[str, Any]:
    """Return what `remember` has kept; empty when there is nothing yet."""
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return values


def remember(path: Path, values: dict[str, Any], *, durably: bool = True) -> None:
    """Keep values as JSON for the next start."""
    write_private(path, json.dumps(values, indent=2) + "\n", durably=durably)


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, other_than: Collection[int] = ()) -> int:
    """Return `preferred` if it is free on the loopback address, otherwise some free port."""
    if preferred and is_free(preferred):
        return preferred
    candidates = range(FIRST_PORT, LAST_PORT + 1)
    # Of the system's randomness: tests seed Python's own, and would all try the same ports in the same order.
    shuffled = random.SystemRandom().sample(candidates, len(candidates))
    return next(port for port in shuffled if port not in other_than and is_free(port))

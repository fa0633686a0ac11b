"""Typeset a large document in a process of its own.

A document of ten thousand lines takes the typesetter a gigabyte, which the allocator then keeps. In a process that
ends, neither the memory nor a lack of it reaches the process that completes shipments.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Final

from service.documents.typesetting import typeset

# Six times what ten thousand lines take on a small machine.
_TIMEOUT_S: Final = 60


def typeset_apart(template: str, data: bytes, *, day: date) -> bytes:
    """Return what `typeset` returns. Raise `subprocess.SubprocessError` if the process fails or takes a minute."""
    command = [sys.executable, "-m", __name__, template, day.isoformat()]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, timeout=_TIMEOUT_S).stdout


def _main(template: str, day: str) -> None:
    sys.stdout.buffer.write(typeset(template, sys.stdin.buffer.read(), day=date.fromisoformat(day)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

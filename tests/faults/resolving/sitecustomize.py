"""Loaded by Python itself in processes that have this folder in PYTHONPATH: names end in `.test` and may not resolve.

`FAULTS_NAMES` is a file with a line for each name in trouble: `<name> unknown` or `<name> silent`.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

SILENCE_S = 3.0

_troubles = Path(os.environ["FAULTS_NAMES"])
_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
    if not isinstance(host, str) or not host.endswith(".test"):
        return _resolve(host, *arguments, **named)
    troubles = dict(line.split() for line in _troubles.read_text().splitlines())
    if troubles.get(host) == "silent":
        # As a resolver that gets no answer from its servers.
        time.sleep(SILENCE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if host in troubles:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve("127.0.0.1", *arguments, **named)


socket.getaddrinfo = _getaddrinfo

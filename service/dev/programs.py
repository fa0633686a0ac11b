"""How the development stack runs Waybill's own commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def waybill(*arguments: str) -> list[str]:
    """Return the command line of a `waybill` command in this very Python environment."""
    return [sys.executable, "-m", "service", *arguments]


def environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return our own environment, so that every `WAYBILL_…` setting counts, with the addresses of the servers."""
    level = os.environ.get("WAYBILL_LOG_LEVEL")
    # The stack reads in the logs when a process has started.
    readable = {"WAYBILL_LOG_FORMAT": "json", "WAYBILL_LOG_LEVEL": "debug" if level == "debug" else "info"}
    return {**os.environ, **readable, **addresses}

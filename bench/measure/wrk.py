"""One run of wrk with one of the scripts in bench/load, and what it told."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from bench.size import FOLDER

LOAD = FOLDER / "load"
# Longer than anything is allowed to take, so that a slow answer shows as slow and not as none.
TIMEOUT_S = 30


class WrkFailed(Exception):
    """wrk did not run or did not say what it had measured."""


@dataclass(frozen=True, slots=True)
class WrkResult:
    """What wrk counted. `refused` were answered with 400 or more, `broken` not at all."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def void(self) -> str:
        """Why the figures mean nothing; empty: every answer was what it should be."""
        if self.refused or self.broken:
            return f"{self.refused} answers of 400 or more, {self.broken} requests without an answer"
        return "" if self.requests else "not one answer"


def run_wrk(url: str, script: str, *, callers: int, seconds: int, variables: Mapping[str, str]) -> WrkResult:
    """Send load from `callers` kept connections for `seconds`; `variables` are the script's. Raises `WrkFailed`."""
    with start_wrk(url, script, callers=callers, seconds=seconds, variables=variables) as running:
        return read_wrk(running)


def start_wrk(
    url: str, script: str, *, callers: int, seconds: int, variables: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start wrk and return at once, so that two can run together."""
    return subprocess.Popen(
        [
            "wrk",
            f"-t{threads(callers)}",
            f"-c{callers}",
            f"-d{seconds}s",
            f"--timeout={TIMEOUT_S}s",
            f"-s{LOAD / script}",
            url,
        ],
        env={**os.environ, "COMMON": str(LOAD / "common.lua"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def threads(callers: int) -> int:
    """Return how many threads wrk gets for so many connections."""
    return min(2, callers)


def read_wrk(running: subprocess.Popen[str]) -> WrkResult:
    """Wait for the end and return what was counted."""
    output, _ = running.communicate()
    if running.returncode:
        raise WrkFailed(output)
    return parse_wrk(output)


def parse_wrk(output: str) -> WrkResult:
    """Read the line that bench/load/common.lua prints."""
    lines = [line for line in output.splitlines() if line.startswith("measured ")]
    if len(lines) != 1:
        raise WrkFailed(f"wrk told no result:\n{output}")
    told = json.loads(lines[0].removeprefix("measured "))
    return WrkResult(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        refused=told["refused"],
        broken=told["broken"],
    )

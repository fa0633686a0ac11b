"""The whole chain at a steady pace: from a caller's 200 to the mail server's acceptance of the mail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.bench import COMPLETE, Bench, missed
from bench.data import Numbers
from bench.measure.wrk import WrkResult, threads
from bench.results import Round, Row, percentile
from bench.servers import Api
from service.dev.programs import waybill

CALLERS = 32
# Pools, plans and templates are there then; nothing of it is measured.
WARM_UP_S = 3
# After the last answer, for the last mails.
LONGEST_WAIT_S = 60
_MESSAGE_ID = re.compile(r"^Message-ID:\s*(<[^>]+>)", re.MULTILINE | re.IGNORECASE)


def measure(bench: Bench) -> Iterator[Row]:
    """Yield a row for each number of API processes.

    Its value is the completions a second there were; its latency is from the 200 to the mail.
    """
    size = bench.size
    rounds: dict[int, list[Round]] = {workers: [] for workers in size.workers}
    for number in range(size.rounds):
        for workers, of_these in rounds.items():
            of_these.append(_round(bench, f"{number}-{workers}", workers=workers))
    for workers, of_these in rounds.items():
        processes = f"{workers} API process{'es' if workers > 1 else ''}"
        name = f"200 to mail accepted, {size.chain_per_second} completions/s, {processes}"
        yield Row("Whole chain", name, "/s", tuple(of_these), wanted="p99 < 100 ms")


def _round(bench: Bench, number: str, *, workers: int) -> Round:
    size, servers = bench.size, bench.servers
    dump = servers.folder / f"mails-{number}"
    before, numbers = _shipments(bench, WARM_UP_S), _shipments(bench, size.chain_seconds)
    servers.database.look("empty_outbox")
    servers.database.settle()
    with (
        servers.smtp_sink(dump=dump) as (smtp_url, sink),
        servers.api(workers=workers) as api,
        servers.process(
            "relay",
            waybill("relay"),
            ready=lambda child: '"relay_started"' in child.output(),
            env=servers.environment(WAYBILL_AMQP_URL=servers.amqp_url),
        ) as relay,
        servers.process(
            "worker-email",
            waybill("worker", "email"),
            ready=lambda child: '"worker_started"' in child.output(),
            env=servers.environment(WAYBILL_AMQP_URL=servers.amqp_url, WAYBILL_SMTP_URL=smtp_url),
        ) as worker,
    ):
        _complete(bench, api, before, seconds=WARM_UP_S, answers=servers.folder / f"warm-up-{number}-")
        with bench.watch(api=api.pid, relay=relay.pid, worker=worker.pid, sink=sink) as used:
            result, answered, mailed = _complete(
                bench, api, numbers, seconds=size.chain_seconds, answers=servers.folder / f"answers-{number}-"
            )
    delays = delays_ms(answered, mailed, accepted_at(dump))
    done = servers.database.look("shipped", first=numbers.first, last=numbers.last)
    void = result.void or missed(result, done, CALLERS)
    if len(delays) < len(answered):
        void = void or f"{len(answered) - len(delays)} of {len(answered)} mails were not accepted"
    return Round(
        result.rate,
        p50_ms=percentile(delays, 0.5) if delays else None,
        p99_ms=percentile(delays, 0.99) if delays else None,
        cpu_ms=used.cpu_ms_per(result.requests),
        memory_mb=used.memory_mb,
        void=void,
    )


def _shipments(bench: Bench, seconds: int) -> Numbers:
    return bench.servers.database.add_released(
        2 * bench.size.chain_per_second * (seconds + 2) + 2 * CALLERS, captured=True
    )


def _complete(
    bench: Bench, api: Api, numbers: Numbers, *, seconds: int, answers: Path
) -> tuple[WrkResult, dict[str, float], dict[str, str]]:
    """Complete shipments at the pace, and wait for the mails of all that were answered.

    Returns what wrk counted, when each 200 came, and the shipment of each mail by the mail's Message-ID.
    """
    result = bench.http(
        api,
        COMPLETE,
        "complete_paced.lua",
        numbers,
        callers=CALLERS,
        seconds=seconds,
        ANSWERS=str(answers),
        PER_SECOND=str(bench.size.chain_per_second),
        THREADS=str(threads(CALLERS)),
    )
    answered = read_answers(answers.parent.glob(f"{answers.name}?"))
    deadline = time.monotonic() + LONGEST_WAIT_S
    while True:
        mails = bench.servers.database.look("mails", first=numbers.first, last=numbers.last)
        mailed = {mail["message_id"]: mail["shipment_number"] for mail in mails}
        if answered.keys() <= set(mailed.values()) or time.monotonic() > deadline:
            return result, answered, mailed
        time.sleep(0.2)


def read_answers(files: Iterable[Path]) -> dict[str, float]:
    """Return when each shipment's 200 came, seconds since 1970."""
    lines = (line.split() for file in files for line in file.read_text().splitlines())
    return {number: float(moment) for moment, number in lines}


def accepted_at(dump: Path) -> dict[str, float]:
    """Return when each mail was accepted, by its Message-ID: the sink's last write is right before its answer."""
    accepted = {}
    for file in dump.iterdir():
        found = _MESSAGE_ID.search(file.read_text(errors="replace"))
        if found:
            accepted[found[1]] = file.stat().st_mtime
    return accepted


def delays_ms(answered: dict[str, float], mailed: dict[str, str], accepted: dict[str, float]) -> list[float]:
    """Return for each shipment whose mail was accepted how long after its 200 that was, in milliseconds."""
    moments = {mailed[mail]: moment for mail, moment in accepted.items() if mail in mailed}
    return [(moments[number] - moment) * 1000 for number, moment in answered.items() if number in moments]

"""Workers draining a full queue: one whose handler does nothing, and the mail worker, each beside a bare loop."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.bench import Bench
from bench.data import Numbers
from bench.measure.drain import delete, purge, queue_drained
from bench.measure.usage import Used
from bench.programs.empty_worker import EMPTY
from bench.programs.run import program, timed
from bench.results import Round, Row
from bench.rows.relay import BATCH, QUEUE
from consumers.broker import Broker, open_connection
from consumers.handling import MOST_TOGETHER
from consumers.registry import CONSUMERS
from consumers.topology import declare
from schemas.topology import ConsumerTopology
from service.dev.programs import waybill
from service.settings import Settings

CONCURRENCY = int(Settings.model_fields["worker_concurrency"].default)
# By a worker whose messages share transactions: those in work and the next ones.
HELD = 2 * MOST_TOGETHER
RETRY_DELAYS_S = Settings.model_fields["worker_retry_delays_s"].default
# What smtp-sink writes before the mail itself.
_SINK_HEADERS = re.compile(rb"^(X-(Client|Helo|Mail|Rcpt)-.*|Received:.*)(\r?\n[ \t].*)*\r?\n", re.MULTILINE)
MAIL_TIMEOUT_S = 30


def measure_empty(bench: Bench) -> Iterator[Row]:
    """Yield bare consumers, one that holds as many messages as the worker and one that keeps an inbox, and the worker
    runtime around an empty handler.
    """
    topology = EMPTY.topology(RETRY_DELAYS_S)
    queue, count = topology.work.name, bench.size.messages
    amqp_url, database = bench.servers.amqp_url, bench.servers.database
    # What is published goes to this queue and to no other.
    asyncio.run(delete(amqp_url, QUEUE))
    asyncio.run(_declare(amqp_url, topology))
    numbers = database.add_shipped(count)
    env = bench.servers.environment(WAYBILL_AMQP_URL=amqp_url)
    options = {"amqp_url": amqp_url, "queue": queue}
    contenders = {
        f"bare aio-pika consumer, prefetch {HELD}": program("consume", **options, prefetch=HELD),
        f"bare aio-pika consumer, prefetch {CONCURRENCY}": program("consume", **options, prefetch=CONCURRENCY),
        "the same with an inbox row each": program("consume", **options, prefetch=CONCURRENCY, inbox=database.url),
        f"worker runtime, empty handler, up to {MOST_TOGETHER} together": program("empty_worker"),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in contenders}
    for _ in range(bench.size.rounds):
        for name, command in contenders.items():
            database.look("empty_consumers")
            _publish(bench, numbers)
            rounds[name].append(_drain(bench, name, command, queue=queue, count=count, env=env))
    asyncio.run(delete(amqp_url, queue))
    bare = next(iter(rounds.values()))
    for name, figures in rounds.items():
        told = [replace(each, ratio=each.value / limit.value) for each, limit in zip(figures, bare, strict=True)]
        runtime = name.startswith("worker")
        yield Row("Worker", name, "/s", tuple(told), f"the bare one, {HELD}", ">= 0.7" if runtime else "")


def measure_mail(bench: Bench) -> Iterator[Row]:
    """Yield a bare loop that sends the same bytes, and the mail worker; both into the same compiled sink."""
    amqp_url, database, count = bench.servers.amqp_url, bench.servers.database, bench.size.mails
    numbers = database.add_shipped(count)
    env = bench.servers.environment(WAYBILL_AMQP_URL=amqp_url)
    message = _sample_mail(bench, Numbers(numbers.first, numbers.first))
    bare: list[Round] = []
    worked: list[Round] = []
    with bench.servers.smtp_sink() as (smtp_url, sink):
        for _ in range(bench.size.rounds):
            database.look("empty_consumers")
            _publish(bench, numbers)
            figures = _drain(
                bench,
                "mail worker",
                waybill("worker", "email"),
                queue=QUEUE,
                count=count,
                env={**env, "WAYBILL_SMTP_URL": smtp_url},
                sink=sink,
            )
            loop = program("send_mail", smtp_url=smtp_url, message=message, count=count, connections=CONCURRENCY)
            with bench.watch(sink=sink) as used:
                rate = timed(loop)
            bare.append(bench.round(rate, used, units=count))
            worked.append(replace(figures, ratio=figures.value / rate))
    yield Row("Mail", f"bare aiosmtplib loop, {CONCURRENCY} connections", "/s", tuple(bare))
    yield Row("Mail", f"waybill worker email, {count} messages", "/s", tuple(worked), "the bare loop", ">= 0.6")


def _publish(bench: Bench, numbers: Numbers) -> None:
    timed(
        program(
            "publish",
            database_url=bench.servers.database.url,
            amqp_url=bench.servers.amqp_url,
            first=numbers.first,
            last=numbers.last,
            batch=BATCH,
        )
    )


def _drain(
    bench: Bench, name: str, command: list[str], *, queue: str, count: int, env: dict[str, str], **also: int
) -> Round:
    used: list[Used] = []
    with bench.servers.process(name, command, ready=lambda _: True, env=env) as child, ExitStack() as watching:
        seconds = asyncio.run(
            queue_drained(
                bench.servers.amqp_url,
                queue,
                most=count,
                running=lambda: child.process.poll() is None,
                # Not from its start on: what that takes is told elsewhere.
                began=lambda: used.append(watching.enter_context(bench.watch(worker=child.pid, **also))),
            )
        )
    return bench.round(count / seconds, used[0], units=count)


def _sample_mail(bench: Bench, numbers: Numbers) -> Path:
    """Let the worker send one mail, and return the file with its bytes."""
    dump = bench.servers.folder / "sample-mail"
    message = bench.servers.folder / "sample.eml"
    asyncio.run(_declare(bench.servers.amqp_url, CONSUMERS["email"].topology(RETRY_DELAYS_S)))
    with bench.servers.smtp_sink(dump=dump) as (smtp_url, _):
        env = bench.servers.environment(WAYBILL_AMQP_URL=bench.servers.amqp_url, WAYBILL_SMTP_URL=smtp_url)
        asyncio.run(purge(bench.servers.amqp_url, QUEUE))
        with bench.servers.process("mail worker", waybill("worker", "email"), ready=lambda _: True, env=env):
            _publish(bench, numbers)
            deadline = time.monotonic() + MAIL_TIMEOUT_S
            # The worker writes down its mail once the sink has all of it.
            while not bench.servers.database.look("mails", first=numbers.first, last=numbers.last):
                if time.monotonic() > deadline:
                    raise RuntimeError("the mail worker has sent no mail")
                time.sleep(0.1)
    (file,) = dump.iterdir()
    message.write_bytes(mail_of_dump(file.read_bytes()))
    return message


def mail_of_dump(dumped: bytes) -> bytes:
    """Return the mail in a file of smtp-sink, as it was sent."""
    head, separator, body = dumped.replace(b"\r\n", b"\n").partition(b"\n\n")
    mail = _SINK_HEADERS.sub(b"", head + b"\n").rstrip(b"\n") + separator + body
    return mail.replace(b"\n", b"\r\n")


async def _declare(amqp_url: str, topology: ConsumerTopology) -> None:
    broker = Broker(amqp_url=amqp_url, concurrency=1, publish_timeout_s=10, grace_s=1)
    async with open_connection(broker, name="bench") as connection:
        await declare(connection, topology)

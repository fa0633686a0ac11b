"""The whole of Waybill on one machine: starts it, tells about it, waits, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from consumers.registry import CONSUMERS
from service.dev.backing import Backing, start_backing
from service.dev.children import Child, Children, StartError, Stopped, start_together
from service.dev.data_folder import empty, open_data_folder
from service.dev.document_secret import document_secret
from service.dev.first_steps import FirstSteps, prepare_first_steps
from service.dev.private_files import is_free, recall, remember, write_private
from service.dev.probes import http_answers
from service.dev.programs import environment, waybill
from service.dev.servers_container import delete_container_data
from service.dev.sessions import end_orphans
from service.dev.summary import Narrator
from service.settings import Settings

DEMO = Path(__file__).parent / "demo"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `data_dir` is absolute."""

    port: int
    data_dir: Path
    fresh: bool
    demo: bool
    workers: int


def run(options: Options, *, settings: Settings, narrator: Narrator) -> int:
    """Run the stack until it is asked to stop (0) or one of its processes ends (1). Raises `StartError`."""
    folder = options.data_dir
    with open_data_folder(folder):
        orphans = end_orphans(folder / "processes.json")
        if orphans:
            narrator.note(f"Ended what an earlier run had left behind: {', '.join(orphans)}.")
        if options.fresh:
            delete_container_data(folder / "rabbitmq")
            empty(folder)
        _require_port(settings.host, options.port)
        children = Children(roster=folder / "processes.json", logs=folder / "logs")
        with _stopping_on_signals(children):
            try:
                return _run(options, settings=settings, narrator=narrator, children=children)
            except Stopped:
                return 0
            finally:
                (folder / "dev.json").unlink(missing_ok=True)
                narrator.stopping()
                children.stop_all()


def _run(options: Options, *, settings: Settings, narrator: Narrator, children: Children) -> int:
    folder = options.data_dir
    (folder / "dev.json").unlink(missing_ok=True)
    narrator.step("Starting PostgreSQL, RabbitMQ, the inbox and the payment provider")
    backing = start_backing(children, folder, settings=settings)
    variables = environment({**backing.environment(), **document_secret(settings, folder / "documents.json")})
    narrator.step("Migrating the database")
    children.run("migrate", waybill("migrate"), env=variables)
    if options.demo:
        narrator.step("Loading the demo orders")
        _load_demo(children, folder, variables=variables)
    steps = asyncio.run(prepare_first_steps(backing.database_url, key_file=folder / "api-key.json"))
    narrator.step("Starting the API, the relay and the workers")
    _start_waybill(children, options, settings=settings, variables=variables)
    api_url = f"http://{_reachable(settings.host)}:{options.port}"
    told = _describe(api_url, backing, steps, pids={"dev": os.getpid(), **children.pids})
    write_private(folder / "dev.json", json.dumps(told, indent=2) + "\n")
    narrator.ready(api_url=api_url, backing=backing, steps=steps, folder=folder)
    died = children.wait_for_exit()
    if died:
        raise StartError(died.describe_exit())
    return 0


def _load_demo(children: Children, folder: Path, *, variables: dict[str, str]) -> None:
    # Once: what became of the demo orders since must not be an error on the next start.
    memory = folder / "demo.json"
    if recall(memory).get("loaded"):
        return
    for file in sorted(DEMO.glob("*.jsonl")):
        # One by one: the first shipment is the one that the pasted call completes.
        children.run("demo", waybill("orders", "import", "--jobs=1", str(file)), env=variables)
    remember(memory, {"loaded": True})


def _start_waybill(children: Children, options: Options, *, settings: Settings, variables: dict[str, str]) -> None:
    host = _reachable(settings.host)
    api = ["api", f"--host={settings.host}", f"--port={options.port}", f"--workers={options.workers}"]

    def start(name: str, arguments: list[str], is_ready: Callable[[Child], bool]) -> None:
        child = children.start(name, waybill(*arguments), env=variables)
        children.wait_until(lambda: is_ready(child), child=child)

    start_together(
        children,
        [
            partial(start, "api", api, lambda _: http_answers(options.port, "/readyz", host=host)),
            partial(start, "relay", ["relay"], lambda child: '"relay_started"' in child.output()),
            *(
                partial(start, f"worker-{queue}", ["worker", queue], lambda child: '"worker_started"' in child.output())
                for queue in CONSUMERS
            ),
        ],
    )


def _require_port(host: str, port: int) -> None:
    if not is_free(port, host=host):
        raise StartError(f"port {port} is taken by another program; choose another with --port")


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104 - what a browser cannot open


def _describe(api_url: str, backing: Backing, steps: FirstSteps, *, pids: dict[str, int]) -> dict[str, Any]:
    return {
        "api": api_url,
        "api_key": {"id": steps.key_id, "secret": steps.key_secret},
        "database_url": backing.database_url,
        "amqp_url": backing.amqp_url,
        "smtp_url": backing.smtp_url,
        "inbox_url": backing.inbox_url,
        "payment_url": backing.payment_url,
        "pids": pids,
    }


@contextmanager
def _stopping_on_signals(children: Children) -> Iterator[None]:
    """SIGINT, SIGTERM and a closed terminal stop the stack in order; a second one ends it at once."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means to outlive the terminal
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: children.request_stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

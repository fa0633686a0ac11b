from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.dev.children import Child, Children, StartError, Stopped, start_together
from service.dev.sessions import end_orphans

# Says that it is there, has a child of its own, and ignores SIGTERM when told to.
PROGRAM = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
print("grandchild", grandchild.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    started = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
    try:
        yield started
    finally:
        started.stop_all(at_once=True)


def start(children: Children, name: str = "child", *arguments: str) -> tuple[Child, int]:
    """Start the program above; return it and the process id of its own child."""
    child = children.start(name, [sys.executable, "-c", PROGRAM, *arguments])
    children.wait_until(lambda: child.output().endswith("\n"), child=child)
    return child, int(child.output().split()[-1])


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_stopping_leaves_no_descendant_and_no_roster(children: Children, tmp_path: Path) -> None:
    child, grandchild = start(children)
    assert children.pids == {"child": child.pid}
    children.stop_all()
    assert child.process.returncode == -signal.SIGTERM
    assert not lives(grandchild)
    assert not (tmp_path / "roster.json").exists()


def test_a_second_request_ends_at_once_what_does_not_stop(children: Children) -> None:
    child, grandchild = start(children, "stubborn child", "stubborn")
    stopping = threading.Thread(target=children.stop_all)
    children.request_stop()
    stopping.start()
    stopping.join(timeout=0.3)
    assert stopping.is_alive()
    children.request_stop()
    stopping.join(timeout=10)
    assert not stopping.is_alive()
    assert child.process.returncode == -signal.SIGKILL
    assert not lives(grandchild)


def test_a_successor_ends_what_a_killed_supervisor_has_left(children: Children, tmp_path: Path) -> None:
    roster = tmp_path / "roster.json"
    (one, grandchild), (two, _) = start(children, "one"), start(children, "two")
    assert end_orphans(roster) == ["two", "one"]
    assert not any(map(lives, (one.pid, two.pid, grandchild)))
    assert end_orphans(roster) == []


def test_what_the_roster_does_not_name_never_runs(tmp_path: Path) -> None:
    supervisor = f"""
import os, signal
from pathlib import Path
from service.dev import children
children.remember = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
folder = Path({str(tmp_path)!r})
children.Children(roster=folder / "roster.json", logs=folder).start("child", ["touch", str(folder / "ran")])
"""
    killed = subprocess.run([sys.executable, "-c", supervisor], check=False)
    assert killed.returncode == -signal.SIGKILL
    waiting = [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])]
    psutil.wait_procs(waiting, timeout=10)
    assert not any(lives(process.pid) for process in waiting)
    assert not (tmp_path / "ran").exists()


def test_a_leaderless_session_is_ended_too(children: Children, tmp_path: Path) -> None:
    child, grandchild = start(children)
    child.process.kill()
    child.process.wait()
    assert lives(grandchild)
    assert end_orphans(tmp_path / "roster.json") == ["child"]
    assert not lives(grandchild)


def test_a_stranger_with_a_recycled_process_id_is_left_alone(children: Children, tmp_path: Path) -> None:
    child, _ = start(children)
    roster = tmp_path / "roster.json"
    entry = json.loads(roster.read_text())["children"][0]
    roster.write_text(json.dumps({"children": [{**entry, "created": entry["created"] - 60}]}))
    assert end_orphans(roster) == []
    assert child.process.poll() is None


def test_waiting_ends_with_the_child_and_its_last_words(children: Children) -> None:
    child = children.start("failing", [sys.executable, "-c", "import sys; sys.exit('no luck today')"])
    with pytest.raises(StartError, match=r"failing ended with exit code 1(.|\n)*no luck today"):
        children.wait_until(lambda: False, child=child)
    assert children.wait_for_exit() is child


def test_waiting_is_bounded(children: Children) -> None:
    child, _ = start(children)
    with pytest.raises(StartError, match=r"not ready after 0\.1 s"):
        children.wait_until(lambda: False, child=child, timeout_s=0.1)


def test_a_request_to_stop_ends_every_wait_and_forbids_new_children(children: Children) -> None:
    child, _ = start(children)
    children.request_stop()
    assert children.wait_for_exit() is None
    with pytest.raises(Stopped):
        children.wait_until(lambda: False, child=child)
    with pytest.raises(Stopped):
        children.run("late", [sys.executable, "-c", "import time; time.sleep(600)"])
    with pytest.raises(Stopped):
        children.start("late", ["true"])


def test_run_returns_the_output_or_raises_with_it(children: Children) -> None:
    assert children.run("fine", ["echo", "hello"]) == "hello\n"
    with pytest.raises(StartError, match=r"wrong ended with exit code 3(.|\n)*oops"):
        children.run("wrong", ["sh", "-c", "echo oops; exit 3"])
    with pytest.raises(StartError, match=r"missing ended with exit code 127(.|\n)*/nowhere/program: not found"):
        children.run("missing", ["/nowhere/program"])


def test_the_log_of_the_run_before_is_kept(children: Children, tmp_path: Path) -> None:
    children.run("word", ["echo", "first"])
    children.run("word", ["echo", "second"])
    assert (tmp_path / "logs" / "word.log").read_text() == "second\n"
    assert (tmp_path / "logs" / "word.log.1").read_text() == "first\n"


def test_the_first_real_error_of_several_starts_is_the_one_raised(children: Children) -> None:
    def fail() -> None:
        raise StartError("no broker")

    def wait() -> None:
        child = children.start("waiting", ["sleep", "600"])
        children.wait_until(lambda: False, child=child)

    before = time.monotonic()
    with pytest.raises(StartError, match="no broker"):
        start_together(children, [wait, fail])
    assert time.monotonic() - before < 10


def test_starts_together_return_in_the_order_asked(children: Children) -> None:
    assert start_together(children, [lambda: 1, lambda: 2]) == [1, 2]
    assert start_together(children, []) == []

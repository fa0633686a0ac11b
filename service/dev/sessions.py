"""Ending whole sessions of processes, also those that a killed supervisor has left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from service.dev.private_files import recall

ORPHAN_GRACE_S = 10.0
KILL_WAIT_S = 5.0
MOST_KILL_ROUNDS = 5
LOOK_AGAIN_S = 0.01


def created_at(pid: int) -> float | None:
    """Return when the process started; with the id it names one process for good. None: there is no such process."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def kill_session(leader: int) -> None:
    """End the session and all descendants of its leader with SIGKILL."""
    # Again and again, because a process may have a child between the look and the kill.
    rounds = 0
    while (members := _members(leader)) and rounds < MOST_KILL_ROUNDS:
        _kill(members)
        rounds += 1


def end_orphans(roster: Path) -> list[str]:
    """End what is left of the processes that a roster names, last first; return the names of those found."""
    found = []
    for entry in reversed(recall(roster).get("children", [])):
        created = created_at(entry["pid"])
        # The kernel gives a number to nobody else while a session of that number lives, so without a leader, or with
        # the very leader we started, the session is ours.
        if created not in (None, entry["created"]):
            continue
        members = _members(entry["pid"])
        if members:
            found.append(entry["name"])
            _stop(members, signal.Signals(entry["stop_signal"]))
    roster.unlink(missing_ok=True)
    return found


def _members(leader: int) -> list[psutil.Process]:
    """Return the session's living processes, leader first, and whatever else descends from the leader."""
    members = {process.pid: process for process in psutil.process_iter() if _session_of(process.pid) == leader}
    try:
        descendants = psutil.Process(leader).children(recursive=True) if leader in members else []
    except psutil.NoSuchProcess:
        descendants = []
    members |= {process.pid: process for process in descendants}
    return sorted(
        (process for process in members.values() if _lives(process)), key=lambda process: process.pid != leader
    )


def _stop(members: Sequence[psutil.Process], stop_signal: signal.Signals) -> None:
    # The leader knows best how to end its own; what it leaves behind is killed.
    leader = members[0]
    _signal(leader, stop_signal)
    _wait([leader], timeout_s=ORPHAN_GRACE_S)
    _kill(members)


def _kill(members: Sequence[psutil.Process]) -> None:
    for member in members:
        _signal(member, signal.SIGKILL)
    _wait(members, timeout_s=KILL_WAIT_S)


def _wait(members: Sequence[psutil.Process], *, timeout_s: float) -> None:
    """Wait for the end of all. A zombie has ended: reaping it is its parent's business."""
    deadline = time.monotonic() + timeout_s
    while any(map(_lives, members)) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_S)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""scripts/install-packages, as far as it can be run without changing this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "install-packages"


class Machine:
    """A PATH with nothing but what the test puts there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.calls = folder / "calls"

    def add(self, program: str, script: str) -> None:
        path = self._folder / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def install(self, package: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), package],
            env={"PATH": str(self._folder)},
            check=False,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.add("id", "echo 1000")
    return made


def test_without_apt_it_says_what_to_do(machine: Machine) -> None:
    result = machine.install("rabbitmq-server")
    assert result.returncode == 1
    assert "there is no apt-get" in result.stderr
    assert "set WAYBILL_AMQP_URL" in result.stderr


@pytest.mark.parametrize("sudo", [None, "exit 1"])
def test_without_root_it_says_what_to_do(machine: Machine, sudo: str | None) -> None:
    machine.add("apt-get", f"echo called >>{machine.calls}")
    if sudo:
        machine.add("sudo", sudo)
    result = machine.install("python3.11-venv")
    assert result.returncode == 1
    assert "`sudo apt-get install python3.11-venv`" in result.stderr
    assert "WAYBILL_AMQP_URL" not in result.stderr
    assert not machine.calls.exists()


def test_with_sudo_that_asks_for_no_password_it_becomes_root(machine: Machine) -> None:
    machine.add("apt-get", "exit 1")
    machine.add("sudo", f"printf '%s\\n' \"$*\" >>{machine.calls}")
    assert machine.install("rabbitmq-server").returncode == 0
    assert machine.calls.read_text().splitlines() == ["-n true", f"-n sh {SCRIPT} rabbitmq-server"]

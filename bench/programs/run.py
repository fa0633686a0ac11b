"""How the programs of this folder are started."""

from __future__ import annotations

import json
import subprocess
import sys


def program(name: str, **options: object) -> list[str]:
    """Return the command line of a program with `--option=value` for each option."""
    given = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    return [sys.executable, "-m", f"bench.programs.{name}", *given]


def timed(command: list[str]) -> float:
    """Run a program that prints its seconds, and return messages a second."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    return float(told["messages"] / told["seconds"])

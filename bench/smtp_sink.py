"""Postfix's smtp-sink: a compiled mail server that takes everything and keeps nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.size import FOLDER

# Where bench/get-smtp-sink unpacks the package, whose installation would replace the machine's own mail server.
UNPACKED = FOLDER / "tools" / "postfix"
BACKLOG = 128
OWNER = "nobody"


def find_smtp_sink() -> Path | None:
    """Return the program: the installed one, or the one that was unpacked here."""
    installed = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    unpacked = UNPACKED / "usr/sbin/smtp-sink"
    return Path(installed) if installed else unpacked if unpacked.exists() else None


def sink_command(program: Path, port: int, *, dump: Path | None) -> tuple[list[str], dict[str, str]]:
    """Return the command line and its environment. `dump` is a folder that gets a file for each mail."""
    options = []
    if dump is not None:
        dump.mkdir(parents=True)
        options += ["-d", f"{dump}/%M."]
    if os.geteuid() == 0:
        # It refuses to work for root.
        options += ["-u", OWNER]
        if dump is not None:
            shutil.chown(dump, OWNER)
            dump.chmod(0o755)
    libraries = UNPACKED / "usr/lib/postfix"
    variables = {"LD_LIBRARY_PATH": str(libraries)} if program.is_relative_to(UNPACKED) else {}
    return [str(program), *options, f"inet:127.0.0.1:{port}", str(BACKLOG)], variables

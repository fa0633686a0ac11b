"""`waybill migrate`: bring the database's schema up to date."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import typer

import sql
from service.settings import SettingsError, load_settings


def migrate() -> None:
    """Apply sql/migrations to WAYBILL_DATABASE_URL; safe to run from several machines at once."""
    settings = load_settings()
    settings.require("database_url")
    if "," in urlsplit(settings.database_url).netloc.rpartition("@")[2]:
        # dbmate would wait for a host of that name.
        raise SettingsError("WAYBILL_DATABASE_URL: migrate takes one server, name the primary alone")
    raise typer.Exit(apply_migrations(settings.database_url))


def apply_migrations(database_url: str) -> int:
    """Run dbmate under its own database lock and return its exit code; its words go to our standard streams."""
    return subprocess.run(
        [
            _dbmate(),
            "--url",
            _with_sslmode(database_url),
            "--migrations-dir",
            str(sql.MIGRATIONS),
            "--no-dump-schema",
            "--migration-lock",
            "--wait",
            "migrate",
            "--strict",
        ],
        check=False,
        stdin=subprocess.DEVNULL,
    ).returncode


def _dbmate() -> str:
    path = Path(sysconfig.get_path("scripts")) / ("dbmate.exe" if sys.platform == "win32" else "dbmate")
    if not path.exists():
        raise SettingsError(f"dbmate is missing beside {sys.executable}; install the locked requirements again")
    return str(path)


def _with_sslmode(database_url: str) -> str:
    # dbmate's driver insists on TLS unless told otherwise, asyncpg prefers it: make both behave alike.
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("sslmode", "prefer")
    return urlunsplit(parts._replace(query=urlencode(query)))

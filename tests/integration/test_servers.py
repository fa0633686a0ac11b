"""The embedded servers: where they keep what, and what they refuse."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from service.dev import servers_postgres
from service.dev.children import Children, StartError
from service.dev.servers_postgres import ensure_database, start_postgres
from service.dev.servers_rabbitmq import find_server, start_rabbitmq


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    started = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
    try:
        yield started
    finally:
        started.stop_all(at_once=True)


async def fetch(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


async def test_postgres_keeps_its_data_address_and_durability_and_survives_a_crash(
    children: Children, tmp_path: Path
) -> None:
    folder = tmp_path / "postgres"
    url = start_postgres(children, folder)
    for _ in range(2):
        ensure_database(children, url, "waybill")
    assert await fetch(url, "SHOW fsync") == "on"
    assert await fetch(url, "SHOW server_encoding") == "UTF8"
    assert await fetch(url, "SHOW unix_socket_directories") == ""
    assert await fetch(url, "SELECT lower('ÅÄÖ')") == "åäö"
    await fetch(url, "CREATE TABLE kept ()")
    assert "127.0.0.1" in url

    children.stop_all(at_once=True)
    # After a power cut the process id in the file belongs to anybody, such as to us.
    pid_file = folder / "cluster" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(os.getpid()), 1))
    again = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
    try:
        assert start_postgres(again, folder) == url
        assert await fetch(url, "SELECT to_regclass('kept')") == "kept"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await fetch(url.replace("waybill:", "waybill:wrong"), "SELECT 1")
    finally:
        again.stop_all(at_once=True)


async def test_a_first_start_that_was_cut_short_is_done_again(children: Children, tmp_path: Path) -> None:
    (tmp_path / "postgres" / "cluster.new" / "base").mkdir(parents=True)
    url = start_postgres(children, tmp_path / "postgres", throw_away=True)
    assert await fetch(url, "SHOW fsync") == "off"


def everybody_may_enter(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


if os.geteuid() == 0:  # only root has to become somebody else

    @pytest.fixture
    def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A PATH without `unshare`; return its folder."""
        folder = Path(tempfile.mkdtemp(dir="/tmp"))
        folder.chmod(0o755)
        for tool in ("setpriv", "test", "ls"):
            found = shutil.which(tool)
            assert found
            (folder / tool).symlink_to(found)
        monkeypatch.setenv("PATH", str(folder))
        yield folder
        shutil.rmtree(folder)

    @pytest.mark.usefixtures("tools")
    async def test_root_without_user_namespaces_becomes_nobody(
        children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        if not everybody_may_enter(Path(sys.prefix) / "lib"):
            with pytest.raises(StartError, match=f"cannot reach {sys.prefix}"):
                start_postgres(children, private / "postgres")
            return
        url = start_postgres(children, private / "postgres")
        assert (private / "postgres" / "cluster").owner() == "nobody"
        assert psutil.Process(children.pids["postgres"]).username() == "nobody"
        await fetch(url, "CREATE TABLE kept ()")
        children.stop_all(at_once=True)

        monkeypatch.undo()
        again = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
        try:
            assert start_postgres(again, private / "postgres") == url
            assert await fetch(url, "SELECT to_regclass('kept')") == "kept"
        finally:
            again.stop_all(at_once=True)

    def test_a_nobody_who_cannot_reach_the_data_is_told(children: Children, tools: Path, tmp_path: Path) -> None:
        setpriv = (tools / "setpriv").readlink()
        (tools / "setpriv").unlink()
        (tools / "setpriv").write_text(f'#!/bin/sh\ncase "$*" in *ambient*) exit 1 ;; esac\nexec {setpriv} "$@"\n')
        (tools / "setpriv").chmod(0o755)
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        with pytest.raises(StartError, match=r"the user `nobody` cannot reach .* choose another --data-dir"):
            start_postgres(children, private / "postgres")


def test_missing_binaries_are_told(children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(servers_postgres, "find_spec", lambda _: None)
    with pytest.raises(StartError, match="WAYBILL_DATABASE_URL"):
        start_postgres(children, tmp_path)


def test_a_path_that_rabbitmq_cannot_bear_is_refused_at_once(children: Children, tmp_path: Path) -> None:
    server = find_server()
    assert server
    with pytest.raises(StartError, match="because of the quote"):
        start_rabbitmq(children, tmp_path / "it's mine", server=server)

from __future__ import annotations

import asyncio
import errno
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.dev.sandbox_provider_entry import CaptureRequest, Entry
from service.dev.sandbox_provider_ledger import LedgerError, open_ledger


def entry(key: str, *, declined: bool = False) -> Entry:
    return Entry(
        id=f"cap_{key}",
        idempotency_key=key,
        request=CaptureRequest(authorization="sandbox:ok#ö", amount=100, currency="SEK", final=True),
        status="declined" if declined else "captured",
        reason="no" if declined else "",
        decided_at=datetime(2026, 11, 21, 18, 40, 0, 123000, tzinfo=UTC),
    )


async def written(path: Path, *entries: Entry) -> bytes:
    async with open_ledger(path) as ledger:
        for each in entries:
            await ledger.append(each)
    return path.read_bytes()  # noqa: ASYNC240 - a few lines


async def test_entries_are_there_again_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    await written(path, entry("b"), entry("d", declined=True), entry("a"))
    async with open_ledger(path) as ledger:
        assert [each.idempotency_key for each in ledger.captured()] == ["b", "a"]
        assert ledger.get("d") == entry("d", declined=True)
        assert ledger.get("c") is None


async def test_what_a_crash_tore_does_not_count_and_is_not_in_the_way(tmp_path: Path) -> None:
    whole = await written(tmp_path / "whole.jsonl", entry("a"), entry("b"))
    first_line = whole.index(b"\n") + 1
    for length in range(len(whole) + 1):
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(whole[:length])
        complete = (length >= first_line) + (length == len(whole))
        async with open_ledger(path) as ledger:
            assert [each.idempotency_key for each in ledger.captured()] == ["a", "b"][:complete]
            await ledger.append(entry("c"))
        async with open_ledger(path) as ledger:
            assert [each.idempotency_key for each in ledger.captured()] == [*["a", "b"][:complete], "c"]


@pytest.mark.parametrize("line", [b"{}\n", b"\x00\x00\n", b"\n"])
async def test_a_line_that_is_no_entry_is_never_guessed_at(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(await written(tmp_path / "other.jsonl", entry("a")) + line)
    with pytest.raises(LedgerError, match="line 2: not an entry"):
        async with open_ledger(path):
            pass


async def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(2 * await written(tmp_path / "other.jsonl", entry("a")))
    with pytest.raises(LedgerError, match="line 2: its idempotency key is not new"):
        async with open_ledger(path):
            pass


async def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with open_ledger(path):
        with pytest.raises(LedgerError, match="in use by another process"):
            async with open_ledger(path):
                pass
    async with open_ledger(path):
        pass


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"cannot open .*ledger\.jsonl"):
        async with open_ledger(tmp_path / "file" / "ledger.jsonl"):
            pass


async def test_appends_are_synced_before_they_return_and_share_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    synced_sizes: list[int] = []

    def fsync(descriptor: int) -> None:
        synced_sizes.append(os.fstat(descriptor).st_size)

    async with open_ledger(path) as ledger:
        monkeypatch.setattr(os, "fsync", fsync)
        await ledger.append(entry("first"))
        assert synced_sizes == [len(f"{entry('first').model_dump_json()}\n".encode())]
        await asyncio.gather(*(ledger.append(entry(str(n))) for n in range(200)))
        assert synced_sizes[-1] == path.stat().st_size
        assert path.read_bytes().count(b"\n") == 201
        assert len(synced_sizes) <= 3


async def test_an_entry_is_not_known_before_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def fsync(_: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        assert go_on.wait(timeout=20)

    async with open_ledger(tmp_path / "ledger.jsonl") as ledger:
        monkeypatch.setattr(os, "fsync", fsync)
        appending = asyncio.create_task(ledger.append(entry("a")))
        await syncing.wait()
        assert ledger.get("a") is None
        go_on.set()
        await appending
        assert ledger.get("a") == entry("a")


async def test_an_append_given_up_by_its_caller_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on = asyncio.Event(), threading.Event()
    synced: list[bool] = []
    loop = asyncio.get_running_loop()

    def fsync(_: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        synced.append(go_on.wait(timeout=20))

    path = tmp_path / "ledger.jsonl"
    async with open_ledger(path) as ledger:
        monkeypatch.setattr(os, "fsync", fsync)
        appending = asyncio.create_task(ledger.append(entry("a")))
        await syncing.wait()
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        loop.call_later(0.05, go_on.set)
    assert synced == [True]
    monkeypatch.undo()
    async with open_ledger(path) as ledger:
        assert ledger.get("a") == entry("a")


async def test_after_a_failed_write_nothing_is_claimed_until_the_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with open_ledger(path) as ledger:
        await ledger.append(entry("before"))
        monkeypatch.setattr(os, "fsync", fsync)
        results = await asyncio.gather(*(ledger.append(entry(str(n))) for n in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [LedgerError] * 3
        for ask in (lambda: ledger.get("before"), ledger.captured):
            with pytest.raises(LedgerError, match="could not be written: Input/output error"):
                ask()
        with pytest.raises(LedgerError):
            await ledger.append(entry("after"))
    monkeypatch.undo()
    async with open_ledger(path) as ledger:
        assert ledger.get("before") == entry("before")
        assert ledger.get("after") is None

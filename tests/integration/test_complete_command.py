"""`waybill complete` in this process: what it refuses to begin with, and what needs no service."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from service.completion_file import send
from service.completion_file.result_file import ResultFile
from service.dev.private_files import free_port
from tests.support.cli import Cli, make_cli

HEADER = "shipmentNumber,carrierTrackingNumber"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("WAYBILL_API_KEY", "key_1:waybill_sk_2")
    # It is for callers, who have no database.
    return make_cli(monkeypatch, capsys, "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "shipped.csv"
    file.write_text(f"{HEADER}\n100001-1,1Z\n")
    return file


def flat(text: str) -> str:
    """Undo the box that errors are printed in."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "Missing option '--url'"),
        (["--url", "shipping.example.com"], "expected an address such as"),
        (["--url", "https://key:secret@shipping.example.com"], "does not belong in the address"),
        (["--url", NOWHERE, "--map", "shipmentNumber=No"], "the column 'No' is not in the header"),
        (["--url", NOWHERE, "--map", "shipmentNumer=No"], "did you mean shipmentNumber?"),
        (["--url", NOWHERE, "--delimiter", "::"], "expected one character"),
        (["--url", NOWHERE, "--encoding", "latin-0"], "there is no encoding 'latin-0'"),
        (["--url", NOWHERE, "--result", "{file}"], "is FILE itself or no file"),
        (["--url", NOWHERE, "--result", "{file}/x"], "Not a directory"),
        (["--url", NOWHERE, "--key-file", "{file}.key"], "No such file or directory"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_done(cli: Cli, file: Path, options: list[str], told: str) -> None:
    ran = cli("complete", str(file), *(option.format(file=file) for option in options))
    assert ran.code == 2
    assert told in flat(ran.err)
    assert list(file.parent.iterdir()) == [file]


def test_a_pipe_is_no_file(cli: Cli) -> None:
    ran = cli("complete", "/dev/null", "--url", NOWHERE)
    assert (ran.code, "not a pipe" in flat(ran.err)) == (2, True)


def test_without_a_key(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYBILL_API_KEY")
    ran = cli("complete", str(file), "--url", NOWHERE)
    assert ran.code == 2
    assert ran.err == "waybill: an API key is needed: set WAYBILL_API_KEY to id:secret, or add --key-file FILE\n"


def test_a_file_in_which_all_is_done_needs_no_service(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "shipped.result.csv"
    file.write_text(f"{HEADER},status,orderNumber,error\n100001-1,1Z,200,100001,\n100001-2,,409,,before\n")
    ran = cli("complete", str(file), "--url", NOWHERE)
    assert ran.code == 0, ran.err
    assert "2 rows in shipped.result.csv: 2 done already, 0 shipped, 0 shipped before, 0 refused, 0 unan" in ran.out
    assert (tmp_path / "shipped.result-2.csv").read_text() == file.read_text()


def test_a_file_without_rows_is_done(cli: Cli, file: Path) -> None:
    file.write_text(f"{HEADER}\n")
    ran = cli("complete", str(file), "--url", NOWHERE, "--json")
    assert (ran.code, json.loads(ran.out)["rows"]) == (0, 0)


def test_rows_of_which_none_can_be_sent(cli: Cli, file: Path) -> None:
    file.write_text(f"{HEADER}\n,1Z\n100001-1\n")
    ran = cli("complete", str(file), "--url", NOWHERE)
    assert ran.code == 1
    assert "2 rows in shipped.csv: 0 shipped, 0 shipped before, 2 refused (400: 2), 0 unanswered" in ran.out
    with file.with_name("shipped.result.csv").open(newline="") as result:
        assert [row["status"] for row in csv.DictReader(result)] == ["400", "400"]


def test_a_service_that_stays_away(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "TRIES", 1)
    port = free_port()
    ran = cli("complete", str(file), "--url", f"http://127.0.0.1:{port}")
    assert ran.code == 1
    assert "1 row in shipped.csv: 0 shipped, 0 shipped before, 0 refused, 1 unanswered" in ran.out
    assert f"waybill: no connection to 127.0.0.1:{port}: Connection refused" in ran.err
    assert list(file.parent.iterdir()) == [file]


def test_a_result_that_cannot_be_written_any_more(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(f"{HEADER}\n,1Z\n")
    saves = []

    def save(kept: ResultFile) -> None:
        saves.append(kept)
        if len(saves) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(ResultFile, "save", save)
    ran = cli("complete", str(file), "--url", NOWHERE)
    assert ran.code == 1
    assert f"{file.with_name('shipped.result.csv')} could not be written: No space left on device" in ran.err

"""docs/faults.md is written from results, and has a row for everything that the tests try."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.known import FAULTS, KILLS, KNOWN, name_of
from tests.faults.ledgers import Ledgers, count
from tests.faults.report import MemoryRow, Row, record, repetitions, row
from tests.faults.table import DOCUMENT, document, kept, newest, read

API = next(name for name in KILLS if name.startswith("api: "))
RELAY = next(name for name in KILLS if name.startswith("relay: "))
BROKER = next((step, name) for step, name in FAULTS if step == "RabbitMQ")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def memory(step: str) -> MemoryRow:
    return MemoryRow(
        step=step,
        minutes=60.0,
        completions=54000,
        first_quarter=50.14,
        last_quarter=49.5,
        highest=51.0,
        slope_per_hour=-0.25,
        course=(50.0, 49.6),
    )


def test_results_become_a_page_of_aligned_tables(results: Path) -> None:
    record(Row(part="kill", step=RELAY, fault="kill -9: before the claim", repetitions=20, events_twice=3))
    record(Row(part="kill", step=API, fault="kill -9: before the row", repetitions=1000))
    record(Row(part="server", step=BROKER[0], fault=BROKER[1], repetitions=5, longest_answer_s=1.26, note="no answer"))
    record(memory("api 1"))
    page = document(newest(read(results)))
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Processes killed",
        "## Servers",
        "## Memory",
    ]
    assert "1,020 times in all: captures twice 0, events lost 0, events twice 3," in page
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    assert [f"`{API}`", "kill -9: before the row", "1000", *"000000"] in rows
    assert [BROKER[0], f"{BROKER[1]} (no answer)", "5", *"000000", "1.3 s"] in rows
    assert ["api 1", "60", "54,000", "50.1", "49.5", "51.0", "-0.2", "50 50"] in rows
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("| ")]
    assert all(len({len(line) for line in table if line}) == 1 for table in tables)
    # In the order of a shipment's way, not of the alphabet.
    assert page.index(API) < page.index(RELAY)


def test_the_newest_result_of_a_kind_counts(results: Path) -> None:
    for repetitions_made in (3, 7):
        record(Row(part="network", step=BROKER[0], fault=BROKER[1], repetitions=repetitions_made))
    [only] = newest(read(results))
    assert only["repetitions"] == 7
    record(Row(part="load", step="1 minute", fault="none", repetitions=0))
    record(Row(part="load", step="20 minutes", fault="random", repetitions=120))
    assert [each["repetitions"] for each in newest([only, *read(results)])] == [120, 7]


def test_figures_of_ledgers_become_a_row(results: Path) -> None:
    record(row(part="load", step="1 minute", fault="none", repetitions=0, counts=count(Ledgers())))
    [path] = results.iterdir()
    written = json.loads(path.read_text())
    assert (written["captures_twice"], written["longest_answer_s"], written["between_states"]) == (0, None, 0)


def test_nothing_is_written_unless_results_are_wanted(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", "")
    record(memory("api 1"))
    assert not results.exists()


def test_what_is_no_longer_tried_leaves_the_page(results: Path) -> None:
    record(Row(part="kill", step="api: a step of old", fault="kill -9", repetitions=1))
    record(Row(part="server", step="RabbitMQ", fault="a fault of old", repetitions=1))
    assert len(read(results)) == 2
    assert newest(read(results)) == []


def test_the_page_is_complete_and_says_what_was_recorded() -> None:
    results = kept()
    assert DOCUMENT.read_text() == document(results)
    assert newest(results) == results, "in order, each once, and nothing that is no longer tried"
    assert {name_of(result) for result in results} == KNOWN, "everything that is tried has its row"
    assert {result["part"] for result in results} >= {"kill", "server", "network", "load", "memory"}


@pytest.mark.parametrize(("full", "times"), [(False, 1), (True, 10)])
def test_a_full_run_repeats_more(monkeypatch: pytest.MonkeyPatch, *, full: bool, times: int) -> None:
    monkeypatch.setattr(report, "FULL", full)
    assert repetitions(1, 10) == times

"""The benchmark's figures and what is made of them."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from bench.plot import write_plot
from bench.report import BEGIN, END, as_json, as_markdown, by_process, cells, number, terminal_table, with_figures
from bench.results import Round, Row, percentile
from bench.rows import ROWS
from bench.size import FOLDER

ROW = Row(
    "Completions",
    "HTTP, 64 callers",
    "/s",
    (
        Round(900, 1.1, 10, 30, {"api": 0.5}, {"api": 80}),
        Round(1000, 1.3, 12, 90, {"api": 0.6}, {"api": 82}),
        Round(2000, 1.2, 11, 31, {"api": 0.7}, {"api": 81}),
    ),
    "pgbench, best",
    ">= 1.2",
)
VOID = Row("Completions", "HTTP, 16 callers", "/s", (Round(5), Round(1, void="3 answers of 400 or more")))
FACTS = {"Python": "3.11"}


def test_medians_are_over_the_rounds_and_the_ratio_is_of_each_round():
    assert (ROW.value, ROW.spread, ROW.ratio, ROW.p50_ms, ROW.p99_ms) == (1000, (900, 2000), 1.2, 11, 31)
    assert (ROW.cpu_ms, ROW.memory_mb) == ({"api": 0.6}, {"api": 81})


def test_a_row_says_what_was_wanted_beside_what_there_is():
    assert cells(ROW)[:7] == (
        "HTTP, 64 callers", "1,000 /s", "900 .. 2,000", "1.20 (pgbench, best)", ">= 1.2", "11.0", "31.0",
    )  # fmt: skip


def test_one_void_round_voids_the_row_and_its_figures():
    assert cells(VOID)[1] == "void: 3 answers of 400 or more"
    assert "".join(cells(VOID)[2:]) == ""


def test_the_table_names_each_group_once():
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(terminal_table([ROW, VOID]))
    printed = console.export_text()
    assert printed.count("Completions") == 1
    assert "1,000 /s" in printed
    assert "void" in printed


def test_markdown_has_a_table_for_each_group():
    text = as_markdown([ROW, VOID], FACTS)
    assert "- Python: 3.11\n" in text
    assert text.count("**Completions**") == 1
    assert "| HTTP, 64 callers | 1,000 /s | 900 .. 2,000 |" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {10}


def test_figures_take_the_place_of_the_last_ones():
    document = f"Before.\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter.\n"
    replaced = with_figures(document, "new\n")
    assert replaced == f"Before.\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter.\n"
    assert with_figures(replaced, "new\n") == replaced
    with pytest.raises(ValueError, match="lacks"):
        with_figures("no marks", "new\n")


def test_the_guide_has_a_place_for_the_figures_and_explains_every_row():
    guide = (FOLDER.parent / "docs" / "performance.md").read_text()
    assert with_figures(guide, "") != guide
    assert [name for name in ROWS if f"`{name}`" not in guide] == []


def test_json_has_every_round():
    told = json.loads(json.dumps(as_json([ROW], FACTS)))
    assert [each["value"] for each in told["rows"][0]["rounds"]] == [900, 1000, 2000]
    assert told["rows"][0]["value"] == 1000
    assert told["facts"] == FACTS


def test_the_plot_needs_nothing_from_elsewhere_and_leaves_out_what_is_void(tmp_path):
    file = tmp_path / "bench.svg"
    write_plot([ROW, VOID], file)
    svg = file.read_text()
    assert "HTTP, 64 callers" in svg
    assert "HTTP, 16 callers" not in svg
    assert "href" not in svg
    assert "src=" not in svg
    write_plot([VOID], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


@pytest.mark.parametrize(("value", "told"), [(12345.6, "12,346"), (99.94, "99.9"), (1.234, "1.23")])
def test_figures_have_the_digits_they_are_good_for(value, told):
    assert number(value) == told


def test_processes_that_did_nothing_are_left_out():
    assert by_process({"api": 1.5, "epmd": 0.0001}) == "api 1.50"


def test_memory_is_told_of_the_processes_that_worked():
    row = Row("", "", "/s", (Round(1, cpu_ms={"api": 1, "relay": 0.0001}, memory_mb={"api": 80, "relay": 50}),))
    assert cells(row)[-1] == "api 80.0"
    assert cells(Row("", "", "s", (Round(1, memory_mb={"RSS": 76}),)))[-1] == "RSS 76.0"


def test_a_percentile_is_a_measured_value():
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7

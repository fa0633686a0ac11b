"""Files of completions: what is read, what is sent, and that a result file can be fed back."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.completion_file import result_file
from service.completion_file.columns import NUMBER, TRACKING, Columns, parse_columns
from service.completion_file.result_file import ResultFile, default_result
from service.completion_file.sheet import Answer, Sheet, find_delimiter, read_sheet
from service.order_import.csv_rows import CsvFormat
from service.order_import.mapping import WrongMapping
from service.order_import.records import UnusableFile
from service.spreadsheets import guard, unguard
from tests.support.waiting import until

HEADER = f"{NUMBER},{TRACKING}"
FORM = CsvFormat()
Table = list[list[str]]


def read(path: Path, content: str | bytes, *, maps: Sequence[str] = (), form: CsvFormat = FORM) -> Sheet:
    file = path / "shipped.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sheet(file, form, parse_columns(maps))


def keep(sheet: Sheet, source: Path) -> Path:
    """Write the sheet's result file beside its source."""
    kept = ResultFile(default_result(source), sheet, source=source)
    kept.open(replace=False)
    return kept.path


def rows(file: Path, encoding: str = "utf-8") -> Table:
    with file.open(newline="", encoding=encoding) as opened:
        return list(csv.reader(opened))


def told(sheet: Sheet) -> list[tuple[str, str, str, Answer | None]]:
    return [
        (each.lines, each.number, each.tracking, answer)
        for each, answer in zip(sheet.shipments, sheet.answers, strict=True)
    ]


def test_rows_are_read_with_their_lines(tmp_path: Path) -> None:
    sheet = read(tmp_path, f'Ref,{HEADER}\n1, 100-1 ,1Z\n\n"two\nlines",100-2,\n')
    assert told(sheet) == [("2", "100-1", "1Z", None), ("4-5", "100-2", "", None)]
    assert [shipment.cells for shipment in sheet.shipments] == [("1", " 100-1 ", "1Z"), ("two\nlines", "100-2", "")]


def test_columns_of_other_names(tmp_path: Path) -> None:
    maps = [f"{NUMBER}=Sändung", f"{TRACKING} = Paket"]
    sheet = read(tmp_path, "\ufeffPaket, Sändung ,shipmentNumber\n1Z,100-1,no\n", maps=maps)
    assert told(sheet) == [("2", "100-1", "1Z", None)]


@pytest.mark.parametrize(
    ("content", "maps"),
    [
        (f"{NUMBER}\n100-1\n", []),
        ("No\n100-1\n", [f"{NUMBER}=No"]),
        (f"{NUMBER},x\n100-1,y\n", [f"{TRACKING}="]),
        (f"{NUMBER},status,orderNumber,error\n100-1,,,\n", []),
    ],
    ids=["alone", "alone, mapped", "said to have none", "alone, fed back"],
)
def test_a_file_may_have_no_tracking_numbers(tmp_path: Path, content: str, maps: list[str]) -> None:
    assert told(read(tmp_path, content, maps=maps)) == [("2", "100-1", "", None)]


@pytest.mark.parametrize(
    ("content", "maps", "message"),
    [
        (HEADER, [f"{NUMBER}=No"], "shipmentNumber: the column 'No' is not in the header, which has: shipmentNumber"),
        (f"{NUMBER},{NUMBER}", [], "shipmentNumber: the column 'shipmentNumber' is twice in the header"),
        (f"{NUMBER},Tracking", [], "is not in the header, which has: shipmentNumber, Tracking. If it has none: --map"),
        (f"{NUMBER}", [f"{TRACKING}=Tracking"], "carrierTrackingNumber: the column 'Tracking' is not in the header"),
        (HEADER, ["shipmentNo=x"], "there is no field 'shipmentNo'; did you mean shipmentNumber?"),
        (HEADER, ["x"], "--map x: expected field=value"),
        (HEADER, [f"{NUMBER}=a", f"{NUMBER}=b"], "--map shipmentNumber=b: shipmentNumber is given twice"),
        ("status,orderNumber,error", [], "the column 'shipmentNumber' is not in the header"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, content: str, maps: list[str], message: str) -> None:
    with pytest.raises(WrongMapping) as raised:
        read(tmp_path, content + "\n", maps=maps)
    assert message in str(raised.value)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_a_file_without_a_header_is_unusable(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnusableFile, match="the file is empty"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("100-2", "line 3: 1 cells, but the header has 2: 100-2"),
        ("100-2,1Z,x\x1b[2J", "line 3: 3 cells, but the header has 2: 100-2,1Z,x\\u001b[2J"),
        ("100-2,1Z" + 300 * ",", "line 3: 302 cells, but the header has 2: 100-2,1Z" + 192 * ","),
        ('"100-2"x,1Z', "line 3: not CSV: ',' expected after '\"'"),
        (",1Z", "line 3: shipmentNumber: must not be blank"),
        ("  ,1Z", "line 3: shipmentNumber: must not be blank"),
        ("100-\xff,1Z", "line 3: shipmentNumber: expected valid UTF-8"),
        ("100-2,1Z\xff", "line 3: carrierTrackingNumber: expected valid UTF-8"),
    ],
)
def test_a_row_that_cannot_be_sent_never_is(tmp_path: Path, line: str, problem: str) -> None:
    source = tmp_path / "shipped.csv"
    sheet = read(tmp_path, f"{HEADER}\n100-1,\n{line}\n100-3,\n".encode("latin-1"))
    assert sheet.answers == [None, Answer(400, error=problem), None]
    assert sheet.unanswered() == [0, 2]
    # Also not when the result is fed back, with nobody having mended it.
    for _ in range(2):
        source = keep(sheet, source)
        sheet = read_sheet(source, FORM, Columns())
        assert sheet.answers == [None, Answer(400, error=problem), None]


def test_cells_that_are_not_sent_stay_byte_for_byte(tmp_path: Path) -> None:
    content = f"{HEADER},note\r\n100-1,,\xff \x00é\r\n".encode("latin-1")
    sheet = read(tmp_path, content)
    assert sheet.unanswered() == [0]
    assert b"\xff \x00\xe9,,," in keep(sheet, tmp_path / "shipped.csv").read_bytes()


def test_what_is_done_is_left_out_and_kept(tmp_path: Path) -> None:
    statuses = ["200", "409", " 200 ", "", "400", "404", "500", "503", "2000", "done"]
    lines = [f"100-{n},1Z,{status},100,why" for n, status in enumerate(statuses)]
    sheet = read(tmp_path, "\n".join([f"{HEADER},status,orderNumber,error", *lines]))
    done = [Answer(200, "100", "why"), Answer(409, "100", "why"), Answer(200, "100", "why")]
    assert sheet.answers == [*done, *[None] * 7]
    assert sheet.header == (NUMBER, TRACKING)


def test_a_mended_row_is_sent(tmp_path: Path) -> None:
    source = tmp_path / "shipped.csv"
    result = keep(read(tmp_path, f"{HEADER}\n100-1\n"), source)
    [header, [*_, status, order, error]] = rows(result)
    mended = ",".join(header) + f'\n100-1,1Z,{status},{order},"{error}"\n'
    assert told(read(tmp_path, mended)) == [("2", "100-1", "1Z", None)]


def test_the_result_file_has_the_columns_and_rows_of_the_file(tmp_path: Path) -> None:
    sheet = read(tmp_path, f"=Ref,{HEADER}\n@x,100-1,-1\n'=y,100-2,\nz,100-3,\n")
    sheet.answers[0] = Answer(200, "100")
    sheet.answers[1] = Answer(404, error="=Shipment, not found")
    assert rows(keep(sheet, tmp_path / "shipped.csv")) == [
        ["'=Ref", NUMBER, TRACKING, "status", "orderNumber", "error"],
        ["'@x", "100-1", "'-1", "200", "100", ""],
        ["''=y", "100-2", "", "404", "", "'=Shipment, not found"],
        ["z", "100-3", "", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("written", "encoding", "kept_in"),
    [("utf-8", "utf-8-sig", "utf-8"), ("utf-8-sig", "utf-8-sig", "utf-8-sig"), ("cp1252", "cp1252", "utf-8-sig")],
)
def test_the_result_file_is_utf_8_with_a_mark_where_a_spreadsheet_wants_one(
    tmp_path: Path, written: str, encoding: str, kept_in: str
) -> None:
    sheet = read(
        tmp_path, f"{HEADER};Größe\n100-1;;ö\n".replace(",", ";").encode(written), form=CsvFormat(encoding, ";")
    )
    result = keep(sheet, tmp_path / "shipped.csv")
    assert result.read_bytes().startswith(b"\xef\xbb\xbf") == (kept_in == "utf-8-sig")
    # No option is needed to feed it back.
    assert find_delimiter(result, "utf-8-sig", Columns()) == ";"
    assert read_sheet(result, CsvFormat(delimiter=";"), Columns()).shipments[0].cells == ("100-1", "", "ö")


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("a,{}", ","), ('"a,b";{}', ";"), ("a\t{}", "\t"), ("{}|a;b", "|"), ("{}", ","), ("", ",")],
)
def test_the_delimiter_is_the_one_with_which_the_header_has_the_column(
    tmp_path: Path, header: str, delimiter: str
) -> None:
    file = tmp_path / "shipped.csv"
    file.write_text(header.format("Nr."))
    assert find_delimiter(file, "utf-8-sig", Columns("Nr.")) == delimiter


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["=1+1", "'=1", "''@", "-5", "\r", '"', " a ", "'", "\ufeff", "100-1", "1,2;3\t4"]
)
answers = st.none() | st.builds(
    Answer, st.sampled_from([200, 409, 400, 404, 500, 503]), order_number=cells, error=cells
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    extra=cells,
    table=st.lists(st.tuples(st.lists(cells, min_size=2, max_size=4), answers), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    bom=st.booleans(),
)
def test_a_result_file_fed_back_is_the_same_rows_without_those_that_are_done(
    tmp_path: Path, extra: str, table: list[tuple[list[str], Answer | None]], delimiter: str, bom: bool
) -> None:
    source, form = tmp_path / "shipped.csv", CsvFormat(delimiter=delimiter)
    with source.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([[NUMBER, TRACKING, extra], *(line for line, _ in table)])
    first = read_sheet(source, form, Columns())
    sendable = first.unanswered()
    for index in sendable:
        first.answers[index] = table[index % len(table)][1]
    result = tmp_path / "result.csv"
    ResultFile(result, first, source=source).save()
    fed_back = read_sheet(result, form, Columns())
    assert fed_back.header == first.header
    assert [each.cells for each in fed_back.shipments] == [each.cells for each in first.shipments]
    assert [(each.number, each.tracking) for each in fed_back.shipments] == [
        (each.number, each.tracking) for each in first.shipments
    ]
    for index, (before, after) in enumerate(zip(first.answers, fed_back.answers, strict=True)):
        open_ = index in sendable and not (before and before.done)
        assert after == (None if open_ else before)
    # And so is the result of the result.
    ResultFile(again := tmp_path / "again.csv", fed_back, source=result).save()
    assert [each.cells for each in read_sheet(again, form, Columns()).shipments] == [
        each.cells for each in first.shipments
    ]


@given(cells)
def test_a_guarded_cell_is_no_formula_and_comes_back(text: str) -> None:
    assert not guard(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguard(guard(text)) == text


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("shipped.csv", "shipped.result.csv"),
        ("shipped.result.csv", "shipped.result-2.csv"),
        ("shipped.result-2.csv", "shipped.result-3.csv"),
        ("shipped.result-99.csv", "shipped.result-100.csv"),
        ("a.result.b.txt", "a.result.b.result.txt"),
        ("shipped", "shipped.result.csv"),
    ],
)
def test_the_results_name_is_beside_the_files(tmp_path: Path, name: str, result: str) -> None:
    assert default_result(tmp_path / name) == tmp_path / result


class TestResultFile:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        file = tmp_path / "shipped.csv"
        file.write_text(f"{HEADER}\n100-1,\n")
        return file

    def open(self, path: Path, source: Path, *, replace: bool = False) -> ResultFile:
        kept = ResultFile(path, read_sheet(source, FORM, Columns()), source=source)
        kept.open(replace=replace)
        return kept

    def test_an_existing_file_is_replaced_only_if_told_and_only_once_there_is_an_answer(self, source: Path) -> None:
        path = default_result(source)
        path.write_text("earlier")
        with pytest.raises(UnusableFile, match=r"exists. Feed it back .* replace it with --force"):
            self.open(path, source)
        kept = self.open(path, source, replace=True)
        kept.discard()
        assert path.read_text() == "earlier"
        kept.save()
        assert rows(path)[1] == ["100-1", "", "", "", ""]

    @pytest.mark.parametrize("replace", [False, True])
    def test_neither_the_source_nor_what_is_no_file_is_ever_replaced(self, source: Path, replace: bool) -> None:
        link = source.with_name("link.csv")
        link.symlink_to(source)
        for path in (source, link, source.parent, Path("/dev/null")):
            with pytest.raises(UnusableFile, match="is FILE itself or no file"):
                self.open(path, source, replace=replace)
        assert source.read_text() == f"{HEADER}\n100-1,\n"

    def test_a_place_that_cannot_be_written_is_told_before_anything_is_sent(self, source: Path) -> None:
        with pytest.raises(UnusableFile, match="No such file or directory"):
            self.open(source.with_name("none") / "result.csv", source)
        with pytest.raises(UnusableFile, match="File name too long"):
            self.open(source.with_name("x" * 255), source)
        assert list(source.parent.iterdir()) == [source]

    def test_it_is_there_at_once_and_gone_if_nothing_came_of_it(self, source: Path) -> None:
        kept = self.open(default_result(source), source)
        assert rows(kept.path)[1] == ["100-1", "", "", "", ""]
        kept.discard()
        assert list(source.parent.iterdir()) == [source]

    def test_who_may_not_read_the_source_may_not_read_the_result(self, source: Path) -> None:
        source.chmod(0o400)
        assert self.open(default_result(source), source).path.stat().st_mode & 0o777 == 0o600

    def test_a_save_that_fails_leaves_the_file_as_it_was(self, source: Path) -> None:
        kept = self.open(default_result(source), source)
        before = kept.path.read_bytes()
        kept._sheet.answers[0] = Answer(404, error="\ud800")
        with pytest.raises(UnicodeEncodeError):
            kept.save()
        assert kept.path.read_bytes() == before
        assert set(source.parent.iterdir()) == {source, kept.path}

    async def test_it_is_saved_while_answers_come_and_not_otherwise(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(result_file, "SAVE_EVERY_S", 0.001)
        kept = self.open(default_result(source), source)
        written = kept.path.stat().st_ino
        saving = asyncio.create_task(kept.keep_saving())
        await asyncio.sleep(0.05)
        assert kept.path.stat().st_ino == written
        kept._sheet.answers[0] = Answer(200)
        kept.outdated = True

        async def is_saved() -> bool:
            return rows(kept.path)[1][2] == "200"

        await until(is_saved)
        kept.path = source.with_name("none") / "result.csv"
        kept.outdated = True
        with pytest.raises(FileNotFoundError):
            await saving

"""Reading import files: what is an order, what is none, and never half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.orders import MAX_LINES, IntakeOrder
from schemas.problems import problems_of
from service.order_import.csv_orders import CsvOrders
from service.order_import.csv_rows import CsvFormat
from service.order_import.jsonl import JsonLines
from service.order_import.mapping import FIELDS, WrongMapping, parse_mapping
from service.order_import.records import MAX_LINE, Record, UnusableFile
from tests.support.orders import order_body

HEADER = "No,Sku,Name,Qty,Price,Who,Land"
MAPS = [
    "orderNumber=No",
    "line.sku=Sku",
    "line.name=Name",
    "line.quantity=Qty",
    "line.unitPrice=Price",
    "customer.name=Who",
    "shippingAddress.country=Land",
]
SETS = [
    "customer.email=c-{Who}@example.com",
    "store=uk-web",
    "currency=GBP",
    "shippingAddress.street=S",
    "shippingAddress.city=C",
    "payment.provider=sandbox",
    "payment.authorization=sandbox:ok#{No}",
    "shipments=RELEASED",
]


def read_csv(
    path: Path, content: str | bytes, *, form: CsvFormat | None = None, maps: list[str] = MAPS, **options: Any
) -> list[Record]:
    file = path / "orders.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = CsvOrders(file, parse_mapping(maps=maps, **{"sets": SETS, **options}), form or CsvFormat())
    count = source.look_through()
    records = list(source.records())
    assert count == len(records)
    return records


def read_jsonl(path: Path, content: bytes) -> list[Record]:
    file = path / "orders.jsonl"
    file.write_bytes(content)
    source = JsonLines(file)
    records = list(source.records())
    assert source.look_through() == len(records)
    return records


def rows(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def told(records: list[Record]) -> list[tuple[str, str | None, str | None]]:
    return [(record.lines, record.order_number, record.problem) for record in records]


def reasons(record: Record) -> list[str]:
    try:
        IntakeOrder.model_validate(record.document)
    except ValueError as error:
        return problems_of(error, record.note)  # type: ignore[arg-type]
    return []


def test_rows_of_one_order_become_its_lines(tmp_path: Path) -> None:
    [first, second] = read_csv(
        tmp_path, rows("1,A,Hat,2,9.99,Ann,United Kingdom", "1,A,Hat,1,0,Ann,United Kingdom", "2,B,Cap,3,1,Bo,FR")
    )
    assert (first.lines, first.order_number, first.problem) == ("2-3", "1", None)
    assert first.document == {
        "orderNumber": "1",
        "store": "uk-web",
        "currency": "GBP",
        "customer": {"name": "Ann", "email": "c-Ann@example.com"},
        "shippingAddress": {"street": "S", "city": "C", "country": "GB"},
        "payment": {"provider": "sandbox", "authorization": "sandbox:ok#1"},
        "lines": [
            {"lineId": "1", "sku": "A", "name": "Hat", "quantity": "2", "unitPrice": "9.99"},
            {"lineId": "2", "sku": "A", "name": "Hat", "quantity": "1", "unitPrice": "0"},
        ],
        "shipments": [{"status": "RELEASED", "lines": {"1": 2, "2": 1}}],
    }
    assert reasons(first) == []
    assert (second.lines, second.document["shippingAddress"]["country"]) == ("4", "FR")  # type: ignore[index]


def test_every_field_of_an_order_can_be_mapped(tmp_path: Path) -> None:
    assert {"orderNumber", "status", "shippingAmount", "billingAddress.city", "line.taxRate", "shipments"} <= set(
        FIELDS
    )
    values = {
        "orderNumber": "1",
        "status": "CONFIRMED",
        "waitingForPayment": "0",
        "locale": "sv",
        "shippingAmount": "4.90",
        "billingAddress.name": "B",
        "billingAddress.street": "B",
        "billingAddress.city": "B",
        "billingAddress.country": "Sweden",
        "line.lineId": "L-7",
        "line.taxRate": "0.25",
    }
    others = dict(assignment.split("=", 1) for assignment in [*MAPS, *SETS])
    plain = {"line.quantity": "2", "line.unitPrice": "1", "payment.provider": "sandbox", "shipments": "ONHOLD"}
    plain |= {"currency": "SEK", "store": "s", "customer.email": "a@b.se", "shippingAddress.country": "SE"}
    values = {field: field for field in others} | plain | values
    content = ",".join(values) + "\n" + ",".join(values.values()) + "\n"
    [record] = read_csv(tmp_path, content, maps=[f"{field}={field}" for field in values], sets=[])
    order = IntakeOrder.model_validate(record.document)
    assert order.billing_address is not None
    assert (order.billing_address.country, order.locale, order.waiting_for_payment) == ("SE", "sv", False)
    assert (order.lines[0].line_id, str(order.lines[0].tax_rate)) == ("L-7", "0.25")
    assert (order.shipments[0].status, order.shipments[0].lines) == ("ONHOLD", {"L-7": 2})


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("\ufeff" + rows("1,A,Hüt,1,1,Ann,SE"), "utf-8-sig"),
        (rows("1,A,Hüt,1,1,Ann,SE").replace("\n", "\r\n"), "utf-8-sig"),
        (rows("1,A,Hüt,1,1,Ann,SE").replace("\n", "\r"), "utf-8-sig"),
        (rows("", "1,A,Hüt,1,1,Ann,SE", "", ",,,,,,"), "utf-8-sig"),
        (rows(" 1 ,A,  Hüt ,1,1,Ann,SE").rstrip("\n"), "utf-8-sig"),
        (rows('1,A,"Hüt",1,1,Ann,SE'), "latin-1"),
        (rows("1,A,Hüt,1,1,Ann,SE"), "utf-16"),
    ],
    ids=["BOM", "CRLF", "CR", "blank rows", "spaces, no last newline", "latin-1", "utf-16"],
)
def test_ways_to_write_a_file(tmp_path: Path, content: str, encoding: str) -> None:
    target = "utf-8" if encoding == "utf-8-sig" else encoding
    [record] = read_csv(tmp_path, content.encode(target), form=CsvFormat(encoding))
    assert record.document["lines"][0]["name"] == "Hüt"  # type: ignore[index]
    assert reasons(record) == []


def test_another_delimiter(tmp_path: Path) -> None:
    content = rows("1;A;Hat, blue;1;1;Ann;SE").replace("No,Sku,Name,Qty,Price,Who,Land", HEADER.replace(",", ";"))
    [record] = read_csv(tmp_path, content, form=CsvFormat(delimiter=";"))
    assert record.document["lines"][0]["name"] == "Hat, blue"  # type: ignore[index]


def test_a_wrong_cell_is_named_by_line_and_column(tmp_path: Path) -> None:
    [record] = read_csv(tmp_path, rows("1,A,Hat,1,1,,Eire", "1,A,,-3,1,,Eire"))
    assert reasons(record) == [
        "customer.name: Field required (line 2, column Who is empty)",
        "customer.email: Field required (line 2, column Who is empty)",
        'shippingAddress.country: expected an ISO 3166 country code such as "SE" (line 2, column Land)',
        "lines[1].name: Field required (line 3, column Name is empty)",
        "lines[1].quantity: expected a whole number from 1 to 1000000000 (line 3, column Qty)",
    ]


def test_bytes_that_are_not_utf_8_are_named_by_their_field(tmp_path: Path) -> None:
    [bad, good] = read_csv(tmp_path, rows("1,A,H?t,1,1,Ann,SE", "2,A,Hat,1,1,Ann,SE").encode().replace(b"?", b"\xfc"))
    assert reasons(bad) == ["lines[0].name: expected valid UTF-8 (line 2, column Name)"]
    assert reasons(good) == []


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="add --encoding utf-16"):
        read_csv(tmp_path, rows("1,A,Hat,1,1,Ann,SE").encode("utf-16"))


def test_countries_by_names_of_ones_own(tmp_path: Path) -> None:
    records = read_csv(
        tmp_path,
        rows("1,A,Hat,1,1,Ann,EIRE", "2,A,Hat,1,1,Ann,germany", "3,A,Hat,1,1,Ann,RSA"),
        countries=["Eire=ie", "RSA = ZA"],
    )
    assert [record.document["shippingAddress"]["country"] for record in records] == ["IE", "DE", "ZA"]  # type: ignore[index]


def test_rows_that_are_a_charge_are_shipping(tmp_path: Path) -> None:
    content = rows(
        "1,POST,Postage,2,1.25,Ann,SE", "1,A,Hat,1,1,Ann,SE", "1,DOT,Postage,1,0.01,Ann,SE", "1,B,,1,1,Ann,SE"
    )
    [record] = read_csv(tmp_path, content, shipping_skus=["POST", "DOT"])
    assert record.document is not None
    assert [line["lineId"] for line in record.document["lines"]] == ["2", "4"]
    assert str(record.document["shippingAmount"]) == "2.51"
    assert record.document["shipments"] == [{"status": "RELEASED", "lines": {"2": 1, "4": 1}}]
    assert reasons(record) == ["lines[1].name: Field required (line 5, column Name is empty)"]
    [record] = read_csv(tmp_path, rows("1,POST,Postage,-1,1,Ann,SE", "1,A,Hat,1,1,Ann,SE"), shipping_skus=["POST"])
    assert [reason.split(" (")[0] for reason in reasons(record)] == [
        'shippingAmount: expected a decimal number such as "199.00"'
    ]


def test_an_order_whose_rows_are_apart_is_refused_as_a_whole(tmp_path: Path) -> None:
    problem = "orderNumber: other orders stand between its rows; sort the file by order"
    records = read_csv(tmp_path, rows("1,A,Hat,1,1,Ann,SE", "2,A,Hat,1,1,Bo,SE", "1,B,Cap,1,1,Ann,SE"))
    assert told(records) == [("2", "1", problem), ("3", "2", None), ("4", "1", problem)]


def test_rows_of_one_order_agree_about_what_it_has_once(tmp_path: Path) -> None:
    [record] = read_csv(tmp_path, rows("1,A,Hat,1,1,,SE", "1,A,Hat,1,1,Ann,SE", "1,A,Hat,1,1,Bo,SE"))
    assert record.problem == "customer.name: the rows disagree (line 4, column Who)"
    [record] = read_csv(tmp_path, rows("1,A,Hat,1,1,,SE", "1,A,Hat,1,1,Ann,SE"))
    assert record.problem is None
    assert record.document["customer"]["name"] == "Ann"  # type: ignore[index]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("1,A,Hat, blue,1,1,Ann,SE", "8 cells, but the header has 7"),
        ("1,A,Hat", "3 cells, but the header has 7"),
        ('1,A,"Hat"x,1,1,Ann,SE', "not CSV: ',' expected after '\"'"),
        (",A,Hat,1,1,Ann,SE", "orderNumber: Field required"),
        ("1,A," + "x" * 140_000 + ",1,1,Ann,SE", "not CSV: field larger than field limit (131072)"),
        ("1,A," + "x" * MAX_LINE + ",1,1,Ann,SE", f"a line is longer than {MAX_LINE} characters"),
    ],
    ids=["more cells", "fewer cells", "stray quote", "no number", "long cell", "long line"],
)
def test_what_cannot_be_read_spoils_the_orders_that_it_may_belong_to(tmp_path: Path, bad: str, problem: str) -> None:
    def good(number: int) -> str:
        return f"{number},A,Hat,1,1,Ann,SE"

    records = read_csv(tmp_path, rows(good(1), good(2), bad, good(3), good(4)))
    spoiled = f"line 4 may belong to it, and cannot be read: {problem}"
    assert sorted(told(records)) == [
        ("2", "1", None),
        ("3", "2", spoiled),
        ("4", None, problem),
        ("5", "3", spoiled),
        ("6", "4", None),
    ]
    records = read_csv(tmp_path, rows(good(1), bad, good(1), good(2)))
    assert sorted(told(records)) == [
        ("2-4", "1", f"line 3 may belong to it, and cannot be read: {problem}"),
        ("3", None, problem),
        ("5", "2", None),
    ]


def test_an_order_with_too_many_lines_is_refused_without_being_held(tmp_path: Path) -> None:
    [record, after] = read_csv(tmp_path, rows(*["1,A,Hat,1,1,Ann,SE"] * (MAX_LINES + 5), "2,A,Hat,1,1,Ann,SE"))
    assert told([record]) == [(f"2-{MAX_LINES + 6}", "1", f"lines: expected at most {MAX_LINES}")]
    assert after.problem is None


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_a_header_is_unusable(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnusableFile, match="the file is empty"):
        read_csv(tmp_path, content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maps": []}, "--map orderNumber=COLUMN is needed"),
        ({"maps": ["orderNumber"]}, "--map orderNumber: expected field=value"),
        ({"maps": ["orderNumber=No", "line.skuu=Sku"]}, "there is no field 'line.skuu'; did you mean line.sku?"),
        ({"maps": ["orderNumber=No"], "sets": ["orderNumber=1"]}, "orderNumber is given twice"),
        ({"maps": ["orderNumber=No"], "sets": ["xyzzy=1"]}, "there is no field 'xyzzy'; there are orderNumber, store"),
        ({"maps": ["orderNumber=No"], "countries": ["EIRE=XX"]}, "--country EIRE=XX: expected a name and a code"),
        ({"maps": ["orderNumber=No"], "countries": ["EIRE"]}, "--country EIRE: expected a name and a code"),
        (
            {"maps": ["orderNumber=No"], "sets": ["shippingAmount=1"], "shipping_skus": ["POST"]},
            "--shipping-sku: shippingAmount is given already",
        ),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongMapping) as raised:
        parse_mapping(**options)
    assert message in str(raised.value)


def test_a_column_must_be_in_the_header_once(tmp_path: Path) -> None:
    with pytest.raises(WrongMapping, match=r"locale: the column 'Lang' is not in the header, which has: No, Sku"):
        read_csv(tmp_path, rows(), maps=[*MAPS, "locale=Lang"])
    with pytest.raises(WrongMapping, match=r"orderNumber: the column 'No' is twice in the header"):
        read_csv(tmp_path, "No,No\n1,2\n", maps=["orderNumber=No"], sets=[])


def test_braces_in_a_text(tmp_path: Path) -> None:
    [record] = read_csv(tmp_path, "No,a b\n7,x\n", maps=["orderNumber=No"], sets=["customer.name={{{a b}}}-{No}"])
    assert record.document["customer"]["name"] == "{x}-7"  # type: ignore[index]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.sampled_from(["1,A,Hat,1,1,Ann,SE", "2,A,Hat,1,1,Ann,SE", ",A,Hat,1,1,Ann,SE", "1,2", "3,A,Hat,1,1,Ann,SE"]),
        max_size=12,
    )
)
def test_an_order_without_a_problem_has_every_row_of_its_number(tmp_path: Path, lines: list[str]) -> None:
    records = read_csv(tmp_path, rows(*lines))
    for record in records:
        if record.problem is None:
            number = record.order_number
            assert number is not None
            wanted = [line for line in lines if line.startswith(f"{number},A")]
            assert record.document is not None
            assert len(record.document["lines"]) == len(wanted)
            # Nothing beside it could be one more of its rows.
            first, last = record.first_line - 2, record.last_line - 2
            beside = [lines[index] for index in (first - 1, last + 1) if 0 <= index < len(lines)]
            assert not {",A,Hat,1,1,Ann,SE", "1,2"} & set(beside)


def test_json_lines(tmp_path: Path) -> None:
    body = json.dumps(order_body(), ensure_ascii=False).encode()
    content = b"\xef\xbb\xbf" + body + b"\r\n\n  \n" + body.replace(b"100001", b"100002")
    first, second = read_jsonl(tmp_path, content)
    assert told([first, second]) == [("1", "100001", None), ("4", "100002", None)]
    assert first.document == order_body()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"orderNumber":', "not JSON: Expecting value at column 16"),
        (b"[1]", "expected a JSON object"),
        (b'{"customer": {"name": "\xe9"}}', "not UTF-8: byte 0xe9 at column 24"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not JSON: a number has too many digits"),
        (b'{"n": "' + b"x" * MAX_LINE + b'"}', f"the line is longer than {MAX_LINE} bytes"),
    ],
    ids=["cut off", "no object", "not UTF-8", "deep", "digits", "long"],
)
def test_a_line_that_is_no_order_leaves_the_others_alone(tmp_path: Path, line: bytes, problem: str) -> None:
    records = read_jsonl(tmp_path, b'{"orderNumber": "1"}\n' + line + b'\n{"orderNumber": 2}\n')
    assert told(records) == [("1", "1", None), ("2", None, problem), ("3", "2", None)]


def test_a_number_that_comes_again_is_a_problem(tmp_path: Path) -> None:
    records = read_jsonl(tmp_path, b'{"orderNumber": "1"}\n{"orderNumber": " 1 "}\n{"orderNumber": 1}\n{}\n{}\n')
    problem = "orderNumber: an earlier line has it"
    assert told(records) == [
        ("1", "1", None),
        ("2", "1", problem),
        ("3", "1", problem),
        ("4", None, None),
        ("5", None, None),
    ]

"""Documents as their readers get them: what they say, in every language and script, and how they come about."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from dataclasses import replace
from datetime import datetime

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents import apart, fonts, render, typesetting
from service.documents.content import Address, DocumentContent, DocumentKind, NotCaptured, Parcel, Seller
from service.documents.language import known_languages, language
from service.documents.render import render_document
from tests.support.documents import captured, content, letters, line, pages, text

DELIVERY_NOTE, PROFORMA, INVOICE = DocumentKind
EVERY_KIND = pytest.mark.parametrize("kind", list(DocumentKind))
PRICED = pytest.mark.parametrize("kind", [PROFORMA, INVOICE])


def sixty_lines(**changes: object) -> DocumentContent:
    rates = ("0.19", "0.07", "0")
    lines = tuple(line(f"ART-{n:03}", f"Artikel {n:03}", price=199 + n, rate=rates[n % 3]) for n in range(60))
    return captured(content(lines=lines, locale="de-DE", currency="EUR", **changes))


def test_a_delivery_note_says_what_is_in_the_parcel_and_no_price() -> None:
    read = text(render_document(DELIVERY_NOTE, captured(content())))
    for expected in (
        "Följesedel", "Nordvik Living", "Hamngatan 12", "Momsreg.nr SE556677889901", "+46 8 123 456 78",
        "Öberg & Söner", "Lillgatan 2", "111 22 Stockholm", "Sverige", "Order 100001", "Leverans 100001-1",
        "21 november 2026", "2 A-1 Skjorta, blå linne", "1 BOK-9 Skärgårdens fåglar", "3 Antal varor totalt",
        "PostNord · MyPack Home 00370730254738109283", "Spårningsnummer för retur 00370730254738109290",
        "Sida 1 av 1",
    ):  # fmt: skip
        assert expected in read
    for price in ("199,00", "398,00", "249,00", "49,00", "kr", "SEK", "25\u00a0%", "Netto", "Belopp"):
        assert price not in read
    assert "Storgatan 1" not in read  # where the bill goes


def test_an_invoice_adds_up_to_the_capture() -> None:
    read = text(render_document(INVOICE, captured(content()))).replace("\u00a0", " ")
    for expected in (
        "Faktura\n", "Fakturanummer 2026-000123", "Fakturadatum 22 november 2026", "Leveransdatum 21 november 2026",
        "Storgatan 1", "Lillgatan 2", "2 199,00 25 % 398,00", "1 249,00 6 % 249,00",
        "Varor 647,00", "Frakt 49,00", "Totalt inkl. moms 696,00 kr", "varav moms 100,79 kr",
        "25 % 342,51 85,63 428,14", "6 % 252,70 15,16 267,86", "Betald.", "Alla belopp i SEK.",
    ):  # fmt: skip
        assert expected in read
    assert 34251 + 25270 + 8563 + 1516 == 42814 + 26786 == 69600
    assert "Justering" not in read


def test_an_invoice_of_a_smaller_capture_says_so() -> None:
    read = text(render_document(INVOICE, captured(content(), 60000))).replace("\u00a0", " ")
    assert "Totalt inkl. moms 600,00 kr" in read
    assert "Justering -96,00" in read


def test_there_is_no_invoice_without_a_capture() -> None:
    with pytest.raises(NotCaptured):
        render_document(INVOICE, content())


@pytest.mark.parametrize("locale", known_languages())
def test_a_proforma_says_that_it_is_no_invoice(locale: str) -> None:
    read = text(render_document(PROFORMA, captured(content(locale=locale), 1)))
    labels = language(locale).labels
    assert letters(labels["not_an_invoice"]) in letters(read)
    assert labels["paid"] not in read
    assert "2026-000123" not in read


def test_a_proforma_shows_what_is_due_whatever_was_captured() -> None:
    read = text(render_document(PROFORMA, captured(content(), 1))).replace("\u00a0", " ")
    assert "Totalt inkl. moms 696,00 kr" in read


@EVERY_KIND
@pytest.mark.parametrize("locale", known_languages())
def test_every_document_speaks_every_language(kind: DocumentKind, locale: str) -> None:
    read = text(render_document(kind, captured(content(locale=locale))))
    labels = language(locale).labels
    titles = {DELIVERY_NOTE: "delivery_note", PROFORMA: "proforma", INVOICE: "invoice"}
    shared = ("deliver_to", "order", "shipment", "article", "quantity", "parcels", "tracking_number", "returns")
    for key in (titles[kind], *shared):
        assert labels[key] in read


def test_a_shipment_that_has_not_left_has_no_delivery_date() -> None:
    waiting = captured(content(has_left=False))
    assert "Leveransdatum" not in text(render_document(INVOICE, waiting))
    assert "Datum 21 november 2026" in text(render_document(DELIVERY_NOTE, waiting))


def test_the_least_there_can_be_is_a_document() -> None:
    bare = captured(
        content(
            seller=Seller(store="S"), buyer=Address(), delivery=Address(), parcels=(), package_count=None,
            return_slip_tracking=None, shipping_amount=0, lines=(line(price=0),),
        )
    )  # fmt: skip
    for kind in DocumentKind:
        assert "Shirt" in text(render_document(kind, bare))


@pytest.mark.parametrize(
    ("locale", "currency", "price", "shown"),
    [
        ("sv-SE", "SEK", 123456, "1 234,56 kr"),
        ("de-DE", "EUR", 123456, "1.234,56 €"),
        ("ja-JP", "JPY", 123456, "JP¥123,456"),
        ("ar-KW", "KWD", 123456, "KWD 123.456"),
        ("sv-SE", "JPY", 10**12, "1 000 000 000 000 JPY"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(locale: str, currency: str, price: int, shown: str) -> None:
    shipment = content(locale=locale, currency=currency, lines=(line(price=price),), shipping_amount=0)
    assert shown in text(render_document(INVOICE, captured(shipment))).replace("\u00a0", " ")


@EVERY_KIND
def test_sixty_lines_flow_over_pages_under_a_repeated_head(kind: DocumentKind) -> None:
    read = pages(render_document(kind, sixty_lines()))
    assert len(read) > 1
    columns = "Menge Artikelnr. Artikel" if kind is DELIVERY_NOTE else "Artikel Menge Einzelpreis MwSt. Betrag"
    for number, page in enumerate(read, 1):
        assert f"Seite {number} von {len(read)}" in page
        assert "100001-1" in page
        assert columns in page.splitlines() or number == len(read)  # where the sums may be alone
    joined = "\n".join(read)
    assert [joined.count(f"ART-{n:03}\n") + joined.count(f"ART-{n:03} ") for n in range(60)] == [1] * 60


@PRICED
def test_the_taxes_of_sixty_lines_add_up_on_paper(kind: DocumentKind) -> None:
    read = text(render_document(kind, sixty_lines())).replace("\u00a0", " ").splitlines()
    table = read[read.index("Steuersatz Netto MwSt. Brutto") + 1 :]
    rows = [row.replace("%", "").replace(".", "").replace(",", "").split() for row in table[:3]]
    net, tax, gross = (sum(int(row[column]) for row in rows) for column in (1, 2, 3))
    total = next(row for row in read if row.startswith("Gesamt inkl. MwSt."))
    assert net + tax == gross == sum(199 + n for n in range(60)) + 4900
    assert total == f"Gesamt inkl. MwSt. {gross // 100},{gross % 100:02} €"


HOSTILE = [
    '#import "@preview/x:1.0.0": *', '#read("/etc/passwd")', "$x^2$", "*bold*", "_em_", "back\\slash \\n \\u{41}",
    "`raw` ```block```", "<label> @ref", "= Heading", "- item", "/ term: x", "// comment /* x */", "[content] {code}",
    "#{ panic() }", '"quotes" \'single\' — -- ---', "~ ... -?", "{page} of {pages}", "{{ jinja }} %s {0}",
    "https://example.com/x", "</script><b>",
]  # fmt: skip


@EVERY_KIND
@pytest.mark.parametrize("name", HOSTILE)
def test_markup_in_foreign_text_comes_out_as_it_is(kind: DocumentKind, name: str) -> None:
    address = Address(name=name, company=name, street=name, city=name, country="SE")
    shipment = captured(
        content(
            seller=Seller(store=name, address=address, vat_number=name, email=name, phone=name),
            buyer=address, delivery=address, lines=(line(name, name),), return_slip_tracking=name,
            parcels=(Parcel(carrier=name, service=name, tracking_number=name),),
        )
    )  # fmt: skip
    read = letters(text(render_document(kind, shipment)))
    assert read.count(letters(name)) >= 14


def test_control_characters_show_as_a_sign() -> None:
    shipment = content(lines=(line("A\x00\x07", "evil\u202ename\nsecond"),))
    read = text(render_document(DELIVERY_NOTE, shipment))
    assert "A\ufffd\ufffd evil\ufffdname second" in read


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_makes_a_document(name: str) -> None:
    assert pages(render_document(DELIVERY_NOTE, content(lines=(line(name or "-", name or "-"),))))


@pytest.mark.parametrize(
    "name",
    [
        "手作り陶器のティーカップ【青】", "髙橋 さくら 𠮷野家", "骨直角 简体中文", "臺北市信義區", "한국어 서울특별시",
        "Ελληνικά", "Москва", "Tiếng Việt", "ไทย", "हिन्दी", "ქართული", "Հայերեն", "emoji 😀",
    ],
)  # fmt: skip
def test_scripts_have_their_shapes_and_their_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(typesetting.typst, "TypstError", NeverRaised)  # so that a missing shape fails
    read = letters(text(render_document(DELIVERY_NOTE, content(lines=(line("A-1", name),)))))
    assert letters(name) in read


@pytest.mark.parametrize("name", ["محمد الصباح", "שלום עולם"])
def test_scripts_from_right_to_left_have_their_shapes_and_letters(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(typesetting.typst, "TypstError", NeverRaised)
    read = text(render_document(DELIVERY_NOTE, content(lines=(line("A-1", name),))))
    # Readers differ in the order in which they report them.
    found = [set(word) for word in read.split()]
    assert all(set(word) in found for word in name.split())


class NeverRaised(Exception):
    """Stands in for typst's error, so that what would be caught is not."""


def test_a_character_without_a_shape_costs_no_document() -> None:
    shipment = content(lines=(line("A-1", "hieroglyph \U00013000"),))
    assert "hieroglyph" in text(render_document(DELIVERY_NOTE, shipment))


def test_every_typeface_that_documents_ask_for_is_there() -> None:
    there = set(fonts.load_fonts().families())
    for locale in ("sv-SE", "ja-JP", "ko", "zh", "zh-TW", "zh-Hant", "zh-HK"):
        missing = set(fonts.families(locale=locale, country=None)) - there
        assert not missing, f"no typeface {missing}: are manimgx-fonts and manimgx-fonts-cjk installed?"


@pytest.mark.parametrize(
    ("locale", "country", "expected"),
    [("sv-SE", "SE", "JP"), ("en-GB", "CN", "SC"), ("en-GB", "TW", "TC"), ("zh-HK", "CN", "HK"), ("ko-KR", "JP", "KR"),
     ("zh-Hant-TW", None, "TC"), ("zh-CN", "TW", "SC"), ("ja", "KR", "JP")],
)  # fmt: skip
def test_east_asian_shapes_follow_the_language_then_the_country(locale: str, country: str, expected: str) -> None:
    assert fonts.families(locale=locale, country=country) == ["Noto Sans", f"Noto Sans CJK {expected}"]


@EVERY_KIND
def test_long_names_wrap_within_the_page(kind: DocumentKind) -> None:
    long = Address(name="Ab" * 100, company="Øre " * 50, street="x" * 200, city="y" * 200, region="z" * 200)
    shipment = captured(
        content(
            buyer=long, delivery=long, seller=Seller(store="S" * 200, address=long, vat_number="v" * 200),
            order_number="o" * 64, shipment_number="O" * 64 + "-12", parcels=(Parcel(tracking_number="9" * 255),),
            lines=(line("Q" * 100, "N" * 500), line("q-" * 50, "ord " * 125, price=10**13)),
            return_slip_tracking="8" * 255,
        )
    )  # fmt: skip
    pdf = render_document(kind, shipment)
    for expected in ("Ab" * 100, "x" * 200, "9" * 255, "8" * 255, "N" * 500, "Q" * 100):
        assert expected in letters(text(pdf))
    for page in pypdfium2.PdfDocument(pdf):
        width, height = page.get_size()
        reader = page.get_textpage()
        for index in range(reader.count_chars()):
            left, bottom, right, top = reader.get_charbox(index)
            assert 55 <= left <= right + 0.1 <= width - 55, reader.get_text_range(index, 1)
            assert 20 <= bottom <= top <= height - 20


@EVERY_KIND
def test_the_same_shipment_gives_the_same_bytes(kind: DocumentKind) -> None:
    shipment = captured(content())
    first = render_document(kind, shipment)
    render_document(kind, sixty_lines())
    assert render_document(kind, shipment) == first


def test_the_file_says_what_it_is() -> None:
    document = pypdfium2.PdfDocument(render_document(INVOICE, captured(content())))
    facts = document.get_metadata_dict()
    assert (facts["Title"], facts["Author"]) == ("Faktura 100001-1", "Nordvik Living")
    assert datetime.strptime(facts["CreationDate"], "D:%Y%m%d%H%M%SZ") == datetime(2026, 11, 22, 12)  # noqa: DTZ001, DTZ007
    assert [round(size) for size in document[0].get_size()] == [595, 842]


def test_the_file_is_fit_for_archives_and_screen_readers() -> None:
    pdf = render_document(INVOICE, captured(content()))
    for mark in (b"pdfaid:part", b"pdfaid:conformance", b"pdfuaid:part", b"/Lang"):
        assert mark in pdf


async def test_the_event_loop_goes_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_went_on = threading.Event()

    def patient(template: str, data: bytes, *, day: object) -> bytes:
        assert loop_went_on.wait(20)
        return threading.current_thread().name.encode()

    monkeypatch.setattr(render, "typeset", patient)
    waiting = asyncio.ensure_future(render.render(PROFORMA, content()))
    asyncio.get_running_loop().call_soon(loop_went_on.set)
    assert (await waiting).startswith(b"documents")


async def test_simultaneous_documents_do_not_mix() -> None:
    numbers = [f"{1000 + n}-1" for n in range(12)]
    pdfs = await asyncio.gather(*(render.render(DELIVERY_NOTE, content(shipment_number=each)) for each in numbers))
    assert [number in text(pdf) for number, pdf in zip(numbers, pdfs, strict=True)] == [True] * 12


def test_threads_may_render_at_the_same_time() -> None:
    numbers = [f"{2000 + n}-1" for n in range(8)]
    results: dict[str, bytes] = {}

    def work(number: str) -> None:
        results[number] = render_document(DELIVERY_NOTE, content(shipment_number=number))

    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(number in text(results[number]) for number in numbers)


def test_a_large_document_is_made_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "typeset", None)
    lines = tuple(line(f"SKU-{n:04}", "An article with a name of ordinary length", rate="0.2") for n in range(400))
    pdf = render_document(INVOICE, captured(content(lines=lines, locale="en-GB", currency="GBP")))
    read = text(pdf)
    assert all(f"SKU-{n:04}" in read for n in range(400))
    assert "£40,049.00" in read


def test_both_ways_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    shipment = captured(content())
    here = render_document(INVOICE, shipment)
    monkeypatch.setattr(render, "_LARGE", 0)
    assert render_document(INVOICE, shipment) == here


def test_a_process_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        apart.typeset_apart("no-such-template", b"{}", day=content().delivery_date)
    assert "no-such-template" in capfd.readouterr().err


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_TIMEOUT_S", 0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        apart.typeset_apart("bill", b"{}", day=content().delivery_date)


def test_the_seller_is_not_named_twice() -> None:
    shop = Seller(store="Nordvik AB", address=Address(name="Nordvik AB", street="Hamngatan 12"))
    read = text(render_document(DELIVERY_NOTE, replace(content(), seller=shop)))
    assert read.count("Nordvik AB") == 2  # letterhead and foot

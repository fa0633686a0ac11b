from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.email.content import Item, Parcel, PostalAddress, clean, safe_link
from consumers.email.language import known_languages, language
from consumers.email.render import MOST_ITEMS, Renderer, TemplateFailure
from consumers.settings import WrongSetting
from tests.support.mails import Page, shipment_mail

PLAIN = shipment_mail()
SHAPES: dict[str, dict[str, Any]] = {
    "whole": {},
    "partial": {"later": (Item("Trousers", "B-2", 1),)},
    "several parcels": {
        "parcels": (Parcel("UPS", None, "1Z1", None), Parcel(None, "Home", "1Z2", "https://x.example/2"))
    },
    "no parcel": {"parcels": (), "packages": None},
    "packages only": {"parcels": (), "packages": 3},
    "return slip": {"return_number": "RR123456789SE"},
    "no country": {"address": PostalAddress(("Åsa Öberg",), None)},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("code", known_languages())
def test_every_language_renders_every_shape(code: str, shape: dict[str, Any]) -> None:
    mail = shipment_mail(**shape)
    rendered = Renderer().render(mail, language(code))
    page = Page(rendered.html)
    expected = ["Butiken", "100001", "Åsa Öberg", *(item.name for item in (*mail.items, *mail.later))]
    expected += [parcel.number for parcel in mail.parcels if parcel.number]
    expected += [mail.return_number] if mail.return_number else []
    for told in expected:
        assert told in rendered.text
        assert told in page.text
    for leftover in ("{", "}", "None"):
        assert leftover not in rendered.text
        assert leftover not in page.text
    assert "100001" in rendered.subject


def test_the_mail_says_everything_a_customer_needs() -> None:
    mail = shipment_mail(
        later=(Item("Trousers", "B-2", 1), Item("Shirt", "A-1", 3)),
        parcels=(
            Parcel("UPS", "Express", "1Z1", "https://ups.example/1Z1"),
            Parcel("DHL", None, "JD2", "https://dhl.example/JD2"),
        ),
        return_number="RR123456789SE",
    )
    rendered = Renderer().render(mail, language("en-GB"))
    assert rendered.subject == "Part of your order 100001 is on its way"
    words = " ".join(rendered.text.split())
    for told in (
        "Hello Åsa Öberg,",
        "left us on 21 November 2026",
        "In this shipment ---------------- - Shirt (A-1): 2 pieces",
        "Still to come ------------- - Trousers (B-2): 1 piece - Shirt (A-1): 3 pieces",
        "Parcel 1 of 2 Carrier: UPS Service: Express Tracking number: 1Z1 Track the parcel: https://ups.example/1Z1",
        "Parcel 2 of 2 Carrier: DHL Tracking number: JD2 Track the parcel: https://dhl.example/JD2",
        "Delivery address ---------------- Åsa Öberg Storgatan 1 111 22 Stockholm Sweden",
        "RR123456789SE",
    ):
        assert told in words
    page = Page(rendered.html)
    assert page.links == ["https://ups.example/1Z1", "https://dhl.example/JD2"]
    for told in ("Shirt A-1 2 pieces", "Trousers B-2 1 piece", "Carrier UPS", "Sweden", "RR123456789SE"):
        assert told in page.text


def test_the_number_of_packages_is_told_where_the_parcels_do_not_show_it() -> None:
    def text(packages: int | None) -> str:
        return Renderer().render(shipment_mail(packages=packages), language("en")).text

    assert "consists of 3 packages" in text(3)
    assert "package" not in text(1)
    assert "package" not in text(None)


def test_a_mail_needs_nothing_from_elsewhere() -> None:
    page = Page(Renderer().render(shipment_mail(parcels=()), language("en")).html)
    assert page.links == []
    assert not {"script", "img", "link", "iframe", "form"} & set(page.tags)


def test_styles_are_inline_and_only_what_cannot_be_stays_in_the_head() -> None:
    html = Renderer().render(PLAIN, language("en")).html
    assert html.count("<style") == 1
    assert "@media" in html.split("</style>")[0]
    assert 'style="margin: 0' in html


def test_a_list_too_long_is_cut_and_says_so() -> None:
    items = tuple(Item(f"Item {n}", f"S{n}", 1) for n in range(MOST_ITEMS + 7))
    rendered = Renderer().render(shipment_mail(items=items), language("en"))
    for part in (rendered.text, Page(rendered.html).text):
        assert "and 7 more items" in part
        assert f"Item {MOST_ITEMS - 1}" in part
        assert f"Item {MOST_ITEMS}" not in part


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% raw %}",
    "{order}{0}",
    "</td></tr></table></style><h1>hi",
    "<!-- --> <![CDATA[",
    "&lt;b&gt;&amp;",
    "שלום עולם",
    "' style='background:url(https://evil.example/x)",
    "=?utf-8?q?evil?=",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_they_are_and_do_nothing(name: str) -> None:
    mail = shipment_mail(
        store=name,
        customer=name,
        items=(Item(name, name, 1),),
        later=(Item(name, name, 1),),
        parcels=(Parcel(name, name, name, None),),
        return_number=name,
        address=PostalAddress((name, name), None),
    )
    rendered = Renderer().render(mail, language("en"))
    page, usual = Page(rendered.html), Page(Renderer().render(replace(mail, **PLAIN_NAMES), language("en")).html)
    assert (page.tags, page.links, page.attributes) == (usual.tags, usual.links, usual.attributes)
    assert page.text.count(" ".join(name.split())) >= 8
    assert rendered.text.count(name) >= 8
    assert "49" not in rendered.text


PLAIN_NAMES: dict[str, Any] = {
    "store": "x",
    "customer": "x",
    "items": (Item("x", "x", 1),),
    "later": (Item("x", "x", 1),),
    "parcels": (Parcel("x", "x", "x", None),),
    "return_number": "x",
    "address": PostalAddress(("x", "x"), None),
}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Åsa\r\nBcc: all@example.com", "Åsa Bcc: all@example.com"),
        ("a\x00b\x1b[31mc\x7fd\x85e", "a b [31mc d e"),
        ("line\u2028para\u2029graph", "line para graph"),
        ("evil\u202egpj.exe", "evil gpj.exe"),
        ("\u2066isolated\u2069 \ufeff", "isolated"),
        ("A\u030asa", "Åsa"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("  many   spaces\t", "many spaces"),
        ("\r\n", ""),
    ],
)
def test_text_from_outside_stays_on_its_line_and_in_its_direction(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "url", ["https://ups.example/track?n=1&x=%20", "http://ups.example:8080/", "HTTPS://UPS.example"]
)
def test_web_addresses_become_links(url: str) -> None:
    assert safe_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https:///path",
        "https://",
        "ftp://x.example",
        "https://x.example/a b",
        "https://x.example/\u202egpj",
        "https://[::1",
        "mailto:a@b.c",
    ],
)
def test_nothing_else_becomes_a_link(url: str | None) -> None:
    assert safe_link(url) is None


def test_a_link_is_escaped() -> None:
    url = 'https://x.example/"onmouseover="alert(1)&y=<b>'
    page = Page(Renderer().render(shipment_mail(parcels=(Parcel(None, None, "1", url),)), language("en")).html)
    assert page.links == [url]
    assert "onmouseover" not in page.attributes


class TestTemplatesOfAStore:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "se-web").mkdir()
        return tmp_path

    def test_replace_the_defaults_for_that_store_only(self, folder: Path) -> None:
        (folder / "se-web" / "subject.txt").write_text("Hej {{ mail.customer }}\n\n")
        (folder / "se-web" / "shipped.html").write_text(
            "<p>{{ mail.customer }} &amp; {{ language.count('pieces', 2) }}</p>"
        )
        renderer = Renderer(folder)
        rendered = renderer.render(shipment_mail(customer="<b>"), language("sv"))
        assert rendered.subject == "Hej <b>"
        assert Page(rendered.html).text == "<b> & 2 st"
        assert "Storgatan 1" in rendered.text
        assert renderer.render(shipment_mail(store_code="de-web"), language("de")).subject.startswith("Ihre Bestellung")

    def test_may_change_parts_of_the_defaults(self, folder: Path) -> None:
        (folder / "se-web" / "shipped.html").write_text(
            '{% extends "shipped.html" %}{% block footer %}<tr><td>Org.nr 556000-0000</td></tr>{% endblock %}'
        )
        page = Page(Renderer(folder).render(PLAIN, language("sv")).html)
        assert "Org.nr 556000-0000" in page.text
        assert "Shirt A-1 2 st" in page.text
        assert "automatiskt" not in page.text

    def test_may_share_a_common_one(self, folder: Path) -> None:
        (folder / "subject.txt").write_text("Common")
        assert Renderer(folder).render(PLAIN, language("sv")).subject == "Common"

    def test_count_as_they_are_at_the_start(self, folder: Path) -> None:
        own = folder / "se-web" / "subject.txt"
        own.write_text("First")
        renderer = Renderer(folder)
        own.write_text("Half a templ{{")
        assert [renderer.render(PLAIN, language("sv")).subject for _ in range(2)] == ["First"] * 2

    def test_are_looked_for_once(self, folder: Path) -> None:
        renderer = Renderer(folder)
        usual = renderer.render(PLAIN, language("sv")).subject
        (folder / "se-web" / "subject.txt").write_text("Later")
        assert renderer.render(PLAIN, language("sv")).subject == usual
        assert Renderer(folder).render(PLAIN, language("sv")).subject == "Later"

    def test_that_are_no_templates_stop_the_start(self, folder: Path) -> None:
        (folder / "se-web" / "shipped.txt").write_text("fine\n{% if %}")
        with pytest.raises(WrongSetting, match=r"WAYBILL_MAIL_TEMPLATES_DIR: se-web/shipped.txt: line 2: "):
            Renderer(folder)

    def test_that_are_not_text_stop_the_start(self, folder: Path) -> None:
        (folder / "se-web" / "shipped.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(WrongSetting, match=r"se-web/shipped.txt"):
            Renderer(folder)

    def test_must_be_in_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(WrongSetting, match="WAYBILL_MAIL_TEMPLATES_DIR"):
            Renderer(tmp_path / "missing")

    @pytest.mark.parametrize(
        ("template", "fault"),
        [
            ("{{ mail.nonsense }}", "nonsense"),
            ("{{ language.text('nonsense') }}", "nonsense"),
            ("{{ language.text('greeting') }}", "name"),
            ("{{ 1 + 'x' }}", "TypeError"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
            ("{% include 'missing.txt' %}", "missing.txt"),
        ],
    )
    def test_that_fail_are_named(self, folder: Path, template: str, fault: str) -> None:
        (folder / "se-web" / "shipped.txt").write_text(template)
        with pytest.raises(TemplateFailure, match=f"template shipped.txt of store se-web: .*{fault}"):
            Renderer(folder).render(PLAIN, language("sv"))

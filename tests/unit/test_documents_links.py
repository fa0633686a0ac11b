"""A link opens the one document that it was made for, for as long as it is meant to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.content import DocumentKind
from service.documents.links import LinkExpired, LinkInvalid, LinkRefused, document_url, kind_of, verify
from service.settings import Settings, SettingsError, load_settings

NOW = datetime(2026, 11, 21, 18, 40, tzinfo=UTC)
MONTH = timedelta(days=30)
OLD, NEW, FOREIGN = "o" * 32, "n" * 32, "f" * 32
NUMBER = "100001-1"


def link(number: str = NUMBER, kind: DocumentKind = DocumentKind.INVOICE, secrets: tuple[str, ...] = (NEW,)) -> str:
    return document_url("https://shop.example", secrets, kind=kind, shipment_number=number, now=NOW)


def token(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def opens(
    value: str,
    *,
    number: str = NUMBER,
    kind: DocumentKind = DocumentKind.INVOICE,
    secrets: tuple[str, ...] = (NEW,),
    after: timedelta = timedelta(),
) -> None:
    verify(value, secrets, kind=kind, shipment_number=number, now=NOW + after, max_age=MONTH)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (DocumentKind.DELIVERY_NOTE, "/documents/100001-1/delivery-note.pdf"),
        (DocumentKind.PROFORMA, "/documents/100001-1/proforma.pdf"),
        (DocumentKind.INVOICE, "/documents/100001-1/invoice.pdf"),
    ],
)
def test_a_link_looks_like_a_file_and_opens_it(kind: DocumentKind, path: str) -> None:
    url = urlsplit(link(kind=kind))
    assert (url.scheme, url.netloc, url.path) == ("https", "shop.example", path)
    assert kind_of(url.path.rsplit("/", 1)[1].removesuffix(".pdf")) is kind
    opens(token(url.geturl()), kind=kind)


@pytest.mark.parametrize("base", ["https://shop.example/ship", "https://shop.example/ship/"])
def test_a_base_may_have_a_path(base: str) -> None:
    url = document_url(base, (NEW,), kind=DocumentKind.INVOICE, shipment_number=NUMBER, now=NOW)
    assert url.startswith("https://shop.example/ship/documents/100001-1/invoice.pdf?token=")


def test_a_link_expires() -> None:
    value = token(link())
    opens(value, after=MONTH)
    with pytest.raises(LinkExpired):
        opens(value, after=MONTH + timedelta(seconds=1))


def test_a_reader_whose_clock_is_a_little_behind_still_reads() -> None:
    value = token(link())
    opens(value, after=timedelta(minutes=-5))
    with pytest.raises(LinkExpired):
        opens(value, after=timedelta(minutes=-6))


def test_the_moment_counts_not_its_zone() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    url = document_url("", (NEW,), kind=DocumentKind.INVOICE, shipment_number=NUMBER, now=tokyo)
    assert token(url) == token(link())


@pytest.mark.parametrize("kind", [DocumentKind.DELIVERY_NOTE, DocumentKind.PROFORMA])
def test_a_link_opens_no_other_kind(kind: DocumentKind) -> None:
    with pytest.raises(LinkInvalid):
        opens(token(link()), kind=kind)


@pytest.mark.parametrize("number", ["100001-2", "10000", "100001-11", ""])
def test_a_link_opens_no_other_shipment(number: str) -> None:
    with pytest.raises(LinkInvalid):
        opens(token(link()), number=number)


def test_a_number_with_dots_is_not_read_as_a_shorter_one() -> None:
    with pytest.raises(LinkInvalid):
        opens("1-1." + token(link("A.1-1")), number="A")
    opens(token(link("A.1-1")), number="A.1-1")


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(LinkInvalid):
        opens(token(link(secrets=(FOREIGN,))))


def test_secrets_are_changed_without_breaking_links() -> None:
    before = token(link(secrets=(OLD,)))
    opens(before, secrets=(NEW, OLD))
    during = token(link(secrets=(NEW, OLD)))
    opens(during, secrets=(NEW,))
    with pytest.raises(LinkInvalid):
        opens(before, secrets=(NEW,))
    with pytest.raises(LinkInvalid):
        opens(during, secrets=(OLD,))


@given(st.text(max_size=60))
def test_made_up_tokens_open_nothing(value: str) -> None:
    with pytest.raises(LinkRefused):
        opens(value)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_token_opens_nothing(position: int, char: str) -> None:
    value = token(link())
    position %= len(value)
    changed = value[:position] + char + value[position + 1 :]
    if changed != value and not same_bits(value, changed):
        with pytest.raises(LinkInvalid):
            opens(changed)


def same_bits(value: str, changed: str) -> bool:
    """The last character of an unpadded base64 text carries bits that mean nothing, and both alphabets are read."""
    return value[:-1] == changed[:-1].translate(str.maketrans("+/", "-_"))


def test_a_token_tells_the_time_of_signing_and_nothing_else() -> None:
    timestamp, signature = token(link()).split(".")
    assert len(timestamp) < 10
    assert len(signature) == 43  # SHA-256
    assert NUMBER not in token(link())


@pytest.mark.parametrize("secrets", [(), ("",), (NEW, "")])
def test_there_are_no_links_without_a_secret(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no secret"):
        link(secrets=secrets)
    with pytest.raises(ValueError, match="no secret"):
        opens("x", secrets=secrets)


@pytest.mark.parametrize("slug", ["", "deliveryNote", "receipt", "INVOICE"])
def test_other_kinds_are_none(slug: str) -> None:
    with pytest.raises(LinkInvalid):
        kind_of(slug)


def test_secrets_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().documents_secrets == ()
    monkeypatch.setenv("WAYBILL_DOCUMENTS_SECRET", f"{NEW}, {OLD},")
    settings = load_settings()
    assert settings.documents_secrets == (NEW, OLD)
    assert NEW not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "DOCUMENTS_SECRET",
            f"{NEW},short",
            "WAYBILL_DOCUMENTS_SECRET: Value error, each secret must have at least 32",
        ),
        ("DOCUMENTS_LINK_DAYS", "0", "WAYBILL_DOCUMENTS_LINK_DAYS: Input should be greater"),
        ("PUBLIC_URL", "shop.example", "WAYBILL_PUBLIC_URL: Value error, expected an address such as"),
        ("PUBLIC_URL", "ftp://shop.example", "WAYBILL_PUBLIC_URL: Value error, expected an address such as"),
        ("PUBLIC_URL", "https://shop.example?a=b", "WAYBILL_PUBLIC_URL: Value error, expected an address such as"),
        ("PUBLIC_URL", "https://[shop", "WAYBILL_PUBLIC_URL: Value error"),
    ],
)
def test_wrong_settings_are_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"WAYBILL_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert expected in str(caught.value)
    assert value not in str(caught.value)


def test_the_public_address_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_PUBLIC_URL", "https://shop.example/ship/")
    assert load_settings().public_url == "https://shop.example/ship"

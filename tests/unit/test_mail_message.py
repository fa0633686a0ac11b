from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.header import Header
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from consumers.email.addresses import parse_address
from consumers.email.content import clean
from consumers.email.mail import make_mail
from consumers.email.message import Envelope, compose
from consumers.email.render import Rendered, Renderer
from consumers.outcome import Rejected
from tests.support.mails import EVENT_ID, header, mailbox, parse, shipment_mail

NOW = datetime(2026, 11, 21, 18, 40, 5, tzinfo=UTC)
ENVELOPE = Envelope(parse_address("shop@example.com"), "Butiken", parse_address("asa@example.com"), "Åsa Öberg")
NAMES = st.text(max_size=200).map(clean)


def composed(envelope: Envelope = ENVELOPE, *, request_id: str = "req-1", **content: str) -> bytes:
    rendered = Rendered(**{"subject": "Subject", "text": "text\n", "html": "<p>html</p>\n"} | content)
    return compose(envelope, rendered, event_id=EVENT_ID, request_id=request_id, language_tag="sv-SE", now=NOW)


def test_the_headers_are_complete() -> None:
    message = parse(composed())
    assert message.defects == []
    assert {name.lower(): value for name, value in message.items()} == {
        "date": "Sat, 21 Nov 2026 18:40:05 +0000",
        "from": "Butiken <shop@example.com>",
        "to": "Åsa Öberg <asa@example.com>",
        "subject": "Subject",
        "message-id": f"<{EVENT_ID}@example.com>",
        "auto-submitted": "auto-generated",
        "content-language": "sv-SE",
        "x-waybill-event-id": str(EVENT_ID),
        "x-waybill-request-id": "req-1",
        "mime-version": "1.0",
        "content-type": 'multipart/alternative; boundary="=_waybill_part"',
    }


def test_an_event_without_a_request_id_is_mailed_without_one() -> None:
    assert "X-Waybill-Request-Id" not in parse(composed(request_id=""))


def test_the_same_event_always_has_the_same_message_id() -> None:
    first, again = (parse(composed())["Message-ID"] for _ in range(2))
    assert first == again


@given(text=st.text(max_size=400), html=st.text(max_size=400))
@example(text="a\r\n.\r\nQUIT\r\n", html="--=_waybill_part--\r\n")
@example(text="trailing space \nFrom me\n\ttab\t\n", html="=" * 200)
def test_bodies_arrive_as_they_were_rendered(text: str, html: str) -> None:
    message = parse(composed(text=text, html=html))
    for subtype, sent in (("plain", text), ("html", html)):
        (part,) = [each for each in message.iter_parts() if each.get_content_subtype() == subtype]
        arrived = part.get_payload(decode=True).decode()
        assert arrived.splitlines() == sent.replace("\r\n", "\n").replace("\r", "\n").splitlines()


@given(store=NAMES, customer=NAMES, subject=st.text(max_size=300).map(clean))
@example(store='a "quoted" \\ name, and more', customer="Öberg, Åsa <evil@example.com>", subject="=?utf-8?q?evil?=")
@example(
    store="Jean-François Müller, Directeur général de l'entreprise;" * 3, customer="日本語" * 60, subject="é" * 300
)
@example(store="@all: x;", customer="(comment)", subject="")
def test_names_arrive_as_they_are_and_bring_no_further_address(store: str, customer: str, subject: str) -> None:
    content = composed(replace(ENVELOPE, store=store, customer=customer), subject=subject)
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 78
    assert b"\n" not in content.replace(b"\r\n", b"")
    message = parse(content)
    assert header(content, "Subject") == subject
    for name, display, address in (("From", store, "shop@example.com"), ("To", customer, "asa@example.com")):
        assert [each.addr_spec for each in message[name].addresses] == [address]
        assert mailbox(content, name) == (display, address)


@given(subject=st.text(max_size=80).map(clean))
@example(subject="ö" * 16)
@example(subject="ö" * 17)
@example(subject="ö, " + "a" * 37)
@example(subject="ö, " + "a" * 38)
@example(subject="=?utf-8?q?a?=")
def test_encoded_words_are_those_of_the_standard_library(subject: str) -> None:
    assume(not (subject.isascii() and "=?" not in subject))
    usual = Header(subject, "utf-8", maxlinelen=75, header_name="x" * 14).encode(linesep="\r\n")
    assert f"Subject: {usual}\r\nMessage-ID".encode() in composed(subject=subject)


def test_an_address_that_needs_it_goes_out_in_utf_8() -> None:
    content = composed(replace(ENVELOPE, recipient=parse_address("åsa@exämple.se")))
    assert "<åsa@xn--exmple-cua.se>".encode() in content


@pytest.mark.parametrize(
    ("store", "default", "shown"),
    [
        (None, "no-reply@example.com", ("Butiken", "no-reply@example.com")),
        (None, "Waybill <no-reply@example.com>", ("Waybill", "no-reply@example.com")),
        ("hej@butiken.example", "no-reply@example.com", ("Butiken", "hej@butiken.example")),
        ("Kundtjänst <hej@butiken.example>", "x@example.com", ("Kundtjänst", "hej@butiken.example")),
    ],
)
def test_the_sender_is_the_stores_or_else_the_services(store: str | None, default: str, shown: tuple[str, str]) -> None:
    mail = make(sender=store, default_sender=default)
    assert mailbox(mail, "From") == shown
    domain = shown[1].rpartition("@")[2]
    assert parse(mail)["Message-ID"] == f"<{EVENT_ID}@{domain}>"


@pytest.mark.parametrize("address", ["asa@example.com\r\nBcc: all@example.com", "nonsense", "a b@example.com", ""])
def test_an_address_that_cannot_be_mailed_is_rejected_without_being_told(address: str) -> None:
    with pytest.raises(Rejected, match="customer's mail address is not valid") as rejected:
        make(recipient=address)
    assert "example" not in str(rejected.value)


def test_a_store_whose_sender_is_no_address_is_named() -> None:
    with pytest.raises(Rejected, match="sender of store se-web"):
        make(sender="nonsense")


def test_a_hostile_customer_gets_into_no_header() -> None:
    content = make(customer=clean("Åsa\r\nBcc: all@example.com"), store=clean("Shop\nX-Evil: 1"))
    message = parse(content)
    assert "Bcc" not in message
    assert "X-Evil" not in message
    assert [each.addr_spec for each in message["To"].addresses] == ["asa@example.com"]


def make(default_sender: str = "no-reply@example.com", **fields: Any) -> bytes:
    return make_mail(
        shipment_mail(**fields),
        Renderer(),
        event_id=UUID(str(EVENT_ID)),
        request_id="req-1",
        default_sender=default_sender,
    ).content


def test_a_locale_may_be_asked_for(tmp_path: Path) -> None:
    mail = make_mail(
        shipment_mail(), Renderer(), event_id=EVENT_ID, request_id="", default_sender="a@b", locale="fr-CA"
    )
    assert mail.language.tag == "fr-CA"
    assert mail.rendered.subject == "Votre commande 100001 est en route"

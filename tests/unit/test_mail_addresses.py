from __future__ import annotations

import pytest
from aiosmtplib.email import quote_address
from hypothesis import given
from hypothesis import strategies as st

from consumers.email.addresses import Address, InvalidAddress, parse_address, parse_sender


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("asa@example.com", "asa", "example.com"),
        (" asa@Example.COM ", "asa", "example.com"),
        ("O'Brien+shop@mail.example", "O'Brien+shop", "mail.example"),
        ("a..b.@docomo.example", "a..b.", "docomo.example"),
        ("root@localhost", "root", "localhost"),
        ("asa@exämple.se", "asa", "xn--exmple-cua.se"),
        ("asa@XN--EXMPLE-CUA.se", "asa", "xn--exmple-cua.se"),
        ("用户@例え.jp", "用户", "xn--r8jz45g.jp"),
        ("a@under_score.example", "a", "under_score.example"),
    ],
)
def test_an_address_is_taken_apart(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


def test_only_the_part_before_the_at_needs_an_extension() -> None:
    assert parse_address("åsa@example.com").needs_smtputf8
    assert not parse_address("asa@exämple.se").needs_smtputf8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "asa",
        "asa@",
        "@example.com",
        "asa@example.com\r\nRCPT TO:<victim@example.com>",
        "asa\n@example.com",
        "asa@example.com\n",
        "a b@example.com",
        "a@b@example.com",
        "a,b@example.com",
        "<a@example.com>",
        "a@example.com, b@example.com",
        "a@exa mple.com",
        "a@example..com",
        "a@.example.com",
        "a@example.com.",
        "a@-example.com",
        "a@[127.0.0.1]",
        "a@" + "b" * 64 + ".com",
        "a@" + ".".join(["b" * 60] * 5),
        "x" * 65 + "@example.com",
        "å" * 33 + "@example.com",
        '"a b"@example.com',
        "a\u202eb@example.com",
        "a\u00a0b@example.com",
        "a@ex\u0000mple.com",
        "a@\ud800.com",
    ],
)
def test_what_is_no_mailbox_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        parse_address(text)
    assert "example" not in str(refused.value)


@given(st.text(max_size=80).map(lambda local: f"{local}@example.com"))
def test_whatever_is_accepted_reaches_the_server_as_it_is(text: str) -> None:
    try:
        address = parse_address(text)
    except InvalidAddress:
        return
    assert quote_address(str(address)) == f"<{address}>"
    assert str(address).isprintable()


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("no-reply@example.com", "", "no-reply@example.com"),
        ("Butiken <no-reply@example.com>", "Butiken", "no-reply@example.com"),
        ('"Butiken, Malmö" <no-reply@example.com>', "Butiken, Malmö", "no-reply@example.com"),
        ("<no-reply@example.com>", "", "no-reply@example.com"),
    ],
)
def test_a_sender_may_have_a_name(text: str, name: str, address: str) -> None:
    assert parse_sender(text) == (name, parse_address(address))


@pytest.mark.parametrize("text", ["", "Butiken", "Butiken <>", "<a@b> <c@d>", "a@b <c@d", "x <a@b> y"])
def test_a_sender_without_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_sender(text)

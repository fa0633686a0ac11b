from __future__ import annotations

import pytest

from consumers.email.server import SmtpServer, parse_smtp_url
from consumers.settings import WrongSetting


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 25)),
        ("smtp://127.0.0.1:2525/", SmtpServer("127.0.0.1", 2525)),
        ("smtp://[::1]:25", SmtpServer("::1", 25)),
        ("smtps://mail.example", SmtpServer("mail.example", 465, tls=True)),
        (
            "smtp+starttls://me%40example.com:p%2Fa%40s:s@mail.example",
            SmtpServer("mail.example", 587, starttls=True, username="me@example.com", password="p/a@s:s"),
        ),
        ("smtps://key@mail.example:2465", SmtpServer("mail.example", 2465, tls=True, username="key")),
    ],
)
def test_a_url_says_where_and_how(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://user:geheim@",
        "smtp://mail.example:port",
        "smtp://mail.example:99999",
        "smtp://user:geheim/x@mail.example",
        "smtp://user:geheim#x@mail.example",
        "smtp://mail.example/path",
        "smtp://mail.example?tls=no",
    ],
)
def test_a_wrong_url_names_the_variable_and_no_secret(url: str) -> None:
    with pytest.raises(WrongSetting, match="WAYBILL_SMTP_URL") as wrong:
        parse_smtp_url(url)
    assert "geheim" not in str(wrong.value)


def test_the_password_is_in_no_representation() -> None:
    assert "geheim" not in repr(parse_smtp_url("smtps://user:geheim@mail.example"))

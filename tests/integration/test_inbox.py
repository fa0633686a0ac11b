from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from service.dev.inbox import LARGEST_MAIL_BYTES, Inbox, serve_smtp
from service.dev.inbox_page import serve_pages
from tests.support.processes import free_port

EVIL = "<script>alert(1)</script>\"'>"


class RunningInbox:
    def __init__(self, smtp_port: int, url: str) -> None:
        self._smtp_port = smtp_port
        self._url = url

    async def send(self, content: bytes, *recipients: str) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=self._smtp_port) as client:
            await client.sendmail("shop@example.com", recipients, content, mail_options=["SMTPUTF8"])

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(self._url + path) as response:
            return await response.json()

    async def page(self, path: str) -> tuple[str, aiohttp.ClientResponse]:
        headers = {"Accept": "text/html,application/xhtml+xml"}
        async with aiohttp.ClientSession() as session, session.get(self._url + path, headers=headers) as response:
            return await response.text(), response


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RunningInbox]:
    smtp, http = free_port(), free_port()
    kept = Inbox(folder)
    async with serve_smtp(kept, host="127.0.0.1", port=smtp), serve_pages(kept, host="127.0.0.1", port=http):
        yield RunningInbox(smtp, f"http://127.0.0.1:{http}")


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[RunningInbox]:
    async with running(tmp_path / "mail") as opened:
        yield opened


def mail(subject: str, *, text: str = "Hej", html: str | None = None) -> bytes:
    message = EmailMessage()
    message["From"] = "Butiken <shop@example.com>"
    message["To"] = "Åsa <asa@example.com>"
    message["Subject"] = subject
    message["Message-ID"] = f"<{len(subject)}@example.com>"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


async def test_a_mail_is_listed_and_shown(inbox: RunningInbox) -> None:
    await inbox.send(mail("Din order är på väg", text="Hej Åsa\n", html="<p>Hej Åsa</p>"), "asa@example.com", "bo@x.se")
    (listed,) = await inbox.get("/messages")
    assert listed.keys() == {"id", "to", "subject", "message_id", "received_at"}
    assert listed["to"] == "asa@example.com, bo@x.se"
    assert listed["subject"] == "Din order är på väg"
    assert listed["message_id"] == "<19@example.com>"
    shown = await inbox.get(f"/messages/{listed['id']}")
    assert listed.items() <= shown.items()
    assert shown["text"] == "Hej Åsa\n"
    assert shown["html"] == "<p>Hej Åsa</p>\n"
    assert shown["headers"]["To"] == "Åsa <asa@example.com>"


async def test_the_newest_mail_comes_first_and_all_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as before:
        for subject in ("one", "two", "three"):
            await before.send(mail(subject), "asa@example.com")
        listed = await before.get("/messages")
        assert [entry["subject"] for entry in listed] == ["three", "two", "one"]
    (tmp_path / "half-written.eml").touch()
    async with running(tmp_path) as after:
        assert await after.get("/messages") == listed
        await after.send(mail("four"), "asa@example.com")
        assert [entry["subject"] for entry in await after.get("/messages")] == ["four", "three", "two", "one"]


async def test_an_unknown_mail_is_not_found(inbox: RunningInbox) -> None:
    for mail_id in ("20260101T000000000000-00000000", "..%2f..%2fetc%2fpasswd"):
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await inbox.get(f"/messages/{mail_id}")


async def test_broken_mails_are_kept_and_shown(inbox: RunningInbox) -> None:
    await inbox.send(b"no headers at all", "asa@example.com")
    await inbox.send(b"Content-Type: text/plain; charset=klingon\r\n\r\nQapla' \xff", "asa@example.com")
    await inbox.send(
        b"Content-Type: multipart/mixed; boundary=x\r\nSubject: =?utf-8?b?broken?=\r\n\r\nnothing", "asa@example.com"
    )
    texts = set()
    for listed in await inbox.get("/messages"):
        texts.add((await inbox.get(f"/messages/{listed['id']}"))["text"])
        _, response = await inbox.page(f"/messages/{listed['id']}")
        assert response.status == 200
    assert texts == {"no headers at all\n", "Qapla' �\n", None}


async def test_a_mail_that_is_too_large_is_refused(inbox: RunningInbox) -> None:
    with pytest.raises(aiosmtplib.SMTPResponseException, match="size"):
        await inbox.send(
            b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * (LARGEST_MAIL_BYTES // 70), "asa@example.com"
        )
    assert await inbox.get("/messages") == []


class Elements(HTMLParser):
    """Collects the page's elements with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_the_content_of_a_mail_cannot_act_on_the_pages(inbox: RunningInbox) -> None:
    body = f"<p>{EVIL}</p><img src='https://example.com/pixel.gif'>"
    await inbox.send(mail(f"Subject {EVIL}", text=EVIL, html=body), "asa@example.com")
    (listed,) = await inbox.get("/messages")
    for path in ("/", f"/messages/{listed['id']}"):
        page, response = await inbox.page(path)
        elements = Elements(page).found
        assert "script" not in {tag for tag, _ in elements}
        assert "img" not in {tag for tag, _ in elements}
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
    (frame,) = [attributes for tag, attributes in elements if tag == "iframe"]
    assert frame["sandbox"] is None  # there and empty: nothing is allowed
    assert frame["srcdoc"] == f"{body}\n"


async def test_the_list_refreshes_itself_and_loads_nothing_from_elsewhere(inbox: RunningInbox) -> None:
    empty, _ = await inbox.page("/")
    assert "No mail yet" in empty
    await inbox.send(mail("Hello"), "asa@example.com")
    page, response = await inbox.page("/")
    assert response.content_type == "text/html"
    assert ("meta", {"http-equiv": "refresh", "content": "3"}) in Elements(page).found
    assert "1 mail." in page
    assert "://" not in page

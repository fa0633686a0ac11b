"""The development inbox: an SMTP server that delivers nowhere, keeping every mail as a file."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from service.dev.private_files import sync_folder

log = structlog.get_logger()

LARGEST_MAIL_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the inbox. `to` holds the envelope's recipients, `received_at` is UTC in ISO 8601."""

    id: str
    to: str
    subject: str
    message_id: str
    received_at: str


class Inbox:
    """The kept mails. A mail is `<id>.eml` with `<id>.json` beside it, which is written last and makes it count."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._summaries = {path.stem: Summary(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}

    def summaries(self) -> list[Summary]:
        """Return all mails, newest first."""
        return list(reversed(self._summaries.values()))

    def find(self, mail_id: str) -> tuple[Summary, EmailMessage] | None:
        """Return one mail; None if there is none of this id."""
        summary = self._summaries.get(mail_id)
        if summary is None:
            return None
        return summary, _parse((self._folder / f"{mail_id}.eml").read_bytes())

    async def add(self, content: bytes, *, recipients: list[str]) -> Summary:
        """Keep a mail durably."""
        message = _parse(content)
        now = datetime.now(UTC)
        summary = Summary(
            id=f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
            to=", ".join(recipients),
            subject=str(message.get("Subject", "")),
            message_id=str(message.get("Message-ID", "")).strip(),
            received_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        await asyncio.to_thread(self._write, summary, content)
        self._summaries[summary.id] = summary
        return summary

    def _write(self, summary: Summary, content: bytes) -> None:
        path = self._folder / summary.id
        _write_durably(path.with_suffix(".eml"), content)
        draft = path.with_suffix(".draft")
        _write_durably(draft, json.dumps(asdict(summary), ensure_ascii=False).encode())
        draft.replace(path.with_suffix(".json"))
        sync_folder(self._folder)


@asynccontextmanager
async def serve_smtp(inbox: Inbox, *, host: str, port: int) -> AsyncIterator[None]:
    """Accept mail for everybody as long as the block runs."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            _Handler(inbox),
            hostname="inbox.invalid",
            ident="Waybill development inbox",
            enable_SMTPUTF8=True,
            data_size_limit=LARGEST_MAIL_BYTES,
            loop=loop,
        )

    server = await loop.create_server(session, host, port)
    try:
        yield
    finally:
        server.close()


class _Handler:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        summary = await self._inbox.add(envelope.original_content or b"", recipients=envelope.rcpt_tos)
        log.info("mail_received", mail=summary.id, message_id=summary.message_id)
        return f"250 2.0.0 kept as {summary.id}"


def _parse(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

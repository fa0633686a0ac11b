from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from consumers.email.addresses import parse_address
from consumers.email.mailer import Mailer, open_mailer
from consumers.email.message import Envelope
from consumers.email.server import SmtpServer, parse_smtp_url
from consumers.outcome import Rejected, TryLater
from tests.support.smtp_script import HANG_UP, SAY_NOTHING, Script, open_script
from tests.support.smtp_sink import SmtpSink

# The sink's library cannot know that its connection is encrypted from the start.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

ENVELOPE = Envelope(parse_address("shop@example.com"), "Butiken", parse_address("asa@example.com"), "Åsa")
CONTENT = b"Subject: x\r\n\r\nbody\r\n.a line with a dot\r\n"


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    async with open_script() as opened:
        yield opened


@pytest.fixture
async def mailer(script: Script) -> AsyncIterator[Mailer]:
    async with open_mailer(SmtpServer("127.0.0.1", script.port), timeout_s=1, most_idle=2) as opened:
        yield opened


async def test_mails_follow_one_another_on_one_connection(mailer: Mailer, script: Script) -> None:
    for _ in range(3):
        await mailer.send(ENVELOPE, CONTENT)
    assert (script.connections, len(script.mails)) == (1, 3)
    assert script.mails[0] == CONTENT.replace(b"\r\n.a", b"\r\n..a") + b".\r\n"
    assert script.said("EHLO") == 1


async def test_mails_at_once_have_connections_of_their_own_and_only_so_many_are_kept(
    mailer: Mailer, script: Script
) -> None:
    await asyncio.gather(*(mailer.send(ENVELOPE, CONTENT) for _ in range(5)))
    assert (script.connections, len(script.mails)) == (5, 5)
    await asyncio.gather(*(mailer.send(ENVELOPE, CONTENT) for _ in range(2)))
    assert (script.connections, len(script.mails)) == (5, 7)


async def test_a_connection_that_the_server_has_closed_costs_nothing(mailer: Mailer, script: Script) -> None:
    await mailer.send(ENVELOPE, CONTENT)
    script.cut()
    await mailer.send(ENVELOPE, CONTENT)
    assert (script.connections, len(script.mails)) == (2, 2)


@pytest.mark.parametrize("reply", [HANG_UP, SAY_NOTHING, "421 4.7.0 too many mails on this connection"])
async def test_a_connection_found_stale_at_the_sender_costs_nothing(mailer: Mailer, script: Script, reply: str) -> None:
    await mailer.send(ENVELOPE, CONTENT)
    script.answer = lambda verb, connection: reply if (verb, connection) == ("MAIL", 1) else None
    await mailer.send(ENVELOPE, CONTENT)
    assert (script.connections, len(script.mails)) == (2, 2)


async def test_a_new_connection_that_does_the_same_is_trouble(mailer: Mailer, script: Script) -> None:
    script.answer = lambda verb, _: "421 4.7.0 go away" if verb == "MAIL" else None
    with pytest.raises(TryLater, match=r"SMTP 421 4\.7\.0 go away"):
        await mailer.send(ENVELOPE, CONTENT)
    assert script.connections == 1


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "MESSAGE"])
async def test_a_5xx_is_final_and_a_4xx_is_not(mailer: Mailer, script: Script, verb: str) -> None:
    script.answer = lambda each, _: "550 5.7.1 not you" if each == verb else None
    with pytest.raises(Rejected, match=r"^SMTP 550 5\.7\.1 not you$"):
        await mailer.send(ENVELOPE, CONTENT)
    script.answer = lambda each, _: "451 4.3.0 not now" if each == verb else None
    with pytest.raises(TryLater, match=r"^SMTP 451 4\.3\.0 not now$"):
        await mailer.send(ENVELOPE, CONTENT)
    script.answer = lambda *_: None
    await mailer.send(ENVELOPE, CONTENT)
    assert (script.connections, len(script.mails)) == (1, 1), "a refusal is no reason to close the connection"


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("CONNECT", "554 5.3.2 no service"),
        ("CONNECT", "421 busy"),
        ("CONNECT", "nonsense"),
        ("CONNECT", HANG_UP),
        ("CONNECT", SAY_NOTHING),
        ("MAIL", "530 5.7.0 authentication required"),
        ("RCPT", HANG_UP),
        ("RCPT", SAY_NOTHING),
        ("DATA", HANG_UP),
        ("MESSAGE", HANG_UP),
        ("MESSAGE", SAY_NOTHING),
    ],
)
async def test_trouble_with_the_server_is_not_the_mails_fault(
    mailer: Mailer, script: Script, verb: str, reply: str
) -> None:
    script.answer = lambda each, _: reply if each == verb else None
    with pytest.raises(TryLater):
        await mailer.send(ENVELOPE, CONTENT)
    script.answer = lambda *_: None
    await mailer.send(ENVELOPE, CONTENT)
    assert script.mails


async def test_a_server_without_ehlo_is_greeted_in_the_old_way(mailer: Mailer, script: Script) -> None:
    script.answer = lambda verb, _: "502 5.5.1 what" if verb == "EHLO" else None
    await mailer.send(ENVELOPE, CONTENT)
    assert script.said("HELO") == 1


async def test_nobody_listening_is_trouble() -> None:
    async with open_mailer(SmtpServer("127.0.0.1", 1), timeout_s=1, most_idle=1) as mailer:
        with pytest.raises(TryLater, match="mail server"):
            await mailer.send(ENVELOPE, CONTENT)


@pytest.mark.parametrize(
    "text",
    [
        "5.1.1 <asa@example.com>: Recipient address rejected",
        "5.1.1 ASA@EXAMPLE.COM unknown",
        "5.1.1 User asa unknown",
        "5.1.1 mailbox 'Asa' is full (asa@example.com/inbox)",
    ],
)
async def test_no_reason_tells_the_recipient(mailer: Mailer, script: Script, text: str) -> None:
    script.answer = lambda verb, _: f"550 {text}" if verb == "RCPT" else None
    with pytest.raises(Rejected) as rejected:
        await mailer.send(ENVELOPE, CONTENT)
    assert str(rejected.value).startswith("SMTP 550 5.1.1 ")
    assert "asa" not in str(rejected.value).lower()


async def test_a_reason_is_one_short_line_of_text(mailer: Mailer, script: Script) -> None:
    script.answer = lambda verb, _: "550-first\r\n550-" + "x" * 1000 + "\r\n550 last\x1b" if verb == "RCPT" else None
    with pytest.raises(Rejected) as rejected:
        await mailer.send(ENVELOPE, CONTENT)
    assert str(rejected.value).isprintable()
    assert len(str(rejected.value)) < 400


async def test_a_cancelled_mail_leaves_no_connection_in_the_middle_of_a_dialogue(
    mailer: Mailer, script: Script
) -> None:
    heard = asyncio.Event()
    script.answer = lambda verb, _: (heard.set(), SAY_NOTHING)[1] if verb == "MESSAGE" else None
    sending = asyncio.create_task(mailer.send(ENVELOPE, CONTENT))
    await heard.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    script.answer = lambda *_: None
    await mailer.send(ENVELOPE, CONTENT)
    assert script.connections == 2


async def test_an_address_beyond_ascii_goes_to_servers_that_take_it(smtp: SmtpSink) -> None:
    envelope = Envelope(ENVELOPE.sender, "", parse_address("åsa@exämple.se"), "")
    async with open_mailer(parse_smtp_url(smtp.url), timeout_s=5, most_idle=1) as mailer:
        await mailer.send(envelope, "To: åsa@exämple.se\r\n\r\nhej\r\n".encode())
        await mailer.send(ENVELOPE, CONTENT)
    assert [mail.recipients for mail in smtp.messages] == [["åsa@xn--exmple-cua.se"], ["asa@example.com"]]


async def test_and_to_no_others(mailer: Mailer, script: Script) -> None:
    envelope = Envelope(ENVELOPE.sender, "", parse_address("åsa@example.com"), "")
    with pytest.raises(Rejected, match="SMTPUTF8"):
        await mailer.send(envelope, b"x\r\n")
    await mailer.send(ENVELOPE, CONTENT)
    assert (script.connections, len(script.mails)) == (1, 1)


async def test_connections_are_closed_politely(script: Script) -> None:
    async with open_mailer(SmtpServer("127.0.0.1", script.port), timeout_s=1, most_idle=2) as mailer:
        await mailer.send(ENVELOPE, CONTENT)
    assert script.heard[-1] == "1 QUIT"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    return tls_context(certificate)


def tls_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    return context


class Private:
    """Takes mails of "me" with the password "p/a@s:s" over TLS only."""

    def __init__(self) -> None:
        self.secure: list[bool] = []
        self.users: list[str] = []

    def authenticate(
        self, _server: SMTP, _session: object, _envelope: object, _mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login.decode())
        return AuthResult(success=(data.login, data.password) == (b"me", b"p/a@s:s"), handled=False)

    async def handle_DATA(self, server: SMTP, _session: object, _envelope: object) -> str:  # noqa: N802
        self.secure.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 2.0.0 OK"


@asynccontextmanager
async def private_server(context: ssl.SSLContext, *, implicit: bool) -> AsyncIterator[tuple[Private, int]]:
    private = Private()
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def accept() -> SMTP:
        sessions.append(
            SMTP(
                private,
                loop=loop,
                hostname="private.test",
                tls_context=None if implicit else context,
                require_starttls=not implicit,
                auth_required=True,
                auth_require_tls=not implicit,
                authenticator=private.authenticate,
            )
        )
        return sessions[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0, ssl=context if implicit else None)
    try:
        yield private, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        for session in sessions:
            if session._handler_coroutine:
                session._handler_coroutine.cancel()
                await asyncio.gather(session._handler_coroutine, return_exceptions=True)


@pytest.mark.parametrize(("scheme", "implicit"), [("smtps", True), ("smtp+starttls", False)])
async def test_tls_and_login_by_url(trusted: ssl.SSLContext, scheme: str, implicit: bool) -> None:
    async with private_server(trusted, implicit=implicit) as (private, port):
        url = f"{scheme}://me:p%2Fa%40s%3As@localhost:{port}"
        async with open_mailer(parse_smtp_url(url), timeout_s=5, most_idle=1) as mailer:
            await mailer.send(ENVELOPE, CONTENT)
            await mailer.send(ENVELOPE, CONTENT)
    assert private.secure == [True, True]
    assert set(private.users) == {"me"}


async def test_a_wrong_password_is_trouble_and_is_not_told(trusted: ssl.SSLContext) -> None:
    async with private_server(trusted, implicit=False) as (private, port):
        url = f"smtp+starttls://me:geheim@localhost:{port}"
        async with open_mailer(parse_smtp_url(url), timeout_s=5, most_idle=1) as mailer:
            with pytest.raises(TryLater, match="SMTP 535") as trouble:
                await mailer.send(ENVELOPE, CONTENT)
    assert "geheim" not in str(trouble.value)
    assert private.secure == []


async def test_a_certificate_that_nobody_vouches_for_is_trouble(certificate: tuple[Path, Path]) -> None:
    async with (
        private_server(tls_context(certificate), implicit=True) as (private, port),
        open_mailer(parse_smtp_url(f"smtps://localhost:{port}"), timeout_s=5, most_idle=1) as mailer,
    ):
        with pytest.raises(TryLater, match="certificate"):
            await mailer.send(ENVELOPE, CONTENT)
    assert private.secure == []


async def test_a_server_that_does_not_offer_starttls_gets_no_mail_in_the_open(script: Script) -> None:
    server = SmtpServer("127.0.0.1", script.port, starttls=True, username="me", password="geheim")
    async with open_mailer(server, timeout_s=1, most_idle=1) as mailer:
        with pytest.raises(TryLater, match="STARTTLS"):
            await mailer.send(ENVELOPE, CONTENT)
    assert (script.said("AUTH"), script.said("MAIL"), script.mails) == (0, 0, [])

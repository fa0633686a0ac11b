"""What a mail server may do instead of taking a mail."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.faults.fault import Fault, Rig, Strike
from tests.support.smtp_script import HANG_UP, SAY_NOTHING, Script
from tests.support.smtp_sink import Received
from tests.support.waiting import until

Answer = Callable[[str, int], str | None]
# The stages at which a server can refuse a mail.
STAGES = ("MAIL", "RCPT", "DATA", "MESSAGE")


def answering(answer: Answer) -> Strike:
    """Another server, which answers so, stands where the mail server was until it has been tried."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        script: Script = rig.more["script"]
        script.answer = answer
        connections, taken = script.connections, len(script.mails)
        rig.stack.hops["smtp"].redirect("127.0.0.1", script.port)

        async def tried() -> bool:
            return script.connections > connections + 1 or script.said("DATA") > 0

        try:
            yield
            await until(tried)
            await asyncio.sleep(rig.stack.settings.smtp_timeout_s)
        finally:
            rig.stack.hops["smtp"].redirect()
            script.cut()
        rig.stack.smtp.messages += [_read(content) for content in script.mails[taken:]]

    return strike


def _read(content: bytes) -> Received:
    message = email.message_from_bytes(content, policy=email.policy.default)
    return Received(str(message["From"]), [str(message["To"])], message)


@asynccontextmanager
async def refused(rig: Rig) -> AsyncIterator[None]:
    await rig.stack.hops["smtp"].down()
    try:
        yield
        await _attempt(rig)
    finally:
        await rig.stack.hops["smtp"].up()


@asynccontextmanager
async def silent_way(rig: Rig) -> AsyncIterator[None]:
    rig.stack.hops["smtp"].freeze()
    try:
        yield
        await _attempt(rig)
    finally:
        rig.stack.hops["smtp"].thaw()


@asynccontextmanager
async def idle_connections_closed(rig: Rig) -> AsyncIterator[None]:
    rig.stack.hops["smtp"].cut()
    yield


@asynccontextmanager
async def refused_for_good(rig: Rig) -> AsyncIterator[None]:
    """Mails are refused with 5xx at every stage in turn; a person looks at the dead letters and replays them."""

    def answer(verb: str, connection: int) -> str | None:
        return "550 5.7.1 no" if verb == STAGES[connection % len(STAGES)] else None

    async with answering(answer)(rig):
        yield
        await until(_dead(rig, 6))
    replay = rig.stack.processes.start("dead", "replay", "email", "--all", settings=rig.stack.settings)
    assert await replay.wait_for_exit() == 0, replay.output()


def _dead(rig: Rig, number: int) -> Callable[[], asyncio.Future[bool]]:
    async def reached() -> bool:
        return (await rig.stack.depth()).dead >= number

    return reached


async def _attempt(rig: Rig) -> None:
    """Wait until a mail has failed."""
    worker = rig.stack.workers[0]
    told = worker.output().count('"outcome": "retry"')

    async def failed() -> bool:
        return worker.output().count('"outcome": "retry"') > told

    await until(failed)


def at(verb: str, reply: str) -> Strike:
    """The server answers one stage so, and the others as usual."""
    return answering(lambda said, _connection: reply if said == verb else None)


def _in_turn(_verb: str, connection: int) -> str | None:
    return "451 4.3.0 later" if _verb == STAGES[connection % len(STAGES)] else None


_STEP = "mail server"
_RETRIED = {"worker": {"message_settled"}}


def _fault(name: str, strike: Strike, *, mails_may_repeat: bool = False, note: str = "", amid: bool = False) -> Fault:
    return Fault(
        step=_STEP,
        name=name,
        strike=strike,
        amid=amid,
        statuses=(200,),
        logged={} if strike is idle_connections_closed else _RETRIED,
        mails_may_repeat=mails_may_repeat,
        note=note,
    )


_AGAIN = "a mail that the server has taken is sent again, under the same Message-ID"

MAIL_FAULTS = (
    _fault("refuses connections", refused, amid=True),
    _fault("silent connections", silent_way),
    _fault("no greeting", at("CONNECT", SAY_NOTHING)),
    _fault("silent at DATA", at("DATA", SAY_NOTHING)),
    _fault("silent after the last byte, mail not taken", at("MESSAGE", SAY_NOTHING)),
    _fault("hangs up after the last byte, mail not taken", at("MESSAGE", HANG_UP)),
    _fault("silent after the last byte, mail taken", at("MESSAGE", "250-"), mails_may_repeat=True, note=_AGAIN),
    _fault("421 in the middle of a session", at("RCPT", "421 4.3.2 closing")),
    _fault("4xx at each stage in turn", answering(_in_turn)),
    _fault("5xx at each stage in turn", refused_for_good, note="dead letters, replayed"),
    _fault("closes idle connections", idle_connections_closed),
)

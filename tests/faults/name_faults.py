"""Names of servers that cannot be resolved, while every connection to them has to be made anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from yarl import URL

from tests.faults.fault import Fault, Rig, Strike
from tests.faults.launching import ROOT
from tests.faults.stack import Stack

NAMES = {"database": "database_url", "broker": "amqp_url", "smtp": "smtp_url", "provider": "payment_url"}


class Names:
    """Which names are in trouble, and of what kind. Processes with its `environment` see changes at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.trouble({})

    def trouble(self, kinds: Mapping[str, str]) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text("".join(f"{hop}.test {kind}\n" for hop, kind in kinds.items()))
        draft.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        shim = Path(__file__).with_name("resolving")
        return {"PYTHONPATH": f"{shim}:{ROOT}", "FAULTS_NAMES": str(self._file)}


def by_name(stack: Stack) -> dict[str, Any]:
    """Return settings with names instead of addresses."""
    urls = {setting: URL(getattr(stack.settings, setting)).with_host(f"{hop}.test") for hop, setting in NAMES.items()}
    return {setting: str(url).rstrip("/") for setting, url in urls.items()}


def unresolved(kind: str, *hops: str) -> Strike:
    """Names do not resolve, and the connections that there were are cut."""

    @asynccontextmanager
    async def strike(rig: Rig) -> AsyncIterator[None]:
        names: Names = rig.more["names"]
        names.trouble(dict.fromkeys(hops, kind))
        for hop in hops:
            rig.stack.hops[hop].cut()
        try:
            yield
        finally:
            names.trouble({})

    return strike


_STEP = "names"


def _fault(name: str, strike: Strike, **more: Any) -> Fault:
    # The mail worker's connection to the database may be cut between the mail server's acceptance and its commit.
    return Fault(step=_STEP, name=name, strike=strike, mails_may_repeat=True, **more)


NAME_FAULTS = (
    _fault("the database's does not resolve", unresolved("unknown", "database"), ready=503, refused=True),
    _fault("the broker's does not resolve", unresolved("unknown", "broker")),
    _fault("the mail server's does not resolve", unresolved("unknown", "smtp")),
    _fault("the payment provider's does not resolve", unresolved("unknown", "provider")),
    _fault("no resolver answers", unresolved("silent", *NAMES), ready=503, refused=True),
)

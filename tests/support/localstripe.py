"""localstripe, which others wrote to stand in for Stripe, run as its own process; and a lossy way to it.

It knows authorizations, captures, cancellations and metadata. It knows no idempotency keys, no several captures of one
authorization, no metadata with a capture, and no codes in its errors: for those see `documented_stripe`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import aiohttp
import pytest
from aiohttp import web

from tests.support.processes import Processes, free_port

API_KEY = "sk_test_localstripe"
GOOD_CARD = "4242424242424242"
# Can be attached to a customer, and not be charged.
FAILING_CARD = "4000000000000341"
READY_S = 60


@dataclass(frozen=True)
class LocalStripe:
    """A running localstripe. Its calls block; they are short, and it is another process."""

    url: str

    def call(self, method: str, path: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        """Send a request as Stripe's own clients do. Raises `HTTPError`."""
        request = Request(
            f"{self.url}/v1/{path}",
            method=method,
            headers={"Authorization": f"Bearer {API_KEY}"},
            data=urlencode(fields).encode() if fields else None,
        )
        with urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def intent(self, intent_id: str) -> dict[str, Any]:
        """Return the PaymentIntent as it is now."""
        return self.call("GET", f"payment_intents/{intent_id}")

    def authorize(self, amount: int = 24_800, currency: str = "sek", *, card: str = GOOD_CARD) -> str:
        """Make a PaymentIntent with manual capture, as a shop's checkout does, and return its id."""
        details = {"number": card, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
        method = self.call(
            "POST", "payment_methods", {"type": "card", **{f"card[{name}]": value for name, value in details.items()}}
        )
        intent = self.call(
            "POST",
            "payment_intents",
            {
                "amount": str(amount),
                "currency": currency,
                "capture_method": "manual",
                "payment_method": method["id"],
            },
        )
        try:
            self.call("POST", f"payment_intents/{intent['id']}/confirm")
        except HTTPError:
            if card != FAILING_CARD:
                raise
        return str(intent["id"])

    def taken(self, intent_id: str) -> int | None:
        """Return the amount that was captured, less what of the authorization was given back; None: not captured."""
        charge = self.intent(intent_id)["latest_charge"]
        return charge["amount"] - charge["amount_refunded"] if charge and charge["captured"] else None


@pytest.fixture(scope="session")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    """One for the run: its PaymentIntents are told apart by their ids."""
    processes = Processes(tmp_path_factory.mktemp("localstripe"))
    try:
        port = free_port()
        process = processes.start("-m", "localstripe", "--from-scratch", "--port", str(port), program=sys.executable)
        deadline = time.monotonic() + READY_S
        while not _listens(port):
            assert process.running, process.output()
            assert time.monotonic() < deadline, process.output()
            time.sleep(0.05)
        yield LocalStripe(f"http://127.0.0.1:{port}")
    finally:
        processes.close()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class LossyWay:
    """Passes every request on as it is, and loses the answers that it is told to lose.

    It has to know HTTP, unlike `proxy`: of the requests that make one capture, only the last one moves money.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._session: aiohttp.ClientSession | None = None
        self.url = ""
        # "POST /v1/payment_intents/pi_1/capture", in their order.
        self.passed: list[str] = []
        # PaymentIntents, each for one request: 503 for the next one; the answer to a capture is held back or cut off.
        self.out_of_service: set[str] = set()
        self.held_back: set[str] = set()
        self.cut_off: set[str] = set()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        intent_id = request.path.split("/")[3] if request.path.count("/") > 2 else ""
        if intent_id in self.out_of_service:
            self.out_of_service.remove(intent_id)
            return web.Response(status=503)
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        async with self._session.request(
            request.method, f"{self._target}{request.path_qs}", headers=headers, data=await request.read()
        ) as response:
            body = await response.read()
        self.passed.append(f"{request.method} {request.path}")
        if request.path.endswith("/capture"):
            if intent_id in self.held_back:
                self.held_back.remove(intent_id)
                await asyncio.Event().wait()
            if intent_id in self.cut_off and request.transport is not None:
                self.cut_off.remove(intent_id)
                request.transport.abort()
        return web.Response(status=response.status, body=body, content_type="application/json")


@asynccontextmanager
async def open_lossy_way(target: str) -> AsyncIterator[LossyWay]:
    """Serve a way to the server at `target` on a free local port."""
    way = LossyWay(target)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", way._pass)
    # A held-back answer ends with the client that waits for it.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as way._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            way.url = "http://{}:{}".format(*runner.addresses[0][:2])
            yield way
    finally:
        await runner.cleanup()

"""PaymentIntents as Stripe's documentation describes them, for what localstripe does not know.

Idempotency keys, metadata with a capture, several captures of one authorization, errors with codes. It proves what our
client does with documented answers, not that Stripe gives them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

API_KEY = "rk_test_documented"
MOST_METADATA = 50


class StripeError(Exception):
    def __init__(self, status: int, code: str, kind: str = "invalid_request_error", **fields: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": "a sentence for developers", **fields}}


@dataclass
class Intent:
    id: str
    amount: int
    currency: str
    multicapture: bool
    status: str = "requires_capture"
    capturable: int = 0
    received: int = 0
    cancellation_reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def as_json(self, *, expanded: bool) -> dict[str, Any]:
        charge_id = self.id.replace("pi_", "ch_")
        multicapture = {"status": "available" if self.multicapture else "unavailable"}
        charge = {"id": charge_id, "payment_method_details": {"type": "card", "card": {"multicapture": multicapture}}}
        return {
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.capturable,
            "amount_received": self.received,
            "cancellation_reason": self.cancellation_reason,
            "currency": self.currency,
            "latest_charge": charge if expanded else charge_id,
            "metadata": self.metadata,
            "status": self.status,
        }


@dataclass(frozen=True)
class Capture:
    """Money that moved. `notes` are the values that the metadata had then."""

    intent_id: str
    amount: int
    notes: tuple[str, ...]


class DocumentedStripe:
    """A running server. Answers put into `scripted` are given to the next such requests, which do nothing then."""

    def __init__(self) -> None:
        self.url = ""
        self.captures: list[Capture] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        # By "retrieve", "annotate" and "capture".
        self.scripted: dict[str, list[tuple[int, bytes]]] = {}
        self._intents: dict[str, Intent] = {}
        self._answered: dict[str, tuple[tuple[str, str], int, Any]] = {}
        self._numbers = count(1)

    def authorize(self, amount: int = 24_800, currency: str = "sek", *, multicapture: bool = True) -> Intent:
        intent = Intent(f"pi_{next(self._numbers)}", amount, currency, multicapture, capturable=amount)
        self._intents[intent.id] = intent
        return intent

    def forget_idempotency_keys(self) -> None:
        """Let a day pass."""
        self._answered.clear()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((f"{request.method} {request.path}", dict(request.headers), form))
        try:
            return self._answer(request, form)
        except StripeError as error:
            return web.json_response(error.body, status=error.status)

    def _answer(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        what = "capture" if request.path.endswith("/capture") else {"GET": "retrieve"}.get(request.method, "annotate")
        if self.scripted.get(what):
            status, body = self.scripted[what].pop(0)
            return web.Response(status=status, body=body)
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            raise StripeError(401, "api_key_invalid")
        intent = self._intents.get(request.match_info["id"])
        if what == "capture":
            return self._once(request.headers["Idempotency-Key"], request.path, form, intent)
        if intent is None:
            raise StripeError(404, "resource_missing", param="intent")
        _annotate(intent, form)
        return web.json_response(intent.as_json(expanded="expand[]" in request.query))

    def _once(self, key: str, path: str, form: dict[str, str], intent: Intent | None) -> web.Response:
        asked = (path, json.dumps(form, sort_keys=True))
        if key not in self._answered:
            try:
                self._answered[key] = (asked, 200, self._capture(intent, form))
            except StripeError as error:
                self._answered[key] = (asked, error.status, error.body)
        first, status, body = self._answered[key]
        if first != asked:
            raise StripeError(400, "idempotency_key_reused", "idempotency_error")
        return web.json_response(body, status=status)

    def _capture(self, intent: Intent | None, form: dict[str, str]) -> dict[str, Any]:
        if intent is None:
            raise StripeError(404, "resource_missing", param="intent")
        amount, final = int(form["amount_to_capture"]), form.get("final_capture", "true") == "true"
        if intent.status != "requires_capture":
            raise StripeError(400, "payment_intent_unexpected_state")
        if amount > intent.capturable:
            raise StripeError(400, "amount_too_large", param="amount_to_capture")
        if not final and not intent.multicapture:
            raise StripeError(400, "parameter_invalid", param="final_capture")
        noted = _annotate(intent, form) or intent.metadata
        intent.received += amount
        intent.capturable = 0 if final else intent.capturable - amount
        intent.status = "requires_capture" if intent.capturable else "succeeded"
        self.captures.append(Capture(intent.id, amount, tuple(noted.values())))
        return intent.as_json(expanded=False)


def _annotate(intent: Intent, form: dict[str, str]) -> dict[str, str]:
    added = {name[len("metadata[") : -1]: value for name, value in form.items() if name.startswith("metadata[")}
    if any(len(name) > 40 or len(value) > 500 for name, value in added.items()):
        raise StripeError(400, "parameter_invalid_string_length", param="metadata")
    if len(intent.metadata | added) > MOST_METADATA:
        raise StripeError(400, "metadata_too_many_keys", param="metadata")
    intent.metadata = {name: value for name, value in (intent.metadata | added).items() if value}
    return added


@asynccontextmanager
async def open_documented_stripe() -> AsyncIterator[DocumentedStripe]:
    """Serve on a free local port."""
    stripe = DocumentedStripe()
    app = web.Application()
    for path in ("/v1/payment_intents/{id}", "/v1/payment_intents/{id}/capture"):
        app.router.add_route("*", path, stripe.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stripe.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield stripe
    finally:
        await runner.cleanup()

"""What `waybill webhooks` prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import typer

from service.commands.output import print_json, print_table
from service.webhook_deliveries import Attempt, Delivery
from service.webhooks import Endpoint


def print_secret(endpoint_id: str, secret: str, *, as_json: bool) -> None:
    """Print an endpoint's new secret."""
    if as_json:
        print_json({"id": endpoint_id, "secret": secret})
        return
    typer.echo(f"id      {endpoint_id}\nsecret  {secret}")
    typer.echo("Give the secret to the partner now: it is not shown again.", err=True)


def print_endpoints(endpoints: Sequence[Endpoint], *, as_json: bool) -> None:
    """Print endpoints with their state."""
    if as_json:
        print_json([_endpoint(each) for each in endpoints])
        return
    print_table(
        ("id", "partner", "url", "events", "stores", "state", "waiting", "given up"),
        [
            (
                each.id,
                each.partner,
                each.url,
                " ".join(each.event_types or ["all"]),
                " ".join(each.stores or ["all"]),
                _state(each),
                str(each.waiting),
                str(each.failed),
            )
            for each in endpoints
        ],
    )


def print_deliveries(deliveries: Sequence[Delivery], *, as_json: bool) -> None:
    """Print deliveries with their last attempt."""
    if as_json:
        print_json([_delivery(each) for each in deliveries])
        return
    print_table(
        ("delivery", "endpoint", "partner", "event", "shipment", "status", "attempts", "next", "last", "answer"),
        [
            (
                str(each.id),
                each.endpoint_id,
                each.partner,
                each.type,
                each.subject,
                each.status.lower(),
                str(each.attempts),
                _second(each.due_at),
                _second(each.last.began_at if each.last else None),
                _answer(each.last) if each.last else "-",
            )
            for each in deliveries
        ],
    )


def print_attempts(delivery: Delivery, attempts: Sequence[Attempt], *, as_json: bool) -> None:
    """Print one delivery with all its attempts."""
    if as_json:
        print_json(_delivery(delivery) | {"attempts": [_attempt(each) for each in attempts]})
        return
    print_deliveries([delivery], as_json=False)
    typer.echo("")
    print_table(
        ("attempt", "at", "duration", "answer", "excerpt"),
        [
            (str(each.n), _second(each.began_at), f"{each.duration_ms} ms", _answer(each), each.excerpt or "-")
            for each in attempts
        ],
    )


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "partner": endpoint.partner,
        "url": endpoint.url,
        "events": endpoint.event_types,
        "stores": endpoint.stores,
        "state": endpoint.state,
        "createdAt": _iso(endpoint.created_at),
        "failingSince": _iso(endpoint.failing_since),
        "notBefore": _iso(endpoint.not_before),
        "disabledAt": _iso(endpoint.disabled_at),
        "disabledReason": endpoint.disabled_reason,
        "previousSecretUntil": _iso(endpoint.rotating_until),
        "waiting": endpoint.waiting,
        "givenUp": endpoint.failed,
    }


def _delivery(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "endpoint": delivery.endpoint_id,
        "partner": delivery.partner,
        "event": str(delivery.event_id),
        "type": delivery.type,
        "shipment": delivery.subject,
        "status": delivery.status.lower(),
        "attemptCount": delivery.attempts,
        "nextAttemptAt": _iso(delivery.due_at),
        "createdAt": _iso(delivery.created_at),
        "settledAt": _iso(delivery.settled_at),
        "lastAttempt": _attempt(delivery.last) if delivery.last else None,
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "n": attempt.n,
        "at": _iso(attempt.began_at),
        "durationMs": attempt.duration_ms,
        "code": attempt.code,
        "error": attempt.error,
        "excerpt": attempt.excerpt,
    }


def _state(endpoint: Endpoint) -> str:
    if endpoint.disabled_at:
        return f"disabled since {_second(endpoint.disabled_at)}: {endpoint.disabled_reason}"
    if endpoint.failing_since:
        return f"failing since {_second(endpoint.failing_since)}"
    return endpoint.state


def _answer(attempt: Attempt) -> str:
    return attempt.error or f"HTTP {attempt.code}"


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def _second(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else "-"

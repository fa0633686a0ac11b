"""A delivery that is to be sent now, with all that takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Due:
    """One event for one endpoint, leased by us. `failures` is its place in the schedule."""

    id: int
    lease: int
    failures: int
    endpoint_id: str
    partner: str
    # Partners put tokens into URLs.
    url: str = field(repr=False)
    # The secrets to sign with, the newest first.
    keys: tuple[bytes, ...] = field(repr=False)
    event_id: UUID
    type: str
    subject: str
    store: str
    body: str
    occurred_at: datetime
    request_id: str
    traceparent: str


def read_due(row: Any) -> Due:  # noqa: ANN401 - a row of claim_due, read by its column names
    """Make a `Due` of what the database returns."""
    columns = dict(row)
    return Due(keys=signing_keys(columns.pop("secret"), columns.pop("previous_secret")), **columns)


def signing_keys(secret: bytes, previous_secret: bytes | None) -> tuple[bytes, ...]:
    """Return the secrets that are valid now, the newest first."""
    return (secret, previous_secret) if previous_secret else (secret,)

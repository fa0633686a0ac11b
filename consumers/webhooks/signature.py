"""Secrets of endpoints, and signatures by the Standard Webhooks specification."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from standardwebhooks import Webhook

# By the specification, and recognisable for a secret scanner.
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix, not a secret
_SECRET_BYTES: Final = 32


def new_secret() -> bytes:
    """Return a secret that nobody has seen."""
    return secrets.token_bytes(_SECRET_BYTES)


def show_secret(secret: bytes) -> str:
    """Return the secret as the receiver's library takes it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode("ascii")


def sign(keys: Sequence[bytes], *, webhook_id: str, at: datetime, body: str) -> str:
    """Return the value of `webhook-signature`: one signature for each key, of which the receiver needs to know one.

    `at` is in UTC; its whole seconds are signed.
    """
    return " ".join(Webhook(key).sign(webhook_id, at, body) for key in keys)

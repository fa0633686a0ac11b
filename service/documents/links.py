"""Signed links: whoever has one may fetch that one document until the link expires, without a key.

`<base>/documents/<shipment number>/<kind>.pdf?token=<time>.<signature>`. The signature covers kind, number and the time
of signing; how long that is good for is the reader's setting, so that it can be shortened for links already out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from itsdangerous import BadSignature, TimestampSigner

from service.documents.content import DocumentKind

# For routes; `{slug}` is a `DocumentKind.slug`.
PATH: Final = "/documents/{shipment_number}/{slug}.pdf"

# Clocks of machines that sign and read differ a little.
_CLOCK_SKEW: Final = timedelta(minutes=5)


class LinkRefused(Exception):
    """A document link that opens nothing."""


class LinkInvalid(LinkRefused):
    """The link was not signed by us, or not for this document."""


class LinkExpired(LinkRefused):
    """The link was good once."""


def kind_of(slug: str) -> DocumentKind:
    """Return the kind that stands as `slug` in a path. Raise `LinkInvalid` if none does."""
    try:
        return next(kind for kind in DocumentKind if kind.slug == slug)
    except StopIteration:
        raise LinkInvalid("no such kind of document") from None


def document_url(
    base_url: str, secrets: Sequence[str], *, kind: DocumentKind, shipment_number: str, now: datetime
) -> str:
    """Return a link to a document, signed with the first secret. Raise `ValueError` if there is none."""
    signed = _signer(secrets, kind, now).sign(shipment_number).decode()
    path = PATH.format(shipment_number=quote(shipment_number, safe=""), slug=kind.slug)
    return f"{base_url.rstrip('/')}{path}?{urlencode({'token': signed[len(shipment_number) + 1 :]})}"


def verify(
    token: str,
    secrets: Sequence[str],
    *,
    kind: DocumentKind,
    shipment_number: str,
    now: datetime,
    max_age: timedelta,
) -> None:
    """Return if `token` opens the document. Raise `LinkInvalid`, or `LinkExpired` if only its time is over.

    Any of the secrets may have signed it: put a new one in front, and drop the old one once its links have expired.
    """
    try:
        signed, signed_at = _signer(secrets, kind, now).unsign(f"{shipment_number}.{token}", return_timestamp=True)
    except (BadSignature, UnicodeError) as error:
        raise LinkInvalid("the signature is not ours or not for this document") from error
    # Numbers may hold dots, so what was signed for "a.b-1" could be read as "a" and a longer token.
    if signed != shipment_number.encode():
        raise LinkInvalid("the signature is for another document")
    if not -_CLOCK_SKEW <= now - signed_at <= max_age:
        raise LinkExpired(f"signed at {signed_at.isoformat()}")


class _Signer(TimestampSigner):
    """Signs as of a given moment."""

    def __init__(self, secrets: Sequence[str], *, salt: str, now: datetime) -> None:
        # The library signs with the last of its keys.
        super().__init__(list(reversed(secrets)), salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._now = now

    def get_timestamp(self) -> int:
        return int(self._now.astimezone(UTC).timestamp())


def _signer(secrets: Sequence[str], kind: DocumentKind, now: datetime) -> _Signer:
    if not secrets or not all(secrets):
        raise ValueError("no secret to sign document links with")
    return _Signer(secrets, salt=f"waybill.document.{kind.value}", now=now)

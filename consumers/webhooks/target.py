"""The URL of an endpoint, checked when it is added. What it resolves to is checked again at every connection."""

from __future__ import annotations

import re
import socket
from typing import Final

from aiohttp.abc import AbstractResolver
from yarl import URL

from consumers.webhooks.reach import Reach

_LONGEST: Final = 2000
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class UnusableUrl(Exception):
    """No webhook can be sent to this URL. The text says why and quotes nothing of it."""


def parse_target(text: str) -> URL:
    """Read an absolute http or https URL without credentials. Raises `UnusableUrl`."""
    if not _PRINTABLE.fullmatch(text) or len(text) > _LONGEST:
        raise UnusableUrl(f"expected up to {_LONGEST} printable ASCII characters without spaces; encode others")
    try:
        # The library that connects reads it the same way: two readers that disagree are how a check is passed.
        url = URL(text)
        port = url.port
    except ValueError:
        raise UnusableUrl("not a URL") from None
    if url.scheme not in {"http", "https"} or not url.host or not port:
        raise UnusableUrl("expected https://host/path")
    if url.user is not None or url.password is not None:
        raise UnusableUrl("credentials in the URL are refused: the signature is what tells the receiver who we are")
    if url.fragment:
        raise UnusableUrl("a fragment (#) never reaches the receiver")
    return url


async def check_target(url: URL, *, reach: Reach, resolver: AbstractResolver) -> None:
    """Raise `UnusableUrl` if the URL's host does not resolve, or to anything that may not be reached."""
    assert url.host  # noqa: S101 - parse_target has seen to it
    encrypted = url.scheme == "https"
    try:
        found = await resolver.resolve(url.host, url.port or 0, socket.AF_UNSPEC)
    except OSError:
        raise UnusableUrl("its host name does not resolve") from None
    if not found:
        raise UnusableUrl("its host name does not resolve")
    refused = [each["host"] for each in found if not reach.permits(each["host"], encrypted=encrypted)]
    if not refused:
        return
    if not encrypted and all(reach.permits(each, encrypted=True) for each in refused):
        raise UnusableUrl("https is required, except to WAYBILL_WEBHOOKS_ALLOWED_NETWORKS")
    raise UnusableUrl(
        f"its host is at {refused[0]}, which is not a public address; WAYBILL_WEBHOOKS_ALLOWED_NETWORKS can allow it"
    )

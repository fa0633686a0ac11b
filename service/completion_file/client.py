"""Calls the bulk completion of a Waybill, and tells apart what may go better later and what never will."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, Field, ValidationError
from yarl import URL

from schemas.paths import SHIPMENTS_BASE
from schemas.retry_after import parse_retry_after
from service.completion_file.columns import NUMBER, TRACKING
from service.completion_file.sheet import Answer, Shipment
from service.visible import visible

NDJSON: Final = "application/x-ndjson"
CONNECT_TIMEOUT_S: Final = 10.0
# Between two results: a row may wait for a lock, a connection and a payment one after the other.
SILENCE_TIMEOUT_S: Final = 120.0
# A result repeats its shipment's number, which may be as long as a cell.
_LONGEST_LINE: Final = 1024 * 1024

# They ask to be repeated. So does everything from 500: a proxy says it for a service that is just starting.
_LATER: Final = frozenset({408, 425, 429})
_ADVICE: Final = {
    401: "The key is not accepted: is it the right one, not expired and not revoked?",
    403: "The key may not do this: it needs the scope shipments:complete.",
    404: "Is --url the base address of a Waybill, without a path of its own?",
    413: "Something before the service limits the size of requests: it has to let 4 MiB pass.",
}


class Refused(Exception):
    """No repetition of the request will be answered otherwise, for the reason told."""


class Unavailable(Exception):
    """No answer to all of the request this time. `retry_after_s`: when the service wants it again; 0: not said."""

    def __init__(self, reason: str, *, retry_after_s: float = 0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Result(BaseModel):
    """A line of the answer. A service of another version may say more, and other statuses."""

    row: Annotated[int, Field(ge=1)]
    status: int
    orderNumber: str = ""  # noqa: N815 - the API's spelling
    error: str = ""
    retryAfter: float = 0  # noqa: N815


class Client:
    """A session with one service."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._url = URL(f"{base.rstrip('/')}{SHIPMENTS_BASE}/complete-shipments")

    async def complete(self, shipments: list[Shipment]) -> AsyncGenerator[tuple[int, Answer]]:
        """Yield each answer as it comes, with the index of its shipment. Raises `Refused` and `Unavailable`.

        An answer that ends early without an error yields less than one for each.
        """
        try:
            async with self._session.post(self._url, data=_body(shipments), allow_redirects=False) as response:
                await _check(response)
                async for line in response.content:
                    result = _Result.model_validate_json(line)
                    if result.row > len(shipments):
                        raise Unavailable(f"the answer tells of a row {result.row} that was not sent")
                    told = visible(result.orderNumber), visible(result.error)
                    answer = Answer(result.status, *told, result.retryAfter)
                    yield result.row - 1, answer
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise Refused(f"no secure connection to {self._url.authority}: {error.__cause__ or error}") from None
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"no connection to {self._url.authority}: {_reason(error.os_error)}") from None
        except TimeoutError:
            raise Unavailable("the service does not answer") from None
        except (aiohttp.ClientError, OSError):
            raise Unavailable("the connection broke") from None
        except (ValidationError, HttpProcessingError):
            raise Unavailable("a line of the answer is none of a bulk completion") from None


@asynccontextmanager
async def open_client(base: str, authorization: str) -> AsyncIterator[Client]:
    """Open a session with the service at an address that `check_base` has passed."""
    async with aiohttp.ClientSession(
        headers={hdrs.AUTHORIZATION: authorization, hdrs.CONTENT_TYPE: NDJSON, hdrs.ACCEPT: NDJSON},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_LONGEST_LINE,
    ) as session:
        yield Client(session, base)


def check_base(url: str) -> str:
    """Return a base address. Raises `ValueError` with what is wrong with it."""
    try:
        parts = URL(url)
        # As the resolver will, which fails for a host that cannot be one.
        (parts.raw_host or "").encode("idna")
    except ValueError:
        parts = URL()
    if parts.scheme not in {"http", "https"} or not parts.host or parts.query_string or parts.fragment:
        raise ValueError('expected an address such as "https://shipping.example.com"')
    if parts.user or parts.password:
        raise ValueError("the key does not belong in the address, where every process can read it")
    return url


def _body(shipments: Iterable[Shipment]) -> bytes:
    rows = ({NUMBER: each.number} | ({TRACKING: each.tracking} if each.tracking else {}) for each in shipments)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _reason(error: OSError) -> str:
    # The library's own text for a refused connection tells everything but that; resolvers number theirs below zero.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def _check(response: aiohttp.ClientResponse) -> None:
    """Return if the answer is a stream of results."""
    if response.status in _LATER or response.status >= 500:
        wait_s = parse_retry_after(response.headers.get(hdrs.RETRY_AFTER), now=datetime.now(UTC))
        raise Unavailable(f"the service answers {response.status}", retry_after_s=wait_s)
    if 300 <= response.status < 400:
        raise Refused(f"the service answers {response.status}: --url has to be the address that it redirects to")
    if response.status != 200:
        raise Refused(f"the service answers {response.status}: {await _told(response)}")
    if response.content_type != NDJSON:
        raise Refused(f"what answers there is no Waybill. {_ADVICE[404]}")


async def _told(response: aiohttp.ClientResponse) -> str:
    try:
        told = str(json.loads(await response.content.read(2000))["error"])
    except (ValueError, KeyError, TypeError):
        told = response.reason or ""
    return " ".join([told, _ADVICE.get(response.status, "")]).strip()

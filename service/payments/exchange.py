"""One exchange with a payment provider over HTTP, bounded in all but time: deadlines are the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from service.payments.provider import OutcomeUnknown, ProviderUnavailable

# Bytes. Many times what any answer of use takes.
LONGEST_ANSWER: Final = 256 * 1024


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str] | None = None,
    json: object = None,
    form: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Return the answer's status and body. Redirects are answers, too: money is not sent after them.

    Raises `ProviderUnavailable` without a connection, `OutcomeUnknown` when the exchange broke off or became too long.
    """
    try:
        async with session.request(
            method, url, headers=headers, json=json, data=form, allow_redirects=False
        ) as response:
            return response.status, await _read(response)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ProviderUnavailable(f"no connection: {type(error).__name__}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise OutcomeUnknown(f"the exchange broke off: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            response.close()
            raise OutcomeUnknown("the answer is too long")
    return bytes(body)

"""One RabbitMQ virtual host per test, made over the management API."""

from __future__ import annotations

import json
import secrets
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit


def management(url: str, method: str, path: str, body: object | None = None) -> Any:
    """Call the management API at `url`, which carries the credentials; return the decoded answer."""
    parts = urlsplit(url)
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    request = urllib.request.Request(
        f"{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Basic {b64encode(credentials.encode()).decode()}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        content = response.read()
    return json.loads(content) if content else None


@contextmanager
def fresh_vhost(management_url: str, amqp_url: str) -> Iterator[str]:
    """Provide the AMQP URL of a virtual host of one's own, deleted with everything in it afterwards."""
    name = f"waybill-test-{secrets.token_hex(6)}"
    user = quote(unquote(urlsplit(amqp_url).username or ""), safe="")
    management(management_url, "PUT", f"vhosts/{name}", {})
    try:
        management(
            management_url, "PUT", f"permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"}
        )
        yield f"{amqp_url}/{name}"
    finally:
        management(management_url, "DELETE", f"vhosts/{name}")

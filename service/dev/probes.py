"""Short questions to local servers: is it there yet?"""

from __future__ import annotations

import http.client
import socket
from base64 import b64encode

TIMEOUT_S = 2.0


def port_answers(port: int) -> bool:
    """Tell whether something accepts connections on the loopback address."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


def http_answers(port: int, path: str, *, host: str = "127.0.0.1", credentials: str | None = None) -> bool:
    """Tell whether a GET answers 200. `credentials` are `user:password`."""
    headers = {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"} if credentials else {}
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

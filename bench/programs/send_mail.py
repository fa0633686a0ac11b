"""A bare aiosmtplib loop: send the same bytes so many times over so many connections. Prints the seconds."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from aiosmtplib import SMTP

SENDER, RECIPIENT = "shop@example.com", "asa@example.com"


async def main(arguments: argparse.Namespace) -> None:
    """Send and print."""
    server = urlsplit(arguments.smtp_url)
    message = arguments.message.read_bytes()
    left = iter(range(arguments.count))
    clients = [SMTP(hostname=server.hostname, port=server.port) for _ in range(arguments.connections)]
    for client in clients:
        await client.connect()

    async def send(client: SMTP) -> None:
        for _ in left:
            await client.sendmail(SENDER, [RECIPIENT], message)

    began = time.perf_counter()
    await asyncio.gather(*(send(client) for client in clients))
    print(json.dumps({"seconds": time.perf_counter() - began, "messages": arguments.count}))
    for client in clients:
        await client.quit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--smtp-url", required=True)
    parser.add_argument("--message", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    asyncio.run(main(parser.parse_args()))

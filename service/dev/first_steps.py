"""What `waybill dev` prepares in the database, so that the first call is one paste away."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from service.dev.private_files import recall, remember
from service.keys import Scope, create_key, list_keys
from sql import Connection, queries

COMPLETE_PATH = "/integration/api/shipping/v1/shipments/complete-shipment"


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """An API key with every scope, and a shipment that can be completed; None if there is none."""

    key_id: str
    key_secret: str
    shipment_number: str | None


async def prepare_first_steps(database_url: str, *, key_file: Path) -> FirstSteps:
    """Return the key kept in `key_file`, making one if it is not there or not valid, and look for a shipment."""
    connection = await asyncpg.connect(database_url, server_settings={"application_name": "waybill dev"})
    try:
        key = recall(key_file)
        if not await _is_valid(connection, key.get("id")):
            created = await create_key(connection, partner="demo", scopes=list(Scope))
            key = {"id": created.id, "secret": created.secret}
            remember(key_file, key)
        shipment: str | None = await queries("dev").find_completable(connection)
        return FirstSteps(key["id"], key["secret"], shipment)
    finally:
        await connection.close()


def curl_line(steps: FirstSteps, *, api_url: str) -> str | None:
    """Return a command line that completes the shipment, quoted for a POSIX shell."""
    if steps.shipment_number is None:
        return None
    body = f'{{"shipmentNumber": "{steps.shipment_number}", "carrierTrackingNumber": "1Z999AA10123456784"}}'
    credentials = f"{steps.key_id}:{steps.key_secret}"
    json_type = "Content-Type: application/json"
    return shlex.join(["curl", "-i", "-u", credentials, "-H", json_type, "-d", body, f"{api_url}{COMPLETE_PATH}"])


async def _is_valid(connection: Connection, key_id: str | None) -> bool:
    return any(key.id == key_id and key.state == "active" for key in await list_keys(connection))

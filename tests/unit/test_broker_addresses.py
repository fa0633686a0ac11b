"""Several addresses of one broker: told apart, and tried until one answers."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from schemas.broker_addresses import connect_to_any, split_addresses, virtual_host

ONE, TWO, THREE = (f"amqp://user:secret@node-{n}:5672/shop" for n in (1, 2, 3))
ALL = f"{ONE},{TWO},{THREE}"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (ONE, [ONE]),
        (f"{ONE},{TWO}", [ONE, TWO]),
        (f" {ONE} , {TWO},\n{THREE}, ", [ONE, TWO, THREE]),
        (f"{ONE},amqps://node-2/shop", [ONE, "amqps://node-2/shop"]),
        ("amqp://user:a,b@node-1/shop", ["amqp://user:a,b@node-1/shop"]),
    ],
)
def test_addresses_are_separated_by_commas(setting: str, expected: list[str]) -> None:
    assert list(split_addresses(setting)) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (ONE, "shop"),
        ("amqp://node", "/"),
        ("amqp://node/", "/"),
        ("amqp://node/%2F", "/"),
        ("amqps://node/a%20b", "a b"),
    ],
)
def test_an_address_names_a_virtual_host(address: str, expected: str) -> None:
    assert virtual_host(address) == expected


async def test_the_node_that_answers_is_found_and_the_others_are_named_without_their_secrets() -> None:
    async def connect(address: str) -> str:
        if address != TWO:
            raise ConnectionRefusedError("nobody there")
        return address

    with capture_logs() as logs:
        for _ in range(50):
            assert await connect_to_any(ALL, connect, timeout_s=30) == TWO
    assert {entry["node"] for entry in logs} == {"node-1:5672", "node-3:5672"}
    assert {entry["reason"] for entry in logs} == {"ConnectionRefusedError: nobody there"}
    assert "secret" not in str(logs)


async def test_connections_spread_over_the_nodes() -> None:
    async def connect(address: str) -> str:
        return address

    counted = Counter([await connect_to_any(ALL, connect, timeout_s=30) for _ in range(300)])
    assert all(counted[address] > 30 for address in (ONE, TWO, THREE))


async def test_each_node_is_tried_once_and_the_last_error_is_raised() -> None:
    tried = []

    async def connect(address: str) -> str:
        tried.append(address)
        raise OSError(address)

    with pytest.raises(OSError, match="amqp") as caught:
        await connect_to_any(ALL, connect, timeout_s=30)
    assert sorted(tried) == [ONE, TWO, THREE]
    assert str(caught.value) == tried[-1]


async def test_a_node_that_hangs_leaves_time_for_the_others() -> None:
    async def connect(address: str) -> str:
        if address != THREE:
            await asyncio.Event().wait()
        return address

    async with asyncio.timeout(10):
        assert await connect_to_any(ALL, connect, timeout_s=0.15) == THREE
        with pytest.raises(TimeoutError):
            await connect_to_any(f"{ONE},{TWO}", connect, timeout_s=0.1)


async def test_being_stopped_is_no_failure_of_a_node() -> None:
    tried = []

    async def connect(address: str) -> str:
        tried.append(address)
        await asyncio.Event().wait()
        return address

    connecting = asyncio.create_task(connect_to_any(ALL, connect, timeout_s=30))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert len(tried) == 1

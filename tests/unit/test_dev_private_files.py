from __future__ import annotations

import socket
from pathlib import Path

from service.dev.private_files import FIRST_PORT, LAST_PORT, free_port, recall, remember


def test_what_is_remembered_is_recalled_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    memory = tmp_path / "secrets.json"
    assert recall(memory) == {}
    for values in ({"password": "first"}, {"password": "åäö"}):
        remember(memory, values)
        assert recall(memory) == values
    assert memory.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [memory]


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    port = free_port()
    assert FIRST_PORT <= port <= LAST_PORT
    assert free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert free_port(port) != port


def test_ports_that_are_spoken_for_are_not_given_out() -> None:
    everything_but_one = set(range(FIRST_PORT, LAST_PORT + 1))
    port = free_port()
    everything_but_one.remove(port)
    assert free_port(other_than=everything_but_one) == port

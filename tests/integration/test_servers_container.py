"""The RabbitMQ container, driven through a `docker` of ours that keeps what it was told and serves its ports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.dev.children import Children, StartError
from service.dev.private_files import recall
from service.dev.servers_container import IMAGE, delete_container_data, docker_answers, start_rabbitmq_container

DOCKER = f"""#!{sys.executable}
import http.server, json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
if (here / "broken").exists():
    sys.exit("Cannot connect to the Docker daemon")
if words[0] == "run":
    port = next(int(word.split(":")[1]) for word in words if word.endswith(":15672"))
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put our `docker` on the PATH; return the file of its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "calls"


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    started = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
    try:
        yield started
    finally:
        started.stop_all()


def read(calls: Path) -> list[list[str]]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


def test_a_container_keeps_its_name_volume_and_password(children: Children, calls: Path, tmp_path: Path) -> None:
    broker = start_rabbitmq_container(children, tmp_path / "rabbitmq")
    pull, remove, run = read(calls)
    assert pull == ["pull", IMAGE]
    name = remove[-1]
    assert remove == ["rm", "--force", name]
    assert {f"--name={name}", f"--volume={name}:/var/lib/rabbitmq", "--rm", "--hostname=waybill", IMAGE} <= set(run)
    assert all(word.startswith("--publish=127.0.0.1:") for word in run if "publish" in word)
    known = recall(tmp_path / "rabbitmq" / "container.json")
    assert broker.amqp_url == f"amqp://waybill:{known['password']}@127.0.0.1:{known['amqp']}"
    assert known["password"] not in " ".join(run)
    variables = tmp_path / "rabbitmq" / "container.env"
    assert f"RABBITMQ_DEFAULT_PASS={known['password']}\n" in variables.read_text()
    assert variables.stat().st_mode & 0o777 == 0o600

    children.stop_all()
    again = Children(roster=tmp_path / "roster.json", logs=tmp_path / "logs")
    try:
        assert start_rabbitmq_container(again, tmp_path / "rabbitmq") == broker
    finally:
        again.stop_all()
    assert read(calls)[-1] == run


def test_starting_over_deletes_the_volume(children: Children, calls: Path, tmp_path: Path) -> None:
    delete_container_data(tmp_path / "rabbitmq")
    assert not calls.exists()
    start_rabbitmq_container(children, tmp_path / "rabbitmq")
    name = read(calls)[1][-1]
    delete_container_data(tmp_path / "rabbitmq")
    assert read(calls)[-2:] == [["rm", "--force", name], ["volume", "rm", "--force", name]]


def test_an_engine_that_does_not_answer_is_no_engine(children: Children, calls: Path, tmp_path: Path) -> None:
    assert docker_answers()
    (calls.parent / "broken").touch()
    assert not docker_answers()
    with pytest.raises(StartError, match="Cannot connect to the Docker daemon"):
        start_rabbitmq_container(children, tmp_path / "rabbitmq")


def test_without_the_command_line_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not docker_answers()

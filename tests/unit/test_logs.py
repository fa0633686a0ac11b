"""One line for each of our events, whoever reads them."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from service.logs import configure_logs
from service.settings import Settings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level, configured = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_our_events_and_those_of_libraries_are_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"), process="api")
    structlog.get_logger().info("shipment_left", store="Åsas\nbutik")
    structlog.get_logger().debug("not_now")
    logging.getLogger("library").warning("cannot %s", "connect")
    ours, theirs = lines(capsys)
    assert ours.pop("timestamp")
    assert ours == {"event": "shipment_left", "store": "Åsas\nbutik", "process": "api", "level": "info"}
    assert (theirs["event"], theirs["level"], theirs["process"]) == ("cannot connect", "warning", "api")


def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"), process="api")
    secret = "waybill_sk_" + "x" * 8
    try:
        int("ten") if secret else None
    except ValueError:
        structlog.get_logger().exception("request_failed")
    [line] = lines(capsys)
    assert line["event"] == "request_failed"
    assert secret not in json.dumps(line)
    assert "locals" not in json.dumps(line)


class _Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stdout", [_Full(), io.TextIOWrapper(io.BytesIO(), encoding="ascii")])
def test_a_line_that_cannot_be_written_fails_nobody(monkeypatch: pytest.MonkeyPatch, stdout: io.TextIOBase) -> None:
    monkeypatch.setattr(sys, "stdout", stdout)
    configure_logs(Settings(log_format="json"), process="api")
    for text in ("plain", "Å", "\ud800"):
        structlog.get_logger().info("shipment_left", text=text)

"""The key of `waybill complete`: where it is found, and how it is presented."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from service.completion_file.key import NoKey, read_authorization

BASIC = aiohttp.encode_basic_auth("key_1", "waybill_sk_2")
BEARER = "Bearer waybill_sk_2"
CREATED = json.dumps({"id": "key_1", "secret": "waybill_sk_2", "partner": "Å", "scopes": [], "expiresAt": None})


@pytest.mark.parametrize(
    ("text", "header"),
    [("key_1:waybill_sk_2", BASIC), (" key_1:waybill_sk_2\n", BASIC), ("waybill_sk_2", BEARER)],
)
def test_the_environment(text: str, header: str) -> None:
    assert read_authorization(None, {"WAYBILL_API_KEY": text}) == header


@pytest.mark.parametrize(
    ("text", "header"),
    [("key_1:waybill_sk_2\r\n", BASIC), ("waybill_sk_2", BEARER), ("\ufeffwaybill_sk_2\n", BEARER), (CREATED, BASIC)],
)
def test_a_file_goes_before_the_environment(tmp_path: Path, text: str, header: str) -> None:
    (tmp_path / "key").write_text(text)
    assert read_authorization(tmp_path / "key", {"WAYBILL_API_KEY": "other"}) == header


@pytest.mark.parametrize("environment", [{}, {"WAYBILL_API_KEY": " "}])
def test_without_a_key_both_places_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(NoKey, match="set WAYBILL_API_KEY to id:secret, or add --key-file FILE"):
        read_authorization(None, environment)


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"a b", b'{"id": "key_1"}', b":x", b"\xff\xfe", "ä".encode()])
def test_what_is_no_key_is_not_sent_and_not_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(NoKey) as raised:
        read_authorization(tmp_path / "key", {})
    assert str(raised.value).startswith(f"--key-file {tmp_path / 'key'}: expected id:secret, a secret alone")
    assert "lines" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="No such file or directory"):
        read_authorization(tmp_path / "none", {"WAYBILL_API_KEY": "other"})

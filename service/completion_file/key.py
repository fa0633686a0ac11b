"""The caller's API key: from a file or the environment, never from the command line, which every process can read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import BaseModel, ValidationError

VARIABLE: Final = "WAYBILL_API_KEY"
_WRITTEN: Final = re.compile(r"([!-9;-~]+)(?::([!-~]+))?")


class NoKey(Exception):
    """There is no usable key, for the reason told."""


class _NewKey(BaseModel):
    """What `waybill keys create --json` prints."""

    id: str
    secret: str


def read_authorization(key_file: Path | None, environment: Mapping[str, str]) -> str:
    """Return the `Authorization` header for the key in the file, or else in the environment. Raises `NoKey`."""
    if key_file is None and not environment.get(VARIABLE, "").strip():
        raise NoKey(f"an API key is needed: set {VARIABLE} to id:secret, or add --key-file FILE")
    if key_file is None:
        return _authorization(environment[VARIABLE], VARIABLE)
    try:
        text = key_file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NoKey(f"--key-file {key_file}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    try:
        new = _NewKey.model_validate_json(text)
    except ValidationError:
        return _authorization(text, f"--key-file {key_file}")
    return _authorization(f"{new.id}:{new.secret}", f"--key-file {key_file}")


def _authorization(text: str, where: str) -> str:
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise NoKey(f"{where}: expected id:secret, a secret alone, or what `waybill keys create --json` prints")
    first, secret = written.groups()
    return aiohttp.encode_basic_auth(first, secret) if secret else f"Bearer {first}"

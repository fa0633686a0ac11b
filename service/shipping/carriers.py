"""Public tracking pages of known carriers. The carriers are data: carriers.toml beside this module."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from urllib.parse import quote

_SEPARATORS = re.compile(r"[\s._-]+")


def tracking_url(carrier: str | None, tracking_number: str | None) -> str | None:
    """Return the carrier's page for the parcel, or None where the carrier or the number is not known."""
    if not carrier or not tracking_number:
        return None
    template = _templates().get(_key(carrier))
    return template.replace("{number}", quote(tracking_number, safe="")) if template else None


@cache
def _templates() -> dict[str, str]:
    content = tomllib.loads((Path(__file__).parent / "carriers.toml").read_text(encoding="utf-8"))
    return {_key(name): carrier["tracking_url"] for carrier in content["carrier"] for name in carrier["names"]}


def _key(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()

"""The README's table of settings is the settings."""

from __future__ import annotations

import re
from pathlib import Path

from service.settings import Settings

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `(WAYBILL_[A-Z_]+)` \| (.+) \| (.*) \|$", re.MULTILINE)


def expected_rows() -> list[tuple[str, str, str]]:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        shown = f"`{str(default).lower() if isinstance(default, bool) else shown}`" if shown not in {"", "None"} else ""
        rows.append((f"WAYBILL_{name.upper()}", str(field.description or "").replace("|", "\\|"), shown))
    return rows


def test_the_readme_lists_every_setting_with_its_meaning_and_default() -> None:
    assert ROW.findall(README.read_text(encoding="utf-8")) == expected_rows()

"""Foreign text made fit for a cell of a spreadsheet, which computes what looks like a formula."""

from __future__ import annotations

import re
from typing import Final

# Apostrophes in front as well: text that begins with one of its own must come back as it was.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")


def guard(text: str) -> str:
    """Return a cell that a spreadsheet takes for text: with an apostrophe before what would begin a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """Return what `guard` was given; a cell without an apostrophe was not guarded, or somebody has removed it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell

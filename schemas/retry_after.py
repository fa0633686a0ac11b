"""The header `Retry-After`, as any server may send it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str | None, *, now: datetime) -> float:
    """Return the seconds that a `Retry-After` means, of either form; 0 for what cannot be read or lies in the past."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    # Without a zone it is in UTC.
    return max((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds(), 0.0)

"""Calls are counted by the wall clock, which may be set while they are."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from aiohttp import web

from service.http.authentication import ApiKey, Authenticator

KEY = ApiKey("k1", "Warehouse North", frozenset(), expires_at=None, revoked_at=None)


async def _allowed(authenticator: Authenticator, calls: int) -> int:
    """Return how many of so many calls are let through."""
    waits_s = []
    for _ in range(calls):
        try:
            await authenticator.check_rate(KEY)
        except web.HTTPTooManyRequests as refusal:
            waits_s.append(int(refusal.headers["Retry-After"]))
    assert all(1 <= wait_s <= 3600 for wait_s in waits_s)
    return calls - len(waits_s)


@pytest.mark.parametrize("step_s", [-7200, -60, -1])
async def test_a_clock_that_is_set_back_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    authenticator = Authenticator(cast("Any", None), acquire_timeout_s=1, rate_limit="3/hour")
    assert await _allowed(authenticator, 5) == 3
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + step_s)
    assert await _allowed(authenticator, 5) == 3


async def test_a_clock_that_is_kept_right_lets_nobody_call_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(cast("Any", None), acquire_timeout_s=1, rate_limit="3/hour")
    true, began = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: true() - (time.monotonic() - began) / 1000 - 0.1)
    assert await _allowed(authenticator, 20) == 3

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.webhooks.answer import (
    LONGEST_EXCERPT,
    LONGEST_PAUSE_S,
    Accepted,
    Answer,
    Failed,
    Verdict,
    excerpt,
    judge,
)
from schemas.retry_after import parse_retry_after

NOW = datetime(2026, 11, 21, 18, 40, tzinfo=UTC)
DELAYS = (5.0, 30.0, 120.0)


def verdict(code: int | None, *, failures: int = 0, stretch: float = 1.0, **answer: Any) -> Verdict:
    return judge(Answer(0.1, code=code, **answer), failures=failures, delays_s=DELAYS, stretch=stretch)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_every_2xx_accepts(code: int) -> None:
    assert verdict(code) == Accepted()


@pytest.mark.parametrize("code", [100, 199, 300, 301, 307, 400, 401, 404, 409, 500, 503, 599])
def test_nothing_else_does(code: int) -> None:
    failed = verdict(code)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith(f"HTTP {code}")
    assert not failed.gone


def test_no_answer_fails_with_its_reason() -> None:
    assert verdict(None, error="no answer within 15 s") == Failed("no answer within 15 s", 5.0)


def test_a_redirect_says_that_it_is_not_followed() -> None:
    assert verdict(302) == Failed("HTTP 302: redirects are not followed", 5.0)


def test_the_waits_follow_the_schedule_and_then_end() -> None:
    waits = [failed.retry_in_s for n in range(5) if isinstance(failed := verdict(500, failures=n), Failed)]
    assert waits == [5.0, 30.0, 120.0, None, None]


def test_waits_are_stretched() -> None:
    assert verdict(500, failures=1, stretch=1.1) == Failed("HTTP 500", pytest.approx(33.0))


def test_gone_is_gone() -> None:
    assert verdict(410) == Failed("HTTP 410", 5.0, gone=True)


@pytest.mark.parametrize("code", [429, 503])
def test_a_receiver_may_ask_for_peace(code: int) -> None:
    assert verdict(code, retry_after_s=60.0) == Failed(f"HTTP {code}", 60.0, pause_s=60.0)
    # Sooner than planned is not asked for.
    assert verdict(code, failures=2, retry_after_s=60.0) == Failed(f"HTTP {code}", 120.0, pause_s=60.0)
    # The end of the schedule is the end.
    assert verdict(code, failures=3, retry_after_s=60.0) == Failed(f"HTTP {code}", None, pause_s=60.0)


def test_but_not_for_ever() -> None:
    assert verdict(503, retry_after_s=10.0**9) == Failed("HTTP 503", LONGEST_PAUSE_S, pause_s=LONGEST_PAUSE_S)


@pytest.mark.parametrize("code", [200, 404, 500])
def test_and_not_with_any_code(code: int) -> None:
    assert getattr(verdict(code, retry_after_s=60.0), "pause_s", 0.0) == 0.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("9" * 400, 0),
        ("Sat, 21 Nov 2026 18:41:30 GMT", 90),
        ("Sat, 21 Nov 2026 18:41:30 -0000", 90),
        ("Sat, 21 Nov 2026 18:39:00 GMT", 0),
        ("Sat, 99 Nov 2026 18:39:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(value: str) -> None:
    assert parse_retry_after(value, now=NOW) >= 0


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365)))
def test_a_date_means_the_time_until_then(ahead: timedelta) -> None:
    until = NOW + ahead
    assert parse_retry_after(until.strftime("%a, %d %b %Y %H:%M:%S GMT"), now=NOW) == int(ahead.total_seconds())


def test_an_excerpt_is_one_line() -> None:
    assert excerpt(b'  {"error":\r\n\t"no such\x00 \x1b[31mhook"}\n') == '{"error": "no such [31mhook"}'


@given(st.binary(max_size=3000))
def test_any_body_has_an_excerpt_that_can_be_stored_and_shown(body: bytes) -> None:
    found = excerpt(body)
    assert len(found) <= LONGEST_EXCERPT
    assert all(character.isprintable() or ord(character) > 0x9F for character in found)
    found.encode()

"""A wrong setting is named, its value is not repeated, and nothing starts with it."""

from __future__ import annotations

import pytest

from service.settings import Settings, SettingsError, load_settings


def test_the_defaults_are_consistent() -> None:
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "WAYBILL_PORT: Input should be a valid integer"),
        ("PORT", "70000", "WAYBILL_PORT: Input should be less than or equal to 65535"),
        ("RATE_LIMIT", "fast", "WAYBILL_RATE_LIMIT: Value error, expected a number per second"),
        ("WORKER_RETRY_DELAYS_S", "5,0", "WAYBILL_WORKER_RETRY_DELAYS_S: Value error, every delay must be at least 1"),
        ("WORKER_RETRY_DELAYS_S", "5,soon", "WAYBILL_WORKER_RETRY_DELAYS_S: Input should be a valid integer"),
        ("CAPTURE_TIMEOUT_S", "21", "must grow: WAYBILL_CAPTURE_TIMEOUT_S < WAYBILL_IDLE_IN_TRANSACTION_TIMEOUT_S"),
        ("LOG_FORMAT", "xml", "WAYBILL_LOG_FORMAT: Input should be"),
        (
            "AMQP_URL",
            "amqp://a/shop,amqp://b",
            "WAYBILL_AMQP_URL: Value error, all addresses must name the same virtual",
        ),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"WAYBILL_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert expected in str(caught.value)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_PORT", "")
    assert load_settings().port == 8080


def test_what_is_required_and_missing_is_named_with_its_meaning() -> None:
    with pytest.raises(SettingsError, match=r"not set: WAYBILL_DATABASE_URL \(postgresql://"):
        Settings().require("database_url")

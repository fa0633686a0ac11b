from __future__ import annotations

import pytest

from service.settings import Settings, SettingsError, load_settings


def test_the_schedule_is_a_day() -> None:
    schedule = Settings().webhooks_retry_delays_s
    assert 0.98 * 86400 < sum(schedule) < 86400
    assert list(schedule) == sorted(schedule)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_WEBHOOKS_RETRY_DELAYS_S", "0.5, 5,60")
    monkeypatch.setenv("WAYBILL_WEBHOOKS_ALLOWED_NETWORKS", "10.0.0.0/8, ::1")
    settings = load_settings()
    assert settings.webhooks_retry_delays_s == (0.5, 5.0, 60.0)
    assert settings.webhooks_allowed_networks == ("10.0.0.0/8", "::1")


@pytest.mark.parametrize("value", ["5,0", "-1", "soon"])
def test_a_wait_is_more_than_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WAYBILL_WEBHOOKS_RETRY_DELAYS_S", value)
    with pytest.raises(SettingsError, match="WAYBILL_WEBHOOKS_RETRY_DELAYS_S: "):
        load_settings()

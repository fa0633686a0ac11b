"""Stripe in the settings, and beside the sandbox."""

from __future__ import annotations

import aiohttp
import pytest

from service.dev.programs import environment
from service.payments.registry import open_providers, provider_for
from service.payments.stripe import StripeProvider
from service.settings import Settings, SettingsError, load_settings

KEY = "rk_test_51Hxxxxxxxxxxxxxxx"


async def test_each_provider_is_there_for_its_settings_and_both_at_once() -> None:
    sandbox, stripe = {"payment_url": "http://127.0.0.1:1"}, {"stripe_api_key": KEY}
    for given, names in (
        ({}, []),
        (sandbox, ["sandbox"]),
        (stripe, ["stripe"]),
        (sandbox | stripe, ["sandbox", "stripe"]),
    ):
        async with open_providers(Settings(**given)) as providers:
            assert sorted(providers) == names
    assert isinstance(provider_for(providers, "stripe"), StripeProvider)


async def test_as_many_captures_run_at_once_as_there_are_database_connections() -> None:
    async with open_providers(Settings(stripe_api_key=KEY, payment_pool_size=3)) as providers:
        stripe = providers["stripe"]
        assert isinstance(stripe, StripeProvider)
        session = stripe._client._session
        assert session.connector is not None
        assert session.connector.limit == 3
        assert session.timeout == aiohttp.ClientTimeout(total=None, sock_connect=None)


@pytest.mark.parametrize("address", ["nonsense", "ftp://host", "http://", "http://host:port"])
async def test_a_wrong_address_names_its_variable_and_not_its_value(address: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with open_providers(Settings(stripe_api_key=KEY, stripe_url=address)):
            pass
    assert str(caught.value) == "WAYBILL_STRIPE_URL: expected http://host:port"


@pytest.mark.parametrize("value", ["pk_live_51Hxxxxxxxx", "whsec_abc", "sk_", f"{KEY}\n{KEY}", f"Bearer {KEY}"])
def test_what_is_no_secret_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WAYBILL_STRIPE_API_KEY", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        "WAYBILL_STRIPE_API_KEY: Value error, expected a restricted (rk_…) or secret (sk_…) key"
    )


def test_a_live_key_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_STRIPE_API_KEY", "sk_live_51Hxxxxxxxx")
    assert load_settings().stripe_url == "https://api.stripe.com"
    monkeypatch.setenv("WAYBILL_STRIPE_URL", "http://stripe.example.com")
    with pytest.raises(SettingsError, match="with https:// only") as caught:
        load_settings()
    assert "sk_live" not in str(caught.value)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(Settings(stripe_api_key=KEY))


def test_one_provider_is_enough_and_none_is_not() -> None:
    Settings(stripe_api_key=KEY).require("payment_url|stripe_api_key")
    Settings(payment_url="http://127.0.0.1:1").require("payment_url|stripe_api_key")
    with pytest.raises(SettingsError, match=r"not set: WAYBILL_PAYMENT_URL \(.+\) or WAYBILL_STRIPE_API_KEY \("):
        Settings().require("payment_url|stripe_api_key")


def test_what_waybill_dev_starts_knows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_STRIPE_API_KEY", KEY)
    monkeypatch.setenv("WAYBILL_STRIPE_URL", "http://127.0.0.1:8420")
    variables = environment({"WAYBILL_PAYMENT_URL": "http://127.0.0.1:1"})
    assert variables["WAYBILL_STRIPE_API_KEY"] == KEY
    assert variables["WAYBILL_STRIPE_URL"] == "http://127.0.0.1:8420"

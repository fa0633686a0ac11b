from __future__ import annotations

import asyncio

import pytest

from service.payments.provider import Captured, ProviderUnavailable
from service.payments.registry import ProviderNotConfigured, open_providers, provider_for
from service.settings import Settings, SettingsError
from tests.support.sandbox import Sandbox


async def test_a_configured_sandbox_is_there_and_works(sandbox: Sandbox) -> None:
    async with open_providers(Settings(payment_url=sandbox.url)) as providers:
        assert list(providers) == ["sandbox"]
        result = await provider_for(providers, "sandbox").capture(
            authorization="sandbox:ok", amount=100, currency="SEK", idempotency_key="k", final=True
        )
    assert isinstance(result, Captured)
    assert [row["idempotency_key"] for row in sandbox.ledger()] == ["k"]


async def test_as_many_captures_run_at_once_as_there_are_database_connections(sandbox: Sandbox) -> None:
    keys = ["k1", "k2", "k3"]
    async with open_providers(Settings(payment_url=sandbox.url, payment_pool_size=len(keys))) as providers:
        captures = [
            asyncio.create_task(
                providers["sandbox"].capture(
                    authorization="sandbox:slow:300", amount=1, currency="SEK", idempotency_key=key, final=True
                )
            )
            for key in keys
        ]
        for key in keys:
            await sandbox.accepted(key)
        assert sandbox.ledger() == []
        await asyncio.gather(*captures)


async def test_without_settings_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYBILL_PAYMENT_URL", raising=False)
    async with open_providers(Settings()) as providers:
        assert providers == {}


async def test_a_provider_without_settings_is_named_and_may_come_back() -> None:
    with pytest.raises(ProviderNotConfigured, match="payment provider not configured: stripe") as caught:
        provider_for({}, "stripe")
    assert caught.value.name == "stripe"
    assert isinstance(caught.value, ProviderUnavailable)


@pytest.mark.parametrize(
    "address", ["nonsense", "ftp://host", "http://", "http://host:port", "//host:1", "http://[::1"]
)
async def test_a_wrong_address_names_its_variable_and_not_its_value(address: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with open_providers(Settings(payment_url=address)):
            pass
    assert str(caught.value) == "WAYBILL_PAYMENT_URL: expected http://host:port"

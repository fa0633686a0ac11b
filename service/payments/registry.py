"""The payment providers that this installation knows, by the name that an order carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from yarl import URL

from service.payments.provider import PaymentProvider, ProviderUnavailable
from service.payments.sandbox import SandboxProvider
from service.payments.stripe import StripeProvider
from service.payments.stripe_client import StripeClient
from service.settings import Settings, SettingsError


class ProviderNotConfigured(ProviderUnavailable):
    """An order names a payment provider that this installation has no settings for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"payment provider not configured: {name}")
        self.name = name


@asynccontextmanager
async def open_providers(settings: Settings) -> AsyncIterator[dict[str, PaymentProvider]]:
    """Open every provider that has settings: `sandbox` WAYBILL_PAYMENT_URL, `stripe` WAYBILL_STRIPE_API_KEY.

    Raises `SettingsError`.
    """
    providers: dict[str, PaymentProvider] = {}
    async with AsyncExitStack() as stack:
        if settings.payment_url:
            _check_http_address("WAYBILL_PAYMENT_URL", settings.payment_url)
            session = await stack.enter_async_context(_open_session(settings))
            providers["sandbox"] = SandboxProvider(settings.payment_url, session)
        if settings.stripe_api_key:
            _check_http_address("WAYBILL_STRIPE_URL", settings.stripe_url)
            session = await stack.enter_async_context(_open_session(settings))
            providers["stripe"] = StripeProvider(StripeClient(settings.stripe_url, settings.stripe_api_key, session))
        yield providers


def provider_for(providers: Mapping[str, PaymentProvider], name: str) -> PaymentProvider:
    """Return the provider that an order names. Raises `ProviderNotConfigured`."""
    try:
        return providers[name]
    except KeyError:
        raise ProviderNotConfigured(name) from None


def _open_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # A capture holds a database connection, so a process never has more of them under way than that pool allows.
        connector=aiohttp.TCPConnector(limit=settings.payment_pool_size),
        # Deadlines are the caller's.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _check_http_address(variable: str, address: str) -> None:
    try:
        url = URL(address)
        usable = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{variable}: expected http://host:port")

"""Settings, all of them from the environment as `WAYBILL_…`, checked once at start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from limits import parse as parse_rate_limit
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.broker_addresses import split_addresses, virtual_host

# As many as 128 random bits take in hexadecimal.
_SHORTEST_SECRET: Final = 32
_STRIPE_KEY: Final = re.compile(r"[rs]k_[A-Za-z0-9_]{3,250}")


class SettingsError(Exception):
    """A setting is missing or wrong. The message names the variable to change."""


class Settings(BaseSettings):
    """Every setting of every process. Units stand in the names: `_s` is seconds."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field("", description="postgresql://user:password@host:port/database")
    amqp_url: str = Field(
        "",
        description="amqp://user:password@host:port/vhost, or amqps://; of a cluster, several of its nodes,"
        " comma-separated: another is tried when one fails",
    )
    smtp_url: str = Field("", description="smtp://host:port, smtp+starttls://user:password@host:port or smtps://…")
    payment_url: str = Field("", description="address of the sandbox payment provider, http://host:port")
    stripe_api_key: str = Field(
        "", repr=False, description="restricted (rk_…) or secret (sk_…) key of the Stripe account that authorizes"
    )
    stripe_url: str = Field("https://api.stripe.com", description="Stripe's address")

    host: str = Field("127.0.0.1", description="address the API listens on")
    port: int = Field(8080, ge=0, le=65535, description="port the API listens on")
    public_url: str = Field("", description="the API's address in links; empty: as the caller wrote it")
    order_api_prefix: str = Field(
        "/api/order-api", pattern=r"^(/[A-Za-z0-9._~-]+)+$", description="path below which the Order API answers"
    )
    rate_limit: str = Field("", description='calls per key and API process, such as "100/second"; empty: no limit')

    database_pool_size: int = Field(10, ge=1, le=500, description="database connections of one process")
    payment_pool_size: int = Field(
        10,
        ge=1,
        le=500,
        description="further connections of one API process, for calls that wait for a payment or a lock; so many"
        " payments at once",
    )
    database_acquire_timeout_s: float = Field(5, gt=0, description="wait for a free connection, then 503")
    lock_timeout_s: float = Field(15, gt=0, description="wait for a lock that another call holds, then 503")
    capture_timeout_s: float = Field(10, gt=0, description="wait for the payment provider, then the outcome is unknown")
    idle_in_transaction_timeout_s: float = Field(20, gt=0, description="the server ends a transaction idle this long")
    shutdown_timeout_s: float = Field(25, gt=0, description="a stopping process lets running work finish this long")

    relay_batch_size: int = Field(200, ge=1, le=5000, description="events published per round")
    relay_poll_s: float = Field(1.0, gt=0, description="look for events this often even when nobody says there are any")
    relay_wakeup: bool = Field(True, description="be told of new events by LISTEN/NOTIFY; false behind pgbouncer")
    publish_timeout_s: float = Field(10, gt=0, description="wait for the broker's confirmation of one round")

    worker_concurrency: int = Field(8, ge=1, le=100, description="messages a worker handles at once")
    worker_handler_timeout_s: float = Field(60, gt=0, le=600, description="longest handling of one message")
    worker_retry_delays_s: Annotated[tuple[int, ...], NoDecode] = Field(
        (5, 30, 300, 1800, 7200), description="waits before each further attempt, comma-separated; then dead"
    )

    webhooks_timeout_s: float = Field(15, gt=0, le=60, description="longest wait for a webhook receiver's answer")
    webhooks_concurrency: int = Field(200, ge=2, le=5000, description="webhook requests at once, of one worker")
    webhooks_endpoint_concurrency: int = Field(10, ge=1, le=1000, description="of those, to one endpoint")
    webhooks_retry_delays_s: Annotated[tuple[float, ...], NoDecode] = Field(
        (5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600, 36000),
        description="waits before each further attempt of a webhook, comma-separated; then given up",
    )
    webhooks_disable_after_s: float = Field(86400, gt=0, description="an endpoint that only fails is disabled then")
    webhooks_poll_s: float = Field(1.0, gt=0, description="look for due webhooks this often")
    webhooks_allowed_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="networks, comma-separated, that webhooks may reach although not public, also without https"
    )
    webhooks_history_days: int = Field(
        90, ge=1, description="days that settled webhooks are kept by `waybill maintain`"
    )

    history_days: int = Field(
        730, ge=30, description="days that events, handled messages and sent mails are kept by `waybill maintain`"
    )

    mail_sender: str = Field("no-reply@localhost", description="sender of mails of stores that have none of their own")
    mail_templates_dir: Path | None = Field(
        None, description="directory with <store code>/shipped.html, .txt, subject.txt"
    )
    smtp_timeout_s: float = Field(15, gt=0, le=300, description="longest wait for one answer of the mail server")

    documents_secret: str = Field(
        "",
        repr=False,
        description="signs links to documents; comma-separated to change it: the first signs, all are accepted;"
        " empty: no links",
    )
    documents_link_days: int = Field(30, ge=1, le=3650, description="days that a link to a document is good for")

    log_format: Literal["auto", "json", "pretty"] = Field("auto", description="auto: pretty on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level to log")

    @field_validator("public_url")
    @classmethod
    def _public_url_can_be_added_to(cls, value: str) -> str:
        url = urlsplit(value)
        if value and (url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment):
            raise ValueError('expected an address such as "https://shipping.example.com"')
        return value.rstrip("/")

    @field_validator("amqp_url")
    @classmethod
    def _one_broker(cls, value: str) -> str:
        # In two virtual hosts, what the relay publishes would never reach the workers.
        if len({virtual_host(address) for address in split_addresses(value)}) > 1:
            raise ValueError("all addresses must name the same virtual host")
        return value

    @field_validator("stripe_api_key")
    @classmethod
    def _stripe_key_is_no_public_one(cls, value: str) -> str:
        if value and not _STRIPE_KEY.fullmatch(value):
            raise ValueError("expected a restricted (rk_…) or secret (sk_…) key")
        return value

    @field_validator("documents_secret")
    @classmethod
    def _secrets_are_long(cls, value: str) -> str:
        if any(len(secret) < _SHORTEST_SECRET for secret in _split_secrets(value)):
            raise ValueError(f"each secret must have at least {_SHORTEST_SECRET} characters")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _rate_limit_parses(cls, value: str) -> str:
        if value:
            try:
                parse_rate_limit(value)
            except ValueError:
                raise ValueError('expected a number per second, minute, hour or day, such as "100/second"') from None
        return value

    @field_validator("worker_retry_delays_s", "webhooks_retry_delays_s", "webhooks_allowed_networks", mode="before")
    @classmethod
    def _split_delays(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("webhooks_retry_delays_s")
    @classmethod
    def _waits_are_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(delay <= 0 for delay in value):
            raise ValueError("every delay must be more than 0 seconds")
        return value

    @field_validator("worker_retry_delays_s")
    @classmethod
    def _delays_are_positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(delay < 1 for delay in value):
            raise ValueError("every delay must be at least 1 second")
        return value

    @model_validator(mode="after")
    def _live_keys_are_encrypted(self) -> Self:
        if "_live_" in self.stripe_api_key and not self.stripe_url.startswith("https://"):
            raise ValueError("a live WAYBILL_STRIPE_API_KEY is sent to a WAYBILL_STRIPE_URL with https:// only")
        return self

    @model_validator(mode="after")
    def _deadlines_nest(self) -> Self:
        # A capture that runs out of time must still find its transaction alive to roll back, and a stopping process
        # must outlive both, or a stop would look like a crash.
        if not self.capture_timeout_s < self.idle_in_transaction_timeout_s < self.shutdown_timeout_s:
            raise ValueError(
                "these must grow: WAYBILL_CAPTURE_TIMEOUT_S < WAYBILL_IDLE_IN_TRANSACTION_TIMEOUT_S"
                " < WAYBILL_SHUTDOWN_TIMEOUT_S"
            )
        return self

    @property
    def documents_secrets(self) -> tuple[str, ...]:
        """The secrets of document links, the one that signs first; none: there are no links."""
        return _split_secrets(self.documents_secret)

    def require(self, *names: str) -> None:
        """Raise `SettingsError` unless every named setting has a value; of names with `|` between them, one has."""
        missing = [
            " or ".join(map(self._described, name.split("|")))
            for name in names
            if not any(getattr(self, each) for each in name.split("|"))
        ]
        if missing:
            raise SettingsError("not set: " + ", ".join(missing))

    def _described(self, name: str) -> str:
        return f"WAYBILL_{name.upper()} ({type(self).model_fields[name].description})"


def _split_secrets(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def load_settings() -> Settings:
    """Read the environment. Raise `SettingsError` that names each wrong variable, what it holds left out."""
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            f"WAYBILL_{'_'.join(str(part) for part in item['loc'][:1]).upper()}: {item['msg']}"
            if item["loc"]
            else item["msg"]
            for item in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("; ".join(problems)) from None

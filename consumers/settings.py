"""What consumers read of the process's settings. The composition root passes its own; consumers do not import it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class WrongSetting(Exception):
    """A setting has a value that cannot be used. The message names the variable and quotes no secret."""


class ConsumerSettings(Protocol):
    """Settings by their names in the process's settings; `_s` is seconds."""

    @property
    def smtp_url(self) -> str:
        """Address of the mail server."""
        ...

    @property
    def smtp_timeout_s(self) -> float:
        """Longest wait for one answer of the mail server."""
        ...

    @property
    def mail_sender(self) -> str:
        """Sender of mails of stores that have none of their own."""
        ...

    @property
    def mail_templates_dir(self) -> Path | None:
        """Directory of stores' own mail templates."""
        ...

    @property
    def worker_concurrency(self) -> int:
        """Messages handled at once."""
        ...

    @property
    def shutdown_timeout_s(self) -> float:
        """How long running work may go on after the stop."""
        ...

    @property
    def webhooks_timeout_s(self) -> float:
        """Longest wait for a webhook receiver's answer."""
        ...

    @property
    def webhooks_concurrency(self) -> int:
        """Webhook requests at once."""
        ...

    @property
    def webhooks_endpoint_concurrency(self) -> int:
        """Webhook requests at once to one endpoint."""
        ...

    @property
    def webhooks_retry_delays_s(self) -> tuple[float, ...]:
        """Wait before each further attempt of a webhook."""
        ...

    @property
    def webhooks_disable_after_s(self) -> float:
        """How long an endpoint may do nothing but fail."""
        ...

    @property
    def webhooks_poll_s(self) -> float:
        """How often to look for due webhooks."""
        ...

    @property
    def webhooks_allowed_networks(self) -> tuple[str, ...]:
        """Networks that webhooks may reach although they are not public, and without https."""
        ...

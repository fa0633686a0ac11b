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

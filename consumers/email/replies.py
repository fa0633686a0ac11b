"""What a mail server's answers, and its silence, mean for one mail."""

from __future__ import annotations

import re
from typing import Final

from aiosmtplib import SMTPDataError, SMTPRecipientRefused, SMTPResponseException, SMTPSenderRefused

from consumers.email.content import clean
from consumers.email.message import Envelope
from consumers.outcome import Rejected, TryLater

# "Log in first" and its like: our set-up is wrong, not the mail, and it may be put right within the retries.
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
_ADDRESS = re.compile(r"\S*@\S*")
_LONGEST_TEXT: Final = 300


def meaning(error: Exception, envelope: Envelope) -> Rejected | TryLater:
    """Return what `error` means for the mail: a 5xx to the mail itself is final, everything else may pass."""
    match error:
        case SMTPSenderRefused() | SMTPRecipientRefused() | SMTPDataError():
            reason = f"SMTP {error.code} {_without_address(error.message, envelope)}"
            final = 500 <= error.code <= 599 and error.code not in _AUTHENTICATION
            return Rejected(reason) if final else TryLater(reason)
        case SMTPResponseException():
            return TryLater(f"mail server: SMTP {error.code} {_without_address(error.message, envelope)}")
        case _:
            return TryLater(f"mail server: {_without_address(str(error), envelope) or type(error).__name__}")


def _without_address(text: str, envelope: Envelope) -> str:
    # Servers like to quote whom they refuse, also as the bare user.
    text = text.encode("utf-8", "replace").decode()
    text = _ADDRESS.sub("<address>", text)
    text = re.sub(rf"(?<!\w){re.escape(envelope.recipient.local)}(?!\w)", "<address>", text, flags=re.IGNORECASE)
    return clean(text)[:_LONGEST_TEXT]

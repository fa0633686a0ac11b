"""What can be wrong, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong."""

    TOLD_AND_NOT_SHIPPED = "told that it is shipped, and it is not"
    TOLD_TWICE = "two calls were told that they have shipped it"
    TOLD_TOO_EARLY = "told 409 before it was shipped"
    REFUSED_AND_CHANGED = "only ever refused, and yet shipped or paid"
    UNKNOWN_SHIPMENT = "told of a shipment that there is not"
    ANSWERED_LATE = "answered after the deadline"
    BETWEEN_STATES = "neither shipped nor as it was"
    CAPTURED_TWICE = "money was taken more than once"
    NOT_CAPTURED = "shipped without its money"
    MONEY_WITHOUT_SHIPMENT = "money was taken for what has not left"
    UNKNOWN_MONEY = "money that we know nothing of"
    CAPTURE_DIFFERS = "the provider's entry and our row differ"
    WRONG_AMOUNT = "not the amount that was due"
    WRONG_ORDER = "the order does not add up"
    EVENT_MISSING = "shipped without an event, or an event of what has not shipped"
    EVENT_REPEATED = "more than one event in the history"
    EVENT_LOST = "an event was never received"
    EVENT_DIFFERS = "received otherwise than it is in the history"
    EVENT_UNKNOWN = "received and not in the history"
    OUTBOX_LEFT = "the outbox is not empty"
    DEAD_LETTERS = "there are dead letters"
    MAIL_LOST = "no mail was sent"
    MAIL_TWICE = "mailed more than once"
    MAIL_IDS_DIFFER = "mailed more than once under different ids"
    MAIL_UNKNOWN = "a mail about nothing that happened"
    INBOX_DIFFERS = "the inbox is not what was handled"
    EMAILS_DIFFER = "the table of mails is not what was mailed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and with which shipment, order or event."""

    kind: Kind
    subject: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.kind}" + (f" ({self.detail})" if self.detail else "")

"""The checker: compares the ledgers of a run, says what is wrong, and counts what was doubled or lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.faults.books import Call, Ledgers, Told
from tests.faults.findings import Finding, Kind
from tests.faults.rules import RULES

__all__ = ["Call", "Counts", "Finding", "Kind", "Ledgers", "Told", "count", "find_faults"]


def find_faults(ledgers: Ledgers, *, deadline_s: float | None = None, mails_may_repeat: bool = False) -> list[Finding]:
    """Return everything that is wrong.

    `deadline_s`: no answer may have taken longer. `mails_may_repeat`: the run has hit the one window in which a mail
    may go out again, between the mail server's acceptance and our commit; even then under the same Message-ID.
    """
    findings = [finding for rule in RULES for finding in rule(ledgers)]
    if deadline_s is not None:
        findings += [
            Finding(Kind.ANSWERED_LATE, call.shipment_number, f"{call.seconds:.1f} s")
            for call in ledgers.calls
            if call.seconds > deadline_s
        ]
    return [each for each in findings if not (mails_may_repeat and each.kind is Kind.MAIL_TWICE)]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was doubled, lost or left between states, each in numbers of shipments or events.

    `events_twice` and, in its window, `mails_twice` are allowed: both are recognisable by their ids.
    """

    calls: int
    shipped: int
    captures_twice: int
    events_lost: int
    events_twice: int
    mails_lost: int
    mails_twice: int
    mail_ids_differ: int
    between_states: int
    longest_answer_s: float


def count(ledgers: Ledgers) -> Counts:
    """Return the figures of a run."""
    by_kind: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for finding in find_faults(ledgers):
        by_kind[finding.kind].add(finding.subject)
    received = Counter(each.event_id for each in ledgers.received)
    return Counts(
        calls=len(ledgers.calls),
        shipped=sum(each.status == "SHIPPED" for each in ledgers.shipments),
        captures_twice=len(by_kind[Kind.CAPTURED_TWICE]),
        events_lost=len(by_kind[Kind.EVENT_LOST] | by_kind[Kind.EVENT_MISSING]),
        events_twice=sum(times > 1 for times in received.values()),
        mails_lost=len(by_kind[Kind.MAIL_LOST]),
        mails_twice=len(by_kind[Kind.MAIL_TWICE]),
        mail_ids_differ=len(by_kind[Kind.MAIL_IDS_DIFFER]),
        between_states=len(
            by_kind[Kind.BETWEEN_STATES] | by_kind[Kind.MONEY_WITHOUT_SHIPMENT] | by_kind[Kind.NOT_CAPTURED]
        ),
        longest_answer_s=max((call.seconds for call in ledgers.calls), default=0.0),
    )

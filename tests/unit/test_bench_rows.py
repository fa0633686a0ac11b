"""What rows make of files: the chain's times, the sample mail, the orders to import; and the limit's transaction."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from bench.data import Numbers
from bench.rows import ROWS, chain
from bench.rows.chain import accepted_at, delays_ms, read_answers
from bench.rows.order_import import write_orders
from bench.rows.worker import mail_of_dump
from bench.size import FOLDER, QUICK
from schemas.orders import IntakeOrder

DUMPED = b"""X-Client-Addr: 127.0.0.1
X-Client-Proto: ESMTP
X-Helo-Args: mail.example.com
X-Mail-Args: <shop@example.com>
X-Rcpt-Args: <asa@example.com>
Received: from mail.example.com ([127.0.0.1])
        by smtp-sink (smtp-sink) with ESMTP id 6a8f0001
        for <asa@example.com>; Sun, 22 Nov 2026 01:00:00 +0000 (UTC)
Date: Sun, 22 Nov 2026 01:00:00 +0000
Message-ID: <1@example.com>

Received: is not a header here.
"""


def test_the_sample_mail_is_what_was_sent():
    assert mail_of_dump(DUMPED) == (
        b"Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n"
        b"Received: is not a header here.\r\n"
    )


def test_the_chain_is_timed_from_the_answer_to_the_mail(tmp_path):
    for thread, text in enumerate(("100.000000 7-1\n", "101.500000 8-1\n102.000000 9-1\n")):
        (tmp_path / f"answers-0{thread}").write_text(text)
    dump = tmp_path / "mails"
    dump.mkdir()
    for name, moment in (("1", 100.025), ("2", 101.53)):
        (dump / name).write_bytes(DUMPED.replace(b"<1@", f"<{name}@".encode()))
        os.utime(dump / name, (moment, moment))
    answered = read_answers(tmp_path.glob("answers-0?"))
    mailed = {"<1@example.com>": "7-1", "<2@example.com>": "8-1"}
    assert sorted(delays_ms(answered, mailed, accepted_at(dump))) == pytest.approx([25, 30], abs=0.01)


def test_the_chain_waits_for_the_mails_of_those_that_were_answered(tmp_path, monkeypatch):
    # Of three completed shipments the answer to one was cut off, and its mail comes before another's.
    looks = iter([["7-1", "9-1"], ["7-1", "8-1", "9-1"]])

    def look(*_: Any, **__: Any) -> list[dict[str, str]]:
        return [{"message_id": f"<{number}@example.com>", "shipment_number": number} for number in next(looks)]

    def http(*_: Any, **variables: Any) -> str:
        (tmp_path / "answers-0").write_text("100.000000 7-1\n101.500000 8-1\n")
        assert variables["ANSWERS"] == str(tmp_path / "answers-")
        return "counted"

    monkeypatch.setattr(chain.time, "sleep", lambda _: None)
    bench: Any = SimpleNamespace(http=http, size=QUICK, servers=SimpleNamespace(database=SimpleNamespace(look=look)))
    api: Any = None
    result, answered, mailed = chain._complete(bench, api, Numbers(7, 9), seconds=1, answers=tmp_path / "answers-")
    assert (result, answered) == ("counted", {"7-1": 100, "8-1": 101.5})
    assert sorted(mailed.values()) == ["7-1", "8-1", "9-1"]


def test_the_orders_to_import_are_orders(tmp_path):
    file = tmp_path / "orders.jsonl"
    write_orders(file, prefix="x", count=3)
    orders = [IntakeOrder.model_validate_json(line) for line in file.read_text().splitlines()]
    assert len({order.order_number for order in orders}) == 3


def test_every_row_says_what_it_measures():
    assert all((row.__doc__ or "").startswith("Yield ") for row in ROWS.values())


def test_the_limit_is_two_statements_in_one_transaction():
    script = (FOLDER / "load" / "completion.pgbench").read_text()
    statements = "".join(line for line in script.splitlines(keepends=True) if not line.startswith(("--", "\\")))
    commands = [statement.split()[0] for statement in statements.split(";\n") if statement.strip()]
    assert commands == ["BEGIN", "SELECT", "WITH", "COMMIT"]

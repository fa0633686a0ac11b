"""Sending a sheet: what is sent how often, what is waited for, and when it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from service.completion_file import send
from service.completion_file.client import Refused, Unavailable
from service.completion_file.send import ROUNDS, TRIES, GaveUp, Sending, batches
from service.completion_file.sheet import Answer, Sheet, Shipment
from service.order_import.csv_rows import CsvFormat

SHIPPED = Answer(200)
BUSY = Answer(503, error="busy", retry_after_s=5)

# What a request is answered: positions and answers, perhaps with a failure after them.
Script = Callable[[list[str]], Sequence[tuple[int, Answer] | Exception]]


@dataclass
class Service:
    """Answers each request as the next script says, the last one from then on."""

    scripts: list[Script]
    requests: list[list[str]] = field(default_factory=list)

    async def complete(self, shipments: list[Shipment]) -> AsyncGenerator[tuple[int, Answer]]:
        numbers = [shipment.number for shipment in shipments]
        self.requests.append(numbers)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for each in script(numbers):
            if isinstance(each, Exception):
                raise each
            yield each


def sheet_of(*numbers: str, **answered: Answer) -> Sheet:
    shipments = [Shipment("1", (number,), number) for number in numbers]
    return Sheet(("shipmentNumber",), CsvFormat(), shipments, [answered.get(number) for number in numbers])


def each(answer: Answer) -> Script:
    return lambda numbers: [(position, answer) for position in reversed(range(len(numbers)))]


def failing(*first: tuple[int, Answer], retry_after_s: float = 0) -> Script:
    return lambda _numbers: [*first, Unavailable("away", retry_after_s=retry_after_s)]


@dataclass
class Sent:
    requests: list[list[str]]
    waits: list[float]
    notes: list[str]
    told: list[Answer]
    ended: Exception | None


async def send_all(sheet: Sheet, *scripts: Script) -> Sent:
    service = Service(list(scripts))
    sent = Sent(service.requests, [], [], [], None)

    async def pause(seconds: float) -> None:
        sent.waits.append(seconds)

    try:
        await Sending(service, sheet, tell=sent.told.append, note=sent.notes.append, pause=pause).send_all()
    except (GaveUp, Refused) as error:
        sent.ended = error
    return sent


async def test_only_what_has_no_answer_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "ROWS_A_REQUEST", 2)
    sheet = sheet_of("a", "b", "c", "d", "e", b=Answer(409), d=Answer(400))
    sent = await send_all(sheet, each(SHIPPED))
    assert sent.requests == [["a", "c"], ["e"]]
    assert sheet.answers == [SHIPPED, Answer(409), SHIPPED, Answer(400), SHIPPED]
    assert (sent.told, sent.waits, sent.ended) == ([SHIPPED] * 3, [], None)


async def test_answers_belong_to_their_rows_in_whatever_sequence_they_come() -> None:
    sheet = sheet_of("a", "b", "c")
    await send_all(sheet, lambda _: [(2, Answer(404)), (0, SHIPPED), (1, Answer(500))])
    assert sheet.answers == [SHIPPED, Answer(500), Answer(404)]


async def test_rows_that_a_broken_answer_has_not_told_are_sent_again() -> None:
    sheet = sheet_of("a", "b", "c")
    ends_early: Script = lambda _: [(0, SHIPPED)]  # noqa: E731 - a script like the others
    sent = await send_all(sheet, failing((1, SHIPPED)), ends_early, each(Answer(409)))
    assert sent.requests == [["a", "b", "c"], ["a", "c"], ["c"]]
    assert sheet.answers == [SHIPPED, SHIPPED, Answer(409)]
    assert [note.split(";")[0] for note in sent.notes] == ["away", "the answer ended early"]
    assert all(0.5 <= wait <= 1 for wait in sent.waits)


async def test_a_service_that_stays_away_is_given_up_and_what_is_known_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send, "ROWS_A_REQUEST", 2)
    sheet = sheet_of("a", "b", "c", "d")
    sent = await send_all(sheet, each(SHIPPED), failing())
    assert (type(sent.ended), str(sent.ended)) == (GaveUp, "away")
    assert sent.requests == [["a", "b"], *[["c", "d"]] * TRIES]
    assert sheet.answers == [SHIPPED, SHIPPED, None, None]
    # Each wait is longer, and together they are long enough for a service to start again.
    assert len(sent.waits) == TRIES - 1
    assert 20 <= sum(sent.waits) <= 50


async def test_a_service_that_goes_on_answering_now_and_then_is_not_given_up() -> None:
    numbers = [str(n) for n in range(3 * TRIES)]
    sheet = sheet_of(*numbers)
    scripts = [script for _ in numbers for script in (failing(), failing((0, SHIPPED)))]
    sent = await send_all(sheet, *scripts)
    assert sent.ended is None
    assert sheet.unanswered() == []


async def test_the_service_says_how_long_to_wait() -> None:
    sent = await send_all(sheet_of("a"), failing(retry_after_s=42), each(SHIPPED))
    assert sent.waits == [42]
    assert sent.notes == ["away; again in 42 s"]


async def test_nobody_waits_for_an_hour() -> None:
    sent = await send_all(sheet_of("a"), failing(retry_after_s=3600))
    assert (type(sent.ended), sent.waits) == (GaveUp, [])


async def test_rows_for_which_there_was_no_time_are_sent_again_after_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send, "ROWS_A_REQUEST", 2)
    sheet = sheet_of("a", "b", "c", "d")
    busy_first: Script = lambda _: [(0, BUSY), (1, SHIPPED)]  # noqa: E731 - a script like the others
    sent = await send_all(sheet, busy_first, busy_first, busy_first, each(SHIPPED))
    assert sent.requests == [["a", "b"], ["c", "d"], ["a", "c"], ["a"]]
    assert sheet.answers == [SHIPPED] * 4
    assert sent.waits == [5, 5]
    assert sent.notes[0] == "rows that could not be decided in time: 2; again in 5 s"


async def test_a_row_for_which_there_is_never_time_keeps_that_answer() -> None:
    sheet = sheet_of("a")
    sent = await send_all(sheet, each(BUSY))
    assert (len(sent.requests), sent.ended, sheet.answers) == (ROUNDS + 1, None, [BUSY])


async def test_a_refused_request_ends_it_at_once() -> None:
    sheet = sheet_of("a", "b")
    sent = await send_all(sheet, lambda _: [(1, SHIPPED), Refused("no")])
    assert (len(sent.requests), str(sent.ended), sheet.answers) == (1, "no", [None, SHIPPED])


def test_long_rows_make_smaller_requests() -> None:
    numbers = ["short", "x" * 300_000, "y" * 300_000, "z" * 600_000, "short"]
    assert list(batches(sheet_of(*numbers), range(5))) == [[0, 1], [2], [3], [4]]
    many = sheet_of(*["100001-1"] * 2500)
    assert [len(batch) for batch in batches(many, many.unanswered())] == [1000, 1000, 500]

"""How calls run: alone, cut off anywhere, or several at once.

A call is a chain of steps. A step happens whole or not at all; between two steps of a call anything else may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.model.world import Answer, Order


@dataclass(frozen=True)
class Step:
    """`do(order, *arguments)` returns all that may become of the order, each with the answer or the step after it.

    A value, so that ways that have come to the same point are known as one. `otherwise` is answered where the step
    cannot be made and nothing hangs on it.
    """

    do: Callable[..., Iterable[tuple[Order, Answer | Step]]]
    arguments: tuple[Any, ...]
    otherwise: Answer | None = None

    def __call__(self, order: Order) -> Iterable[tuple[Order, Answer | Step]]:
        return self.do(order, *self.arguments)


def step(
    do: Callable[..., Iterable[tuple[Order, Answer | Step]]], *arguments: Any, otherwise: Answer | None = None
) -> Step:
    return Step(do, arguments, otherwise)


def alone(order: Order, call: Step) -> Iterator[tuple[Order, Answer]]:
    """All that a call may do when nothing disturbs it."""
    for after, (answer,) in together(order, [call]):
        yield after, answer


def cut_off(order: Order, call: Step) -> Iterator[tuple[Order, Answer | None]]:
    """All that may be left of a call that was cut off anywhere, with what is answered, if anything is.

    The steps that were committed stay. Of the one that was not, only what the provider has decided stays: its memory
    is not ours to roll back.
    """
    yield order, call.otherwise
    for after, rest in call(order):
        yield replace(order, provider=after.provider), None
        yield after, None
        if isinstance(rest, Step):
            yield from cut_off(after, rest)


def together(order: Order, calls: list[Step]) -> Iterator[tuple[Order, tuple[Answer, ...]]]:
    """All ends of calls that run at the same time: every way in which their steps may follow one another."""
    start: tuple[Order, tuple[Answer | Step, ...]] = (order, tuple(calls))
    seen, open_ends = {start}, [start]
    while open_ends:
        now, rests = open_ends.pop()
        waiting = [place for place, rest in enumerate(rests) if isinstance(rest, Step)]
        if not waiting:
            yield now, tuple(rest for rest in rests if isinstance(rest, Answer))
        for place in waiting:
            rest = rests[place]
            assert isinstance(rest, Step)
            for after, then in rest(now):
                end = (after, (*rests[:place], then, *rests[place + 1 :]))
                if end not in seen:
                    seen.add(end)
                    open_ends.append(end)

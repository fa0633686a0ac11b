"""Random lives of a few orders. After every step the service must have done what the model allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pprint import pformat
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from schemas.paths import ORDERS_BASE
from tests.model import wishes
from tests.model.calls import Call, Complete, Create, Reconcile, TakeIn, TakeMoney, Update
from tests.model.faults import Fault, Plan
from tests.model.interleave import alone, cut_off, together
from tests.model.observation import Observation
from tests.model.promises import promise
from tests.model.reading import check_lists, check_order
from tests.model.rig import PROCESSES, Rig
from tests.model.wire import is_as_promised
from tests.model.world import Answer, Behaviour, Content, Order, OrderStatus, Provider, State, Status

# As many of the newest orders take part; the older ones must stay as they are.
YOUNG = 3
# Calls that an idempotency key may go with.
_KEYED = (Create, Complete, TakeMoney, Update)

_Ends = tuple[Order, tuple[Answer | None, ...]]
some_order = st.integers(0, YOUNG - 1)
some_process = st.integers(0, PROCESSES - 1)


class Orders(RuleBasedStateMachine):
    """`rig` is set by whoever runs it. Over all examples `tally` counts what has happened, `noticed` what was wrong."""

    rig: ClassVar[Rig]
    tally: ClassVar[Counter[str]]
    noticed: ClassVar[list[AssertionError]]

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Observation] = {}
        self.orders: dict[str, Order] = {}
        self.made: list[tuple[str, Call, str | None]] = []

    @initialize(content=wishes.contents)
    def first_order(self, content: Content) -> None:
        self._new_order(content)

    @rule()
    def a_while_passes(self) -> None:
        """The least that can happen: first by its name, it is what examples are made of when there is nothing else."""

    @rule(content=wishes.contents)
    def another_order(self, content: Content) -> None:
        self._new_order(content)

    @rule(
        which=some_order,
        content=st.one_of(st.none(), wishes.contents),
        authorization=st.sampled_from(["first", "second"]),
        process=some_process,
    )
    def take_in_again(self, which: int, content: Content | None, authorization: str, process: int) -> None:
        """The known content, whose authorization may differ, or other content."""
        number = self._number(which)
        known = self.orders[number].content
        assert known is not None
        self._make(number, TakeIn(content or replace(known, authorization=authorization)), process=process)

    @rule(which=some_order, call=wishes.creates, key=wishes.keys, turn=wishes.turns, process=some_process)
    def create(self, which: int, call: Call, key: str | None, turn: tuple[Behaviour, int] | None, process: int) -> None:
        number = self._number(which)
        if turn:
            self._turn(number, *turn)
        self._make(number, call, key, process=process)

    @rule(which=some_order, call=wishes.completions, key=wishes.keys, turn=wishes.turns, process=some_process)
    def complete(
        self, which: int, call: Call, key: str | None, turn: tuple[Behaviour, int] | None, process: int
    ) -> None:
        number = self._number(which)
        if turn:
            self._turn(number, *turn)
        self._make(number, call, key, process=process)

    @rule(which=some_order, call=wishes.calls, key=wishes.keys, process=some_process)
    def call(self, which: int, call: Call, key: str | None, process: int) -> None:
        self._make(self._number(which), call, key, process=process)

    @rule(back=st.integers(1, 4), process=some_process)
    def repeat(self, back: int, process: int) -> None:
        """Make a call again that was made before, whatever has become of it."""
        if self.made:
            number, call, key = self.made[-min(back, len(self.made))]
            self._make(number, call, key, process=process)

    @rule(which=some_order, call=wishes.calls, key=wishes.keys, plan=wishes.faults, process=some_process)
    def cut_off(self, which: int, call: Call, key: str | None, plan: Plan, process: int) -> None:
        """The connection, the process or the client goes in the middle of a call."""
        self._make(self._number(which), call, key, plan=replace(plan), process=process)

    @rule(back=st.integers(1, 3), plan=wishes.faults, process=some_process)
    def cut_off_repetition(self, back: int, plan: Plan, process: int) -> None:
        if self.made:
            number, call, key = self.made[-min(back, len(self.made))]
            self._make(number, call, key, plan=replace(plan), process=process)

    @rule(
        which=some_order,
        behaviour=wishes.behaviours,
        calls=st.lists(st.tuples(wishes.completions, wishes.waits), min_size=2, max_size=3),
        place=wishes.places,
    )
    def race_to_complete(
        self, which: int, behaviour: tuple[Behaviour, int], calls: list[tuple[Call, Plan]], place: int
    ) -> None:
        """Whoever waits for another one is told what has become of the shipment, not what was hoped for."""
        number = self._number(which)
        self._turn(number, *behaviour)
        self._make_together(number, [(wishes.at(place, call), None) for call, _ in calls], [plan for _, plan in calls])

    @rule(which=some_order, call=wishes.calls, key=wishes.keys, plans=st.tuples(wishes.waits, wishes.waits))
    def the_same_twice_at_once(self, which: int, call: Call, key: str | None, plans: tuple[Plan, Plan]) -> None:
        self._make_together(self._number(which), [(call, key)] * 2, plans)

    @rule(
        which=some_order,
        calls=st.lists(
            st.tuples(wishes.calls_at_once, wishes.keys, wishes.waits),
            min_size=2,
            max_size=3,
        ),
    )
    def at_once(self, which: int, calls: list[tuple[Call, str | None, Plan]]) -> None:
        """Several calls about one order at the same time, of which any sequence of their steps is allowed."""
        self._make_together(self._number(which), [(call, key) for call, key, _ in calls], [plan for *_, plan in calls])

    @rule(which=some_order, call=wishes.reconciliations)
    def reconcile(self, which: int, call: Call) -> None:
        self._make(self._number(which), call)

    @rule(which=some_order, behaviour=wishes.behaviours)
    def provider_turns(self, which: int, behaviour: tuple[Behaviour, int]) -> None:
        self._turn(self._number(which), *behaviour)

    @rule(which=some_order, status=wishes.operations)
    def operator_decides(self, which: int, status: OrderStatus) -> None:
        """Put an order on hold, let it go on and be paid, or cancel it."""
        number = self._number(which)
        order = self.orders[number]
        if order.status in {OrderStatus.COMPLETED, OrderStatus.CANCELLED}:
            return
        if status is OrderStatus.CONFIRMED and any(each.status is Status.SHIPPED for each in order.shipments):
            status = OrderStatus.IN_PROGRESS
        waiting = order.waiting_for_payment and status is OrderStatus.ONHOLD
        self.rig.execute(
            "UPDATE orders SET status = $2, waiting_for_payment = $3 WHERE order_number = $1", number, status, waiting
        )
        self._believe(number, replace(order, status=status, waiting_for_payment=waiting))

    @rule(which=some_order)
    def read(self, which: int) -> None:
        number = self._number(which)
        order = self.orders[number]
        with self._noticing():
            check_order(order, self.rig.get(f"{ORDERS_BASE}/{number}"))
            check_lists(order, self.rig.get)
        self._count("read")

    @rule(process=some_process)
    def restart(self, process: int) -> None:
        self.rig.restart(process)

    def teardown(self) -> None:
        """In the end everything left open is settled, both books agree, and no step has touched another order."""
        for number, seen in self.seen.items():
            with self._noticing():
                assert self.rig.observe(number).text == seen.text, f"order {number} was changed by calls about others"
            if wishes.pending(self.orders[number]):
                self._turn(number, Behaviour.OK)
                self._make(number, Reconcile(given_up=True))
                self._count("settled in the end")
            order = self.orders[number]
            captures = [capture for shipment in order.shipments for capture in shipment.captures]
            assert all(capture.state is not State.PENDING for capture in captures)
            taken = sum(capture.amount for capture in order.live_captures)
            assert taken == sum(entry.amount for entry in self.rig.provider.ledger(number).values())

    def _new_order(self, content: Content) -> None:
        number = self.rig.new_order_number()
        self.orders[number] = Order(number)
        self.seen[number] = self.rig.observe(number)
        self._make(number, TakeIn(content))

    def _number(self, which: int) -> str:
        numbers = list(self.orders)[-YOUNG:]
        return numbers[which % len(numbers)]

    def _make(
        self, number: str, wished: Call, key: str | None = None, *, plan: Plan | None = None, process: int = 0
    ) -> None:
        before = self.orders[number]
        call, key = wishes.resolve(wished, before), self._key(number, wished, key)
        plan = plan or Plan()
        answers = self.rig.call(number, [(call, key)], [plan], process)
        first = promise(call, key)
        allowed: list[_Ends] = [(after, (answer,)) for after, answer in alone(before, first)]
        if plan.happened:
            # All may have been done before, so that only the answer was lost. A hang-up stops nothing else.
            allowed += [(after, (None,)) for after, _ in allowed]
        if plan.happened and plan.passed[plan.at] == "keys.find_by_hash":
            # Who left before the request was read has asked for nothing.
            allowed.append((before, (None,)))
        if plan.happened and plan.fault is not Fault.HANG_UP:
            allowed += [(after, (answer,)) for after, answer in cut_off(before, first)]
            # Who is asked to come back later may be told so at any point.
            answers = [None if answer is not None and answer.status == 503 else answer for answer in answers]
        self._accept(number, [call], answers, allowed)
        if not isinstance(call, TakeIn):
            self.made.append((number, wished, key))
        if plan.happened and plan.fault:
            self._count(f"{plan.fault.name} at {plan.passed[plan.at]}")

    def _make_together(self, number: str, wished: Sequence[tuple[Call, str | None]], plans: Sequence[Plan]) -> None:
        before = self.orders[number]
        calls = [(wishes.resolve(call, before), self._key(number, call, key)) for call, key in wished]
        answers = self.rig.call(number, calls, [replace(plan, passed=[]) for plan in plans])
        ends = together(before, [promise(call, key) for call, key in calls])
        self._accept(number, [call for call, _ in calls], answers, ends)
        self.made.extend((number, call, self._key(number, call, key)) for call, key in wished)
        self._count("at once", len(calls))

    def _accept(
        self, number: str, calls: Sequence[Call], answers: Sequence[Answer | None], ends: Iterable[_Ends]
    ) -> None:
        """Go on from the end that was seen, which must be one of those that are allowed."""
        before, ends = self.orders[number], list(ends)
        with self._noticing():
            seen = self.rig.observe(number)
            for after, promised in ends:
                if after == seen.order and all(_fits(*pair) for pair in zip(answers, promised, strict=True)):
                    break
            else:
                raise AssertionError(_explain(before, calls, answers, seen.order, ends))
            if _of_rows(after) == _of_rows(before) and not any(isinstance(call, Reconcile) for call in calls):
                assert seen.text == self.seen[number].text, f"{calls}: rows changed although nothing was to change"
                self._count("changed nothing")
        self.orders[number], self.seen[number] = after, seen
        for call, answer in zip(calls, answers, strict=True):
            self._count(f"{type(call).__name__} {_short(answer)}")

    def _turn(self, number: str, behaviour: Behaviour, outages: int = 0) -> None:
        self.rig.provider.turn(number, behaviour, outages)
        self._believe(
            number, replace(self.orders[number], provider=self.orders[number].provider.turn(behaviour, outages))
        )

    def _believe(self, number: str, order: Order) -> None:
        with self._noticing():
            self.seen[number] = self.rig.observe(number)
            assert self.seen[number].order == order
        self.orders[number] = order

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Keep what was noticed: a race may well end differently when hypothesis tries the same life again."""
        try:
            yield
        except AssertionError as error:
            self.noticed.append(error)
            raise

    def _key(self, number: str, call: Call, key: str | None) -> str | None:
        if key is None or not isinstance(call, _KEYED):
            return None
        return key if key.startswith(f"{number}:") else f"{number}:{key}"

    def _count(self, what: str, times: int = 1) -> None:
        self.tally[what] += times


def _fits(seen: Answer | None, promised: Answer | None) -> bool:
    return promised is seen if seen is None or promised is None else is_as_promised(seen, promised)


def _of_rows(order: Order) -> Order:
    return replace(order, provider=Provider(), keys=())


def _short(answer: Answer | None) -> str:
    if answer is None:
        return "unheard"
    body = dict(answer.body)
    message = "".join(character for character in str(body.get("msg", "")) if not character.isdigit())
    return f"{answer.status} {body.get('status', '')} {message}".strip()


def _explain(
    before: Order, calls: Sequence[Call], answers: Sequence[Answer | None], seen: Order, ends: Sequence[_Ends]
) -> str:
    return "\n".join(
        [
            "the model allows nothing like this",
            *(f"{call}\n  was answered {answer}" for call, answer in zip(calls, answers, strict=True)),
            f"before: {pformat(before, width=150)}",
            f"after: {pformat(seen, width=150)}",
            f"allowed, {len(ends)} in all: {pformat(ends[:4], width=150)}",
        ]
    )


def live(rig: Rig, seed: int, *, steps: int, shrink: bool = False) -> Counter[str]:
    """Run the life that `seed` stands for, of at most `steps` steps; return what has happened.

    Raises what the first step that was not allowed has raised; `shrink` looks for the shortest such life.
    """

    class Seeded(Orders):
        pass

    Seeded.rig, Seeded.tally, Seeded.noticed = rig, Counter(), []
    Seeded._hypothesis_internal_use_seed = seed
    setting = settings(
        # The first is always the least that can be drawn. Of more than two, most are variations of others.
        max_examples=2,
        stateful_step_count=steps,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        # How long an example takes, and how large it is, says nothing about the service.
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # Nothing is left in the checkout; the seed brings a life back.
        database=None,
        derandomize=False,
    )
    try:
        run_state_machine_as_test(Seeded, settings=setting)
    except Flaky as error:
        raise (Seeded.noticed or [error])[0] from error
    return Seeded.tally

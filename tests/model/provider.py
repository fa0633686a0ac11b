"""A payment provider that behaves towards each order as it is told to, and forgets nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from service.payments.provider import Captured, Declined, OutcomeUnknown, ProviderUnavailable
from tests.model.faults import point
from tests.model.world import Behaviour, Decision, Provider


@dataclass(frozen=True)
class Entry:
    """What was asked for under an idempotency key, and what was decided."""

    authorization: str
    amount: int
    currency: str
    final: bool
    decision: Decision = Decision.CAPTURED

    @property
    def request(self) -> tuple[str, int, str]:
        return self.authorization, self.amount, self.currency


@dataclass
class ScriptedProvider:
    """Implements `PaymentProvider`. `mistakes` are uses of a key that no provider would forgive."""

    orders: dict[str, Provider] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    async def capture(
        self, *, authorization: str, amount: int, currency: str, idempotency_key: str, final: bool
    ) -> Captured | Declined:
        async with point("provider.capture"):
            return self._capture(idempotency_key, Entry(authorization, amount, currency, final))

    async def find(self, idempotency_key: str, **_: object) -> Captured | Declined | None:
        async with point("provider.find"):
            if self.of_order(_order_of(idempotency_key)).behaviour is Behaviour.AWAY:
                raise ProviderUnavailable("away")
            known = self.entries.get(idempotency_key)
            return _answer(idempotency_key, known) if known else None

    def of_order(self, number: str) -> Provider:
        """What the model should know."""
        return self.orders.get(number, Provider())

    def ledger(self, number: str) -> dict[str, Entry]:
        """Every capture of the order that has moved money."""
        return {
            key: entry
            for key, entry in self.entries.items()
            if _order_of(key) == number and entry.decision is Decision.CAPTURED
        }

    def turn(self, number: str, behaviour: Behaviour, outages: int = 0) -> None:
        """Behave differently towards an order from now on; what was still processed is captured."""
        self.orders[number] = self.of_order(number).turn(behaviour, outages)
        for key, decision in self.orders[number].decided:
            self.entries[key] = replace(self.entries[key], decision=decision)

    def _capture(self, key: str, asked: Entry) -> Captured | Declined:
        number = _order_of(key)
        provider = self.of_order(number)
        if provider.behaviour is Behaviour.AWAY:
            raise ProviderUnavailable("away")
        known = self.entries.get(key)
        if known is not None:
            if known.request != asked.request:
                self.mistakes.append(f"{key} was used for {known.request} and for {asked.request}")
            if known.final is not asked.final:
                raise OutcomeUnknown("the key was used with other parameters")
            return _answer(key, known)
        if provider.behaviour is Behaviour.FLAKY and provider.outages:
            self.orders[number] = replace(provider, outages=provider.outages - 1)
            raise ProviderUnavailable("out of service")
        decision = _DECISIONS.get(provider.behaviour, Decision.CAPTURED)
        self.entries[key] = replace(asked, decision=decision)
        self.orders[number] = provider.decide(key, decision)
        if provider.behaviour in {Behaviour.LOST, Behaviour.LOST_REFUSAL}:
            raise OutcomeUnknown("the answer was lost")
        return _answer(key, self.entries[key])


_DECISIONS = {
    Behaviour.DECLINE: Decision.DECLINED,
    Behaviour.LOST_REFUSAL: Decision.DECLINED,
    Behaviour.LATE: Decision.PROCESSING,
}


def reference_of(key: str) -> str:
    """The provider's own name for a capture."""
    return f"paid by {key}"


def _answer(key: str, entry: Entry) -> Captured | Declined:
    match entry.decision:
        case Decision.CAPTURED:
            return Captured(reference_of(key))
        case Decision.DECLINED:
            return Declined("as it was told to")
        case Decision.PROCESSING:
            raise OutcomeUnknown("not decided yet")


def _order_of(key: str) -> str:
    return key.split(":")[1].rpartition("-")[0]

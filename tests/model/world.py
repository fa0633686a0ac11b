"""What there is to know about one order: the nouns of the model. Everything is a value; a change makes another value.

Written from the contracts and the decisions, not from the service: nothing here imports it. Amounts are in minor units.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

# Pieces by line, in the sequence of the lines' names, so that equal selections are equal values.
Pieces = tuple[tuple[str, int], ...]


class OrderStatus(StrEnum):
    CONFIRMED = "CONFIRMED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    ONHOLD = "ONHOLD"
    CANCELLED = "CANCELLED"


class Status(StrEnum):
    # A creation that waits for its capture; it exists for nobody else.
    PROVISIONAL = "PROVISIONAL"
    AWAITING_INVENTORY = "AWAITING_INVENTORY"
    INVENTORY_ASSIGNED = "INVENTORY_ASSIGNED"
    RELEASED = "RELEASED"
    ONHOLD = "ONHOLD"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"


class State(StrEnum):
    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"


class Behaviour(StrEnum):
    """How the payment provider meets an order's captures."""

    OK = "ok"
    DECLINE = "decline"
    LOST = "captures, and its answer is lost"
    LOST_REFUSAL = "declines, and its answer is lost"
    LATE = "accepts, and decides later"
    AWAY = "cannot be reached"
    FLAKY = "is out of service for a number of requests, then captures"


class Decision(StrEnum):
    """What the provider has made of an idempotency key."""

    CAPTURED = "captured"
    DECLINED = "declined"
    PROCESSING = "processing"


@dataclass(frozen=True)
class Provider:
    """The payment provider, as far as one order is concerned. `outages`: requests that a flaky one will not serve."""

    behaviour: Behaviour = Behaviour.OK
    outages: int = 0
    decided: tuple[tuple[str, Decision], ...] = ()

    def decision(self, key: str) -> Decision | None:
        return dict(self.decided).get(key)

    def decide(self, key: str, decision: Decision) -> Provider:
        return replace(self, decided=tuple(sorted({**dict(self.decided), key: decision}.items())))

    def turn(self, behaviour: Behaviour, outages: int = 0) -> Provider:
        """Let it behave differently from now on; what it was still processing is captured."""
        decided = tuple(
            (key, Decision.CAPTURED if decision is Decision.PROCESSING else decision) for key, decision in self.decided
        )
        return Provider(behaviour, outages, decided)


@dataclass(frozen=True)
class Capture:
    attempt: int
    amount: int
    # Of which the order's shipping cost.
    shipping_part: int
    state: State
    authorization: str

    @property
    def is_live(self) -> bool:
        return self.state is not State.DECLINED


@dataclass(frozen=True)
class Told:
    """What a caller tells of a shipment that has left; None: nothing. `notify`: whether the customer is mailed."""

    tracking: str | None = None
    carrier: str | None = None
    packages: int | None = None
    comment: str | None = None
    notify: bool | None = None


@dataclass(frozen=True)
class Shipment:
    n: int
    status: Status
    good_to_go: bool
    capture_wanted: bool
    pieces: Pieces
    captures: tuple[Capture, ...] = ()
    events: tuple[str, ...] = ()
    told: Told | None = None

    @property
    def live(self) -> Capture | None:
        return next((capture for capture in self.captures if capture.is_live), None)

    @property
    def is_paid(self) -> bool:
        return self.live is not None and self.live.state is State.CAPTURED

    @property
    def is_there(self) -> bool:
        """Whether callers can see it."""
        return self.status not in {Status.PROVISIONAL, Status.CANCELLED}


@dataclass(frozen=True)
class Line:
    line_id: str
    quantity: int
    price: int


@dataclass(frozen=True)
class Planned:
    """A shipment that an order is sent in with."""

    status: Status
    capture: bool
    pieces: Pieces


@dataclass(frozen=True)
class Content:
    """An order as it was sent in."""

    lines: tuple[Line, ...]
    shipping_amount: int
    payment_provider: str
    authorization: str
    status: OrderStatus = OrderStatus.CONFIRMED
    waiting_for_payment: bool = False
    shipments: tuple[Planned, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a call is answered. `ANY` in the body stands for a text of our own wording."""

    status: int
    body: tuple[tuple[str, object], ...] = ()
    replayed: bool = False

    @property
    def is_success(self) -> bool:
        return self.status in {200, 201} and dict(self.body).get("status") != "no"


ANY = "(any text)"


@dataclass(frozen=True)
class Key:
    """An idempotency key. `request` is what it was first used with, `answer` how that was answered once done."""

    name: str
    # Not to be seen from outside.
    request: str = field(compare=False)
    shipment: int | None = None
    answer: Answer | None = None


@dataclass(frozen=True)
class Order:
    """An order and all that belongs to it. `content` None: nobody has sent it in yet."""

    number: str
    content: Content | None = None
    status: OrderStatus = OrderStatus.CONFIRMED
    waiting_for_payment: bool = False
    shipments: tuple[Shipment, ...] = ()
    provider: Provider = Provider()
    keys: tuple[Key, ...] = ()

    def find(self, n: int | None) -> Shipment | None:
        return next((shipment for shipment in self.shipments if shipment.n == n), None)

    def put(self, shipment: Shipment) -> Order:
        """Return the order with this shipment, new or changed."""
        kept = [known for known in self.shipments if known.n != shipment.n]
        return replace(self, shipments=tuple(sorted([*kept, shipment], key=lambda each: each.n)))

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name), None)

    def put_key(self, key: Key) -> Order:
        kept = [known for known in self.keys if known.name != key.name]
        return replace(self, keys=tuple(sorted([*kept, key], key=lambda each: each.name)))

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.content.lines if self.content else ()

    @property
    def lets_ship(self) -> bool:
        """Orders on hold or waiting for payment cannot be shipped."""
        return self.status in {OrderStatus.CONFIRMED, OrderStatus.IN_PROGRESS} and not self.waiting_for_payment

    @property
    def live_captures(self) -> list[Capture]:
        return [capture for shipment in self.shipments for capture in shipment.captures if capture.is_live]

    @property
    def unshipped(self) -> int:
        shipped = [shipment.pieces for shipment in self.shipments if shipment.status is Status.SHIPPED]
        return sum(line.quantity for line in self.lines) - sum(count for pieces in shipped for _, count in pieces)

    def free(self, line_id: str) -> int:
        """Pieces of a line that are on no shipment."""
        taken = sum(
            dict(shipment.pieces).get(line_id, 0)
            for shipment in self.shipments
            if shipment.status is not Status.CANCELLED
        )
        return sum(line.quantity for line in self.lines if line.line_id == line_id) - taken

    def due(self, shipment: Shipment) -> tuple[int, int]:
        """What a capture of the shipment takes, and how much of that is shipping cost.

        Its lines at their gross prices, and the order's shipping cost with the first capture; never more than is left
        of what was authorized, which is the whole order.
        """
        assert self.content is not None
        prices = {line.line_id: line.price for line in self.lines}
        total = self.content.shipping_amount + sum(line.quantity * line.price for line in self.lines)
        goods = sum(prices[line_id] * count for line_id, count in shipment.pieces)
        shipping_taken = any(capture.shipping_part for capture in self.live_captures)
        shipping = 0 if shipping_taken else self.content.shipping_amount
        amount = min(goods + shipping, total - sum(capture.amount for capture in self.live_captures))
        return amount, min(shipping, amount)


def capture_key(order: Order, n: int, attempt: int) -> str:
    """The provider's idempotency key of a capture: the same however often that attempt is made."""
    return f"shipment:{order.number}-{n}:capture:{attempt}"

"""What callers can ask for. The names of fields are the model's; `wire` has the contracts' own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from tests.model.world import Content, Pieces, Told


@dataclass(frozen=True)
class TakeIn:
    """PUT of an order."""

    content: Content


@dataclass(frozen=True)
class Create:
    """`told` is set for a shipment that has left already."""

    pieces: Pieces
    good_to_go: bool | None = None
    capture: bool | None = None
    told: Told | None = None
    always: bool | None = None


@dataclass(frozen=True)
class CompleteShipment:
    """Of the Shipment Completion API."""

    n: int
    tracking: str | None = None


@dataclass(frozen=True)
class Complete:
    """Of the Order API."""

    n: int
    told: Told = field(default_factory=Told)
    capture: bool | None = None


@dataclass(frozen=True)
class TakeMoney:
    """`PUT /capture`."""

    n: int


@dataclass(frozen=True)
class Update:
    n: int
    good_to_go: bool | None = None
    pieces: Pieces | None = None


@dataclass(frozen=True)
class Remove:
    n: int


@dataclass(frozen=True)
class Reconcile:
    """`waybill reconcile`: it settles `pending`, captures by shipment and attempt that were left open a while ago.

    `given_up`: so long ago that what the provider has not seen by now will not reach it any more.
    """

    given_up: bool
    pending: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Hold:
    """A person puts the order on hold, in the database: there is no call for it yet."""


Call: TypeAlias = TakeIn | Create | CompleteShipment | Complete | TakeMoney | Update | Remove | Reconcile | Hold

"""When a completion of a shipped shipment says nothing new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.shipping.departure import Departure, Parcel
from service.shipping.repeat import says_nothing_new

PARCEL = {"carrier": "Fedex", "service": "Express", "tracking_number": "T1", "tracking_url": "https://a.example/T1"}
TOLD: dict[str, Any] = {
    "package_count": 2,
    "return_slip_tracking": "R1",
    "internal_comment": "from the intake\nleft at noon",
    "capture_wanted": True,
    "paid": True,
    "notified": True,
    "parcels": [PARCEL, PARCEL | {"tracking_number": "T2"}],
}
ALL = Departure(
    parcels=(
        Parcel("Fedex", "Express", "T1", "https://a.example/T1"),
        Parcel("Fedex", "Express", "T2", "https://a.example/T1"),
    ),
    packages=2,
    return_slip_tracking="R1",
    comment="left at noon",
    notify=True,
)


def repeats(departure: Departure, capture: bool | None = None, **told: Any) -> bool:
    return says_nothing_new(departure, TOLD | told, capture=capture)


@pytest.mark.parametrize(
    "departure",
    [
        ALL,
        Departure(),
        Departure(packages=2),
        Departure(parcels=(Parcel(tracking_number="T1"),)),
        Departure(parcels=(Parcel(), Parcel(tracking_number="T2"))),
        Departure(comment="from the intake\nleft at noon"),
        replace(ALL, notify=None),
    ],
)
def test_what_is_known_already_is_a_repetition(departure: Departure) -> None:
    assert repeats(departure)


@pytest.mark.parametrize(
    "change",
    [
        {"packages": 3},
        {"return_slip_tracking": "R2"},
        {"comment": "noon"},
        {"comment": "left at noon\nleft at noon"},
        {"notify": False},
        {"parcels": (Parcel("UPS"),)},
        {"parcels": (Parcel(service="Slow"),)},
        {"parcels": (Parcel(tracking_number="T2"),)},
        {"parcels": (Parcel(tracking_url="https://a.example/T2"),)},
        {"parcels": (*ALL.parcels, Parcel("Fedex"))},
        {"parcels": (ALL.parcels[1], ALL.parcels[0])},
    ],
)
def test_anything_new_is_none(change: dict[str, Any]) -> None:
    assert not repeats(replace(ALL, **change))


def test_what_was_not_known_is_new() -> None:
    unknown = {"package_count": None, "return_slip_tracking": None, "internal_comment": "", "parcels": []}
    assert repeats(Departure(), **unknown)
    for departure in (
        Departure(packages=1),
        Departure(return_slip_tracking="R1"),
        Departure(comment="left at noon"),
        Departure(parcels=(Parcel("UPS"),)),
    ):
        assert not repeats(departure, **unknown)


@pytest.mark.parametrize(
    ("capture", "capture_wanted", "paid", "expected"),
    [
        (None, True, True, True),
        (None, True, False, False),
        (None, False, False, True),
        (True, False, False, False),
        (True, False, True, True),
        (False, True, False, True),
        (False, True, True, True),
    ],
)
def test_who_wants_the_payment_captured_hears_that_it_is_not(
    capture: bool | None, capture_wanted: bool, paid: bool, expected: bool
) -> None:
    assert repeats(ALL, capture, capture_wanted=capture_wanted, paid=paid) is expected


def test_an_event_that_is_no_longer_kept_is_not_compared() -> None:
    assert repeats(replace(ALL, notify=False), notified=None)

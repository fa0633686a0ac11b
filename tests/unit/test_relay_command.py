from __future__ import annotations

import pytest

from schemas.events import EventType
from schemas.topology import ConsumerTopology
from service.commands.relay import required_types


def bound(*routing_keys: str) -> ConsumerTopology:
    return ConsumerTopology("somebody", routing_keys, (5,))


def test_a_type_is_required_if_any_consumer_binds_it() -> None:
    topologies = [bound("order-shipment-shipped"), bound("order-shipment-shipped", "order-shipment-cancelled")]
    assert required_types(topologies) == {"order-shipment-shipped", "order-shipment-cancelled"}


@pytest.mark.parametrize("wildcard", ["*", "#"])
def test_a_wildcard_requires_every_type(wildcard: str) -> None:
    assert required_types([bound(wildcard)]) == set(EventType)


def test_what_nobody_binds_is_not_required() -> None:
    assert required_types([bound(), bound("something-else")]) == set()

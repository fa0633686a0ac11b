"""The completion, in the order in which its queries run."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from tests.support.hot_queries.case import (
    BATCH,
    GROUP,
    LEFT,
    PAID,
    PENDING,
    UNPAID,
    Hot,
    Parameters,
    hot,
    number,
    paid_group,
    shipment,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def reservation(order: int) -> Parameters:
    """Return parameters of reserve_capture."""
    return {
        "shipment_number": shipment(order),
        "statuses": ["INVENTORY_ASSIGNED", "RELEASED"],
        "order_statuses": ["CONFIRMED", "IN_PROGRESS"],
        "capture": None,
        "providers": ["sandbox"],
    }


def departures(ids: list[int]) -> Parameters:
    """Return parameters of mark_shipped."""
    return {
        "shipment_ids": ids,
        "packages": [1] * len(ids),
        "return_slip_trackings": [None] * len(ids),
        "comments": ["left"] * len(ids),
        "event_counts": [1] * len(ids),
        "parcel_shipment_ids": ids,
        "positions": [0] * len(ids),
        "carriers": ["UPS"] * len(ids),
        "services": ["Express"] * len(ids),
        "tracking_numbers": ["1Z"] * len(ids),
        "tracking_urls": [None] * len(ids),
    }


def events(ids: list[int]) -> Parameters:
    """Return parameters of append_events."""
    return {
        "event_ids": [uuid4() for _ in ids],
        "shipment_ids": ids,
        "sequences": [100] * len(ids),
        "types": ["order-shipment-shipped"] * len(ids),
        "subjects": [shipment(each) for each in ids],
        "bodies": ["{}"] * len(ids),
        "request_ids": ["req-1"] * len(ids),
        "traceparents": [TRACEPARENT] * len(ids),
    }


def for_groups(query: str, parameters: Callable[[list[int]], Parameters], by: str) -> list[Hot]:
    """Return a query of completions done together, for one alone and for as many as there are at most."""
    return [
        hot(query, lambda at, size=size: parameters(paid_group(at, size)), by, case=f"{size} together")
        for size in (1, GROUP)
    ]


COMPLETION = [
    hot(
        "shipping.may_wait",
        lambda at: {"order_number": number(at + UNPAID), "shipment_number": shipment(at + UNPAID), "captures": True},
        "orders_order_number_key shipments_shipment_number_key one_live_capture_per_shipment",
    ),
    hot(
        "shipping.may_wait",
        lambda at: {"order_number": number(at + PAID), "shipment_number": shipment(at + PAID), "captures": False},
        "orders_order_number_key captures_of_order",
        case="paid",
    ),
    hot(
        "shipping.reserve_capture",
        lambda at: reservation(at + UNPAID),
        "shipments_shipment_number_key orders_pkey captures_shipment_id_attempt_key shipments_pkey",
    ),
    hot(
        "shipping.lock_shipment",
        lambda at: {"shipment_number": shipment(at + PAID), "provisional": False},
        "shipments_shipment_number_key orders_pkey",
    ),
    hot(
        "shipping.live_capture",
        lambda at: {"shipment_id": at + PAID},
        "one_live_capture_per_shipment orders_pkey captures_of_order",
    ),
    hot(
        "shipping.settle_captured",
        lambda at: {"capture_id": at + PENDING, "reference": "ref"},
        "captures_pkey",
    ),
    hot(
        "shipping.settle_declined",
        lambda at: {"capture_id": at + PENDING, "reason": "no funds"},
        "captures_pkey orders_pkey",
    ),
    *for_groups(
        "shipping.lock_completable",
        lambda ids: {"shipment_numbers": [shipment(each) for each in ids]},
        "shipments_shipment_number_key orders_pkey one_live_capture_per_shipment",
    ),
    hot(
        "shipping.look_at_shipments",
        lambda at: {"shipment_numbers": [shipment(at + LEFT + 10 * n) for n in range(BATCH)]},
        "shipments_shipment_number_key orders_pkey",
    ),
    *for_groups("shipping.mark_shipped", departures, "shipments_pkey orders_pkey"),
    *for_groups(
        "shipping.event_contents",
        lambda ids: {"shipment_ids": ids},
        "shipments_pkey orders_pkey stores_pkey shipment_lines_pkey order_lines_pkey parcels_shipment_id_position_key",
    ),
    *for_groups("outbox.append_events", events, "shipments_pkey events_pkey"),
]

"""Lists and documents."""

from __future__ import annotations

from schemas.order_api_queries import MAX_LIMIT
from tests.support.hot_queries.case import BATCH, LEFT, hot, number, shipment
from tests.support.many_orders import placed_at

NO_BOUNDS = {"newer_at": None, "newer_local": None, "older_at": None, "older_local": None}
FIRST_PAGE = {"limit": BATCH, "offset": 0}

LISTS = [
    hot("lists.orders_page", lambda _: NO_BOUNDS | FIRST_PAGE, "orders_by_time"),
    hot(
        "lists.orders_page",
        lambda _: NO_BOUNDS | {"limit": BATCH, "offset": 100},
        "orders_by_time",
        case="at an offset",
    ),
    hot(
        "lists.orders_page",
        lambda at: NO_BOUNDS | FIRST_PAGE | {"newer_at": placed_at(at), "older_at": placed_at(at + 10)},
        "orders_by_time",
        case="between two moments",
    ),
    # The stores' clocks are six hours apart: that many orders of the one store are passed over, and no more.
    hot(
        "lists.orders_page",
        lambda at: NO_BOUNDS | FIRST_PAGE | {"newer_local": placed_at(at).replace(tzinfo=None)},
        "orders_by_time",
        case="newer than a local time",
    ),
    hot(
        "lists.order_page", lambda at: NO_BOUNDS | FIRST_PAGE | {"order_number": number(at)}, "orders_order_number_key"
    ),
    hot(
        "lists.orders_of_page",
        lambda at: {"ids": list(range(at, at + MAX_LIMIT))},
        "orders_pkey stores_pkey shipments_order_id_n_key parcels_shipment_id_position_key"
        " order_lines_order_id_line_id_key",
    ),
    # What its order holds back costs a look at its order.
    hot("lists.good_to_go_page", lambda _: FIRST_PAGE, "orders_pkey", walks="shipments_good_to_go"),
    hot("lists.in_progress_page", lambda _: FIRST_PAGE, "", walks="shipments_in_progress"),
    hot("lists.completed_page", lambda _: FIRST_PAGE, "", walks="shipments_shipped"),
    hot(
        "lists.shipments_of_order_page",
        lambda at: FIRST_PAGE | {"order_number": number(at + LEFT), "list": "completed"},
        "orders_order_number_key shipments_order_id_n_key",
    ),
    hot("lists.shipment_page", lambda at: {"shipment_number": shipment(at + LEFT)}, "shipments_shipment_number_key"),
    hot(
        "lists.shipments_of_page",
        lambda at: {"ids": list(range(at, at + MAX_LIMIT))},
        "shipments_pkey orders_pkey stores_pkey one_live_capture_per_shipment parcels_shipment_id_position_key"
        " shipment_lines_pkey order_lines_pkey",
    ),
    hot(
        "documents.find",
        lambda at: {"shipment_number": shipment(at + LEFT)},
        "shipments_shipment_number_key orders_pkey stores_pkey one_live_capture_per_shipment shipment_lines_pkey"
        " order_lines_pkey parcels_shipment_id_position_key",
    ),
]

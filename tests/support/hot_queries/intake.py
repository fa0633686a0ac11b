"""Orders that come in."""

from __future__ import annotations

from tests.support.hot_queries.case import ASSIGNED, LEFT, NONE, PAID, Parameters, hot, number


def order_columns(**order: object) -> Parameters:
    """Return parameters of create_order and replace_order."""
    return {
        "store": "se-web",
        "currency": "SEK",
        "locale": "sv-SE",
        "customer_name": "Åsa Öberg",
        "customer_email": "asa@example.com",
        "shipping_address": {"name": "Åsa Öberg"},
        "billing_address": None,
        "status": "CONFIRMED",
        "waiting_for_payment": False,
        "payment_provider": "sandbox",
        "payment_authorization": "sandbox:ok",
        "shipping_amount": 4900,
        "total_amount": 44700,
        "pieces": 3,
        "shipment_count": 1,
        "intake": {},
    } | order


INTAKE = [
    hot("orders.lock_order", lambda at: {"order_number": number(at + NONE)}, "orders_order_number_key"),
    hot("orders.create_order", lambda _: order_columns(order_number="new"), "stores_pkey"),
    hot("orders.replace_order", lambda at: order_columns(order_id=at + NONE), "orders_pkey"),
    hot(
        "orders.delete_lines",
        lambda at: {"order_id": at + NONE},
        "order_lines_order_id_line_id_key shipment_lines_order_line_id_idx",
    ),
    hot(
        "orders.insert_lines",
        lambda at: {
            "order_id": at + NONE,
            "line_ids": ["3", "4"],
            "skus": ["A-3", "A-4"],
            "names": ["Shirt", "Hat"],
            "quantities": [1, 2],
            "unit_prices": [100, 200],
            "tax_rates": [0, 0],
        },
        "orders_pkey",
    ),
    hot(
        "orders.insert_shipments",
        lambda at: {
            "order_id": at + NONE,
            "order_number": number(at + NONE),
            "statuses": ["RELEASED", "INVENTORY_ASSIGNED"],
            "captures_wanted": [True, False],
            "goods_amounts": [100, 200],
            "piece_counts": [1, 1],
            "event_counts": [2, 1],
            "content_ns": [1, 2],
            "content_line_ids": ["1", "1"],
            "content_quantities": [1, 1],
        },
        "order_lines_order_id_line_id_key orders_pkey shipments_pkey order_lines_pkey",
    ),
    hot("orders.authorization_used", lambda at: {"order_id": at + PAID}, "captures_of_order"),
    hot(
        "orders.change_authorization",
        lambda at: {"order_id": at + NONE, "authorization": "sandbox:ok", "intake": {}},
        "orders_pkey",
    ),
    hot("orders.shipment_numbers", lambda at: {"order_id": at + LEFT}, "shipments_order_id_n_key"),
    hot(
        "orders.find_order", lambda at: {"order_number": number(at + LEFT)}, "orders_order_number_key captures_of_order"
    ),
    hot(
        "orders.find_shipments",
        lambda at: {"order_number": number(at + LEFT)},
        "orders_order_number_key shipments_order_id_n_key shipment_lines_pkey order_lines_pkey"
        " parcels_shipment_id_position_key captures_shipment_id_attempt_key",
    ),
    hot(
        "releases.release",
        lambda at: {
            "order_id": at + ASSIGNED,
            "authorization": "sandbox:ok",
            "intake": {},
            "was_on_hold": False,
            "was_waiting": False,
            "ns": [1],
            "statuses": ["INVENTORY_ASSIGNED"],
        },
        "orders_pkey shipments_order_id_n_key",
    ),
    hot("stores.find_defaults", lambda _: {"code": "se-web"}, "stores_pkey"),
    hot("stores.ensure", lambda _: {"code": "new", "locale": "sv", "currency": "SEK"}, ""),
]

"""Creating, changing and cancelling shipments, and what every call with a key asks."""

from __future__ import annotations

from hashlib import sha256

from tests.support.hot_queries.case import ASSIGNED, LEFT, NONE, PROVISIONAL, hot, number, shipment

CREATION = [
    hot("creation.lock_order", lambda at: {"order_number": number(at + NONE)}, "orders_order_number_key"),
    hot("creation.order_lines", lambda at: {"order_id": at + NONE}, "order_lines_order_id_line_id_key"),
    hot(
        "creation.same_shipment",
        lambda at: {
            "order_id": at + LEFT,
            "shipped": True,
            "tracking_number": f"1Z{at + LEFT}",
            "selection": {"1": 2, "2": 1},
        },
        "shipments_order_id_n_key parcels_shipment_id_position_key shipment_lines_pkey order_lines_pkey",
    ),
    hot(
        "creation.provisional_shipment",
        lambda at: {"order_id": at + PROVISIONAL, "selection": {"1": 2, "2": 1}},
        "shipments_order_id_n_key shipment_lines_pkey order_lines_pkey",
    ),
    hot("creation.new_provisional", lambda at: {"order_id": at + NONE}, "orders_pkey"),
    hot(
        "creation.set_contents",
        lambda at: {
            "shipment_id": at + PROVISIONAL,
            "order_line_ids": [2 * (at + PROVISIONAL)],
            "quantities": [1],
        },
        "shipments_pkey shipment_lines_pkey order_lines_pkey",
    ),
    hot(
        "creation.empty_provisional",
        lambda at: {"shipment_id": at + PROVISIONAL},
        "shipment_lines_pkey order_lines_pkey",
    ),
    hot(
        "creation.confirm_created",
        lambda at: {"shipment_id": at + PROVISIONAL, "good_to_go": True, "event_count": 2},
        "shipments_pkey",
    ),
    hot(
        "creation.set_good_to_go",
        lambda at: {"shipment_id": at + ASSIGNED, "good_to_go": True, "event_count": 1},
        "shipments_pkey",
    ),
    hot(
        "creation.cancel_shipment",
        lambda at: {"shipment_id": at + ASSIGNED},
        "shipments_pkey shipment_lines_pkey order_lines_pkey",
    ),
    hot("creation.contents", lambda at: {"shipment_id": at + ASSIGNED}, "shipment_lines_pkey order_lines_pkey"),
    hot(
        "creation.departure_told",
        lambda at: {"shipment_number": shipment(at + LEFT)},
        "shipments_shipment_number_key one_live_capture_per_shipment events_shipment_id_sequence_key"
        " parcels_shipment_id_position_key",
    ),
    hot(
        "creation.paid",
        lambda at: {"shipment_number": shipment(at + LEFT)},
        "shipments_shipment_number_key one_live_capture_per_shipment",
    ),
    hot(
        "creation.created_under_key",
        lambda at: {"api_key_id": "wbk_00000001", "key": f"key-{at + LEFT}"},
        "idempotency_keys_pkey",
    ),
    hot(
        "creation.note_created_under_key",
        lambda at: {"api_key_id": "wbk_00000001", "key": f"key-{at + LEFT}", "shipment_id": at + LEFT},
        "idempotency_keys_pkey shipments_pkey",
    ),
    *(
        hot(
            "idempotency.claim_key",
            lambda at, key=key: {
                "api_key_id": "wbk_00000001",
                "key": key or f"key-{at + LEFT}",
                "request_sha256": sha256(b"x").digest(),
            },
            "idempotency_keys_pkey idempotency_keys_by_time",
            case=f"{'new' if key else 'expired'} key",
        )
        for key in ("new", "")
    ),
    hot(
        "idempotency.keep_answer",
        lambda at: {
            "api_key_id": "wbk_00000001",
            "key": f"key-{at + LEFT}",
            "request_sha256": sha256(str(at + LEFT).encode()).digest(),
            "status": 200,
            "body": "{}",
        },
        "idempotency_keys_pkey",
    ),
    hot("keys.find_by_hash", lambda _: {"secret_sha256": sha256(b"1").digest()}, "api_keys_secret_sha256_key"),
]

"""Relay, workers, and what runs now and then beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from tests.support.hot_queries.case import BATCH, LEFT, event_id, hot, sent_id, shipment
from tests.support.many_orders import placed_at

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)

RELAY = [
    hot(
        "outbox.claim_due",
        lambda _: {"batch_size": BATCH},
        "outbox_due events_pkey shipments_pkey orders_pkey",
    ),
    hot("outbox.recall_distant", lambda _: {"longest_wait_s": 7200.0, "batch_size": 2}, "outbox_due outbox_pkey"),
    hot(
        "outbox.delete_published",
        lambda at: {"seqs": [sent_id(at + 10 * n, 1) for n in range(1, BATCH + 1)]},
        "outbox_pkey",
    ),
    hot(
        "outbox.postpone",
        lambda at: {
            "seqs": [sent_id(at + 10 * n, 1) for n in range(1, BATCH + 1)],
            "delays_s": [1.0] * BATCH,
            "errors": ["refused"] * BATCH,
        },
        "outbox_pkey",
    ),
]

LEASED = "UPDATE webhook_deliveries SET leased_until = now() WHERE id = 3 * ({at} + 1) + 2"

WORKERS = [
    hot("inbox.claim", lambda _: {"consumer": "email", "message_id": uuid4()}, ""),
    hot("inbox.claim_together", lambda _: {"consumer": "email", "message_ids": [uuid4() for _ in range(BATCH)]}, ""),
    hot(
        "email.shipment_mail",
        lambda at: {"shipment_number": shipment(at + LEFT)},
        "shipments_shipment_number_key orders_pkey stores_pkey order_lines_order_id_line_id_key"
        " shipment_lines_order_line_id_idx shipments_pkey parcels_shipment_id_position_key"
        " events_shipment_id_sequence_key",
    ),
    hot(
        "email.record_mail",
        lambda at: {
            "event_id": uuid4(),
            "shipment_id": at + LEFT,
            "message_id": "new@example.com",
            "recipient": "asa@example.com",
            "locale": "sv",
            "subject": "Skickat",
        },
        "shipments_pkey",
    ),
    hot(
        "webhooks.fan_out",
        lambda at: {"event_id": event_id(at + LEFT, 3)},
        "events_pkey",
        before="DELETE FROM webhook_deliveries WHERE id = 3 * ({at} + 1) + 3",
    ),
    hot(
        "webhooks.claim_due",
        lambda _: {
            "endpoints": [f"whe_{1:012x}"],
            "rooms": [1],
            "room": 2,
            "slow": [f"whe_{2:012x}"],
            "among_slow": False,
            "most": BATCH,
            "lease_s": 60.0,
        },
        "webhook_deliveries_due webhook_deliveries_pkey events_pkey",
    ),
    hot(
        "webhooks.record_success",
        lambda at: {"id": sent_id(at + LEFT, 2), "took_s": 0.1, "code": 200, "excerpt": ""},
        "webhook_deliveries_pkey",
    ),
    hot(
        "webhooks.record_failure",
        lambda at: {
            "id": sent_id(at + LEFT, 2),
            "lease": 0,
            "retry_in_s": 5.0,
            "took_s": 0.1,
            "code": 500,
            "error": "HTTP 500",
            "excerpt": "",
            "pause_s": 0.0,
            "gone": False,
            "disable_after_s": 3600.0,
        },
        "webhook_deliveries_pkey",
        before=LEASED,
    ),
    hot(
        "webhooks.give_back",
        lambda at: {"id": sent_id(at + LEFT, 2), "lease": 0},
        "webhook_deliveries_pkey",
        before=LEASED,
    ),
]

# What the walks below look at, as small in a large table as in a small one.
FEW_PENDING = "UPDATE captures SET state = 'DECLINED', settled_at = now() WHERE state = 'PENDING' AND id > 100"
SHORT_OUTBOX = "DELETE FROM outbox WHERE seq > 300"

NOW_AND_THEN = [
    hot(
        "reconcile.pending_captures",
        lambda _: {"older_s": 120.0},
        "captures_unsettled shipments_pkey",
        before=FEW_PENDING,
    ),
    hot(
        "reconcile.paid_and_not_shipped",
        lambda _: {"older_s": 120.0},
        "one_live_capture_per_shipment orders_pkey",
        walks="shipments_in_progress shipments_unlisted",
        answers_more=True,
    ),
    hot(
        "maintain.lock_events",
        lambda at: {"after": UUID(int=0), "before": event_id(at, 1), "batch_size": BATCH},
        "events_pkey",
        by_statistics=True,
    ),
    hot(
        "maintain.delete_events",
        lambda at: {"ids": [event_id(at + LEFT + 10 * n, 3) for n in range(BATCH)], "older_than": placed_at(10**6)},
        "events_pkey webhook_deliveries_event_id_endpoint_id_key webhook_attempts_pkey",
        whole="outbox",
        before=SHORT_OUTBOX,
        by_statistics=True,
    ),
    hot(
        "maintain.delete_inbox",
        lambda at: {"after": EARLIEST, "older_than": placed_at(at), "batch_size": BATCH},
        "inbox_by_time inbox_pkey",
        by_statistics=True,
    ),
    hot(
        "maintain.delete_emails",
        lambda at: {"after": EARLIEST, "older_than": placed_at(at), "batch_size": BATCH},
        "emails_by_time emails_pkey",
        by_statistics=True,
    ),
    hot(
        "maintain.delete_webhook_deliveries",
        lambda at: {"after": 0, "older_than": placed_at(at), "batch_size": BATCH},
        "webhook_deliveries_pkey webhook_attempts_pkey",
        by_statistics=True,
    ),
    hot(
        "events.oldest_unhandled",
        lambda _: {"window": 100, "types": ["order-shipment-shipped"], "consumer": "webhooks"},
        "inbox_pkey",
        walks="events_pkey",
        whole="outbox",
        before=SHORT_OUTBOX,
        by_statistics=True,
    ),
]

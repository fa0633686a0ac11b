"""Ten thousand orders in two stores of different time zones, made by the database itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg

ORDERS = 10_000
# Order number i was placed i minutes later.
STARTED = datetime(2026, 1, 1, tzinfo=UTC)

_STATEMENTS = """
INSERT INTO stores (code, name, locale, time_zone)
VALUES ('se-web', 'Butiken', 'sv', 'Europe/Stockholm'), ('us-web', 'The Shop', 'en', 'America/New_York');

INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email, shipping_address, status,
                    payment_provider, payment_authorization, shipping_amount, total_amount, unshipped_quantity,
                    last_shipment_n, intake, created_at)
SELECT (100000 + i)::text, CASE WHEN i % 2 = 0 THEN 'se-web' ELSE 'us-web' END, 'SEK', 'sv-SE', 'Åsa Öberg',
       'asa@example.com', '{"name": "Åsa Öberg", "street": "Storgatan 1", "city": "Stockholm", "country": "SE"}',
       CASE WHEN i % 100 = 6 THEN 'ONHOLD' WHEN i % 10 < 6 THEN 'COMPLETED' ELSE 'CONFIRMED' END,
       'sandbox', 'sandbox:ok', 4900, 44700, 3, 1, '{}', timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute'
FROM generate_series(1, 10000) AS i;

INSERT INTO order_lines (order_id, line_id, position, sku, name, quantity, unit_price, tax_rate)
SELECT o.id, line_id, position, 'A-' || line_id, 'Shirt', quantity, price, 0.25
FROM orders o, (VALUES ('1', 0, 2, 10000), ('2', 1, 1, 19800)) AS line (line_id, position, quantity, price);

-- Of ten orders: six shipped, two released, one assigned, one still without a shipment.
INSERT INTO shipments (order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count, shipped_at)
SELECT id, 1, order_number || '-1',
       CASE WHEN i % 10 < 6 THEN 'SHIPPED' WHEN i % 10 < 8 THEN 'RELEASED' ELSE 'INVENTORY_ASSIGNED' END,
       i % 10 < 8, 39800, 3, CASE WHEN i % 10 < 6 THEN created_at + interval '1 day' END
FROM orders, LATERAL (SELECT order_number::integer - 100000) AS numbered (i)
WHERE i % 10 < 9;

INSERT INTO shipment_lines SELECT s.id, l.id, l.quantity FROM shipments s JOIN order_lines l ON l.order_id = s.order_id;

INSERT INTO parcels (shipment_id, position, carrier, tracking_number)
SELECT id, position, 'UPS', '1Z' || id FROM shipments, generate_series(0, 1) AS position WHERE status = 'SHIPPED';

INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                      shipping_part, currency, state, provider_reference, settled_at)
SELECT order_id, id, 1, 'shipment:' || shipment_number || ':capture:1', 'sandbox', 'sandbox:ok', 44700, 4900, 'SEK',
       'CAPTURED', 'ref-' || id, now()
FROM shipments WHERE status = 'SHIPPED';

ANALYZE;
"""


async def insert_many_orders(connection: asyncpg.Pool[asyncpg.Record]) -> None:
    """Insert orders 100001 to 110000."""
    await connection.execute(_STATEMENTS, timeout=60)


def placed_at(order: int) -> datetime:
    """Return when the order with this place in the sequence, from 1, was placed."""
    return STARTED + timedelta(minutes=order)

"""Any number of orders in two stores of different time zones, and what became of them, made by the database itself.

Order number i is 100000 + i, its id i; its shipment, `<number>-1`, has the id i too, its lines have 2 i and 2 i + 1,
and what is sent of its event with the sequence n, 3 i + n.
Of ten orders, counting from 0: six have left, of two the shipments are released, of one it is assigned, one has none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

# Order number i was placed i minutes later.
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINTS = 20

_STORES = """
INSERT INTO stores (code, name, locale, time_zone)
VALUES ('se-web', 'Butiken', 'sv', 'Europe/Stockholm'), ('us-web', 'The Shop', 'en', 'America/New_York')
ON CONFLICT DO NOTHING
"""

# Without triggers and foreign keys, so what they would keep (allocated_quantity) is written here.
_ORDERS = (
    """
INSERT INTO orders (id, order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
                    status, payment_provider, payment_authorization, shipping_amount, total_amount, unshipped_quantity,
                    last_shipment_n, intake, created_at)
OVERRIDING SYSTEM VALUE
SELECT i, (100000 + i)::text, CASE WHEN i % 2 = 0 THEN 'se-web' ELSE 'us-web' END, 'SEK', 'sv-SE', 'Åsa Öberg',
       'asa@example.com', '{"name": "Åsa Öberg", "street": "Storgatan 1", "city": "Stockholm", "country": "SE"}',
       CASE WHEN i % 100 = 6 THEN 'ONHOLD' WHEN i % 10 < 6 THEN 'COMPLETED' ELSE 'CONFIRMED' END,
       'sandbox', 'sandbox:ok', 4900, 44700, 3, 1, '{}', timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute'
FROM generate_series($1::integer, $2::integer) AS i
""",
    """
INSERT INTO order_lines (id, order_id, line_id, position, sku, name, quantity, unit_price, tax_rate, allocated_quantity)
OVERRIDING SYSTEM VALUE
SELECT 2 * i + position, i, line_id, position, 'A-' || line_id, 'Shirt', quantity, price, 0.25,
       CASE WHEN i % 10 < 9 THEN quantity ELSE 0 END
FROM generate_series($1::integer, $2::integer) AS i,
     (VALUES ('1', 0, 2, 10000), ('2', 1, 1, 19800)) AS line (line_id, position, quantity, price)
""",
    """
INSERT INTO shipments (id, order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count, event_sequence,
                       shipped_at)
OVERRIDING SYSTEM VALUE
SELECT i, i, 1, 100000 + i || '-1',
       CASE WHEN i % 10 < 6 THEN 'SHIPPED' WHEN i % 10 < 8 THEN 'RELEASED' ELSE 'INVENTORY_ASSIGNED' END, i % 10 < 8,
       39800, 3, CASE WHEN i % 10 < 6 THEN 3 WHEN i % 10 < 8 THEN 2 ELSE 1 END,
       CASE WHEN i % 10 < 6 THEN timestamptz '2026-01-02 00:00:00Z' + i * interval '1 minute' END
FROM generate_series($1::integer, $2::integer) AS i WHERE i % 10 < 9
""",
    """
INSERT INTO shipment_lines
SELECT s.id, l.id, l.quantity FROM shipments s JOIN order_lines l ON l.order_id = s.id WHERE s.id BETWEEN $1 AND $2
""",
    """
INSERT INTO parcels (shipment_id, position, carrier, tracking_number)
SELECT id, position, 'UPS', '1Z' || id FROM shipments, generate_series(0, 1) AS position
WHERE status = 'SHIPPED' AND id BETWEEN $1 AND $2
""",
    """
INSERT INTO captures (id, order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                      shipping_part, currency, state, provider_reference, settled_at)
OVERRIDING SYSTEM VALUE
SELECT id, id, id, 1, 'shipment:' || shipment_number || ':capture:1', 'sandbox', 'sandbox:ok', 44700, 4900, 'SEK',
       'CAPTURED', 'ref-' || id, shipped_at
FROM shipments WHERE status = 'SHIPPED' AND id BETWEEN $1 AND $2
""",
)

# Of a hundred orders: ten released shipments are paid for, of four or five nobody knows whether they are, one was
# declined; five shipments are cancelled and two or three were never finished.
_HISTORY = (
    """
INSERT INTO shipments (id, order_id, n, shipment_number, status, goods_amount, piece_count)
OVERRIDING SYSTEM VALUE
SELECT i, i, 1, 100000 + i || '-1', CASE WHEN i % 20 = 9 THEN 'CANCELLED' ELSE 'PROVISIONAL' END, 39800, 3
FROM generate_series($1::integer, $2::integer) AS i WHERE i % 20 = 9 OR i % 40 = 19
""",
    """
INSERT INTO shipment_lines
SELECT s.id, l.id, l.quantity FROM shipments s JOIN order_lines l ON l.order_id = s.id
WHERE s.id BETWEEN $1 AND $2 AND s.id % 10 = 9
""",
    """
UPDATE order_lines SET allocated_quantity = quantity WHERE order_id BETWEEN $1 AND $2 AND order_id % 40 = 19
""",
    """
INSERT INTO captures (id, order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                      shipping_part, currency, state, provider_reference, created_at, settled_at)
OVERRIDING SYSTEM VALUE
SELECT id, id, id, 1, 'shipment:' || shipment_number || ':capture:1', 'sandbox', 'sandbox:ok', 44700, 4900, 'SEK',
       state, CASE state WHEN 'CAPTURED' THEN 'ref-' || id END, placed, CASE WHEN state <> 'PENDING' THEN placed END
FROM (SELECT s.*, timestamptz '2026-01-02 00:00:00Z' + id * interval '1 minute' AS placed,
             CASE WHEN id % 10 = 7 THEN 'CAPTURED' WHEN id % 100 = 26 THEN 'DECLINED'
                  WHEN id % 40 = 19 OR id % 100 IN (16, 46) THEN 'PENDING' END AS state
      FROM shipments s WHERE id BETWEEN $1 AND $2) AS attempted
WHERE state IS NOT NULL
""",
    """
UPDATE orders SET reserved_amount = total_amount, shipping_reserved = true
WHERE id IN (SELECT order_id FROM captures WHERE state <> 'DECLINED' AND order_id BETWEEN $1 AND $2)
""",
    # Ids like the service's: UUIDs of version 7, which begin with the time.
    """
INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent, occurred_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000'
        || lpad(to_hex(id), 12, '0'))::uuid, id, sequence, 'order-shipment-' || kind, shipment_number,
       json_build_object('data', json_build_object('store', 'se-web', 'notifyCustomer', true)), 'req-' || id,
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', at
FROM shipments, (VALUES (1, 'created'), (2, 'released'), (3, 'shipped')) AS told (sequence, kind),
     LATERAL (SELECT timestamptz '2026-01-01 00:00:00Z' + id * interval '1 minute'
                     + sequence * interval '1 second' AS at) AS clock
WHERE sequence <= event_sequence AND id BETWEEN $1 AND $2
""",
    # Due, and now and then for so late that it was written before the clock was set back.
    """
INSERT INTO outbox (seq, event_id, available_at)
OVERRIDING SYSTEM VALUE
SELECT 3 * shipment_id + sequence, id, CASE WHEN shipment_id % 100 = 0 THEN now() + interval '1 year' ELSE now() END
FROM events WHERE shipment_id BETWEEN $1 AND $2 AND shipment_id % 10 = 0
""",
    """
INSERT INTO inbox (consumer, message_id, handled_at)
SELECT 'webhooks', id, occurred_at FROM events WHERE shipment_id BETWEEN $1 AND $2
""",
    """
INSERT INTO emails (event_id, shipment_id, message_id, recipient, locale, subject, sent_at)
SELECT id, shipment_id, id || '@example.com', 'asa@example.com', 'sv', 'Skickat', occurred_at
FROM events WHERE sequence = 3 AND shipment_id BETWEEN $1 AND $2
""",
    """
INSERT INTO api_keys (id, secret_sha256, partner, scopes)
SELECT 'wbk_' || lpad(n::text, 8, '0'), sha256(n::text::bytea), 'Partner ' || n, '{orders:write}'
FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING
""",
    # Half of them have expired.
    """
INSERT INTO idempotency_keys (api_key_id, key, request_sha256, status, body, created_at)
SELECT 'wbk_00000001', 'key-' || i, sha256(i::text::bytea), 200, '{}',
       now() - CASE WHEN i % 2 = 0 THEN interval '0' ELSE interval '2 days' END
FROM generate_series($1::integer, $2::integer) AS i
""",
    f"""
INSERT INTO webhook_endpoints (id, partner, url, secret)
SELECT 'whe_' || lpad(to_hex(n), 12, '0'), 'Partner ' || n, 'https://hooks.example.com/' || n, sha256(n::text::bytea)
FROM generate_series(0, {ENDPOINTS - 1}) AS n ON CONFLICT DO NOTHING
""",
    # One event for one endpoint; what is PENDING is due.
    f"""
INSERT INTO webhook_deliveries (id, endpoint_id, event_id, status, attempts, created_at, due_at, settled_at)
OVERRIDING SYSTEM VALUE
SELECT 3 * shipment_id + sequence, 'whe_' || lpad(to_hex(shipment_id % {ENDPOINTS}), 12, '0'), id, status,
       CASE status WHEN 'PENDING' THEN 0 ELSE 1 END, occurred_at, occurred_at,
       CASE WHEN status <> 'PENDING' THEN occurred_at END
FROM (SELECT *, CASE sequence + shipment_id / {ENDPOINTS} % 10
                WHEN 2 THEN 'PENDING' WHEN 3 THEN 'FAILED' ELSE 'DELIVERED' END AS status
      FROM events WHERE shipment_id BETWEEN $1 AND $2) AS told
""",
    """
INSERT INTO webhook_attempts (delivery_id, n, began_at, duration_ms, code, error)
SELECT d.id, 1, d.created_at, 50, 200, CASE d.status WHEN 'FAILED' THEN 'HTTP 500' END
FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
WHERE d.attempts = 1 AND e.shipment_id BETWEEN $1 AND $2
""",
)

_IDENTITIES = """
SELECT setval(pg_get_serial_sequence('orders', 'id'), $1), setval(pg_get_serial_sequence('shipments', 'id'), $1),
       setval(pg_get_serial_sequence('captures', 'id'), $1),
       setval(pg_get_serial_sequence('order_lines', 'id'), 2 * $1::bigint + 1),
       setval(pg_get_serial_sequence('outbox', 'seq'), 3 * $1::bigint + 3),
       setval(pg_get_serial_sequence('webhook_deliveries', 'id'), 3 * $1::bigint + 3)
"""


async def insert_many_orders(pool: asyncpg.Pool[asyncpg.Record], *, first: int = 1, last: int = 10_000) -> None:
    """Insert these orders, with lines, shipments, parcels and the captures of what has left."""
    await _insert(pool, _ORDERS, first=first, last=last)


async def insert_their_history(pool: asyncpg.Pool[asyncpg.Record], *, first: int, last: int) -> None:
    """Insert what else the service would have written about orders of `insert_many_orders`."""
    await _insert(pool, _HISTORY, first=first, last=last)


async def _insert(pool: asyncpg.Pool[asyncpg.Record], statements: tuple[str, ...], *, first: int, last: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_STORES)
        for statement in statements:
            parameters = (first, last) if "$1" in statement else ()
            await connection.execute(statement, *parameters, timeout=60)
        await connection.execute(_IDENTITIES, last)


def placed_at(order: int) -> datetime:
    """Return when the order with this place in the sequence, from 1, was placed."""
    return STARTED + timedelta(minutes=order)

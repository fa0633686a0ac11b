"""Orders by the thousand, inserted in one transaction."""

from __future__ import annotations

import asyncpg

from tests.support.rows import insert_store

STORE = "se-web"
PIECE_PRICE = 19900
SHIPPING = 4900

_INSERT = """
WITH made AS (
    INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
                        payment_provider, payment_authorization, shipping_amount, total_amount, unshipped_quantity,
                        last_shipment_n, intake)
    SELECT (700000 + i)::text, $5::text, 'SEK', 'sv-SE', 'Åsa Öberg', 'asa@example.com',
           '{"name": "Åsa Öberg", "street": "Storgatan 1", "city": "Stockholm", "country": "SE"}',
           'sandbox', $3::text || '#' || (700000 + i), $7::bigint, $7::bigint + $6::bigint * $4::integer, $4::integer,
           $4::integer, '{}'
    FROM generate_series($1::integer, $1 + $2::integer - 1) AS i
    RETURNING id, order_number
), lines AS (
    INSERT INTO order_lines (order_id, line_id, position, sku, name, quantity, unit_price, tax_rate)
    SELECT id, 'L1', 0, 'A-1', 'Shirt', $4::integer, $6::bigint, 0.25 FROM made
    RETURNING id, order_id
), shipments AS (
    INSERT INTO shipments (order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count)
    SELECT id, n, order_number || '-' || n, 'RELEASED', true, $6::bigint, 1
    FROM made, generate_series(1, $4::integer) AS n
    RETURNING id, order_id, shipment_number
)
SELECT s.id, l.id AS line_id, s.shipment_number
FROM shipments s JOIN lines l USING (order_id) ORDER BY s.shipment_number
"""


async def insert_orders(
    pool: asyncpg.Pool[asyncpg.Record], *, first: int, count: int, authorization: str, parts: int
) -> list[str]:
    """Insert orders 700000 + `first` and following, of `parts` RELEASED shipments of one piece each.

    Returns the shipments' numbers. Each order's authorization ends with `#` and its number.
    """
    async with pool.acquire() as connection, connection.transaction():
        await insert_store(connection, STORE)
        rows = await connection.fetch(_INSERT, first, count, authorization, parts, STORE, PIECE_PRICE, SHIPPING)
        # By itself: the trigger that counts pieces looks for rows that must be there already.
        await connection.execute(
            "INSERT INTO shipment_lines SELECT s, l, 1 FROM unnest($1::bigint[], $2::bigint[]) AS made (s, l)",
            [row["id"] for row in rows],
            [row["line_id"] for row in rows],
        )
    return [row["shipment_number"] for row in rows]

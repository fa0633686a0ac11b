-- Queries of the Order API's lists. No locks: the reader runs both statements of a page in one read-only snapshot.
-- A page is picked by an index first, in a sequence that never changes; only its rows are then filled in.
-- PROVISIONAL, CANCELLED and FAILED_ORDER shipments do not exist for callers.

-- name: orders_page
-- Oldest first, by the index orders_by_time: reads offset + limit entries.
-- `*_at` is a moment; `*_local` is a time on the clock of each order's own store. The index is read from where the
-- first store's clock shows it, which is the same place for all stores unless they are in different zones. When clocks
-- are turned back, a time comes twice: `newer_local` then means the first one and `older_local` the second, so that
-- who asks on from the newest date seen misses nothing.
WITH clocks AS MATERIALIZED (
    SELECT code,
           coalesce(:newer_at::timestamptz,
                    least(:newer_local::timestamp AT TIME ZONE time_zone,
                          (:newer_local::timestamp - interval '1 hour') AT TIME ZONE time_zone + interval '1 hour'),
                    '-infinity') AS first,
           coalesce(:older_at::timestamptz, :older_local::timestamp AT TIME ZONE time_zone, 'infinity') AS last
    FROM stores
)
SELECT o.id
FROM orders o
WHERE o.created_at >= (SELECT min(first) FROM clocks) AND o.created_at < (SELECT max(last) FROM clocks)
  AND (SELECT o.created_at >= first AND o.created_at < last FROM clocks WHERE code = o.store_code)
ORDER BY o.created_at, o.id
LIMIT :limit OFFSET :offset;

-- name: order_page
-- The same for one order, by the unique index on order_number.
WITH clocks AS MATERIALIZED (
    SELECT code,
           coalesce(:newer_at::timestamptz,
                    least(:newer_local::timestamp AT TIME ZONE time_zone,
                          (:newer_local::timestamp - interval '1 hour') AT TIME ZONE time_zone + interval '1 hour'),
                    '-infinity') AS first,
           coalesce(:older_at::timestamptz, :older_local::timestamp AT TIME ZONE time_zone, 'infinity') AS last
    FROM stores
)
SELECT o.id
FROM orders o
WHERE o.order_number = :order_number
  AND (SELECT o.created_at >= first AND o.created_at < last FROM clocks WHERE code = o.store_code)
LIMIT :limit OFFSET :offset;

-- name: orders_of_page
-- The orders with these ids, in their sequence: by primary keys and the unique indexes on order_id. OFFSET 0 keeps it
-- so: for a large page of a small table the planner would rather read the whole table.
SELECT o.order_number, o.store_code, o.currency, o.status, o.waiting_for_payment, o.total_amount,
       o.customer_name, o.customer_email, o.shipping_address,
       coalesce(o.billing_address, o.shipping_address) AS billing_address,
       o.payment_authorization, to_char(o.created_at AT TIME ZONE st.time_zone, 'YYYY-MM-DD HH24:MI:SS') AS ordered_at,
       (SELECT coalesce(string_agg(s.internal_comment, E'\n' ORDER BY s.n), '')
        FROM shipments s
        WHERE s.order_id = o.id AND s.internal_comment <> ''
          AND s.status NOT IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER')) AS internal_comment,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'shipment_number', s.shipment_number,
                   'shipped_at', to_char(s.shipped_at AT TIME ZONE st.time_zone, 'YYYY-MM-DD HH24:MI:SS'),
                   'return_slip_tracking', s.return_slip_tracking, 'carrier', p.carrier, 'service', p.service,
                   'tracking_number', p.tracking_number, 'tracking_url', p.tracking_url) ORDER BY s.n), '[]')
        FROM shipments s LEFT JOIN parcels p ON p.shipment_id = s.id AND p.position = 0
        WHERE s.order_id = o.id AND s.status NOT IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER')) AS shipments,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'line_id', l.line_id, 'sku', l.sku, 'name', l.name, 'quantity', l.quantity,
                   'unit_price', l.unit_price) ORDER BY l.position), '[]')
        FROM order_lines l WHERE l.order_id = o.id) AS lines
FROM unnest(:ids::bigint[]) WITH ORDINALITY AS page (id, place)
CROSS JOIN LATERAL (SELECT * FROM orders WHERE id = page.id OFFSET 0) o
JOIN stores st ON st.code = o.store_code
ORDER BY page.place;

-- name: good_to_go_page
-- Oldest first, by the partial index shipments_good_to_go. What its order holds back can not leave, so it is not
-- listed; it costs a look at its order.
SELECT s.id
FROM shipments s JOIN orders o ON o.id = s.order_id
WHERE s.good_to_go AND s.status IN ('RELEASED', 'INVENTORY_ASSIGNED')
  AND o.status IN ('CONFIRMED', 'IN_PROGRESS') AND NOT o.waiting_for_payment
ORDER BY s.id
LIMIT :limit OFFSET :offset;

-- name: in_progress_page
-- Oldest first, by the partial index shipments_in_progress.
SELECT s.id FROM shipments s
WHERE s.status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'ONHOLD')
ORDER BY s.id
LIMIT :limit OFFSET :offset;

-- name: completed_page
-- Oldest first, by the partial index shipments_shipped.
SELECT s.id FROM shipments s WHERE s.status = 'SHIPPED'
ORDER BY s.id
LIMIT :limit OFFSET :offset;

-- name: shipments_of_order_page
-- The same three lists for one order, by the unique indexes on order_number and on (order_id, n).
SELECT s.id
FROM orders o JOIN shipments s ON s.order_id = o.id
WHERE o.order_number = :order_number
  AND CASE :list
      WHEN 'goodtogo' THEN s.good_to_go AND s.status IN ('RELEASED', 'INVENTORY_ASSIGNED')
                           AND o.status IN ('CONFIRMED', 'IN_PROGRESS') AND NOT o.waiting_for_payment
      WHEN 'inprogress' THEN s.status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'ONHOLD')
      WHEN 'completed' THEN s.status = 'SHIPPED'
      END
ORDER BY s.id
LIMIT :limit OFFSET :offset;

-- name: shipment_page
-- One shipment in any of these statuses, by the unique index on shipment_number.
SELECT s.id FROM shipments s
WHERE s.shipment_number = :shipment_number AND s.status NOT IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER');

-- name: shipments_of_page
-- The shipments with these ids, in their sequence: by primary keys and one_live_capture_per_shipment. OFFSET 0 as
-- above.
-- total_amount is what was captured, or what a capture would take now.
SELECT o.order_number, o.store_code, o.currency, o.status, o.waiting_for_payment,
       o.customer_name, o.customer_email, o.shipping_address,
       coalesce(o.billing_address, o.shipping_address) AS billing_address,
       o.payment_authorization, to_char(o.created_at AT TIME ZONE st.time_zone, 'YYYY-MM-DD HH24:MI:SS') AS ordered_at,
       s.shipment_number, s.good_to_go, s.capture_wanted, s.internal_comment, s.return_slip_tracking,
       to_char(s.shipped_at AT TIME ZONE st.time_zone, 'YYYY-MM-DD HH24:MI:SS') AS shipped_at,
       c.state IS NOT DISTINCT FROM 'CAPTURED' AS paid,
       coalesce(c.amount, least(s.goods_amount + CASE WHEN o.shipping_reserved THEN 0 ELSE o.shipping_amount END,
                                o.total_amount - o.reserved_amount)) AS total_amount,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'carrier', p.carrier, 'service', p.service, 'tracking_number', p.tracking_number,
                   'tracking_url', p.tracking_url) ORDER BY p.position), '[]')
        FROM parcels p WHERE p.shipment_id = s.id) AS parcels,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'line_id', l.line_id, 'sku', l.sku, 'name', l.name, 'quantity', sl.quantity,
                   'unit_price', l.unit_price) ORDER BY l.position), '[]')
        FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id WHERE sl.shipment_id = s.id) AS lines
FROM unnest(:ids::bigint[]) WITH ORDINALITY AS page (id, place)
CROSS JOIN LATERAL (SELECT * FROM shipments WHERE id = page.id OFFSET 0) s
CROSS JOIN LATERAL (SELECT * FROM orders WHERE id = s.order_id OFFSET 0) o
JOIN stores st ON st.code = o.store_code
LEFT JOIN LATERAL (SELECT * FROM captures
                   WHERE shipment_id = s.id AND state IN ('PENDING', 'CAPTURED') OFFSET 0) c ON true
ORDER BY page.place;

-- Queries of creating, changing and cancelling shipments. All of them run under the lock on the order's row, which
-- lock_order takes; lock_shipment of shipping.sql takes it too.

-- name: lock_order^
-- The row lock of a creation, by the unique index on order_number. Decide on what this returns, on nothing older.
SELECT id, order_number, status, waiting_for_payment FROM orders WHERE order_number = :order_number FOR UPDATE;

-- name: order_lines
-- Under lock_order: what can still be put on a shipment. By the unique index on (order_id, line_id).
SELECT id, line_id, quantity, allocated_quantity, unit_price FROM order_lines WHERE order_id = :order_id;

-- name: same_shipment^
-- Under lock_order. The shipment of the order with exactly this selection that the same request has made before: not
-- shipped yet; or, for a request that ships, shipped with the same tracking number. By the index on order_id.
SELECT s.shipment_number
FROM shipments s
WHERE s.order_id = :order_id
  AND (s.status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'ONHOLD') AND NOT :shipped::boolean
       OR s.status = 'SHIPPED' AND :shipped::boolean
          -- No EXISTS: beside an OR, the server may answer that from a list of all parcels with this number.
          AND (SELECT p.tracking_number FROM parcels p
               WHERE p.shipment_id = s.id AND p.position = 0) = :tracking_number::text)
  AND (SELECT jsonb_object_agg(l.line_id, sl.quantity)
       FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id
       WHERE sl.shipment_id = s.id) = :selection::jsonb
ORDER BY s.n LIMIT 1;

-- name: provisional_shipment^
-- Under lock_order. A creation that nobody finished: with exactly this selection, or emptied after a refusal.
SELECT s.id, s.shipment_number, s.piece_count = 0 AS emptied
FROM shipments s
WHERE s.order_id = :order_id AND s.status = 'PROVISIONAL'
  AND (s.piece_count = 0
       OR (SELECT jsonb_object_agg(l.line_id, sl.quantity)
           FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id
           WHERE sl.shipment_id = s.id) = :selection::jsonb)
ORDER BY s.piece_count = 0, s.n LIMIT 1;

-- name: new_provisional^
-- Under lock_order. The next number of the order; numbers are never used again.
WITH numbered AS (
    UPDATE orders SET last_shipment_n = last_shipment_n + 1 WHERE id = :order_id
    RETURNING id, last_shipment_n, order_number
)
INSERT INTO shipments (order_id, n, shipment_number, status, goods_amount, piece_count)
SELECT id, last_shipment_n, order_number || '-' || last_shipment_n, 'PROVISIONAL', 0, 0 FROM numbered
RETURNING id, shipment_number;

-- name: set_contents!
-- Under lock_order. Replaces the shipment's lines; the triggers refuse more than was ordered.
WITH wanted AS (
    SELECT * FROM unnest(:order_line_ids::bigint[], :quantities::integer[]) AS w (order_line_id, quantity)
), gone AS (
    DELETE FROM shipment_lines
    WHERE shipment_id = :shipment_id AND order_line_id NOT IN (SELECT order_line_id FROM wanted)
), put AS (
    INSERT INTO shipment_lines (shipment_id, order_line_id, quantity)
    SELECT :shipment_id, order_line_id, quantity FROM wanted
    ON CONFLICT (shipment_id, order_line_id) DO UPDATE SET quantity = excluded.quantity
)
UPDATE shipments
SET goods_amount = (SELECT coalesce(sum(w.quantity * l.unit_price), 0)
                    FROM wanted w JOIN order_lines l ON l.id = w.order_line_id),
    piece_count = (SELECT coalesce(sum(quantity), 0) FROM wanted)
WHERE id = :shipment_id;

-- name: empty_provisional!
-- Under lock_order, after a refused capture: its pieces are free again.
WITH gone AS (DELETE FROM shipment_lines WHERE shipment_id = :shipment_id)
UPDATE shipments SET goods_amount = 0, piece_count = 0 WHERE id = :shipment_id AND status = 'PROVISIONAL';

-- name: confirm_created!
-- Under lock_order: from here on the shipment exists.
UPDATE shipments
SET status = CASE WHEN :good_to_go::boolean THEN 'RELEASED' ELSE 'INVENTORY_ASSIGNED' END,
    good_to_go = :good_to_go, created_at = clock_timestamp(), event_sequence = event_sequence + :event_count
WHERE id = :shipment_id;

-- name: set_good_to_go!
-- Under lock_shipment.
UPDATE shipments
SET status = CASE WHEN :good_to_go::boolean THEN 'RELEASED' ELSE 'INVENTORY_ASSIGNED' END,
    good_to_go = :good_to_go, event_sequence = event_sequence + :event_count
WHERE id = :shipment_id;

-- name: cancel_shipment!
-- Under lock_shipment. The trigger gives its pieces back to the order.
UPDATE shipments SET status = 'CANCELLED', good_to_go = false, event_sequence = event_sequence + 1
WHERE id = :shipment_id;

-- name: contents^
-- Under lock_shipment: the selection as it stands.
SELECT jsonb_object_agg(l.line_id, sl.quantity) AS selection
FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id
WHERE sl.shipment_id = :shipment_id;

-- name: departure_told^
-- What is known of how a shipment left, to tell a repeated request from a different one. By primary keys, and by the
-- unique index on (shipment_id, sequence) of the events. notified is NULL once the event is no longer kept.
SELECT s.package_count, s.return_slip_tracking, s.internal_comment, s.capture_wanted,
       EXISTS (SELECT FROM captures c WHERE c.shipment_id = s.id AND c.state = 'CAPTURED') AS paid,
       (SELECT (e.body -> 'data' ->> 'notifyCustomer')::boolean FROM events e
        WHERE e.shipment_id = s.id AND e.type = 'order-shipment-shipped'
        ORDER BY e.sequence DESC LIMIT 1) AS notified,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('carrier', p.carrier, 'service', p.service,
                                                     'tracking_number', p.tracking_number,
                                                     'tracking_url', p.tracking_url) ORDER BY p.position), '[]')
        FROM parcels p WHERE p.shipment_id = s.id) AS parcels
FROM shipments s WHERE s.shipment_number = :shipment_number AND s.status = 'SHIPPED';

-- name: paid$
-- Whether the shipment's money was taken, or none was due. By the unique indexes on shipment_number and of the captures.
SELECT EXISTS (SELECT FROM captures c JOIN shipments s ON s.id = c.shipment_id
               WHERE s.shipment_number = :shipment_number AND c.state = 'CAPTURED');

-- name: created_under_key$
-- Under lock_order: the shipment that an earlier call under the same key has made. By the primary key.
SELECT shipment_number FROM idempotency_keys WHERE api_key_id = :api_key_id AND key = :key;

-- name: note_created_under_key!
-- In the transaction that makes the shipment exist.
UPDATE idempotency_keys SET shipment_number = (SELECT s.shipment_number FROM shipments s WHERE s.id = :shipment_id)
WHERE api_key_id = :api_key_id AND key = :key;

-- Queries of releasing a known order by an event. They run under lock_order of orders.sql.

-- name: release
-- By primary key and the unique index on (order_id, n). A hold is lifted only where the sender had asked for it: was_*
-- and each shipment's status are what was sent before. Shipments that have gone further on stay where they are.
-- Returns the shipments that are released now.
WITH ordered AS (
    UPDATE orders
    SET payment_authorization = :authorization, intake = :intake, updated_at = now(),
        status = CASE WHEN status = 'ONHOLD' AND :was_on_hold::boolean THEN 'CONFIRMED' ELSE status END,
        waiting_for_payment = waiting_for_payment AND NOT :was_waiting::boolean
    WHERE id = :order_id
), released AS (
    UPDATE shipments s
    SET status = 'RELEASED', good_to_go = true, event_sequence = s.event_sequence + 1
    FROM unnest(:ns::integer[], :statuses::text[]) AS sent (n, status)
    WHERE s.order_id = :order_id AND s.n = sent.n
      AND (s.status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED') OR s.status = sent.status)
    RETURNING s.id, s.n
)
SELECT id FROM released ORDER BY n;

-- Queries of the reconciliation. Settling itself runs under lock_shipment of shipping.sql.

-- name: pending_captures
-- Captures that nobody has settled for :older_s seconds, which are the PENDING ones, oldest first, by the partial index
-- captures_unsettled. No lock: each is looked at again under its shipment's.
SELECT c.id, c.idempotency_key, c.provider, c.amount, c.currency, c.created_at,
       extract(epoch FROM now() - c.created_at)::float8 AS age_s,
       s.id AS shipment_id, s.shipment_number, s.status = 'PROVISIONAL' AS provisional
FROM captures c JOIN shipments s ON s.id = c.shipment_id
WHERE c.settled_at IS NULL AND c.created_at < now() - make_interval(secs => :older_s)
ORDER BY c.created_at, c.id;

-- name: paid_and_not_shipped
-- Money that was taken :older_s seconds ago or earlier for what has not left, oldest first: for a person to decide.
-- Walks the shipments that have not left, by the partial indexes shipments_in_progress and shipments_unlisted, not the
-- captures of all time; OFFSET 0 keeps it so.
WITH unshipped AS (
    SELECT id, shipment_number, status, order_id FROM shipments
    WHERE status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'ONHOLD')
    UNION ALL
    SELECT id, shipment_number, status, order_id FROM shipments
    WHERE status IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER')
)
SELECT s.shipment_number, s.status, o.order_number, c.idempotency_key, c.provider, c.provider_reference, c.amount,
       c.currency, c.settled_at
FROM unshipped s
CROSS JOIN LATERAL (SELECT * FROM captures
                    WHERE shipment_id = s.id AND state = 'CAPTURED' AND amount > 0 OFFSET 0) c
JOIN orders o ON o.id = s.order_id
WHERE c.settled_at < now() - make_interval(secs => :older_s)
ORDER BY c.settled_at, c.id;

-- name: find_completable$
-- For `waybill dev` only, once per start: walks the primary key until the first match.
SELECT s.shipment_number FROM shipments s JOIN orders o ON o.id = s.order_id
WHERE s.status = 'RELEASED' AND o.status IN ('CONFIRMED', 'IN_PROGRESS') AND NOT o.waiting_for_payment
  AND o.payment_provider = 'sandbox' AND o.payment_authorization ~ '^sandbox:ok(#|$)'
ORDER BY s.id LIMIT 1;

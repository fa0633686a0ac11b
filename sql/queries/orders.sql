-- Queries of the order intake. All of them run in the intake's one transaction, under the lock on the order's row.

-- name: lock_order^
-- The row lock of an intake, by the unique index on order_number. Decide on what this returns, on nothing older.
SELECT id, currency, locale, status, last_shipment_n, intake
FROM orders WHERE order_number = :order_number
FOR UPDATE;

-- name: create_order$
-- Returns no id when the order exists. Waits for a concurrent intake of the same number to end, so that the caller
-- finds a committed row if it then looks again.
INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
                    billing_address, status, waiting_for_payment, payment_provider, payment_authorization,
                    shipping_amount, total_amount, unshipped_quantity, last_shipment_n, intake)
VALUES (:order_number, :store, :currency, :locale, :customer_name, :customer_email, :shipping_address,
        :billing_address, :status, :waiting_for_payment, :payment_provider, :payment_authorization,
        :shipping_amount, :total_amount, :pieces, :shipment_count, :intake)
ON CONFLICT (order_number) DO NOTHING
RETURNING id;

-- name: replace_order!
-- Under lock_order, and only while no shipment exists: so no money has moved and no number was given out.
-- status and waiting_for_payment are NULL where the content did not change them: an operator may have.
UPDATE orders
SET store_code = :store, currency = :currency, locale = :locale,
    customer_name = :customer_name, customer_email = :customer_email,
    shipping_address = :shipping_address, billing_address = :billing_address,
    status = coalesce(:status, status), waiting_for_payment = coalesce(:waiting_for_payment, waiting_for_payment),
    payment_provider = :payment_provider, payment_authorization = :payment_authorization,
    shipping_amount = :shipping_amount, total_amount = :total_amount, unshipped_quantity = :pieces,
    last_shipment_n = :shipment_count, intake = :intake, updated_at = now()
WHERE id = :order_id;

-- name: delete_lines!
-- Under lock_order, before replace_order's new lines. By the unique index on (order_id, line_id).
DELETE FROM order_lines WHERE order_id = :order_id;

-- name: insert_lines!
INSERT INTO order_lines (order_id, line_id, position, sku, name, quantity, unit_price, tax_rate)
SELECT :order_id, line_id, position - 1, sku, name, quantity, unit_price, tax_rate
FROM unnest(:line_ids::text[], :skus::text[], :names::text[], :quantities::integer[], :unit_prices::bigint[],
            :tax_rates::numeric[])
     WITH ORDINALITY AS line (line_id, sku, name, quantity, unit_price, tax_rate, position);

-- name: insert_shipments
-- After insert_lines. The contents come as one row per shipment and line; returns the new shipments.
WITH made AS (
    INSERT INTO shipments (order_id, n, shipment_number, status, good_to_go, capture_wanted, goods_amount, piece_count,
                           event_sequence)
    SELECT :order_id, n, :order_number || '-' || n, status, status = 'RELEASED', capture_wanted, goods_amount,
           piece_count, event_count
    FROM unnest(:statuses::text[], :captures_wanted::boolean[], :goods_amounts::bigint[], :piece_counts::integer[],
                :event_counts::integer[])
         WITH ORDINALITY AS shipment (status, capture_wanted, goods_amount, piece_count, event_count, n)
    RETURNING id, n, shipment_number
), filled AS (
    INSERT INTO shipment_lines (shipment_id, order_line_id, quantity)
    SELECT made.id, line.id, content.quantity
    FROM unnest(:content_ns::integer[], :content_line_ids::text[], :content_quantities::integer[])
         AS content (n, line_id, quantity)
    JOIN made ON made.n = content.n
    JOIN order_lines line ON line.order_id = :order_id AND line.line_id = content.line_id
)
SELECT id, shipment_number FROM made ORDER BY n;

-- name: authorization_used$
-- Under lock_order, in a statement of its own so that it sees what the lock's previous holder committed. Whoever
-- reserves a capture locks the order's row too. A capture of nothing needed no authorization.
SELECT EXISTS (SELECT FROM captures WHERE order_id = :order_id AND state IN ('PENDING', 'CAPTURED') AND amount > 0);

-- name: change_authorization!
-- Under lock_order.
UPDATE orders SET payment_authorization = :authorization, intake = :intake, updated_at = now() WHERE id = :order_id;

-- name: shipment_numbers$
SELECT coalesce(array_agg(shipment_number ORDER BY n), '{}') FROM shipments
WHERE order_id = :order_id AND status <> 'PROVISIONAL';

-- name: find_order^
-- One order with its shipments, by the unique index on order_number. No lock.
SELECT o.status, o.waiting_for_payment, o.created_at, o.updated_at, o.currency, o.total_amount, o.intake,
       coalesce((SELECT sum(c.amount) FROM captures c WHERE c.order_id = o.id AND c.state = 'CAPTURED'), 0)::bigint
           AS captured_amount
FROM orders o WHERE o.order_number = :order_number;

-- name: find_shipments
-- The shipments of one order with contents and parcels, by the unique index on (order_id, n). No lock.
SELECT s.shipment_number AS number, s.status, s.good_to_go, s.capture_wanted AS capture, s.goods_amount,
       s.package_count AS packages, s.return_slip_tracking, s.created_at, s.shipped_at,
       (SELECT jsonb_object_agg(l.line_id, sl.quantity)
        FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id WHERE sl.shipment_id = s.id) AS lines,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('carrier', p.carrier, 'service', p.service,
                                                     'trackingNumber', p.tracking_number,
                                                     'trackingUrl', p.tracking_url) ORDER BY p.position), '[]')
        FROM parcels p WHERE p.shipment_id = s.id) AS parcels,
       (SELECT c.state FROM captures c WHERE c.shipment_id = s.id ORDER BY c.attempt DESC LIMIT 1) AS capture_state
FROM orders o JOIN shipments s ON s.order_id = o.id
WHERE o.order_number = :order_number AND s.status <> 'PROVISIONAL' ORDER BY s.n;

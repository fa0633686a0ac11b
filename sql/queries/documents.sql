-- What a shipment's documents show.

-- name: find^
-- By the unique index on shipment_number, then primary keys and one_live_capture_per_shipment. No lock.
-- shipping_amount: what the shipment's capture carries of the order's shipping cost, or would carry if it were made now.
SELECT st.name AS store_name, st.seller_address, o.order_number, o.currency, o.locale, o.customer_name,
       o.shipping_address, coalesce(o.billing_address, o.shipping_address) AS billing_address,
       s.shipment_number, s.package_count, s.return_slip_tracking,
       (coalesce(s.shipped_at, now()) AT TIME ZONE st.time_zone)::date AS delivery_date,
       s.shipped_at IS NOT NULL AS has_left,
       coalesce(c.shipping_part,
                CASE WHEN o.shipping_reserved THEN 0
                     ELSE least(o.shipping_amount, o.total_amount - o.reserved_amount) END) AS shipping_amount,
       CASE WHEN c.state = 'CAPTURED' THEN c.amount END AS captured_amount,
       (c.settled_at AT TIME ZONE st.time_zone)::date AS captured_on,
       -- The rate as text: a JSON number would come back as a float.
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'sku', l.sku, 'name', l.name, 'quantity', sl.quantity, 'unit_price', l.unit_price,
                   'tax_rate', l.tax_rate::text) ORDER BY l.position), '[]')
        FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id WHERE sl.shipment_id = s.id) AS lines,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'carrier', p.carrier, 'service', p.service,
                   'tracking_number', p.tracking_number) ORDER BY p.position), '[]')
        FROM parcels p WHERE p.shipment_id = s.id) AS parcels
FROM shipments s
JOIN orders o ON o.id = s.order_id
JOIN stores st ON st.code = o.store_code
LEFT JOIN captures c ON c.shipment_id = s.id AND c.state IN ('PENDING', 'CAPTURED')
WHERE s.shipment_number = :shipment_number AND s.status NOT IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER');

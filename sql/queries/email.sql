-- name: shipment_mail^
-- What a mail about one shipment tells, in one snapshot. Takes no lock. Indexes: shipments (shipment_number), then the
-- keys of the shipment, its order and the order's lines; the cost grows with this order only.
-- A line's `later` is what had not left when this shipment did, so that the mail says the same whenever it is made.
SELECT s.id AS shipment_id,
       s.shipment_number,
       s.status,
       s.shipped_at,
       s.package_count,
       s.return_slip_tracking,
       o.order_number,
       o.locale,
       o.customer_name,
       o.customer_email,
       o.shipping_address,
       st.code AS store_code,
       st.name AS store_name,
       st.time_zone,
       st.sender,
       lines.lines,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('carrier', p.carrier, 'service', p.service,
                                                     'tracking_number', p.tracking_number,
                                                     'tracking_url', p.tracking_url)
                                  ORDER BY p.position), '[]')
        FROM parcels p
        WHERE p.shipment_id = s.id) AS parcels,
       (SELECT e.id
        FROM events e
        WHERE e.shipment_id = s.id AND e.type = 'order-shipment-shipped'
        ORDER BY e.sequence DESC
        LIMIT 1) AS event_id
FROM shipments s
JOIN orders o ON o.id = s.order_id
JOIN stores st ON st.code = o.store_code
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('name', l.name, 'sku', l.sku, 'shipped', sent.now,
                                        'later', CASE WHEN o.status = 'CANCELLED' THEN 0
                                                      ELSE l.quantity - sent.now - sent.before END)
                     ORDER BY l.position, l.id) AS lines
    FROM order_lines l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(sl.quantity) FILTER (WHERE other.id = s.id), 0) AS now,
               coalesce(sum(sl.quantity) FILTER (WHERE other.id <> s.id AND other.status = 'SHIPPED'
                                                 AND (s.shipped_at IS NULL OR (other.shipped_at, other.id)
                                                                              < (s.shipped_at, s.id))), 0) AS before
        FROM shipment_lines sl
        JOIN shipments other ON other.id = sl.shipment_id
        WHERE sl.order_line_id = l.id
    ) sent
    WHERE l.order_id = s.order_id
) lines
WHERE s.shipment_number = :shipment_number;

-- name: record_mail!
-- One row; the unique keys on event_id and message_id refuse a second mail for one event.
INSERT INTO emails (event_id, shipment_id, message_id, recipient, locale, subject)
VALUES (:event_id, :shipment_id, :message_id, :recipient, :locale, :subject);

-- Data to measure with, made by the database itself. Every order is :first to :last by number and by id, has two lines
-- of one and two pieces and, where a query below adds it, one shipment of all of them, `<number>-1`, with the same id.
-- The session that runs these has session_replication_role = replica: no triggers, no foreign keys, so what they
-- would keep (allocated_quantity) is written here.

-- name: next_number$
-- The first number that none of the ids below has, however many rows the service has added meanwhile.
SELECT greatest((SELECT max(id) FROM orders), (SELECT max(id) FROM shipments), (SELECT max(id) FROM captures),
                (SELECT max(id) / 2 FROM order_lines), 10000000) + 1;

-- name: add_store!
INSERT INTO stores (code, name, currency, sender) VALUES ('bench', 'Bench', 'SEK', 'shop@example.com')
ON CONFLICT DO NOTHING;

-- name: add_orders!
-- :left whether the shipment has left; :allocated whether there is one; :reserved whether it is paid.
INSERT INTO orders (id, order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
                    status, payment_provider, payment_authorization, shipping_amount, total_amount, reserved_amount,
                    shipping_reserved, unshipped_quantity, last_shipment_n, intake)
OVERRIDING SYSTEM VALUE
SELECT n, n::text, 'bench', 'SEK', 'sv-SE', 'Åsa Öberg', 'asa' || n || '@example.com',
       '{"name": "Åsa Öberg", "street": "Storgatan 1", "postalCode": "111 22", "city": "Stockholm", "country": "SE"}',
       CASE WHEN :is_left::boolean THEN 'COMPLETED' ELSE 'CONFIRMED' END, 'sandbox', :payment_authorization, 4900, 64700,
       CASE WHEN :is_paid::boolean THEN 64700 ELSE 0 END, :is_paid::boolean,
       CASE WHEN :is_left::boolean THEN 0 ELSE 3 END, CASE WHEN :is_allocated::boolean THEN 1 ELSE 0 END,
       '{"orderNumber": "", "store": "bench", "currency": "SEK", "lines": []}'
FROM generate_series(:first::bigint, :last::bigint) n;

-- name: add_order_lines!
INSERT INTO order_lines (id, order_id, line_id, position, sku, name, quantity, unit_price, tax_rate, allocated_quantity)
OVERRIDING SYSTEM VALUE
SELECT 2 * n + line, n, (line + 1)::text, line, 'SKU-' || line + 1, 'Shirt, size ' || line + 1, line + 1,
       CASE line WHEN 0 THEN 19900 ELSE 19950 END, 0.25, CASE WHEN :is_allocated::boolean THEN line + 1 ELSE 0 END
FROM generate_series(:first::bigint, :last::bigint) n, generate_series(0, 1) line;

-- name: add_shipments!
INSERT INTO shipments (id, order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count,
                       event_sequence, shipped_at)
OVERRIDING SYSTEM VALUE
SELECT n, n, 1, n || '-1', CASE WHEN :is_left::boolean THEN 'SHIPPED' ELSE 'RELEASED' END, true, 59800, 3,
       CASE WHEN :is_left::boolean THEN 3 ELSE 2 END, CASE WHEN :is_left::boolean THEN now() END
FROM generate_series(:first::bigint, :last::bigint) n;

-- name: add_shipment_lines!
INSERT INTO shipment_lines (shipment_id, order_line_id, quantity)
SELECT n, 2 * n + line, line + 1 FROM generate_series(:first::bigint, :last::bigint) n, generate_series(0, 1) line;

-- name: add_captures!
INSERT INTO captures (id, order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                      shipping_part, currency, state, provider_reference, settled_at)
OVERRIDING SYSTEM VALUE
SELECT n, n, n, 1, 'shipment:' || n || '-1:capture:1', 'sandbox', 'sandbox:ok', 64700, 4900, 'SEK', 'CAPTURED',
       'cap_' || n, now()
FROM generate_series(:first::bigint, :last::bigint) n;

-- name: add_parcels!
INSERT INTO parcels (shipment_id, position, carrier, tracking_number, tracking_url)
SELECT n, 0, 'UPS', '1Z' || n, 'https://www.ups.com/track?tracknum=1Z' || n
FROM generate_series(:first::bigint, :last::bigint) n;

-- name: add_events!
-- Three for each shipment that has left: created, released, shipped. Ids grow with time, as the service's do.
INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent)
SELECT uuidv7(), n, sequence, 'order-shipment-' || kind, n || '-1',
       ('{"eventType":{"@class":"OrderEvent","name":"ORDER_SHIPMENT_' || upper(kind) || '"},"guid":"' || n
        || '-1","data":{"orderNumber":"' || n || '","shipmentNumber":"' || n || '-1","store":"bench","status":"'
        || status || '","shippedAt":' || CASE sequence WHEN 3 THEN '"2026-11-21T18:40:00.123Z"' ELSE 'null' END
        || ',"carrier":null,"service":null,"packages":null,"carrierTrackingNumber":"1Z' || n
        || '","trackingUrl":null,"parcels":[{"carrier":null,"service":null,"trackingNumber":"1Z' || n
        || '","trackingUrl":null}],"lines":[{"lineId":"1","sku":"SKU-1","quantity":1},{"lineId":"2","sku":"SKU-2",'
        || '"quantity":2}],"notifyCustomer":' || (sequence = 3)::text || ',"sequence":' || sequence || '}}')::json,
       'bench-' || n, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
FROM generate_series(:first::bigint, :last::bigint) n,
     (VALUES (1, 'created', 'INVENTORY_ASSIGNED'), (2, 'released', 'RELEASED'), (3, 'shipped', 'SHIPPED'))
         AS kinds (sequence, kind, status);

-- name: advance_sequences!
-- Beyond every id in use, so that the service's own rows come after these.
SELECT setval(pg_get_serial_sequence('orders', 'id'), :last), setval(pg_get_serial_sequence('shipments', 'id'), :last),
       setval(pg_get_serial_sequence('captures', 'id'), :last),
       setval(pg_get_serial_sequence('order_lines', 'id'), 2 * :last + 1);

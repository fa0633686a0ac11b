-- :shipments released shipments of one piece each, every one an order of its own with its capture made.
INSERT INTO stores (code, name) VALUES ('bench', 'bench');
INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email, shipping_address,
                    payment_provider, payment_authorization, shipping_amount, total_amount, reserved_amount,
                    shipping_reserved, unshipped_quantity, last_shipment_n, intake)
SELECT n, 'bench', 'SEK', 'en', 'Bench', 'bench@example.com', '{}', 'sandbox', 'sandbox:ok', 0, 100, 100, false, 1, 1, '{}'
FROM generate_series(1, :shipments) n;
INSERT INTO order_lines (order_id, line_id, position, sku, name, quantity, unit_price, tax_rate)
SELECT id, '1', 0, 'A', 'A', 1, 100, 0 FROM orders;
INSERT INTO shipments (order_id, n, shipment_number, status, good_to_go, goods_amount, piece_count)
SELECT id, 1, order_number || '-1', 'RELEASED', true, 100, 1 FROM orders;
INSERT INTO shipment_lines SELECT s.id, l.id, 1 FROM shipments s JOIN order_lines l ON l.order_id = s.order_id;
INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                      shipping_part, currency, state, provider_reference, settled_at)
SELECT order_id, id, 1, 'bench:' || id, 'sandbox', 'sandbox:ok', 100, 0, 'SEK', 'CAPTURED', 'bench', now() FROM shipments;
VACUUM ANALYZE;

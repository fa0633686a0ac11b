-- name: lock_articles
-- Row locks by primary key, always in this order, so that two shipments never wait for each other in a circle. The wait
-- for whoever counts the articles right now is bounded by lock_timeout.
SELECT sku, on_hand FROM stock WHERE sku = ANY(:skus::text[]) ORDER BY sku FOR UPDATE;

-- name: take_off!
-- Under lock_articles.
UPDATE stock SET on_hand = on_hand - shipped.quantity
FROM unnest(:skus::text[], :quantities::integer[]) AS shipped (sku, quantity)
WHERE stock.sku = shipped.sku;

-- What rows ask the database before, between and after what they measure. Never during it, but for outbox_left.

-- name: vacuum_analyze!
VACUUM ANALYZE;

-- name: checkpoint!
-- So that no measurement pays for the writes of what went before it.
CHECKPOINT;

-- name: empty_outbox!
TRUNCATE outbox;

-- name: empty_consumers!
-- The same messages can then be handled again.
TRUNCATE inbox, emails;

-- name: fill_outbox!
-- The shipped events of the shipments :first to :last.
INSERT INTO outbox (event_id)
SELECT id FROM events WHERE shipment_id BETWEEN :first AND :last AND type = 'order-shipment-shipped' ORDER BY id;

-- name: wake_relays!
SELECT pg_notify('waybill_outbox', '');

-- name: outbox_left$
SELECT EXISTS (SELECT FROM outbox);

-- name: shipped$
-- How many of the shipments :first to :last have left, with their event in the history.
SELECT count(*) FROM shipments s JOIN events e ON e.shipment_id = s.id AND e.type = 'order-shipment-shipped'
WHERE s.id BETWEEN :first AND :last AND s.status = 'SHIPPED';

-- name: shipments_of_orders$
SELECT count(*) FROM shipments WHERE order_id BETWEEN :first AND :last;

-- name: mails
-- Which shipment each mail is about.
SELECT m.message_id, s.shipment_number FROM emails m JOIN shipments s ON s.id = m.shipment_id
WHERE s.id BETWEEN :first AND :last;

-- name: published_events
-- The shipped events of the shipments :first to :last, with what the relay reads of them.
SELECT e.id AS event_id, NULL AS target, e.type, e.subject, e.body, e.request_id, e.traceparent, e.occurred_at,
       o.store_code AS store
FROM events e JOIN shipments s ON s.id = e.shipment_id JOIN orders o ON o.id = s.order_id
WHERE s.id BETWEEN :first AND :last AND e.type = 'order-shipment-shipped' ORDER BY e.seq;

-- name: settings
SELECT name, current_setting(name) AS value FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_level', 'max_connections',
               'max_wal_size', 'checkpoint_timeout', 'autovacuum')
ORDER BY name;

-- name: version$
SHOW server_version;

-- name: disk_bytes$
SELECT pg_database_size(current_database());

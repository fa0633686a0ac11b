-- Clearing away what is older than its retention, in batches that are transactions of their own. Each returns where the
-- next batch goes on, NULL when nothing is left, and how many rows it deleted. Whatever somebody else has locked is
-- passed over; the next run finds it again.

-- name: outbox_size$
SELECT count(*) FROM outbox;

-- name: lock_events
-- By primary key: the ids begin with the time. The row locks keep everybody from putting these events into the outbox or
-- down to be sent until they are deleted.
SELECT id FROM events WHERE id > :after AND id < :before ORDER BY id LIMIT :batch_size
FOR UPDATE SKIP LOCKED;

-- name: delete_events$
-- Under lock_events, in a statement of its own so that it sees what was put down before the locks. What still has to be
-- published or sent stays, whatever its age. webhook_deliveries go with their event, by the unique index that begins
-- with it.
WITH gone AS (
    DELETE FROM events e
    WHERE e.id = ANY(:ids::uuid[]) AND e.occurred_at < :older_than
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.event_id = e.id)
      AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.event_id = e.id AND d.status = 'PENDING')
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: delete_inbox^
-- By the index on handled_at.
WITH batch AS MATERIALIZED (
    SELECT consumer, message_id, handled_at FROM inbox
    WHERE handled_at >= :after AND handled_at < :older_than ORDER BY handled_at LIMIT :batch_size
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM inbox i USING batch b WHERE i.consumer = b.consumer AND i.message_id = b.message_id RETURNING 1
)
SELECT (SELECT max(handled_at) FROM batch) AS last, (SELECT count(*) FROM gone) AS deleted;

-- name: delete_emails^
-- By the index on sent_at.
WITH batch AS MATERIALIZED (
    SELECT id, sent_at FROM emails
    WHERE sent_at >= :after AND sent_at < :older_than ORDER BY sent_at LIMIT :batch_size
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM emails e USING batch b WHERE e.id = b.id RETURNING 1
)
SELECT (SELECT max(sent_at) FROM batch) AS last, (SELECT count(*) FROM gone) AS deleted;

-- name: delete_webhook_deliveries^
-- By primary key, which grows with time. What is PENDING is still to be sent and stays. Attempts go with their delivery.
WITH batch AS MATERIALIZED (
    SELECT id, status FROM webhook_deliveries
    WHERE id > :after AND created_at < :older_than ORDER BY id LIMIT :batch_size
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM webhook_deliveries d USING batch b WHERE d.id = b.id AND b.status <> 'PENDING' RETURNING 1
)
SELECT (SELECT max(id) FROM batch) AS last, (SELECT count(*) FROM gone) AS deleted;

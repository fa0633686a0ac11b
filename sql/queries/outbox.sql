-- Queries of the outbox and its relay.

-- name: append_events!
-- Inserts only. The foreign key takes KEY SHARE on the shipments' rows, which their writer holds anyway.
-- occurred_at is the clock's, not the transaction's: a transaction may have waited for a lock and for money.
WITH event AS (
    INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent, occurred_at)
    SELECT *, clock_timestamp()
    FROM unnest(:event_ids::uuid[], :shipment_ids::bigint[], :sequences::integer[], :types::text[], :subjects::text[],
                :bodies::json[], :request_ids::text[], :traceparents::text[])
    RETURNING id
)
INSERT INTO outbox (event_id) SELECT id FROM event;

-- name: begin_round^
-- Settings of this transaction only. Losing its commit in a server crash costs duplicates, which consumers absorb, so
-- it does not wait for the disk. It is idle while the broker works, longer than other transactions may be.
SELECT set_config('synchronous_commit', 'off', true), set_config('idle_in_transaction_session_timeout', :idle_ms, true);

-- name: claim_due
-- Row locks on outbox only, held until commit; other relays skip them. Index outbox_due serves filter, order and limit
-- however long the backlog is, and puts postponed rows behind those that were due before them. MATERIALIZED keeps the
-- LIMIT and the locks in front of the joins.
WITH picked AS MATERIALIZED (
    SELECT seq, event_id, target, attempts, created_at
    FROM outbox
    WHERE available_at <= now()
    ORDER BY available_at, seq
    LIMIT :batch_size
    FOR UPDATE SKIP LOCKED
)
SELECT p.seq, p.event_id, p.target, p.attempts, extract(epoch FROM now() - p.created_at)::float8 AS age_s,
       e.type, e.subject, e.body, e.request_id, e.traceparent, e.occurred_at, o.store_code AS store
FROM picked p
JOIN events e ON e.id = p.event_id
JOIN shipments s ON s.id = e.shipment_id
JOIN orders o ON o.id = s.order_id
ORDER BY p.seq;

-- name: recall_distant!
-- A row that is due later than any wait can make it was written before the clock was set back. Index outbox_due, at its
-- far end, then by primary key; row locks, and none that somebody else holds.
UPDATE outbox SET available_at = now()
WHERE seq = ANY(ARRAY(SELECT seq FROM outbox WHERE available_at > now() + make_interval(secs => :longest_wait_s)
                      ORDER BY available_at DESC LIMIT :batch_size
                      FOR UPDATE SKIP LOCKED));

-- name: delete_published!
-- By primary key, under the locks of claim_due.
DELETE FROM outbox WHERE seq = ANY(:seqs::bigint[]);

-- name: postpone!
-- By primary key, under the locks of claim_due. A delay of 0 leaves the row due, in the place it had.
UPDATE outbox
SET attempts = attempts + 1,
    last_error = left(failed.error, 500),
    available_at = CASE WHEN failed.delay_s > 0 THEN clock_timestamp() + make_interval(secs => failed.delay_s)
                        ELSE available_at END
FROM unnest(:seqs::bigint[], :delays_s::float8[], :errors::text[]) AS failed (seq, delay_s, error)
WHERE outbox.seq = failed.seq;

-- name: wake_relays!
-- Outside any transaction block: publishers/wakeup.py says why. No payload, so that equal ones fold into one.
SELECT pg_notify(:channel, '');

-- name: ping$
SELECT 1;

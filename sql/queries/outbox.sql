-- Queries of the outbox and its relay.

-- name: append_event!
-- Inserts only. The foreign key takes KEY SHARE on the shipment's row, which its writer holds anyway.
-- occurred_at is the clock's, not the transaction's: a transaction may have waited for a lock and for money.
WITH event AS (
    INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent, occurred_at)
    VALUES (:event_id, :shipment_id, :sequence, :type, :subject, :body, :request_id, :traceparent, clock_timestamp())
    RETURNING id
)
INSERT INTO outbox (event_id) SELECT id FROM event;

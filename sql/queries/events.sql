-- Queries of the event history, for operators. Event ids are UUIDs of version 7: their order is the order of time, so
-- the primary key serves "newest first".

-- name: list_events
-- Newest first, by primary key, or by the index on (shipment_id, sequence) where a shipment is named. No lock.
SELECT e.id, e.type, e.subject, e.sequence, e.occurred_at, e.request_id,
       EXISTS (SELECT FROM outbox WHERE event_id = e.id) AS in_outbox
FROM events e
WHERE (:shipment_number::text IS NULL
       OR e.shipment_id = (SELECT id FROM shipments WHERE shipment_number = :shipment_number))
  AND (:type::text IS NULL OR e.type = :type)
  AND (:since::timestamptz IS NULL OR e.occurred_at >= :since)
  AND (:until::timestamptz IS NULL OR e.occurred_at < :until)
ORDER BY e.id DESC LIMIT :limit;

-- name: find_event^
SELECT id, type, subject, sequence, occurred_at, request_id, traceparent, body::text AS body,
       EXISTS (SELECT FROM outbox WHERE event_id = events.id) AS in_outbox
FROM events WHERE id = :id;

-- name: count_events$
SELECT count(*)
FROM events e
WHERE (:shipment_number::text IS NULL
       OR e.shipment_id = (SELECT id FROM shipments WHERE shipment_number = :shipment_number))
  AND (:type::text IS NULL OR e.type = :type)
  AND (:since::timestamptz IS NULL OR e.occurred_at >= :since)
  AND (:until::timestamptz IS NULL OR e.occurred_at < :until)
  AND (:ids::uuid[] IS NULL OR e.id = ANY(:ids));

-- name: replay_events^
-- The next batch after :after, oldest first by primary key, into the outbox for one queue. One statement: being killed
-- leaves it done or not begun. Whoever is in the outbox for that queue already is passed over.
WITH batch AS (
    SELECT e.id
    FROM events e
    WHERE e.id > :after
      AND (:shipment_number::text IS NULL
           OR e.shipment_id = (SELECT id FROM shipments WHERE shipment_number = :shipment_number))
      AND (:type::text IS NULL OR e.type = :type)
      AND (:since::timestamptz IS NULL OR e.occurred_at >= :since)
      AND (:until::timestamptz IS NULL OR e.occurred_at < :until)
      AND (:ids::uuid[] IS NULL OR e.id = ANY(:ids))
    ORDER BY e.id LIMIT :limit
), put AS (
    INSERT INTO outbox (event_id, target)
    SELECT id, :queue FROM batch
    WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.event_id = batch.id AND o.target = :queue)
    ORDER BY id
)
SELECT count(*) AS events, max(id::text)::uuid AS last FROM batch;

-- name: oldest_unhandled$
-- The oldest of the newest :window events that the consumer has not handled, by primary keys. Bounded, so that asking
-- costs the same however long the history is.
SELECT min(recent.occurred_at)
FROM (SELECT id, type, occurred_at FROM events ORDER BY id DESC LIMIT :window) recent
WHERE recent.type = ANY(:types::text[])
  AND NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = :consumer AND i.message_id = recent.id)
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.event_id = recent.id);

-- name: outbox_depth^
-- A full scan of the outbox, which is as small as the relay is quick.
SELECT count(*) AS waiting, count(*) FILTER (WHERE attempts > 0) AS failing, min(created_at) AS oldest FROM outbox;

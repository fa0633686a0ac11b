-- Webhooks: endpoints, deliveries, attempts. Locks are taken in this order: deliveries, then their endpoint.

-- name: fan_out^
-- In the transaction of the consumer's inbox row. KEY SHARE on the endpoints, which no update of theirs waits for; one
-- that is removed meanwhile is skipped. All endpoints are read: there are as many as partners. Disabled ones too, whose
-- deliveries wait. The unique key absorbs an event that an emptied inbox has forgotten.
WITH event AS (
    SELECT id, type, body #>> '{data,store}' AS store FROM events WHERE id = :event_id
), endpoint AS (
    SELECT e.id AS endpoint_id, event.id AS event_id
    FROM event
    JOIN webhook_endpoints e ON (e.event_types IS NULL OR event.type = ANY(e.event_types))
                            AND (e.stores IS NULL OR event.store = ANY(e.stores))
    FOR KEY SHARE OF e
), delivery AS (
    INSERT INTO webhook_deliveries (endpoint_id, event_id) SELECT endpoint_id, event_id FROM endpoint
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
    RETURNING id
)
SELECT (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM delivery) AS deliveries;

-- name: claim_due
-- Row locks on the chosen deliveries, for this statement; those of other senders are skipped, and the lease keeps them
-- away afterwards. One probe of webhook_deliveries_due for each active endpoint, however many deliveries wait.
-- `rooms` bounds the named endpoints, `room` all others. Every endpoint's first goes before any endpoint's second.
-- The inner LIMITs keep the planner from joining in bulk, which would read all the history ever made.
WITH named AS (
    SELECT * FROM unnest(:endpoints::text[], :rooms::integer[]) AS n (endpoint_id, room)
), due AS MATERIALIZED (
    SELECT d.id, d.due_at, row_number() OVER (PARTITION BY e.id ORDER BY d.due_at, d.id) AS turn
    FROM webhook_endpoints e
    LEFT JOIN named ON named.endpoint_id = e.id
    CROSS JOIN LATERAL (
        SELECT w.id, w.due_at
        FROM webhook_deliveries w
        WHERE w.endpoint_id = e.id AND w.status = 'PENDING' AND w.due_at <= now()
          AND (w.leased_until IS NULL OR w.leased_until <= now())
        ORDER BY w.due_at, w.id
        LIMIT coalesce(named.room, :room::integer)
        FOR UPDATE SKIP LOCKED
    ) d
    WHERE e.disabled_at IS NULL AND (e.not_before IS NULL OR e.not_before <= now())
      AND (e.id = ANY(:slow::text[])) = :among_slow::boolean
), chosen AS MATERIALIZED (
    SELECT id FROM due ORDER BY turn, due_at, id LIMIT :most::integer
), leased AS (
    UPDATE webhook_deliveries w
    SET lease = w.lease + 1, leased_until = now() + make_interval(secs => :lease_s)
    FROM chosen
    WHERE w.id = chosen.id
    RETURNING w.id, w.endpoint_id, w.event_id, w.lease, w.failures, w.due_at
)
SELECT l.id, l.endpoint_id, l.event_id, l.lease, l.failures,
       e.partner, e.url, e.secret, CASE WHEN e.previous_secret_until > now() THEN e.previous_secret END AS previous_secret,
       v.type, v.subject, v.body, v.body #>> '{data,store}' AS store, v.request_id, v.traceparent, v.occurred_at
FROM leased l
CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints WHERE id = l.endpoint_id LIMIT 1) e
CROSS JOIN LATERAL (SELECT * FROM events WHERE id = l.event_id LIMIT 1) v
ORDER BY l.due_at, l.id;

-- name: record_success^
-- By primary keys; the endpoint is locked only if it counted as failing. Also by a sender that has lost its lease: the
-- receiver has accepted. No row: delivered already, or removed.
WITH delivery AS (
    UPDATE webhook_deliveries
    SET status = 'DELIVERED', attempts = attempts + 1, leased_until = NULL, settled_at = now()
    WHERE id = :id AND status <> 'DELIVERED'
    RETURNING id, endpoint_id, attempts
), attempt AS (
    INSERT INTO webhook_attempts (delivery_id, n, began_at, duration_ms, code, excerpt)
    SELECT id, attempts, now() - make_interval(secs => :took_s), round(:took_s * 1000), :code, :excerpt
    FROM delivery
), endpoint AS (
    UPDATE webhook_endpoints e
    SET failing_since = NULL, not_before = NULL
    FROM delivery d
    WHERE e.id = d.endpoint_id AND e.failing_since IS NOT NULL
)
SELECT attempts FROM delivery;

-- name: record_failure^
-- By primary keys: the delivery, then its endpoint. Only under the lease, since somebody else may be at it otherwise;
-- only what is PENDING is leased.
-- A `retry_in_s` of NULL gives up. Returns why the endpoint is disabled now, if it was not before.
WITH delivery AS (
    UPDATE webhook_deliveries
    SET status = CASE WHEN :retry_in_s::float8 IS NULL THEN 'FAILED' ELSE 'PENDING' END,
        settled_at = CASE WHEN :retry_in_s::float8 IS NULL THEN now() END,
        due_at = CASE WHEN :retry_in_s::float8 IS NULL THEN due_at
                      ELSE now() + make_interval(secs => :retry_in_s::float8) END,
        attempts = attempts + 1,
        failures = failures + 1,
        leased_until = NULL
    WHERE id = :id AND lease = :lease AND leased_until IS NOT NULL
    RETURNING id, endpoint_id, attempts
), attempt AS (
    INSERT INTO webhook_attempts (delivery_id, n, began_at, duration_ms, code, error, excerpt)
    SELECT id, attempts, now() - make_interval(secs => :took_s), round(:took_s * 1000), :code, :error, :excerpt
    FROM delivery
), endpoint AS (
    UPDATE webhook_endpoints e
    SET failing_since = coalesce(e.failing_since, now()),
        not_before = CASE WHEN :pause_s::float8 > 0
                          THEN greatest(e.not_before, now() + make_interval(secs => :pause_s::float8))
                          ELSE e.not_before END,
        disabled_at = CASE WHEN e.disabled_at IS NOT NULL THEN e.disabled_at
                           WHEN :gone::boolean OR e.failing_since <= now() - make_interval(secs => :disable_after_s)
                           THEN now() END,
        disabled_reason = CASE WHEN e.disabled_at IS NOT NULL THEN e.disabled_reason
                               WHEN :gone::boolean THEN 'the receiver answered that it is gone (HTTP 410)'
                               WHEN e.failing_since <= now() - make_interval(secs => :disable_after_s)
                               THEN 'nothing but failures since '
                                    || to_char(e.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' END
    FROM delivery d
    WHERE e.id = d.endpoint_id
    RETURNING CASE WHEN e.disabled_at = now() THEN e.disabled_reason END AS disabled_now
)
SELECT d.attempts, e.disabled_now FROM delivery d CROSS JOIN endpoint e;

-- name: give_back!
-- By primary key, under the lease: due as it was, for the next sender.
UPDATE webhook_deliveries SET leased_until = NULL WHERE id = :id AND lease = :lease AND leased_until IS NOT NULL;

-- name: add_endpoint!
INSERT INTO webhook_endpoints (id, partner, url, event_types, stores, secret)
VALUES (:id, :partner, :url, :event_types, :stores, :secret);

-- name: unknown_stores$
-- By primary key.
SELECT array_agg(code ORDER BY code) FROM unnest(:stores::text[]) AS code
WHERE NOT EXISTS (SELECT FROM stores s WHERE s.code = code);

-- name: list_endpoints
-- All endpoints, and of each what waits (webhook_deliveries_due) and what was given up (webhook_deliveries_failed).
SELECT e.id, e.partner, e.url, e.event_types, e.stores, e.created_at, e.failing_since, e.not_before, e.disabled_at,
       e.disabled_reason, CASE WHEN e.previous_secret_until > now() THEN e.previous_secret_until END AS rotating_until,
       (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.status = 'PENDING') AS waiting,
       (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.status = 'FAILED') AS failed
FROM webhook_endpoints e
ORDER BY e.partner, e.created_at, e.id;

-- name: find_endpoint^
-- By primary key, no lock.
SELECT id, partner, url, secret, CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous_secret,
       disabled_at
FROM webhook_endpoints WHERE id = :id;

-- name: count_waiting$
-- webhook_deliveries_due.
SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND status = 'PENDING';

-- name: discard_waiting$
-- webhook_deliveries_due. Deliveries before their endpoint, as everywhere.
WITH discarded AS (
    DELETE FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND status = 'PENDING' RETURNING 1
)
SELECT count(*) FROM discarded;

-- name: remove_deliveries!
-- webhook_deliveries_history. Deliveries before their endpoint, as everywhere.
DELETE FROM webhook_deliveries WHERE endpoint_id = :endpoint_id;

-- name: remove_endpoint$
-- By primary key; what was fanned out since remove_deliveries goes with it.
DELETE FROM webhook_endpoints WHERE id = :id RETURNING true;

-- name: rotate_secret$
-- By primary key. The secret before the previous one ends here.
UPDATE webhook_endpoints
SET previous_secret = CASE WHEN :overlap_s::float8 > 0 THEN secret END,
    previous_secret_until = CASE WHEN :overlap_s::float8 > 0
                                 THEN now() + make_interval(secs => :overlap_s::float8) END,
    secret = :secret
WHERE id = :id
RETURNING true;

-- name: enable_endpoint$
-- By primary key. What it has failed before is forgotten, or it would be disabled again at once.
UPDATE webhook_endpoints
SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, not_before = NULL
WHERE id = :id
RETURNING true;

-- name: disable_endpoint$
-- By primary key. The first reason stays.
UPDATE webhook_endpoints
SET disabled_at = coalesce(disabled_at, now()), disabled_reason = coalesce(disabled_reason, :reason)
WHERE id = :id
RETURNING disabled_reason;

-- name: list_deliveries
-- Newest first. With an endpoint by webhook_deliveries_history, _due or _failed; else backwards along the primary key,
-- until the limit is reached. The newest attempt by the primary key of webhook_attempts.
SELECT d.id, d.endpoint_id, e.partner, d.event_id, v.type, v.subject,
       CASE WHEN d.status = 'PENDING' AND e.disabled_at IS NOT NULL THEN 'HELD' ELSE d.status END AS status,
       d.attempts, CASE WHEN d.status = 'PENDING' AND e.disabled_at IS NULL THEN d.due_at END AS due_at,
       d.created_at, d.settled_at, a.began_at, a.code, a.duration_ms, a.error, a.excerpt
FROM webhook_deliveries d
JOIN webhook_endpoints e ON e.id = d.endpoint_id
JOIN events v ON v.id = d.event_id
LEFT JOIN webhook_attempts a ON a.delivery_id = d.id AND a.n = d.attempts
WHERE (:endpoint_id::text IS NULL OR d.endpoint_id = :endpoint_id)
  AND (:id::bigint IS NULL OR d.id = :id)
  AND (:status::text IS NULL OR d.status = CASE WHEN :status = 'HELD' THEN 'PENDING' ELSE :status END)
  AND (:status::text IS NULL OR :status NOT IN ('PENDING', 'HELD') OR (e.disabled_at IS NOT NULL) = (:status = 'HELD'))
ORDER BY d.id DESC
LIMIT :most;

-- name: list_attempts
-- By primary key, oldest first.
SELECT n, began_at, duration_ms, code, error, excerpt FROM webhook_attempts WHERE delivery_id = :delivery_id ORDER BY n;

-- name: retry^
-- Locks the deliveries. By primary key, or by webhook_deliveries_failed and _due. The schedule begins anew; one that a
-- sender is at is left to it. Returns how many are due again, and how many of them wait for their endpoint.
WITH delivery AS (
    UPDATE webhook_deliveries d
    SET status = 'PENDING', settled_at = NULL, failures = 0, due_at = now()
    FROM webhook_endpoints e
    WHERE e.id = d.endpoint_id
      AND (d.status = 'FAILED' OR (d.status = 'PENDING' AND (d.leased_until IS NULL OR d.leased_until <= now())))
      AND (:ids::bigint[] IS NULL OR d.id = ANY(:ids))
      AND (:endpoint_id::text IS NULL OR d.endpoint_id = :endpoint_id)
    RETURNING e.disabled_at IS NOT NULL AS held
)
SELECT count(*) AS due, count(*) FILTER (WHERE held) AS held FROM delivery;

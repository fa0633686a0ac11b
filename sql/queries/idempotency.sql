-- Answers given under an Idempotency-Key. A key belongs to the API key that it came with, and is good for 24 hours.

-- name: claim_key^
-- One statement, its own transaction, by the primary key. Make the key known before the request is worked on, and return
-- what is known of it: whether the request is the same, and the answer if there is one. A key that has expired is a new
-- one. Whoever makes a key known clears away some that have expired, by the index on created_at.
WITH expired AS (
    DELETE FROM idempotency_keys
    WHERE (api_key_id, key) IN (
        SELECT api_key_id, key FROM idempotency_keys
        WHERE created_at < now() - interval '24 hours' AND (api_key_id, key) <> (:api_key_id, :key)
        ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO idempotency_keys AS known (api_key_id, key, request_sha256)
VALUES (:api_key_id, :key, :request_sha256)
ON CONFLICT (api_key_id, key) DO UPDATE SET
    request_sha256 = CASE WHEN known.created_at < now() - interval '24 hours' THEN excluded.request_sha256
                          ELSE known.request_sha256 END,
    status = CASE WHEN known.created_at < now() - interval '24 hours' THEN NULL ELSE known.status END,
    body = CASE WHEN known.created_at < now() - interval '24 hours' THEN NULL ELSE known.body END,
    shipment_number = CASE WHEN known.created_at < now() - interval '24 hours' THEN NULL
                           ELSE known.shipment_number END,
    created_at = CASE WHEN known.created_at < now() - interval '24 hours' THEN now() ELSE known.created_at END
RETURNING request_sha256 = :request_sha256 AS same, status, body;

-- name: keep_answer^
-- One statement, its own transaction, by the primary key. The first answer stands; a call that ran beside it gets it.
UPDATE idempotency_keys SET status = coalesce(status, :status), body = coalesce(body, :body)
WHERE api_key_id = :api_key_id AND key = :key AND request_sha256 = :request_sha256
RETURNING status, body;

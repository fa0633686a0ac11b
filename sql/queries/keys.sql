-- name: find_by_hash^
-- Read by the unique index on secret_sha256, for every request that carries a key. The caller judges expiry and
-- revocation, so that its log can tell a wrong key from an old one.
SELECT id, partner, scopes, expires_at, revoked_at FROM api_keys WHERE secret_sha256 = :secret_sha256;

-- name: create!
INSERT INTO api_keys (id, secret_sha256, partner, scopes, expires_at)
VALUES (:id, :secret_sha256, :partner, :scopes, :expires_at);

-- name: list_all
-- A full scan: there are as many keys as partners.
SELECT id, partner, scopes,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END AS state,
       created_at, expires_at, revoked_at
FROM api_keys ORDER BY created_at DESC, id;

-- name: revoke$
-- Locks the row by primary key. A repeated call leaves the first time in place.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING revoked_at;

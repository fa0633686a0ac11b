-- name: claim$
-- The primary key decides: whoever comes second waits for the first one's transaction, bounded by lock_timeout, and
-- gets no row if that committed.
INSERT INTO inbox (consumer, message_id) VALUES (:consumer, :message_id)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: claim_together
-- As claim, in the same order for everybody, so that two groups never wait for each other in a circle. A group waits for
-- nobody long, neither here nor in its handlers: each of its messages can wait alone, bounded by the usual lock_timeout.
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', '100ms', true)
)
INSERT INTO inbox (consumer, message_id)
SELECT :consumer::text, message.id
FROM patience CROSS JOIN unnest(:message_ids::uuid[]) AS message (id)
ORDER BY message.id
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: can_commit$
-- No lock, no table. Fails in a transaction in which a handler has kept an error of the server to itself: its COMMIT
-- would undo what everybody else did, and not say so.
SELECT true;

-- name: takes_writes$
-- No lock, no table. False on a standby, where every handler would fail.
SELECT current_setting('transaction_read_only') = 'off';

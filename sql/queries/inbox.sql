-- name: claim$
-- The primary key decides: whoever comes second waits for the first one's transaction, bounded by lock_timeout, and
-- gets no row if that committed.
INSERT INTO inbox (consumer, message_id) VALUES (:consumer, :message_id)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: takes_writes$
-- No lock, no table. False on a standby, where every handler would fail.
SELECT current_setting('transaction_read_only') = 'off';

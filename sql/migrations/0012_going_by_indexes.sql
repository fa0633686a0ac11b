-- migrate:up

-- The report of money taken for what has not left: with shipments_in_progress, all shipments but those that have left.
CREATE INDEX shipments_unlisted ON shipments (id) WHERE status IN ('PROVISIONAL', 'CANCELLED', 'FAILED_ORDER');

-- The same captures as with state = 'PENDING'. Said like this, so that only the reconciliation, which asks for all of them,
-- goes by it: on a table that the server has not looked at yet, it would prefer it to the key of the one that is sought.
DROP INDEX captures_unsettled;
CREATE INDEX captures_unsettled ON captures (created_at) WHERE settled_at IS NULL;

-- migrate:down
DROP INDEX captures_unsettled;
CREATE INDEX captures_unsettled ON captures (created_at) WHERE state = 'PENDING';
DROP INDEX shipments_unlisted;

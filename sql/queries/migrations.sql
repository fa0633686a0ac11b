-- name: applied$
-- Versions that dbmate has applied; the table is dbmate's.
SELECT array_agg(version::text) FROM schema_migrations;

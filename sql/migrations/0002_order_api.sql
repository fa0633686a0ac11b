-- migrate:up

-- PROVISIONAL: a shipment whose creation waits for its capture. It holds its pieces, so that money never moves for
-- goods that another shipment takes meanwhile; nobody is told of it, and nothing but its creation may use it. When the
-- capture is refused it is emptied and kept for the next creation, so that the number is not lost.
ALTER TABLE shipments DROP CONSTRAINT shipments_status_check;
ALTER TABLE shipments ADD CONSTRAINT shipments_status_check
    CHECK (status IN ('PROVISIONAL', 'AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'SHIPPED', 'ONHOLD',
                      'CANCELLED', 'FAILED_ORDER'));
ALTER TABLE shipments DROP CONSTRAINT shipments_piece_count_check;
ALTER TABLE shipments ADD CONSTRAINT shipments_piece_count_check
    CHECK (piece_count > 0 OR (status = 'PROVISIONAL' AND piece_count = 0));

-- GET /shipments: good to go and not sent, oldest first.
CREATE INDEX shipments_good_to_go ON shipments (id) WHERE good_to_go AND status IN ('RELEASED', 'INVENTORY_ASSIGNED');
CREATE INDEX shipments_in_progress ON shipments (id)
    WHERE status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'ONHOLD');
CREATE INDEX shipments_shipped ON shipments (id) WHERE status = 'SHIPPED';
-- GET /orders: newer_than, older_than.
CREATE INDEX orders_by_time ON orders (created_at, id);

-- Answers given under an Idempotency-Key, for 24 hours.
CREATE TABLE idempotency_keys (
    api_key_id     text NOT NULL REFERENCES api_keys (id),
    key            text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
    -- NULL while the first call is under way, or was cut off: then the request is simply done again.
    status         integer CHECK (status BETWEEN 200 AND 599),
    body           text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (api_key_id, key),
    CONSTRAINT answered_whole CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- migrate:down
DROP TABLE idempotency_keys;
DROP INDEX orders_by_time, shipments_shipped, shipments_in_progress, shipments_good_to_go;
ALTER TABLE shipments DROP CONSTRAINT shipments_piece_count_check;
ALTER TABLE shipments ADD CONSTRAINT shipments_piece_count_check CHECK (piece_count > 0);
ALTER TABLE shipments DROP CONSTRAINT shipments_status_check;
ALTER TABLE shipments ADD CONSTRAINT shipments_status_check
    CHECK (status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'SHIPPED', 'ONHOLD', 'CANCELLED',
                      'FAILED_ORDER'));

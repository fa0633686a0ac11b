-- migrate:up

-- Where partners who do not speak AMQP want their events, by HTTP.
CREATE TABLE webhook_endpoints (
    id                    text PRIMARY KEY CHECK (id ~ '^whe_[0-9a-f]{12}$'),
    partner               text NOT NULL CHECK (length(partner) BETWEEN 1 AND 200),
    url                   text NOT NULL CHECK (url ~ '^https?://' AND length(url) <= 2000),
    -- NULL: every type, every store.
    event_types           text[] CHECK (cardinality(event_types) > 0),
    stores                text[] CHECK (cardinality(stores) > 0),
    -- The secret itself, not a hash as with API keys: we sign with it, we do not compare it.
    secret                bytea NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    -- The one before the last rotation; we sign with both until then.
    previous_secret       bytea CHECK (length(previous_secret) BETWEEN 24 AND 64),
    previous_secret_until timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    -- The first failure after which nothing but failures came.
    failing_since         timestamptz,
    -- The receiver asked for peace until then.
    not_before            timestamptz,
    -- Deliveries of a disabled endpoint wait until it is enabled.
    disabled_at           timestamptz,
    disabled_reason       text CHECK (length(disabled_reason) BETWEEN 1 AND 500),
    CONSTRAINT previous_secret_has_its_end CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT disabled_has_its_reason CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- One event for one endpoint. The body that is sent is the event's.
CREATE TABLE webhook_deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id  text NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_id     uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    status       text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    due_at       timestamptz NOT NULL DEFAULT now(),
    -- A sender is at it; if nothing is heard of it by then, somebody else may try.
    leased_until timestamptz,
    -- Number of the newest lease, by which a sender that comes back late sees that it has lost its own.
    lease        integer NOT NULL DEFAULT 0 CHECK (lease >= 0),
    attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Failed attempts since it was made due, by the event or by an operator: the place in the schedule.
    failures     integer NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempts),
    created_at   timestamptz NOT NULL DEFAULT now(),
    settled_at   timestamptz,
    -- Begins with the event, so that it serves the foreign key too.
    UNIQUE (event_id, endpoint_id),
    CONSTRAINT settled_has_its_time CHECK ((status = 'PENDING') = (settled_at IS NULL)),
    CONSTRAINT settled_is_nobodys CHECK (status = 'PENDING' OR leased_until IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, id) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (endpoint_id, id) WHERE status = 'FAILED';
CREATE INDEX webhook_deliveries_history ON webhook_deliveries (endpoint_id, id);

-- What became of each request. No request is kept here, and so no signature.
CREATE TABLE webhook_attempts (
    delivery_id bigint NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    n           integer NOT NULL CHECK (n > 0),
    began_at    timestamptz NOT NULL,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    -- NULL: there was no answer.
    code        integer CHECK (code BETWEEN 100 AND 999),
    -- NULL: accepted.
    error       text CHECK (length(error) BETWEEN 1 AND 500),
    -- How the answer's body begins.
    excerpt     text NOT NULL DEFAULT '' CHECK (length(excerpt) <= 500),
    PRIMARY KEY (delivery_id, n)
);

-- migrate:down
DROP TABLE webhook_attempts, webhook_deliveries, webhook_endpoints;

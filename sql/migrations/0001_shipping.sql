-- migrate:up

-- Money is an integer in minor units of the row's ISO 4217 currency, everywhere.

CREATE TABLE stores (
    code                       text PRIMARY KEY CHECK (code ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name                       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    locale                     text NOT NULL DEFAULT 'en' CHECK (length(locale) BETWEEN 2 AND 35),
    time_zone                  text NOT NULL DEFAULT 'UTC' CHECK (length(time_zone) BETWEEN 1 AND 64),
    currency                   text CHECK (currency ~ '^[A-Z]{3}$'),
    -- NULL: the service-wide WAYBILL_MAIL_SENDER.
    sender                     text CHECK (length(sender) BETWEEN 3 AND 320),
    seller_address             jsonb CHECK (jsonb_typeof(seller_address) = 'object'),
    send_shipping_confirmation boolean NOT NULL DEFAULT true,
    created_at                 timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_number          text NOT NULL UNIQUE CHECK (order_number ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    store_code            text NOT NULL REFERENCES stores (code),
    currency              text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- The mail's language is the order's, never the operator's.
    locale                text NOT NULL CHECK (length(locale) BETWEEN 2 AND 35),
    customer_name         text NOT NULL CHECK (length(customer_name) BETWEEN 1 AND 200),
    customer_email        text NOT NULL CHECK (length(customer_email) BETWEEN 3 AND 320),
    shipping_address      jsonb NOT NULL CHECK (jsonb_typeof(shipping_address) = 'object'),
    billing_address       jsonb CHECK (jsonb_typeof(billing_address) = 'object'),
    status                text NOT NULL DEFAULT 'CONFIRMED'
                          CHECK (status IN ('CONFIRMED', 'IN_PROGRESS', 'COMPLETED', 'ONHOLD', 'CANCELLED')),
    waiting_for_payment   boolean NOT NULL DEFAULT false,
    payment_provider      text NOT NULL CHECK (payment_provider ~ '^[a-z][a-z0-9_-]{0,31}$'),
    payment_authorization text NOT NULL CHECK (length(payment_authorization) BETWEEN 1 AND 255),
    shipping_amount       bigint NOT NULL CHECK (shipping_amount >= 0),
    -- All lines at their gross prices plus shipping: what the authorization is good for.
    total_amount          bigint NOT NULL CHECK (total_amount >= shipping_amount),
    -- Sum of the order's live captures (PENDING and CAPTURED). On this row, so that whoever waited for its lock reads
    -- the newest value in the same statement, and so that no code path can take more than was authorized.
    reserved_amount       bigint NOT NULL DEFAULT 0 CHECK (reserved_amount BETWEEN 0 AND total_amount),
    -- True while a live capture carries the order's shipping cost.
    shipping_reserved     boolean NOT NULL DEFAULT false,
    -- Pieces that have not left yet; 0 completes the order.
    unshipped_quantity    integer NOT NULL CHECK (unshipped_quantity >= 0),
    -- n of the last shipment `<order>-<n>`; only ever grows, so that a number is never used again.
    last_shipment_n       integer NOT NULL DEFAULT 0 CHECK (last_shipment_n >= 0),
    -- The order as it was sent in, normalised: what "the same content" is compared with.
    intake                jsonb NOT NULL CHECK (jsonb_typeof(intake) = 'object'),
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);

CREATE TABLE order_lines (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id           bigint NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    line_id            text NOT NULL CHECK (length(line_id) BETWEEN 1 AND 64),
    position           integer NOT NULL CHECK (position >= 0),
    sku                text NOT NULL CHECK (length(sku) BETWEEN 1 AND 100),
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
    quantity           integer NOT NULL CHECK (quantity > 0),
    unit_price         bigint NOT NULL CHECK (unit_price >= 0),
    tax_rate           numeric(7, 6) NOT NULL CHECK (tax_rate BETWEEN 0 AND 1),
    -- Pieces on shipments that are not cancelled. Kept by the triggers below; the CHECK is the rule
    -- "never more than ordered", whatever code or person writes.
    allocated_quantity integer NOT NULL DEFAULT 0 CHECK (allocated_quantity BETWEEN 0 AND quantity),
    UNIQUE (order_id, line_id)
) WITH (fillfactor = 80);

CREATE TABLE shipments (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id             bigint NOT NULL REFERENCES orders (id),
    n                    integer NOT NULL CHECK (n > 0),
    shipment_number      text NOT NULL UNIQUE CHECK (length(shipment_number) BETWEEN 3 AND 80),
    status               text NOT NULL
                         CHECK (status IN ('AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED', 'SHIPPED',
                                           'ONHOLD', 'CANCELLED', 'FAILED_ORDER')),
    good_to_go           boolean NOT NULL DEFAULT false,
    -- False: somebody else takes the money, so no capture is due.
    capture_wanted       boolean NOT NULL DEFAULT true,
    -- This shipment's lines at their gross prices, and its number of pieces. On this row for the reason given at
    -- orders.reserved_amount.
    goods_amount         bigint NOT NULL CHECK (goods_amount >= 0),
    piece_count          integer NOT NULL CHECK (piece_count > 0),
    package_count        integer CHECK (package_count >= 0),
    return_slip_tracking text CHECK (length(return_slip_tracking) <= 255),
    internal_comment     text NOT NULL DEFAULT '' CHECK (length(internal_comment) <= 65536),
    -- sequence of the newest event of this shipment
    event_sequence       integer NOT NULL DEFAULT 0 CHECK (event_sequence >= 0),
    created_at           timestamptz NOT NULL DEFAULT now(),
    shipped_at           timestamptz,
    UNIQUE (order_id, n),
    CONSTRAINT shipped_has_its_time CHECK ((status = 'SHIPPED') = (shipped_at IS NOT NULL))
) WITH (fillfactor = 80);

CREATE TABLE shipment_lines (
    shipment_id   bigint NOT NULL REFERENCES shipments (id) ON DELETE CASCADE,
    order_line_id bigint NOT NULL REFERENCES order_lines (id),
    quantity      integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, order_line_id)
);
CREATE INDEX ON shipment_lines (order_line_id);

CREATE TABLE parcels (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shipment_id     bigint NOT NULL REFERENCES shipments (id) ON DELETE CASCADE,
    position        integer NOT NULL CHECK (position >= 0),
    carrier         text CHECK (length(carrier) BETWEEN 1 AND 100),
    service         text CHECK (length(service) BETWEEN 1 AND 100),
    tracking_number text CHECK (length(tracking_number) BETWEEN 1 AND 255),
    tracking_url    text CHECK (length(tracking_url) BETWEEN 1 AND 2000),
    UNIQUE (shipment_id, position)
);

-- Money. A row is committed as PENDING before the provider is called, so that whatever happens afterwards somebody
-- knows which key to ask about. A DECLINED row is kept; only then may the shipment have a further attempt, whose
-- number gives it a new idempotency key.
CREATE TABLE captures (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id           bigint NOT NULL REFERENCES orders (id),
    shipment_id        bigint NOT NULL REFERENCES shipments (id),
    attempt            integer NOT NULL CHECK (attempt > 0),
    idempotency_key    text NOT NULL UNIQUE CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    provider           text NOT NULL,
    payment_authorization text NOT NULL,
    -- amount includes shipping_part, the order's shipping cost if this capture carries it.
    amount             bigint NOT NULL CHECK (amount >= 0),
    shipping_part      bigint NOT NULL CHECK (shipping_part BETWEEN 0 AND amount),
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state              text NOT NULL CHECK (state IN ('PENDING', 'CAPTURED', 'DECLINED')),
    provider_reference text CHECK (length(provider_reference) BETWEEN 1 AND 255),
    decline_reason     text CHECK (length(decline_reason) <= 500),
    created_at         timestamptz NOT NULL DEFAULT now(),
    settled_at         timestamptz,
    UNIQUE (shipment_id, attempt),
    CONSTRAINT settled_has_its_time CHECK ((state = 'PENDING') = (settled_at IS NULL)),
    -- Nothing to take needs no provider, so no reference either.
    CONSTRAINT captured_has_its_reference CHECK ((state = 'CAPTURED' AND amount > 0) = (provider_reference IS NOT NULL))
);
CREATE UNIQUE INDEX one_live_capture_per_shipment ON captures (shipment_id) WHERE state IN ('PENDING', 'CAPTURED');
CREATE INDEX captures_of_order ON captures (order_id);
CREATE INDEX captures_unsettled ON captures (created_at) WHERE state = 'PENDING';

-- The append-only history of what happened to shipments. id is the AMQP message_id and the CloudEvents id.
CREATE TABLE events (
    id          uuid PRIMARY KEY,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    shipment_id bigint NOT NULL REFERENCES shipments (id),
    sequence    integer NOT NULL CHECK (sequence > 0),
    type        text NOT NULL CHECK (type ~ '^order-shipment-[a-z-]+$'),
    subject     text NOT NULL,
    -- json, not jsonb: these are the published bytes, kept as they were published.
    body        json NOT NULL,
    request_id  text NOT NULL,
    traceparent text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (shipment_id, sequence)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER events_are_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What still has to reach the broker. A row leaves only when the broker has confirmed it.
CREATE TABLE outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid NOT NULL REFERENCES events (id),
    -- NULL: the topic. Otherwise one queue by name (a replay to that consumer alone).
    target       text CHECK (length(target) BETWEEN 1 AND 255),
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error   text CHECK (length(last_error) <= 500),
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
CREATE INDEX outbox_due ON outbox (available_at, seq);

-- A consumer's row here means: the effect of this message happened and was committed.
CREATE TABLE inbox (
    consumer   text NOT NULL CHECK (length(consumer) BETWEEN 1 AND 100),
    message_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
);

-- Mails that an SMTP server has accepted.
CREATE TABLE emails (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL UNIQUE,
    shipment_id bigint NOT NULL REFERENCES shipments (id),
    message_id  text NOT NULL UNIQUE,
    recipient   text NOT NULL,
    locale      text NOT NULL,
    subject     text NOT NULL,
    sent_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON emails (shipment_id);

-- Only hashes of secrets. The secret has 256 random bits, so that a plain SHA-256 is as strong as it is.
CREATE TABLE api_keys (
    id            text PRIMARY KEY CHECK (length(id) BETWEEN 4 AND 64),
    secret_sha256 bytea NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    partner       text NOT NULL CHECK (length(partner) BETWEEN 1 AND 200),
    scopes        text[] NOT NULL
                  CHECK (cardinality(scopes) > 0
                         AND scopes <@ ARRAY['shipments:complete', 'shipments:write', 'shipments:read',
                                             'orders:write', 'orders:read', 'ops']),
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz
);

-- allocated_quantity follows shipment_lines and the cancelling of shipments.
CREATE FUNCTION allocate_shipment_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        UPDATE order_lines SET allocated_quantity = allocated_quantity - OLD.quantity
        WHERE id = OLD.order_line_id
          AND NOT EXISTS (SELECT FROM shipments s WHERE s.id = OLD.shipment_id AND s.status IN ('CANCELLED', 'FAILED_ORDER'));
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        IF NOT EXISTS (SELECT FROM shipments s JOIN order_lines l ON l.order_id = s.order_id
                       WHERE s.id = NEW.shipment_id AND l.id = NEW.order_line_id) THEN
            RAISE EXCEPTION 'line % is not of the shipment''s order', NEW.order_line_id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        UPDATE order_lines SET allocated_quantity = allocated_quantity + NEW.quantity WHERE id = NEW.order_line_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER shipment_lines_allocate AFTER INSERT OR UPDATE OR DELETE ON shipment_lines
    FOR EACH ROW EXECUTE FUNCTION allocate_shipment_line();

CREATE FUNCTION release_cancelled_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE order_lines l SET allocated_quantity = l.allocated_quantity - sl.quantity
    FROM shipment_lines sl WHERE sl.shipment_id = NEW.id AND l.id = sl.order_line_id;
    RETURN NULL;
END $$;
CREATE TRIGGER shipments_release_lines AFTER UPDATE OF status ON shipments
    FOR EACH ROW
    WHEN (NEW.status IN ('CANCELLED', 'FAILED_ORDER') AND OLD.status NOT IN ('CANCELLED', 'FAILED_ORDER'))
    EXECUTE FUNCTION release_cancelled_lines();

-- SHIPPED, CANCELLED and FAILED_ORDER are final.
CREATE FUNCTION refuse_leaving_final_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'shipment % is %, which is final', OLD.shipment_number, OLD.status
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER shipments_final_status BEFORE UPDATE OF status ON shipments
    FOR EACH ROW
    WHEN (OLD.status IN ('SHIPPED', 'CANCELLED', 'FAILED_ORDER') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION refuse_leaving_final_status();

-- migrate:down
DROP TABLE api_keys, emails, inbox, outbox, events, captures, parcels, shipment_lines, shipments, order_lines, orders, stores;
DROP FUNCTION refuse_change, allocate_shipment_line, release_cancelled_lines, refuse_leaving_final_status;

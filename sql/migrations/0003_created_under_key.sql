-- migrate:up

-- The shipment that was created under the key, written by the transaction that made it exist. A creation whose caller
-- never got an answer, because the process died, finds it again; `createAlways` would make another one otherwise.
ALTER TABLE idempotency_keys
    ADD COLUMN shipment_number text CHECK (length(shipment_number) BETWEEN 3 AND 80);

-- migrate:down
ALTER TABLE idempotency_keys DROP COLUMN shipment_number;

-- migrate:up

-- Pieces in the warehouse by article. NULL: made to order, so that none are kept. Below zero: somebody miscounted.
CREATE TABLE stock (
    sku     text PRIMARY KEY CHECK (length(sku) BETWEEN 1 AND 100),
    on_hand integer
);

-- migrate:down
DROP TABLE stock;

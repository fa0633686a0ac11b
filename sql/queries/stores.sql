-- name: find_defaults^
-- By primary key, no lock.
SELECT locale, currency FROM stores WHERE code = :code;

-- name: ensure!
-- A store that an order names and nobody has set up yet. Waits for a concurrent intake that creates the same one.
INSERT INTO stores (code, name, locale, currency) VALUES (:code, :code, :locale, :currency)
ON CONFLICT (code) DO NOTHING;

-- name: list_all
-- A full scan: there are few stores.
SELECT code, name, locale, time_zone, currency, sender, seller_address, send_shipping_confirmation
FROM stores ORDER BY code;

-- name: save^
-- Locks the row by primary key. NULL leaves a column as it is; `cleared` names those that become NULL.
INSERT INTO stores AS s (code, name, locale, time_zone, currency, sender, seller_address, send_shipping_confirmation)
VALUES (:code, coalesce(:name, :code), coalesce(:locale, 'en'), coalesce(:time_zone, 'UTC'), :currency, :sender,
        :seller_address, coalesce(:send_shipping_confirmation, true))
ON CONFLICT (code) DO UPDATE
SET name = coalesce(:name, s.name),
    locale = coalesce(:locale, s.locale),
    time_zone = coalesce(:time_zone, s.time_zone),
    currency = CASE WHEN 'currency' = ANY(:cleared::text[]) THEN NULL ELSE coalesce(:currency, s.currency) END,
    sender = CASE WHEN 'sender' = ANY(:cleared::text[]) THEN NULL ELSE coalesce(:sender, s.sender) END,
    seller_address = CASE WHEN 'seller_address' = ANY(:cleared::text[]) THEN NULL
                          ELSE coalesce(:seller_address, s.seller_address) END,
    send_shipping_confirmation = coalesce(:send_shipping_confirmation, s.send_shipping_confirmation)
RETURNING code, name, locale, time_zone, currency, sender, seller_address, send_shipping_confirmation;

-- Queries of the completion, in the order in which they run. Every path locks the order's row together with the
-- shipment's, in one statement and always in this join, so that two calls can never wait for each other in a circle.

-- name: may_wait$
-- Takes no lock and decides nothing: it chooses the connections that a call is made over. Whether money of the order is
-- being taken, under whose lock others wait, or is still to be taken by the call itself, for this shipment or (NULL) a
-- new one. No row: there is no such order. By the unique indexes on the numbers, and captures' indexes.
SELECT :captures::boolean
       AND (:shipment_number::text IS NULL
            OR EXISTS (SELECT FROM shipments s
                       WHERE s.shipment_number = :shipment_number
                         AND NOT EXISTS (SELECT FROM captures c WHERE c.shipment_id = s.id AND c.state = 'CAPTURED')))
       OR EXISTS (SELECT FROM captures c WHERE c.order_id = o.id AND c.state = 'PENDING')
FROM orders o WHERE o.order_number = :order_number;

-- name: reserve_capture^
-- Commit the intention to capture, if a capture is due, before anybody talks to the provider.
-- One statement and its own transaction. Whoever waits here for another call's lock goes on with the newest version of
-- the two locked rows (READ COMMITTED re-checks exactly those), and all that the amount depends on stands on them.
-- The captures table is still read as of the statement's start: the unique indexes refuse what slips through, ON
-- CONFLICT makes that "nothing reserved", and the caller looks again. Nothing is reserved either for a provider that
-- nobody could ask; its name is returned instead.
WITH due AS (
    SELECT o.id AS order_id, s.id AS shipment_id, s.shipment_number, o.currency, o.payment_provider,
           o.payment_authorization,
           least(s.goods_amount + CASE WHEN o.shipping_reserved THEN 0 ELSE o.shipping_amount END,
                 o.total_amount - o.reserved_amount) AS amount,
           CASE WHEN o.shipping_reserved THEN 0 ELSE o.shipping_amount END AS shipping_amount,
           1 + (SELECT count(*) FROM captures c WHERE c.shipment_id = s.id) AS attempt
    FROM orders o JOIN shipments s ON s.order_id = o.id
    WHERE s.shipment_number = :shipment_number
      AND s.status = ANY(:statuses::text[])
      -- NULL: as the shipment says.
      AND coalesce(:capture::boolean, s.capture_wanted)
      AND o.status = ANY(:order_statuses::text[]) AND NOT o.waiting_for_payment
      AND NOT EXISTS (SELECT FROM captures c WHERE c.shipment_id = s.id AND c.state IN ('PENDING', 'CAPTURED'))
    FOR UPDATE OF o, s
), reserved AS (
    INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization, amount,
                          shipping_part, currency, state, settled_at)
    SELECT order_id, shipment_id, attempt, 'shipment:' || shipment_number || ':capture:' || attempt, payment_provider,
           payment_authorization, amount, least(shipping_amount, amount), currency,
           -- Nothing to take needs no provider.
           CASE WHEN amount = 0 THEN 'CAPTURED' ELSE 'PENDING' END, CASE WHEN amount = 0 THEN now() END
    FROM due WHERE amount = 0 OR payment_provider = ANY(:providers::text[])
    ON CONFLICT DO NOTHING
    RETURNING id, order_id, amount, shipping_part
), counted AS (
    UPDATE orders o
    SET reserved_amount = o.reserved_amount + r.amount,
        shipping_reserved = o.shipping_reserved OR r.shipping_part > 0
    FROM reserved r WHERE o.id = r.order_id
)
SELECT id, NULL AS unsupported FROM reserved
UNION ALL
SELECT NULL, payment_provider FROM due WHERE amount > 0 AND payment_provider <> ALL(:providers::text[]);

-- name: lock_shipment^
-- The row locks of a completion: order and shipment, held until commit. Decide on what this returns, on nothing older.
-- A PROVISIONAL shipment does not exist but for the creation that goes on with it.
SELECT o.id AS order_id, o.order_number, o.status AS order_status, o.waiting_for_payment,
       s.id AS shipment_id, s.shipment_number, s.status, s.good_to_go, s.capture_wanted, s.internal_comment
FROM orders o JOIN shipments s ON s.order_id = o.id
WHERE s.shipment_number = :shipment_number AND (s.status = 'PROVISIONAL') = :provisional::boolean
FOR UPDATE OF o, s;

-- name: live_capture^
-- Read under lock_shipment, in a statement of its own so that it sees what the lock's previous holder committed.
-- leaves_more: whether the authorization is still needed after this capture.
SELECT c.id, c.state, c.provider, c.payment_authorization, c.amount, c.currency, c.idempotency_key,
       o.reserved_amount < o.total_amount
       OR EXISTS (SELECT FROM captures other
                  WHERE other.order_id = c.order_id AND other.state = 'PENDING' AND other.id <> c.id) AS leaves_more
FROM captures c JOIN orders o ON o.id = c.order_id
WHERE c.shipment_id = :shipment_id AND c.state IN ('PENDING', 'CAPTURED');

-- name: settle_captured!
-- Under lock_shipment.
UPDATE captures SET state = 'CAPTURED', provider_reference = :reference, settled_at = clock_timestamp()
WHERE id = :capture_id AND state = 'PENDING';

-- name: settle_declined!
-- Under lock_shipment. The refused attempt stays; what it had reserved is free again.
WITH declined AS (
    UPDATE captures SET state = 'DECLINED', decline_reason = left(:reason, 500), settled_at = clock_timestamp()
    WHERE id = :capture_id AND state = 'PENDING'
    RETURNING order_id, amount, shipping_part
)
UPDATE orders o
SET reserved_amount = o.reserved_amount - d.amount,
    shipping_reserved = o.shipping_reserved AND d.shipping_part = 0
FROM declined d WHERE o.id = d.order_id;

-- name: lock_completable
-- The row locks of completions that are done together, of those that need no provider, held until commit. A row that
-- somebody else holds is left out, so that it keeps nobody waiting and no two groups can wait for each other. That is
-- true of a row whose order could be locked too: that lock then ends with the group. Whoever changes what is read
-- beside the locked rows holds them too, so whatever is read in the statements after this one is final.
-- A capture that is made stays made: reading it as of this statement's start can only leave a row out.
SELECT o.id AS order_id, o.order_number, o.status AS order_status, o.waiting_for_payment,
       s.id AS shipment_id, s.shipment_number, s.status, s.good_to_go
FROM orders o JOIN shipments s ON s.order_id = o.id
WHERE s.shipment_number = ANY(:shipment_numbers::text[]) AND s.status <> 'PROVISIONAL'
  AND (NOT s.capture_wanted
       OR (SELECT c.state FROM captures c
           WHERE c.shipment_id = s.id AND c.state IN ('PENDING', 'CAPTURED')) = 'CAPTURED')
ORDER BY o.id, s.id
FOR UPDATE OF o, s SKIP LOCKED;

-- name: look_at_shipments
-- Takes no lock. Numbers that lock_completable has left out: which are not known, and what stands in the others' way.
-- What is refused here was so at the time of the call; what is not has to be decided under its lock.
SELECT s.shipment_number, s.status, o.status AS order_status, o.waiting_for_payment
FROM shipments s JOIN orders o ON o.id = s.order_id
WHERE s.shipment_number = ANY(:shipment_numbers::text[]) AND s.status <> 'PROVISIONAL';

-- name: mark_shipped!
-- Under the locks of lock_shipment or lock_completable: any number of shipments, by primary keys. An order is complete
-- once its last piece has left. What the caller does not tell (NULL) stays as it is known.
WITH shipped AS (
    UPDATE shipments s
    SET status = 'SHIPPED', good_to_go = true, shipped_at = clock_timestamp(),
        package_count = coalesce(told.packages, s.package_count),
        return_slip_tracking = coalesce(told.return_slip_tracking, s.return_slip_tracking),
        internal_comment = CASE WHEN told.comment IS NULL THEN s.internal_comment
                                WHEN s.internal_comment = '' THEN told.comment
                                ELSE s.internal_comment || E'\n' || told.comment END,
        event_sequence = s.event_sequence + told.event_count
    FROM unnest(:shipment_ids::bigint[], :packages::integer[], :return_slip_trackings::text[], :comments::text[],
                :event_counts::integer[])
         AS told (shipment_id, packages, return_slip_tracking, comment, event_count)
    WHERE s.id = told.shipment_id
    RETURNING s.order_id, s.piece_count, s.shipped_at
), progressed AS (
    UPDATE orders o
    SET unshipped_quantity = o.unshipped_quantity - gone.pieces,
        status = CASE WHEN o.unshipped_quantity = gone.pieces THEN 'COMPLETED' ELSE 'IN_PROGRESS' END,
        updated_at = gone.shipped_at
    FROM (SELECT order_id, sum(piece_count)::integer AS pieces, max(shipped_at) AS shipped_at
          FROM shipped GROUP BY order_id) AS gone
    WHERE o.id = gone.order_id
)
INSERT INTO parcels AS known (shipment_id, position, carrier, service, tracking_number, tracking_url)
SELECT * FROM unnest(:parcel_shipment_ids::bigint[], :positions::integer[], :carriers::text[], :services::text[],
                     :tracking_numbers::text[], :tracking_urls::text[])
ON CONFLICT (shipment_id, position) DO UPDATE
SET carrier = coalesce(excluded.carrier, known.carrier),
    service = coalesce(excluded.service, known.service),
    tracking_number = coalesce(excluded.tracking_number, known.tracking_number),
    tracking_url = coalesce(excluded.tracking_url, known.tracking_url);

-- name: event_contents
-- What events tell of shipments, right after the statement that changed them: lines in the order's sequence (NULL: none,
-- which is no shipment), and the parcels. By primary keys; in no particular order. Rows within rows, because making JSON
-- of them and reading it took as long as all the rest.
SELECT s.id AS shipment_id, o.order_number, o.store_code, st.send_shipping_confirmation,
       s.shipment_number, s.shipped_at, s.package_count, s.event_sequence,
       (SELECT array_agg((l.line_id, l.sku, sl.quantity) ORDER BY l.position)
        FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id
        WHERE sl.shipment_id = s.id) AS lines,
       ARRAY(SELECT (p.carrier, p.service, p.tracking_number, p.tracking_url)
             FROM parcels p WHERE p.shipment_id = s.id ORDER BY p.position) AS parcels
FROM shipments s JOIN orders o ON o.id = s.order_id JOIN stores st ON st.code = o.store_code
WHERE s.id = ANY(:shipment_ids::bigint[]);

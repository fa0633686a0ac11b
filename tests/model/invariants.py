"""What holds of every order at any time, whatever the model says: read from the rows and the provider's ledger."""

from __future__ import annotations

from typing import Any

from tests.model.provider import Entry, reference_of

_LIVE = {"PENDING", "CAPTURED"}
_GONE = {"CANCELLED", "FAILED_ORDER"}


def check(rows: dict[str, Any], ledger: dict[str, Entry]) -> None:
    """Raise `AssertionError` naming the order and what is wrong."""
    if not rows:
        assert not ledger, f"money for an order that is not there: {ledger}"
        return
    order, shipments = rows["order"], rows["shipments"]
    for shipment in shipments:
        _check_shipment(shipment)
    _check_pieces(order, rows["lines"], shipments)
    _check_money(order, shipments, ledger)


def _check_shipment(shipment: dict[str, Any]) -> None:
    number = shipment["shipment_number"]
    events = shipment["events"]
    is_shipped = shipment["status"] == "SHIPPED"
    kinds = [event["type"] for event in events]
    assert is_shipped == (shipment["shipped_at"] is not None), f"{number}: SHIPPED and its time"
    assert kinds.count("order-shipment-shipped") == is_shipped, f"{number}: told as shipped, {kinds}"
    assert [event["sequence"] for event in events] == [*range(1, len(events) + 1)], f"{number}: gaps in {kinds}"
    assert shipment["event_sequence"] == len(events), f"{number}: events are counted"
    assert all(event["body"]["data"]["sequence"] == event["sequence"] for event in events), number
    assert all(event["subject"] == event["body"]["guid"] == number for event in events), number
    # Nothing relays here, so whatever was told is still to be published.
    assert [event["waiting"] for event in events] == [1] * len(events), f"{number}: events and outbox"
    if shipment["status"] == "PROVISIONAL":
        assert not events, f"{number}: nobody is told of a provisional shipment"


def _check_pieces(order: dict[str, Any], lines: list[dict[str, Any]], shipments: list[dict[str, Any]]) -> None:
    left = [shipment["pieces"] or {} for shipment in shipments if shipment["status"] == "SHIPPED"]
    held = [shipment["pieces"] or {} for shipment in shipments if shipment["status"] not in _GONE]
    for line in lines:
        on_shipments = sum(pieces.get(line["line_id"], 0) for pieces in held)
        assert line["allocated_quantity"] == on_shipments <= line["quantity"], f"pieces of line {line['line_id']}"
    shipped = sum(sum(pieces.values()) for pieces in left)
    ordered = sum(line["quantity"] for line in lines)
    assert shipped + order["unshipped_quantity"] == ordered, f"{shipped} shipped of {ordered}"
    assert (order["status"] == "COMPLETED") <= (shipped == ordered), "an order is complete when all of it has left"
    for shipment in shipments:
        pieces = shipment["pieces"] or {}
        prices = {line["line_id"]: line["unit_price"] for line in lines}
        assert shipment["piece_count"] == sum(pieces.values()), shipment["shipment_number"]
        assert shipment["goods_amount"] == sum(prices[line_id] * count for line_id, count in pieces.items())


def _check_money(order: dict[str, Any], shipments: list[dict[str, Any]], ledger: dict[str, Entry]) -> None:
    rows = [capture for shipment in shipments for capture in shipment["captures"]]
    live = [capture for capture in rows if capture["state"] in _LIVE]
    for shipment in shipments:
        states = [capture["state"] for capture in shipment["captures"]]
        assert sum(state in _LIVE for state in states) <= 1, f"{shipment['shipment_number']}: {states}"
        moved = [key for key in ledger if key.startswith(f"shipment:{shipment['shipment_number']}:")]
        assert len(moved) <= 1, f"money moved more than once: {moved}"
        assert not (shipment["status"] in _GONE and moved), f"money for what was removed: {moved}"
    reserved = sum(capture["amount"] for capture in live)
    assert order["reserved_amount"] == reserved <= order["total_amount"], f"{reserved} of {order['total_amount']}"
    carriers = [capture for capture in live if capture["shipping_part"]]
    assert len(carriers) <= 1, "the shipping cost is taken once"
    assert order["shipping_reserved"] == bool(carriers)
    assert sum(entry.amount for entry in ledger.values()) <= order["total_amount"]

    # Both books agree: what the provider took is CAPTURED here, or is still to be asked about.
    by_key = {capture["idempotency_key"]: capture for capture in rows}
    for key, entry in ledger.items():
        row = by_key.get(key)
        assert row is not None, f"money that nobody knows of: {key}"
        assert row["state"] in _LIVE, f"money was taken for {key}, which is {row['state']}"
        assert entry.request == (row["payment_authorization"], row["amount"], row["currency"]), key
    for key, row in by_key.items():
        if row["state"] == "CAPTURED" and row["amount"]:
            assert key in ledger, f"{key} is CAPTURED and no money has moved"
            assert row["provider_reference"] == reference_of(key)

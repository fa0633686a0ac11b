"""Rows for tests: the least that the schema accepts, every column open to be overridden by its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from publishers import outbox
from publishers.outbox import NewEvent
from schemas.events import EventLine, EventType, ShipmentData

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ADDRESS = {"name": "Åsa Öberg", "street": "Storgatan 1", "postalCode": "111 22", "city": "Stockholm", "country": "SE"}

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


@dataclass(frozen=True)
class Line:
    line_id: str = "43243"
    sku: str = "A-1"
    name: str = "Shirt"
    quantity: int = 2
    unit_price: int = 19900


@dataclass(frozen=True)
class OrderRow:
    id: int
    number: str
    store: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ShipmentRow:
    id: int
    number: str
    status: str
    order: OrderRow
    # line_id -> pieces
    quantities: dict[str, int]


async def insert_store(connection: Connection, code: str = "se-web", **columns: Any) -> str:
    """Insert a store unless it is there; return its code."""
    await _insert(
        connection,
        "stores",
        {"code": code, "name": "Butiken", "locale": "sv", **columns},
        tail="ON CONFLICT DO NOTHING",
    )
    return code


async def insert_order(
    connection: Connection,
    number: str = "100001",
    *,
    store: str = "se-web",
    lines: tuple[Line, ...] = (Line(),),
    shipping_amount: int = 4900,
    **columns: Any,
) -> OrderRow:
    """Insert an order with its lines and, if need be, its store."""
    await insert_store(connection, store)
    order = {
        "order_number": number,
        "store_code": store,
        "currency": "SEK",
        "locale": "sv-SE",
        "customer_name": "Åsa Öberg",
        "customer_email": "asa@example.com",
        "shipping_address": ADDRESS,
        "payment_provider": "sandbox",
        "payment_authorization": "sandbox:ok",
        "shipping_amount": shipping_amount,
        "total_amount": shipping_amount + sum(line.quantity * line.unit_price for line in lines),
        "unshipped_quantity": sum(line.quantity for line in lines),
        "intake": {},
    }
    order_id = await _insert(connection, "orders", order | columns, tail="RETURNING id")
    for position, line in enumerate(lines):
        await _insert(
            connection, "order_lines", {**vars(line), "order_id": order_id, "position": position, "tax_rate": 0}
        )
    return OrderRow(order_id, number, store, lines)


async def insert_shipment(
    connection: Connection,
    order: OrderRow,
    *,
    n: int = 1,
    status: str = "RELEASED",
    quantities: dict[str, int] | None = None,
    **columns: Any,
) -> ShipmentRow:
    """Insert shipment `<order>-<n>`; `quantities` is line_id -> pieces, by default everything that was ordered."""
    pieces = quantities or {line.line_id: line.quantity for line in order.lines}
    prices = {line.line_id: line.unit_price for line in order.lines}
    shipment = {
        "order_id": order.id,
        "n": n,
        "shipment_number": f"{order.number}-{n}",
        "status": status,
        "good_to_go": status in {"RELEASED", "SHIPPED"},
        "goods_amount": sum(prices[line_id] * quantity for line_id, quantity in pieces.items()),
        "piece_count": sum(pieces.values()),
        "shipped_at": datetime.now(UTC) if status == "SHIPPED" else None,
    }
    shipment_id = await _insert(connection, "shipments", shipment | columns, tail="RETURNING id")
    await connection.executemany(
        "INSERT INTO shipment_lines SELECT $1, id, $4 FROM order_lines WHERE order_id = $2 AND line_id = $3",
        [(shipment_id, order.id, line_id, quantity) for line_id, quantity in pieces.items()],
    )
    await connection.execute(
        "UPDATE orders SET last_shipment_n = greatest(last_shipment_n, $2) WHERE id = $1", order.id, n
    )
    return ShipmentRow(shipment_id, f"{order.number}-{n}", status, order, pieces)


async def insert_parcel(connection: Connection, shipment: ShipmentRow, *, position: int = 0, **columns: Any) -> None:
    """Insert a parcel of the shipment."""
    parcel = {"carrier": "UPS", "service": "Express", "tracking_number": "1Z999AA10123456784"}
    await _insert(connection, "parcels", {"shipment_id": shipment.id, "position": position} | parcel | columns)


async def insert_capture(connection: Connection, shipment: ShipmentRow) -> None:
    """Insert the shipment's capture, made, of its goods."""
    await connection.execute(
        "WITH made AS (INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider,"
        " payment_authorization, amount, shipping_part, currency, state, provider_reference, settled_at)"
        " SELECT o.id, s.id, 1, 'shipment:' || s.shipment_number || ':capture:1', o.payment_provider,"
        " o.payment_authorization, s.goods_amount, 0, o.currency, 'CAPTURED', 'made', now()"
        " FROM shipments s JOIN orders o ON o.id = s.order_id WHERE s.id = $1 RETURNING order_id, amount)"
        " UPDATE orders SET reserved_amount = reserved_amount + made.amount FROM made WHERE id = made.order_id",
        shipment.id,
    )


def event_data(shipment: ShipmentRow, **fields: Any) -> ShipmentData:
    """Return the data of an event about `shipment`; `fields` by their Python names."""
    sku = {line.line_id: line.sku for line in shipment.order.lines}
    usual: dict[str, Any] = {
        "order_number": shipment.order.number,
        "shipment_number": shipment.number,
        "store": shipment.order.store,
        "status": shipment.status,
        "shipped_at": datetime.now(UTC) if shipment.status == "SHIPPED" else None,
        "lines": [EventLine(line_id=each, sku=sku[each], quantity=n) for each, n in shipment.quantities.items()],
        "notify_customer": True,
        "sequence": 1,
    }
    return ShipmentData(**usual | fields)


async def insert_event(
    connection: Connection,
    shipment: ShipmentRow,
    *,
    kind: EventType = EventType.SHIPMENT_SHIPPED,
    in_outbox: bool = True,
    **fields: Any,
) -> UUID:
    """Insert an event (the shipment's next one unless `sequence` is given), by default with its outbox row."""
    if "sequence" not in fields:
        fields["sequence"] = await connection.fetchval(
            "SELECT coalesce(max(sequence), 0) + 1 FROM events WHERE shipment_id = $1", shipment.id
        )
    event = NewEvent(kind, shipment.id, event_data(shipment, **fields), request_id="req-1", traceparent=TRACEPARENT)
    async with connection.transaction():
        await outbox.append(connection, [event])
        if not in_outbox:
            await connection.execute("DELETE FROM outbox WHERE event_id = $1", event.id)
    return event.id


async def _insert(connection: Connection, table: str, columns: dict[str, Any], *, tail: str = "") -> Any:
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) {tail}"
    return await connection.fetchval(statement, *columns.values())

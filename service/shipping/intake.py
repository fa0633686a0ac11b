"""Take an order in. Idempotent by content: the same order sent again changes nothing, however it is spelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import asyncpg

from schemas.orders import IntakeOrder
from service.shipping.errors import InvalidRequest, OrderConflict
from service.shipping.order_content import Difference, OrderContent, differences, normalise
from service.shipping.order_rows import insert_contents, order_columns
from sql import Connection, queries

# Nobody reads more, and an order of thousands of lines can differ in all of them.
MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of an order: its shipments' numbers are those that exist now."""

    order_number: str
    outcome: Literal["created", "unchanged", "updated"]
    shipments: tuple[str, ...]


class Meet(Protocol):
    """What becomes of an order that is known, its row locked."""

    async def __call__(
        self, connection: Connection, known: asyncpg.Record, order: IntakeOrder, *, request_id: str, traceparent: str
    ) -> IntakeResult:
        """Return what became of it. Raises `InvalidRequest` or `OrderConflict`."""
        ...


async def bring_to_content(
    connection: Connection, known: asyncpg.Record, order: IntakeOrder, *, request_id: str, traceparent: str
) -> IntakeResult:
    """Bring a known order to the content sent.

    Once a shipment exists, only the payment's authorization may change, and only while no money was or may have been
    taken with it. Raises `InvalidRequest`, or `OrderConflict` naming what differs.
    """
    orders = queries("orders")
    order_id: int = known["id"]
    content = content_of_known(known, order)
    changes = differences(known["intake"], content.document)
    outcome: Literal["unchanged", "updated"] = "updated" if changes else "unchanged"
    if changes and known["last_shipment_n"] == 0 and known["status"] != "CANCELLED":
        await _replace(connection, known, content)
        shipments = await insert_contents(connection, order_id, content, request_id=request_id, traceparent=traceparent)
        return IntakeResult(content.document["orderNumber"], outcome, shipments)
    if changes:
        await check_only_authorization_changes(connection, known, changes)
        await orders.change_authorization(
            connection,
            order_id=order_id,
            authorization=content.document["payment"]["authorization"],
            intake=content.document,
        )
    numbers = await orders.shipment_numbers(connection, order_id=order_id)
    return IntakeResult(content.document["orderNumber"], outcome, tuple(numbers))


async def intake_order(
    connection: Connection, order: IntakeOrder, *, request_id: str, traceparent: str, meet: Meet = bring_to_content
) -> IntakeResult:
    """Create the order, or `meet` the known one, in one transaction.

    Raises `InvalidRequest`, or `OrderConflict` naming what differs.
    """
    if order.order_number is None:
        raise InvalidRequest("orderNumber: Field required")
    async with connection.transaction():
        known = await queries("orders").lock_order(connection, order_number=order.order_number)
        if known is None:
            content = await _content_of_new_order(connection, order)
            order_id = await queries("orders").create_order(connection, **order_columns(content))
            if order_id is not None:
                shipments = await insert_contents(
                    connection, order_id, content, request_id=request_id, traceparent=traceparent
                )
                return IntakeResult(order.order_number, "created", shipments)
            # Somebody else has just committed this order. Orders are never deleted, so it is there now.
            known = await queries("orders").lock_order(connection, order_number=order.order_number)
        return await meet(connection, known, order, request_id=request_id, traceparent=traceparent)


async def _content_of_new_order(connection: Connection, order: IntakeOrder) -> OrderContent:
    """Fill in the store's currency and locale where the order has none; create the store if it is unknown."""
    stores = queries("stores")
    store = await stores.find_defaults(connection, code=order.store)
    currency = order.currency or (store and store["currency"])
    locale = order.locale or (store["locale"] if store else "en")
    if currency is None:
        raise InvalidRequest("currency: Field required, because the store has none")
    content = normalise(order, currency=currency, locale=locale)
    if store is None:
        await stores.ensure(connection, code=order.store, locale=locale, currency=currency)
    return content


def content_of_known(known: asyncpg.Record, order: IntakeOrder) -> OrderContent:
    """Return the content of an order that is known. Raises `InvalidRequest`.

    What is left out stays as it is, so that the same body means the same after the store's settings change.
    """
    return normalise(order, currency=order.currency or known["currency"], locale=order.locale or known["locale"])


def conflict(known: asyncpg.Record, changes: list[Difference]) -> OrderConflict:
    """Return the error that names what may not change."""
    shown = [str(change) for change in changes[:MOST_DIFFERENCES]]
    if len(changes) > MOST_DIFFERENCES:
        shown.append(f"and {len(changes) - MOST_DIFFERENCES} more")
    return OrderConflict(known["intake"]["orderNumber"], shown)


async def check_only_authorization_changes(
    connection: Connection, known: asyncpg.Record, changes: list[Difference]
) -> None:
    """Return if `changes`, which may be none, are of the authorization and nobody relies on the known one.

    Raises `OrderConflict` naming what differs.
    """
    number = known["intake"]["orderNumber"]
    if known["status"] == "CANCELLED":
        raise OrderConflict(number, ["it is CANCELLED"])
    if any(change.field != "payment.authorization" for change in changes):
        raise conflict(known, changes)
    if changes and await queries("orders").authorization_used(connection, order_id=known["id"]):
        raise OrderConflict(
            number, ["payment.authorization: differs, and a capture with the known one is pending or made"]
        )


async def _replace(connection: Connection, known: asyncpg.Record, content: OrderContent) -> None:
    columns = order_columns(content)
    for field, key in (("status", "status"), ("waiting_for_payment", "waitingForPayment")):
        if known["intake"][key] == content.document[key]:
            columns[field] = None
    del columns["order_number"]
    await queries("stores").ensure(
        connection, code=columns["store"], locale=columns["locale"], currency=columns["currency"]
    )
    await queries("orders").replace_order(connection, order_id=known["id"], **columns)
    await queries("orders").delete_lines(connection, order_id=known["id"])

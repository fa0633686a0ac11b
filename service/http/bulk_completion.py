"""Many completions in one request: ours, beside the contract's single call, whose words each row is answered in."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from schemas.paths import SHIPMENTS_BASE
from schemas.shipment_completion import RowResult
from service.bulk_completions import Listener, Outcome, Row
from service.http.authentication import require_scope
from service.http.bodies import is_json_lines
from service.http.bulk_answer import JSON, LINES, BulkAnswer
from service.http.bulk_rows import read_rows
from service.http.context import ORIGIN
from service.http.errors import RETRY_AFTER_S, failure_of, status_of
from service.http.integration_api import completion_of
from service.keys import Scope
from service.services import SERVICES
from service.shipping.complete_shipment import Completed
from service.shipping.errors import InvalidRequest


async def complete_many(request: web.Request) -> web.StreamResponse:
    """POST complete-shipments: 200 once the rows are read, then each row's result as soon as it is committed."""
    origin = request[ORIGIN]
    rows: list[Row] = []
    refused: list[RowResult] = []
    async for row in read_rows(request):
        number = len(rows) + len(refused) + 1
        if isinstance(row, InvalidRequest):
            refused.append(_result(number, row))
        else:
            rows.append(Row(number, completion_of(row, origin)))
    answer = BulkAnswer(request, LINES if is_json_lines(request.content_type) else JSON)
    listener = Listener(
        tell=lambda outcomes: answer.add(
            _result(row.number, outcome, row.completion.shipment_number) for row, outcome in outcomes
        ),
        wanted=lambda: answer.wanted,
    )
    async with answer.sending():
        answer.add(refused)
        await request.app[SERVICES].bulk_completions.complete(rows, listener)
    bind_contextvars(
        rows=len(rows) + len(refused), statuses={str(status): count for status, count in answer.statuses.items()}
    )
    return answer.response


def _result(number: int, outcome: Outcome, shipment_number: str | None = None) -> RowResult:
    if isinstance(outcome, Completed):
        return RowResult(row=number, shipmentNumber=shipment_number, status=200, orderNumber=outcome.order_number)
    failure = failure_of(outcome)
    status = status_of(failure)
    return RowResult(
        row=number,
        shipmentNumber=shipment_number,
        status=status,
        error=str(failure),
        retryAfter=RETRY_AFTER_S if status == 503 else None,
    )


def routes() -> list[web.RouteDef]:
    """Return the routes, with and without a trailing slash as those of the contract."""
    guarded = require_scope(Scope.COMPLETE_SHIPMENTS, complete_many)
    return [
        web.post(f"{SHIPMENTS_BASE}/complete-shipments", guarded),
        web.post(f"{SHIPMENTS_BASE}/complete-shipments/", guarded),
    ]

"""The aiohttp application: every edge, the middlewares around them, and the resources beneath."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from service.http import (
    api_docs,
    bulk_completion,
    documents,
    event_docs,
    intake_api,
    integration_api,
    order_api,
    order_api_reads,
    probes,
)
from service.http.authentication import AUTHENTICATOR, Authenticator
from service.http.bodies import LARGEST_LIMIT
from service.http.context import name_server, request_context
from service.http.errors import errors_answered
from service.http.order_api_errors import order_api_error
from service.http.unreadable import answer_in_our_words
from service.services import SERVICES, open_services
from service.settings import Settings

log = structlog.get_logger()


def build_app(settings: Settings) -> web.Application:
    """Build the application that `waybill api` serves; the tests serve the same one."""
    answer_in_our_words()
    app = web.Application(
        middlewares=[request_context, errors_answered({settings.order_api_prefix: order_api_error})],
        client_max_size=LARGEST_LIMIT,
    )
    for edge in (probes, integration_api, bulk_completion, intake_api, documents, event_docs):
        app.add_routes(edge.routes())
    for edge_below in (order_api, order_api_reads, api_docs):
        app.add_routes(edge_below.routes(settings.order_api_prefix))

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with open_services(settings, name="api") as services:
            app[SERVICES] = services
            app[AUTHENTICATOR] = Authenticator(
                services.pool,
                acquire_timeout_s=settings.database_acquire_timeout_s,
                rate_limit=settings.rate_limit,
            )
            yield

    async def begin_nothing(app: web.Application) -> None:
        app[SERVICES].bulk_completions.stop()

    app.cleanup_ctx.append(resources)
    # Before requests under way are waited for.
    app.on_shutdown.append(begin_nothing)
    app.on_response_prepare.append(name_server)
    return app

"""Every named query, by the way it is run; the few that may cost more in large tables, with the reason."""

from __future__ import annotations

from tests.support.hot_queries.background import NOW_AND_THEN, RELAY, WORKERS
from tests.support.hot_queries.completion import COMPLETION
from tests.support.hot_queries.creation import CREATION
from tests.support.hot_queries.intake import INTAKE
from tests.support.hot_queries.lists import LISTS

HOT = [*COMPLETION, *CREATION, *INTAKE, *LISTS, *RELAY, *WORKERS, *NOW_AND_THEN]

EXEMPT = {
    "touches no table": "inbox.takes_writes inbox.can_commit outbox.begin_round outbox.wake_relays outbox.ping",
    "runs once at the start, over a table that does not grow": "migrations.applied",
    "runs once at the start of `waybill dev`": "dev.find_completable",
    "an operator's command, over a table that does not grow": (
        "keys.create keys.list_all keys.revoke stores.list_all stores.save webhooks.add_endpoint webhooks.find_endpoint"
        " webhooks.unknown_stores webhooks.rotate_secret webhooks.enable_endpoint webhooks.disable_endpoint"
    ),
    "an operator's command or report, over as many rows as it is asked about": (
        "events.list_events events.find_event events.count_events events.replay_events webhooks.list_endpoints"
        " webhooks.count_waiting webhooks.discard_waiting webhooks.remove_deliveries webhooks.remove_endpoint"
        " webhooks.list_deliveries webhooks.list_attempts webhooks.retry"
    ),
    "counts the outbox, which is as small as the relay is quick": "events.outbox_depth maintain.outbox_size",
}

"""Where processes are killed: every step by its name, and the place in the code that it stands for.

The code knows nothing of this table. `tests.faults.failing` finds the places and refuses one that is no longer there.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Process = Literal["api", "relay", "worker email", "worker webhooks", "worker order-intake", "command"]
When = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Call:
    """A function or method, as `module:name` of where it is looked up when it is called."""

    path: str


@dataclass(frozen=True, slots=True)
class Query:
    """A named query of `sql/queries/<file>.sql`."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The COMMIT of the transaction in which the query has run, and of no other."""

    of: Query


@dataclass(frozen=True, slots=True)
class Provider:
    """A method of the payment port, whichever provider it is, as a module of the domain calls it."""

    module: str
    method: str


Place = Call | Query | Commit | Provider


@dataclass(frozen=True, slots=True)
class Step:
    """A moment in a process. `told` says what has happened by then.

    `since`: only once this has been called. `together`: so many completions, or messages, wait for each other and
    are one group.
    """

    process: Process
    when: When
    place: Place
    told: str
    since: Place | None = None
    together: int = 1


RESERVE: Final = Query("shipping", "reserve_capture")
LOCK: Final = Query("shipping", "lock_shipment")
LOCK_GROUP: Final = Query("shipping", "lock_completable")
CAPTURED: Final = Query("shipping", "settle_captured")
DECLINED: Final = Query("shipping", "settle_declined")
SHIPPED: Final = Query("shipping", "mark_shipped")
EVENT: Final = Query("outbox", "append_events")
CREATED: Final = Query("creation", "confirm_created")
NUMBERED: Final = Query("creation", "new_provisional")
CANCELLED: Final = Query("creation", "cancel_shipment")
RELEASED: Final = Query("creation", "set_good_to_go")
KEPT: Final = Query("idempotency", "keep_answer")
ORDER: Final = Query("orders", "create_order")
DELETED: Final = Query("outbox", "delete_published")
CLAIMED: Final = Query("inbox", "claim")
CLAIMED_GROUP: Final = Query("inbox", "claim_together")
FANNED_OUT: Final = Query("webhooks", "fan_out")
WEBHOOK_KEPT: Final = Query("webhooks", "record_success")

CAPTURE: Final = Provider("service.shipping.capture", "capture")
FIND: Final = Provider("service.shipping.reconcile", "find")
STRIPE_LOOKED: Final = Call("service.payments.stripe_client:StripeClient.retrieve")
STRIPE_CLAIMED: Final = Call("service.payments.stripe_client:StripeClient.annotate")
# The HTTP client's own steps: its first look at the answer, and whoever serves the caller.
PROVIDER_ANSWER: Final = Call("aiohttp.client_reqrep:ClientResponse.start")
ANSWER: Final = Call("aiohttp.web_protocol:RequestHandler.finish_response")
TOLD_RELAYS: Final = Call("publishers.wakeup:RelayWakeup.wake")
CONFIRMATION: Final = Call("aiormq.channel:Channel._on_confirm_frame")
PUBLISHED: Final = Call("publishers.relay:publish_together")
MAIL: Final = Call("consumers.email.mailer:Mailer.send")
COPY: Final = Call("consumers.settle:CopyPublisher.publish")
MESSAGE: Final = Call("consumers.handling:process")
SETTLED: Final = Call("consumers.work:settle")
ACKNOWLEDGED: Final = Call("consumers.acknowledging:Acknowledging.acknowledge")
ACK: Final = Call("aio_pika.message:IncomingMessage.ack")
WEBHOOK: Final = Call("consumers.webhooks.sender:request")

STEPS: Final = MappingProxyType(
    {
        # The Shipment Completion API.
        "complete.begun": Step("api", "before", RESERVE, "before the capture's row"),
        "complete.reserved": Step("api", "after", RESERVE, "the capture's row is committed"),
        "complete.unlocked": Step("api", "before", LOCK, "before the lock on order and shipment"),
        "complete.locked": Step("api", "after", LOCK, "after the lock on order and shipment"),
        "complete.unasked": Step("api", "before", CAPTURE, "before the provider is asked"),
        "complete.asked": Step("api", "before", PROVIDER_ANSWER, "the provider is asked and has not answered"),
        "complete.taken": Step("api", "after", PROVIDER_ANSWER, "the money has moved, the answer is not read"),
        "complete.answered": Step("api", "after", CAPTURE, "after the provider's answer, before it is written down"),
        "complete.settled": Step("api", "after", CAPTURED, "the answer is written down, not committed"),
        "complete.marked": Step("api", "after", SHIPPED, "the shipment is marked SHIPPED, not committed"),
        "complete.told": Step("api", "after", EVENT, "the event is in history and outbox, not committed"),
        "complete.uncommitted": Step("api", "before", Commit(SHIPPED), "before COMMIT"),
        "complete.committed": Step("api", "after", Commit(SHIPPED), "after COMMIT, nobody knows"),
        "complete.unanswered": Step("api", "after", TOLD_RELAYS, "after COMMIT, the relays know, the caller does not"),
        "complete.done": Step("api", "after", ANSWER, "after the answer is sent", since=SHIPPED),
        # Three completions in one transaction, their payment taken before.
        "group.unlocked": Step("api", "before", LOCK_GROUP, "before the lock on three orders", together=3),
        "group.locked": Step("api", "after", LOCK_GROUP, "after the lock on three orders", together=3),
        "group.marked": Step("api", "after", SHIPPED, "three are marked SHIPPED, not committed", together=3),
        "group.told": Step("api", "after", EVENT, "three events are in history and outbox", together=3),
        "group.uncommitted": Step("api", "before", Commit(LOCK_GROUP), "before the COMMIT of three", together=3),
        "group.committed": Step("api", "after", Commit(LOCK_GROUP), "after the COMMIT of three", together=3),
        "group.answered": Step("api", "after", ANSWER, "one of the three is answered", since=SHIPPED, together=3),
        # A refused capture.
        "decline.answered": Step("api", "after", CAPTURE, "the provider has declined, not written down"),
        "decline.settled": Step("api", "after", DECLINED, "the refusal is written down, not committed"),
        "decline.uncommitted": Step("api", "before", Commit(DECLINED), "before the refusal's COMMIT"),
        "decline.committed": Step("api", "after", Commit(DECLINED), "after the refusal's COMMIT"),
        "decline.done": Step("api", "after", ANSWER, "after the refusal is told", since=DECLINED),
        # A completion paid at Stripe, which takes three requests.
        "stripe.unasked": Step("api", "before", STRIPE_LOOKED, "before Stripe is asked anything"),
        "stripe.looked": Step("api", "after", STRIPE_LOOKED, "the PaymentIntent is read"),
        "stripe.claimed": Step("api", "after", STRIPE_CLAIMED, "the key is on the PaymentIntent, no money has moved"),
        "stripe.asked": Step("api", "before", PROVIDER_ANSWER, "Stripe is told to capture", since=STRIPE_CLAIMED),
        "stripe.taken": Step("api", "after", PROVIDER_ANSWER, "captured, the answer is not read", since=STRIPE_CLAIMED),
        "stripe.answered": Step("api", "after", CAPTURE, "after Stripe's answer, before it is written down"),
        "stripe.uncommitted": Step("api", "before", Commit(SHIPPED), "before COMMIT"),
        "stripe.committed": Step("api", "after", Commit(SHIPPED), "after COMMIT, nobody knows"),
        # The Order API's creation of a shipment that has left: provisional row, capture, finish.
        "create.numbered": Step("api", "after", NUMBERED, "the provisional shipment has its number, not committed"),
        "create.uncommitted": Step("api", "before", Commit(NUMBERED), "before the provisional shipment's COMMIT"),
        "create.begun": Step("api", "after", Commit(NUMBERED), "provisional shipment and capture row are committed"),
        "create.asked": Step("api", "before", PROVIDER_ANSWER, "the provider is asked and has not answered"),
        "create.taken": Step("api", "after", PROVIDER_ANSWER, "the money has moved, the answer is not read"),
        "create.answered": Step("api", "after", CAPTURE, "after the provider's answer, before it is written down"),
        "create.settled": Step("api", "after", CAPTURED, "the answer is written down, not committed"),
        "create.confirmed": Step("api", "after", CREATED, "the shipment exists, not committed"),
        "create.marked": Step("api", "after", SHIPPED, "the shipment has left, not committed"),
        "create.finished": Step("api", "before", Commit(CREATED), "before the shipment's COMMIT"),
        "create.committed": Step("api", "after", Commit(CREATED), "after the shipment's COMMIT"),
        "create.unkept": Step("api", "before", KEPT, "before the answer is kept under the caller's key"),
        "create.kept": Step("api", "after", KEPT, "the answer is kept under the caller's key"),
        "create.done": Step("api", "after", ANSWER, "after the answer is sent", since=CREATED),
        "create-declined.answered": Step("api", "after", CAPTURE, "the provider has declined, not written down"),
        "create-declined.committed": Step("api", "after", Commit(DECLINED), "the refusal and the freed pieces"),
        "create-unpaid.uncommitted": Step("api", "before", Commit(CREATED), "before COMMIT"),
        "create-unpaid.committed": Step("api", "after", Commit(CREATED), "after COMMIT"),
        # The Order API's other calls.
        "put.reserved": Step("api", "after", RESERVE, "the capture's row is committed"),
        "put.taken": Step("api", "after", PROVIDER_ANSWER, "the money has moved, the answer is not read"),
        "put.uncommitted": Step("api", "before", Commit(SHIPPED), "before COMMIT"),
        "put.committed": Step("api", "after", Commit(SHIPPED), "after COMMIT"),
        "put.kept": Step("api", "after", KEPT, "the answer is kept under the caller's key"),
        "capture.taken": Step("api", "after", PROVIDER_ANSWER, "the money has moved, the answer is not read"),
        "capture.uncommitted": Step("api", "before", Commit(CAPTURED), "before COMMIT"),
        "capture.committed": Step("api", "after", Commit(CAPTURED), "after COMMIT"),
        "release.uncommitted": Step("api", "before", Commit(RELEASED), "before COMMIT"),
        "release.committed": Step("api", "after", Commit(RELEASED), "after COMMIT"),
        "cancel.uncommitted": Step("api", "before", Commit(CANCELLED), "before COMMIT"),
        "cancel.committed": Step("api", "after", Commit(CANCELLED), "after COMMIT"),
        "intake.uncommitted": Step("api", "before", Commit(ORDER), "before COMMIT"),
        "intake.committed": Step("api", "after", Commit(ORDER), "after COMMIT"),
        # The relay.
        "relay.claimed": Step("relay", "after", Query("outbox", "claim_due"), "rows are claimed, nothing is published"),
        "relay.published": Step(
            "relay", "before", CONFIRMATION, "published; the broker's first confirmation is unread"
        ),
        "relay.confirmed": Step("relay", "after", PUBLISHED, "all is confirmed, nothing is deleted"),
        "relay.uncommitted": Step("relay", "before", Commit(DELETED), "deleted, not committed"),
        "relay.committed": Step("relay", "after", Commit(DELETED), "after COMMIT"),
        # The mail worker.
        "email.delivered": Step("worker email", "before", MESSAGE, "the message is delivered, no inbox row"),
        "email.claimed": Step("worker email", "after", CLAIMED, "the inbox row is written, not committed"),
        "email.unsent": Step("worker email", "before", MAIL, "before SMTP"),
        "email.begun": Step("worker email", "before", Call("aiosmtplib:SMTP.data"), "sender and recipient are told"),
        "email.sent": Step("worker email", "after", MAIL, "the mail server has accepted, nothing is committed"),
        "email.uncommitted": Step("worker email", "before", Commit(CLAIMED), "the same, right before COMMIT"),
        "email.committed": Step("worker email", "after", Commit(CLAIMED), "after COMMIT, before the acknowledgement"),
        "email.acknowledged": Step("worker email", "after", SETTLED, "after the acknowledgement"),
        "email-retry.uncopied": Step("worker email", "before", COPY, "the mail is refused for now, nothing is copied"),
        "email-retry.copied": Step("worker email", "after", COPY, "copied to the retry queue, not acknowledged"),
        "email-retry.acknowledged": Step("worker email", "after", SETTLED, "copied to the retry queue, acknowledged"),
        "email-dead.uncopied": Step("worker email", "before", COPY, "the mail is refused for good, nothing is copied"),
        "email-dead.copied": Step("worker email", "after", COPY, "copied to the dead letters, not acknowledged"),
        "email-dead.acknowledged": Step("worker email", "after", SETTLED, "copied to the dead letters, acknowledged"),
        # The webhook worker.
        "webhooks.fanned-out": Step(
            "worker webhooks", "after", FANNED_OUT, "the deliveries are written, not committed"
        ),
        "webhooks.uncommitted": Step("worker webhooks", "before", Commit(FANNED_OUT), "before their COMMIT"),
        "webhooks.committed": Step("worker webhooks", "after", Commit(FANNED_OUT), "committed, not acknowledged"),
        "webhooks.acknowledged": Step("worker webhooks", "after", ACKNOWLEDGED, "acknowledged"),
        "webhooks.leased": Step("worker webhooks", "before", WEBHOOK, "leased, before the request"),
        "webhooks.answered": Step("worker webhooks", "after", WEBHOOK, "the receiver has answered, not written down"),
        "webhooks.recorded": Step("worker webhooks", "after", WEBHOOK_KEPT, "the answer is committed"),
        # Three of its messages in one transaction.
        "webhooks-group.unclaimed": Step("worker webhooks", "before", CLAIMED_GROUP, "no inbox row", together=3),
        "webhooks-group.claimed": Step(
            "worker webhooks", "after", CLAIMED_GROUP, "three inbox rows are written, not committed", together=3
        ),
        "webhooks-group.fanned-out": Step(
            "worker webhooks", "after", FANNED_OUT, "one of the three is handled, nothing is committed", together=3
        ),
        "webhooks-group.uncommitted": Step(
            "worker webhooks", "before", Commit(CLAIMED_GROUP), "before the COMMIT of three", together=3
        ),
        "webhooks-group.committed": Step(
            "worker webhooks",
            "after",
            Commit(CLAIMED_GROUP),
            "after the COMMIT of three, none acknowledged",
            together=3,
        ),
        "webhooks-group.acknowledged": Step(
            "worker webhooks", "after", ACKNOWLEDGED, "three are acknowledged with one answer", together=3
        ),
        # The order intake's worker.
        "order-intake.uncommitted": Step("worker order-intake", "before", Commit(CLAIMED), "before COMMIT"),
        "order-intake.committed": Step("worker order-intake", "after", Commit(CLAIMED), "committed, not acknowledged"),
        "order-intake.acknowledged": Step("worker order-intake", "after", SETTLED, "after the acknowledgement"),
        # Commands of operators.
        "reconcile.answered": Step("command", "after", FIND, "the provider has said, nothing is written down"),
        "reconcile.uncommitted": Step("command", "before", Commit(CAPTURED), "before COMMIT"),
        "reconcile.committed": Step("command", "after", Commit(CAPTURED), "after COMMIT"),
        "reconcile-declined.uncommitted": Step("command", "before", Commit(DECLINED), "before the refusal's COMMIT"),
        "reconcile-declined.committed": Step("command", "after", Commit(DECLINED), "after the refusal's COMMIT"),
        "dead-replay.uncopied": Step("command", "before", COPY, "the letter is taken, nothing is copied"),
        "dead-replay.copied": Step("command", "after", COPY, "copied to the work queue, still among the dead"),
        "dead-replay.removed": Step("command", "after", ACK, "no longer among the dead"),
        "import.uncommitted": Step("command", "before", Commit(ORDER), "amid a file, before an order's COMMIT"),
        "import.committed": Step("command", "after", Commit(ORDER), "amid a file, after an order's COMMIT"),
    }
)

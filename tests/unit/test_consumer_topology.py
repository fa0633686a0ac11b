from __future__ import annotations

import pytest

from consumers.registry import CONSUMERS
from consumers.topology import TopologyMismatch
from schemas.topology import TOPIC, ConsumerTopology

PREFIX = "PRECONDITION_FAILED - inequivalent arg"


@pytest.mark.parametrize(
    ("refusal", "argument", "ours", "theirs"),
    [
        (
            (
                f"{PREFIX} 'x-delivery-limit' for queue 'q' in vhost '/': received the value '100' of type 'signedint'"
                " but current is the value '20' of type 'long'"
            ),
            "x-delivery-limit",
            "100",
            "20",
        ),
        (
            (
                f"{PREFIX} 'x-overflow' for queue 'q' in vhost '/': received the value 'reject-publish' of type"
                " 'longstr' but current is none"
            ),
            "x-overflow",
            "reject-publish",
            "none",
        ),
        (
            (
                f"{PREFIX} 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '10' of"
                " type 'signedint'"
            ),
            "x-max-length",
            "none",
            "10",
        ),
        (
            f"{PREFIX} 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
            "durable",
            "true",
            "false",
        ),
        (
            f"{PREFIX} 'type' for exchange 'e' in vhost '/': received 'topic' but current is 'direct'",
            "type",
            "topic",
            "direct",
        ),
    ],
)
def test_a_mismatch_names_the_argument_and_both_values(refusal: str, argument: str, ours: str, theirs: str) -> None:
    mismatch = TopologyMismatch("queue q", refusal)
    assert (mismatch.argument, mismatch.ours, mismatch.theirs) == (argument, ours, theirs)
    assert f"queue q exists with other arguments: {argument} is {theirs} on the broker" in str(mismatch)
    assert f"declares {ours}" in str(mismatch)


def test_a_refusal_in_other_words_is_passed_on() -> None:
    assert "something new" in str(TopologyMismatch("queue q", "PRECONDITION_FAILED - something new"))


def test_the_mail_workers_queues_have_the_contracts_names() -> None:
    topology = CONSUMERS["email"].topology((5, 30))
    assert topology.work.name == f"Consumer.orderShipmentShippedEmailHandler.{TOPIC}"
    assert [queue.name.removeprefix(topology.work.name) for queue in topology.retries] == [".retry.5s", ".retry.30s"]
    assert topology.dead.name == f"{topology.work.name}.dead"


def test_no_two_consumers_share_queues() -> None:
    names = [consumer.name for consumer in CONSUMERS.values()]
    assert len(set(names)) == len(names)


def test_every_retry_queue_leads_back_to_its_own_work_queue_only() -> None:
    topology = ConsumerTopology("c", ("k",), (1, 2))
    for queue in topology.retries:
        assert queue.arguments["x-dead-letter-exchange"] == ""
        assert queue.arguments["x-dead-letter-routing-key"] == topology.work.name

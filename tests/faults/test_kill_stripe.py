"""`kill -9` at every step of a completion whose money is at Stripe: it has no look-up by key, so more can go wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict

import pytest

from tests.faults.books import Ledgers, ProviderCapture
from tests.faults.conftest import OpenStack
from tests.faults.killing import died, failing_api, handle_all, judge, repeat, standing, steps_of, told
from tests.faults.orders import PIECE_PRICE, SHIPPING
from tests.faults.report import repetitions
from tests.faults.stack import Stack
from tests.support.localstripe import API_KEY, LocalStripe

pytestmark = pytest.mark.timeout(repetitions(240, 2400))

TOTAL = PIECE_PRICE + SHIPPING
UNPAID, PAID = {None}, {TOTAL}
# What Stripe has taken right after the kill.
TAKEN = {
    "stripe.unasked": UNPAID,
    "stripe.looked": UNPAID,
    "stripe.claimed": UNPAID,
    "stripe.asked": UNPAID | PAID,
}


@pytest.mark.parametrize("callers", [1, 2])
async def test_a_completion_paid_at_stripe(open_forks: OpenStack, localstripe: LocalStripe, callers: int) -> None:
    shipments: dict[str, list[str]] = defaultdict(list)
    intents: dict[str, str] = {}
    paying = {"stripe_api_key": API_KEY, "stripe_url": localstripe.url}
    async with open_forks(relays=0, workers=0, **paying) as stack:
        for step in steps_of("stripe") * repetitions(1, 10):
            [number] = await stack.order()
            shipments[step].append(number)
            intents[number] = await pay_at_stripe(stack, localstripe, number)
            process, url = await failing_api(stack, step, callers=callers)
            assert (await stack.complete(number, url=url)).status is None, step
            await died(process, step)
            assert await asyncio.to_thread(localstripe.taken, intents[number]) in TAKEN.get(step, PAID), step
            done = step == "stripe.committed"
            assert (await standing(stack, number))[:2] == (
                ("SHIPPED", ["CAPTURED"]) if done else ("RELEASED", ["PENDING"])
            ), step
            await repeat(stack, number, callers=callers)
        await handle_all(stack)
        ledgers = at_stripe(await stack.ledgers(), localstripe, intents)
    judge(ledgers, shipments, retried=told(callers))


async def pay_at_stripe(stack: Stack, stripe: LocalStripe, number: str) -> str:
    """Authorize the order's whole amount, as a checkout does; return the PaymentIntent's id."""
    intent = await asyncio.to_thread(stripe.authorize, TOTAL)
    await stack.pool.execute(
        "UPDATE orders SET payment_provider = 'stripe', payment_authorization = $2 WHERE order_number = $1",
        number.rpartition("-")[0],
        intent,
    )
    return intent


def at_stripe(ledgers: Ledgers, stripe: LocalStripe, intents: dict[str, str]) -> Ledgers:
    """Return the ledgers with what Stripe has taken; each shipment has one PaymentIntent, good for its amount once."""
    assert ledgers.provider_captures == (), "nothing was paid at the sandbox"
    taken = [
        ProviderCapture(f"shipment:{number}:capture:1", stripe.intent(intent)["latest_charge"]["id"], amount, "SEK")
        for number, intent in intents.items()
        if (amount := stripe.taken(intent)) is not None
    ]
    return dataclasses.replace(ledgers, provider_captures=tuple(taken))

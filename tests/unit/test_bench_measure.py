"""What the benchmark reads from the programs that it runs, and how it times a drain."""

from __future__ import annotations

import os

import pytest

from bench.bench import Supply, missed
from bench.data import Numbers, TooFew
from bench.measure.drain import NotDrained, drained
from bench.measure.pgbench import PgbenchFailed, parse_pgbench
from bench.measure.usage import watch
from bench.measure.wrk import WrkFailed, parse_wrk

WRK = """Running 2s test @ http://127.0.0.1:8080/
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    10.06ms    3.00ms  40.00ms   91.00%
  3000 requests in 2.00s, 1.00MB read
measured {"requests": 3000, "duration_us": 2000000, "p50_us": 9800, "p99_us": 21300, "max_us": 40000, ERRORS}
"""
PGBENCH = """pgbench (18.6)
transaction type: completion.pgbench
number of transactions actually processed: 5823
number of failed transactions: 0 (0.000%)
latency average = 5.301 ms
tps = 3018.405900 (without initial connection time)
"""


def test_wrk_tells_rate_and_latency():
    result = parse_wrk(WRK.replace("ERRORS", '"refused": 0, "broken": 0'))
    assert (result.rate, result.p50_ms, result.p99_ms, result.void) == (1500, 9.8, 21.3, "")


@pytest.mark.parametrize("errors", ['"refused": 1, "broken": 0', '"refused": 0, "broken": 1'])
def test_an_answer_that_was_not_200_makes_the_row_void(errors):
    assert "1" in parse_wrk(WRK.replace("ERRORS", errors)).void


def test_wrk_without_a_result_is_an_error():
    with pytest.raises(WrkFailed, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:8080 Connection refused\n")


@pytest.mark.parametrize(("effects", "counts"), [(99, False), (100, True), (116, True), (117, False)])
def test_effects_beyond_the_calls_cut_off_at_the_end_make_the_row_void(effects, counts):
    result = parse_wrk(WRK.replace("3000", "100").replace("ERRORS", '"refused": 0, "broken": 0'))
    assert (missed(result, effects, 16) == "") is counts


def test_pgbench_tells_rate_and_latency():
    log = [f"0 {n} {n * 1000} 0 1795309200 123456" for n in range(1, 101)]
    result = parse_pgbench(PGBENCH, log)
    assert (result.rate, result.transactions, result.p50_ms, result.p99_ms) == (3018.4059, 5823, 50, 99)


def test_a_failed_transaction_is_an_error():
    with pytest.raises(PgbenchFailed):
        parse_pgbench(PGBENCH.replace("failed transactions: 0 ", "failed transactions: 3 "), [])


async def test_a_drain_counts_from_the_first_message_taken():
    looks = [10, 10, 9, 4, 0]
    left_when_it_began = []

    async def waiting() -> int:
        return looks.pop(0)

    began = lambda: left_when_it_began.append(list(looks))  # noqa: E731
    assert await drained(waiting, most=10, running=lambda: True, began=began) > 0
    assert left_when_it_began == [[4, 0]]


async def test_a_drain_that_nobody_works_on_any_more_fails():
    async def waiting() -> int:
        return 7

    with pytest.raises(NotDrained, match="7 of 10"):
        await drained(waiting, most=10, running=lambda: False)


async def test_a_drain_that_nobody_could_see_has_no_time():
    async def waiting() -> int:
        return 0

    with pytest.raises(NotDrained):
        await drained(waiting, most=10, running=lambda: True)


def test_no_number_is_handed_out_twice():
    supply = Supply(Numbers(11, 20))
    assert [supply.take(4), supply.take(6)] == [Numbers(11, 14), Numbers(15, 20)]
    with pytest.raises(TooFew):
        supply.take(1)


def test_cpu_is_counted_per_unit():
    before = os.times().user
    with watch({"us": os.getpid()}) as used:
        while os.times().user - before < 0.05:
            pass
    assert used.cpu_ms_per(10)["us"] >= 4
    assert used.memory_mb["us"] > 1
    assert used.cpu_ms_per(0) == {}

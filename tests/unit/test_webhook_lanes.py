from __future__ import annotations

from consumers.webhooks.lanes import SLOW_S, Lanes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(most: int = 10, most_each: int = 3) -> tuple[Lanes, Clock]:
    clock = Clock()
    return Lanes(most=most, most_each=most_each, clock=clock), clock


def test_all_that_are_not_busy_have_the_same_room() -> None:
    lanes, _ = make()
    assert (lanes.rooms(), lanes.slow(), lanes.free(), lanes.free_for_slow()) == ({}, [], 10, 5)


def test_a_running_request_takes_a_place_of_its_endpoint_and_of_all() -> None:
    lanes, _ = make()
    began = [lanes.begin("a"), lanes.begin("a"), lanes.begin("b")]
    assert (lanes.rooms(), lanes.free()) == ({"a": 1, "b": 2}, 7)
    lanes.end("a", began[0], failed=False, took_s=0.1)
    assert (lanes.rooms(), lanes.free()) == ({"a": 2, "b": 2}, 8)
    lanes.end("a", began[1], failed=False, took_s=0.1)
    lanes.end("b", began[2], failed=False, took_s=0.1)
    assert (lanes.rooms(), lanes.free()) == ({}, 10)


def test_a_full_endpoint_has_no_room() -> None:
    lanes, _ = make(most_each=1)
    lanes.begin("a")
    assert lanes.rooms() == {"a": 0}


def test_after_a_failure_there_is_one_at_a_time_until_a_success() -> None:
    lanes, _ = make()
    lanes.end("a", lanes.begin("a"), failed=True, took_s=0.1)
    assert lanes.rooms() == {"a": 1}
    began = lanes.begin("a")
    assert lanes.rooms() == {"a": 0}
    lanes.end("a", began, failed=False, took_s=0.1)
    assert lanes.rooms() == {}


def test_a_failure_among_running_ones_leaves_no_negative_room() -> None:
    lanes, _ = make()
    began = [lanes.begin("a") for _ in range(3)]
    lanes.end("a", began[0], failed=True, took_s=0.1)
    assert lanes.rooms() == {"a": 0}


def test_who_takes_long_is_slow_while_it_runs_and_until_it_is_quick_again() -> None:
    lanes, clock = make()
    began = lanes.begin("a")
    lanes.begin("b")
    assert lanes.slow() == []
    clock.now += SLOW_S + 0.1
    lanes.begin("c")
    assert lanes.slow() == ["a", "b"]
    lanes.end("a", began, failed=False, took_s=SLOW_S + 0.1)
    assert lanes.slow() == ["a", "b"]
    lanes.end("a", lanes.begin("a"), failed=False, took_s=0.1)
    assert lanes.slow() == ["b"]


def test_a_quick_failure_is_not_slow() -> None:
    lanes, _ = make()
    lanes.end("a", lanes.begin("a"), failed=True, took_s=0.1)
    assert lanes.slow() == []


def test_the_slow_ones_get_half_of_the_places() -> None:
    lanes, clock = make(most=10)
    for endpoint in "abc":
        lanes.begin(endpoint)
    clock.now += SLOW_S + 0.1
    assert (lanes.free(), lanes.free_for_slow()) == (7, 2)
    for _ in range(2):
        lanes.begin("a")
    assert (lanes.free(), lanes.free_for_slow()) == (5, 0)


def test_nor_more_than_there_are() -> None:
    lanes, clock = make(most=4)
    lanes.end("a", lanes.begin("a"), failed=False, took_s=0.1)
    lanes.begin("slow")
    clock.now += SLOW_S + 0.1
    for _ in range(3):
        lanes.begin("quick")
    assert (lanes.free(), lanes.free_for_slow()) == (0, 0)

"""Rate and concurrency hold over every window; low priority gets a tenth and never everything."""

import math

from gateway.sources.throttle import Pace, Throttle


def test_a_burst_passes_and_no_second_has_more_than_the_rate() -> None:
    pace, now, starts = Pace(20), 0.0, []
    for _ in range(100):
        now += pace.delay(now)
        pace.take(now)
        starts.append(now)
    assert starts[19] == 0.0
    assert all(sum(begin <= start < begin + 1 for start in starts) <= 20 for begin in starts)
    assert starts[-1] == 4.0


def test_rates_below_one_and_no_limit() -> None:
    pace = Pace(0.5)
    pace.take(0.0)
    assert pace.delay(0.5) == 1.5
    free = Pace(0)
    for _ in range(1000):
        free.take(0.0)
    assert free.delay(0.0) == 0.0


def test_concurrency_is_waited_for_without_a_time() -> None:
    throttle = Throttle(0, 2)
    throttle.start(0.0)
    throttle.start(0.0)
    assert throttle.delay(0.0) == math.inf
    throttle.end()
    assert throttle.delay(0.0) == 0.0


def test_low_priority_has_a_tenth_of_rate_and_concurrency() -> None:
    throttle, now, started = Throttle(20, 8), 0.0, 0
    throttle.start(now, low=True)
    assert throttle.delay(now, low=True) == math.inf
    assert throttle.delay(now) == 0.0
    throttle.end(low=True)
    while now < 10.0:
        now += throttle.delay(now, low=True)
        throttle.start(now, low=True)
        throttle.end(low=True)
        started += 1
    assert started <= 2 * 10 + 2

"""Promises: a bucket lets its burst pass at once and its rate after that; memory is bounded whoever asks; a client
that is refused a thousand times has one row a minute, and the log one line a second."""

from __future__ import annotations

import logging
import random
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.errors import RateLimited
from gateway.web.address import Peers
from gateway.web.throttle import Buckets, Rates, RefusalLog, RefusedClients, Throttle, too_many


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def scope(peer: str, told: str = "") -> dict[str, Any]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", told.encode())] if told else []}


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(10, 5, clock=clock)
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") == pytest.approx(0.1)
    assert buckets.take("b") == 0.0
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 3_600  # full again, and no fuller
    assert [bool(buckets.take("a")) for _ in range(6)] == [False] * 5 + [True]


def test_to_ask_how_long_takes_nothing() -> None:
    clock = Clock()
    buckets = Buckets(1, 1, clock=clock)
    assert [buckets.wait("a") for _ in range(3)] == [0.0] * 3
    assert not len(buckets)
    buckets.take("a")
    assert buckets.wait("a") == pytest.approx(1.0)
    assert buckets.take("a") == pytest.approx(1.0)  # what is refused is not charged
    assert buckets.wait("a") == pytest.approx(1.0)


def test_as_a_bucket_that_drips() -> None:
    """Against the obvious way: tokens that come back with time."""
    chance = random.Random(20261)
    for rate, burst in ((1.0, 1.0), (20.0, 100.0), (0.5, 3.0)):
        clock, passed = Clock(), 0
        buckets = Buckets(rate, burst, clock=clock)
        tokens, last = burst, clock.now
        for _ in range(2_000):
            clock.now += chance.choice((0, 0, 0, chance.random() / rate, chance.random() * 3 / rate))
            tokens, last = min(burst, tokens + (clock.now - last) * rate), clock.now
            if 0 < abs(tokens - 1) < 1e-6:
                continue  # both may round
            passes = tokens >= 1
            tokens -= passes
            assert (buckets.take("a") == 0.0) == passes
            passed += passes
        assert 100 < passed < 2_000


def test_a_request_may_count_as_several() -> None:
    clock = Clock()
    buckets = Buckets(10, 5, clock=clock)
    assert buckets.take("a", 2) == 0.0
    assert buckets.take("a", 2) == 0.0
    assert buckets.take("a", 2) == pytest.approx(0.1)
    assert buckets.take("a") == 0.0
    # More than a bucket ever has: once its half is there, and what was taken must come back first.
    assert buckets.take("b") == 0.0
    assert buckets.take("b", 20) == 0.0
    assert buckets.take("b") == pytest.approx(1.7)
    clock.now += 1.7
    assert buckets.take("b") == 0.0


def test_more_is_taken_of_the_client_or_of_nobodys_address() -> None:
    throttle = Throttle(Rates(client=1, client_burst=10, public=1, public_burst=10), Peers(()))
    assert not throttle.more(scope("192.0.2.1"), None, 20)
    assert throttle.public_request(scope("192.0.2.1"))
    assert not throttle.public_request(scope("192.0.2.2"))
    assert not throttle.client("a")
    assert not throttle.more(scope("192.0.2.1"), "a", 20)
    assert throttle.client("a")
    assert not throttle.client("b")


def test_any_number_of_addresses_takes_no_more_memory_than_some() -> None:
    clock = Clock()
    buckets = Buckets(1, 2, most=1_000, clock=clock)
    for _ in range(2):
        buckets.take("mine")
    for number in range(20_000):
        buckets.take(f"attacker {number}")
        if number % 500 == 0:
            assert buckets.take("mine") > 0  # who goes on asking is not forgotten
    assert len(buckets) == 1_000


def test_each_process_has_its_share() -> None:
    throttle = Throttle(Rates(client=100, client_burst=40), Peers(()), workers=4)
    passed = sum(not throttle.client("a") for _ in range(40))
    assert 10 <= passed <= 12
    assert not throttle.client("b")


def test_a_rate_of_zero_is_no_limit() -> None:
    throttle = Throttle(Rates(0, 1, 0, 1, 0, 1), Peers(()))
    for _ in range(100):
        throttle.stranger(scope("192.0.2.1"))
        throttle.failed(scope("192.0.2.1"), "")
        assert not throttle.client("a")
        assert not throttle.token_request(scope("192.0.2.1"))
        assert not throttle.suspect(scope("192.0.2.1"), "")


def test_strangers_count_by_the_address_that_our_proxies_tell() -> None:
    rates = Rates(public=0.01, public_burst=1)
    for proxies, forged in (((), False), ((ip_network("10.0.0.0/8"),), True)):
        throttle = Throttle(rates, Peers(proxies))
        throttle.stranger(scope("10.0.0.1", "203.0.113.1"))
        if forged:
            throttle.stranger(scope("10.0.0.1", "203.0.113.2"))
        else:  # from anybody else a new header is no new client
            with pytest.raises(RateLimited):
                throttle.stranger(scope("10.0.0.1", "203.0.113.2"))


def test_failures_have_buckets_of_their_own() -> None:
    throttle = Throttle(Rates(public=0.01, public_burst=2), Peers(()))
    attacker = scope("192.0.2.1")
    for _ in range(2):
        assert not throttle.suspect(attacker, "")
        throttle.failed(attacker, "")
    assert throttle.any_failed
    assert throttle.suspect(attacker, "")
    assert not throttle.suspect(scope("192.0.2.2"), "")
    assert not throttle.suspect(attacker, "honest")  # whose token is one of ours
    for _ in range(2):
        throttle.failed(attacker, "victim")  # a stolen token without what it is bound to
    assert throttle.suspect(attacker, "victim")
    assert not throttle.suspect(scope("192.0.2.2"), "victim")  # who asks from its own address does not pay for it
    throttle.stranger(attacker)  # public questions of the same address go on


def test_the_refusal_says_when_to_go_on() -> None:
    assert too_many(0.2).retry_after == 1
    assert too_many(2.2).retry_after == 3
    assert "3 s" in too_many(2.2).en
    assert "3 秒" in too_many(2.2).zh


def test_the_log_has_one_line_a_second_with_the_count_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)
    with caplog.at_level(logging.INFO, "gateway.web.throttle"):
        for _ in range(1_000):
            log.add("RATE_LIMITED", "192.0.2.1")
        clock.now += 1
        log.add("GRAPHQL_PARSE_FAILED", "2001:db8::/64")
    assert [record.getMessage() for record in caplog.records] == [
        "refused RATE_LIMITED from 192.0.2.1; 0 more since the last line",
        "refused GRAPHQL_PARSE_FAILED from 2001:db8::/64; 999 more since the last line",
    ]


def test_rows_of_refused_clients_stand_for_many() -> None:
    clock = Clock()
    refused = RefusedClients(most=10, clock=clock)
    rows = [refused.add("a") for _ in range(1_000)]
    assert rows == [1] + [0] * 999
    assert refused.add("b") == 1
    clock.now += 60
    assert refused.add("a") == 1_000
    assert refused.add("a") == 0
    for number in range(100):
        refused.add(f"client {number}")
    assert len(refused._seen) == 10

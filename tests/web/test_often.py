"""What was asked for often lately counts more than what was once; the memory of it is bounded."""

from __future__ import annotations

from gateway.web.often import Often


def test_counts() -> None:
    often = Often()
    assert (often.of(b"a"), often.count(b"a"), often.count(b"a"), often.of(b"a"), often.of(b"b")) == (0, 1, 2, 2, 0)


def test_what_was_popular_once_is_halved_until_it_is_forgotten() -> None:
    often = Often(keys=100, lately=64)
    for _ in range(32):
        often.count("once")
    found = []
    for _ in range(1_000):
        often.count("now")
        found.append(often.of("once"))
    assert found[0] == 15  # however often
    assert sorted(found, reverse=True) == found
    assert sorted(set(found)) == [0, 1, 3, 7, 15]
    assert 7 <= often.of("now") <= 15


def test_keys_are_bounded_and_the_popular_ones_survive_many_that_are_asked_once() -> None:
    often = Often(keys=100, lately=1_000_000)
    for _ in range(1_000):
        often.count("popular")
    for number in range(500):
        often.count(number)
        assert len(often._counts) <= 101
    assert often.of("popular") == 0  # 15 halved five times: not for ever either
    often.count("popular")
    for number in range(80):
        often.count("popular")
        often.count(number)
    assert often.of("popular") >= 7

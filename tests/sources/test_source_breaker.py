"""The breaker opens after failures in a row, stays open for its time, tries one call, and forgets earlier calls."""

from gateway.sources.breaker import Breaker, State


def _opened(seconds: float = 10.0) -> Breaker:
    breaker = Breaker(3, seconds)
    for _ in range(3):
        ticket = breaker.admit(0.0)
        assert ticket is not None
        breaker.failed(ticket, 0.0)
    assert breaker.state is State.OPEN
    return breaker


def test_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(3, 10.0)
    for failed in (True, True, False, True, True):
        ticket = breaker.admit(0.0)
        assert ticket is not None
        if failed:
            breaker.failed(ticket, 0.0)
        else:
            breaker.succeeded(ticket)
    assert breaker.state is State.CLOSED
    breaker.failed(breaker.admit(0.0) or 0, 0.0)
    assert breaker.state is State.OPEN
    assert breaker.admit(9.9) is None


def test_half_open_admits_one_trial_at_a_time() -> None:
    breaker = _opened()
    trial = breaker.admit(10.0)
    assert trial is not None
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit(10.0) is None
    breaker.succeeded(trial)
    assert breaker.state is State.CLOSED
    assert breaker.admit(10.0) is not None


def test_a_failed_trial_opens_for_the_whole_time_again() -> None:
    breaker = _opened()
    breaker.failed(breaker.admit(10.0) or 0, 12.0)
    assert breaker.admit(21.9) is None
    assert breaker.admit(22.0) is not None


def test_an_abandoned_trial_leaves_it_to_the_next() -> None:
    breaker = _opened()
    breaker.abandoned(breaker.admit(10.0) or 0, 11.0)
    assert breaker.admit(11.0) is not None


def test_outcomes_of_earlier_calls_are_ignored() -> None:
    breaker = Breaker(1, 10.0)
    late, bad = breaker.admit(0.0), breaker.admit(0.0)
    assert late is not None
    assert bad is not None
    breaker.failed(bad, 0.0)
    breaker.succeeded(late)
    assert breaker.state is State.OPEN
    trial = breaker.admit(10.0)
    breaker.failed(late, 10.0)
    assert breaker.state is State.HALF_OPEN
    assert trial is not None


def test_what_the_source_says_about_when_to_come_back_counts_and_is_capped() -> None:
    turns: list[State] = []
    breaker = Breaker(5, 10.0, turns.append)
    breaker.failed(breaker.admit(0.0) or 0, 0.0, pause=60.0)
    assert breaker.admit(59.0) is None
    breaker.failed(breaker.admit(60.0) or 0, 60.0, pause=1e9)
    assert breaker.is_open(359.0)
    assert not breaker.is_open(360.0)
    assert turns == [State.OPEN, State.HALF_OPEN, State.OPEN]

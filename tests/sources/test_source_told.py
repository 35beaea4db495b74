"""Upstream answers are hostile input: what PostgreSQL won't take is a failure, and no failure ever has rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fake_source import policy

from connectors.base import Answer, Failure, FailureKind
from gateway.sources.told import STATUSES, NoAnswer, Told, read

NOW = 1_800_000_000.0


def _answer(*rows: object, at: float = NOW) -> Answer:
    return Answer(rows, datetime.fromtimestamp(at, UTC))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"court": "a\x00b"}, "MALFORMED"),
        ({"court": "\ud800"}, "MALFORMED"),
        ({"amount": float("nan")}, "MALFORMED"),
        ({"court": object()}, "MALFORMED"),
        ({"amount": 10**5000}, "MALFORMED"),
        ({"court": "x" * 5_000_000}, "TOO_LARGE"),
    ],
)
def test_what_jsonb_refuses_is_a_failure(row: object, reason: str) -> None:
    assert read(policy(), "dishonest", "A" * 18, _answer(row), NOW) == NoAnswer(reason)


def test_a_text_that_merely_looks_like_an_escape_is_data() -> None:
    reply = read(policy(), "dishonest", "A" * 18, _answer({"court": "\\u0000", "state": "\\\\u0000"}), NOW)
    assert isinstance(reply, Told)


def test_a_subject_that_was_left_out_is_a_failure() -> None:
    assert read(policy(), "dishonest", "A" * 18, None, NOW) == NoAnswer("MALFORMED")


def test_an_answer_without_rows_is_fresh_for_a_shorter_time() -> None:
    none, some = (
        read(policy(), "dishonest", "A" * 18, _answer(), NOW),
        read(policy(), "dishonest", "A" * 18, _answer({"court": "博乐"}), NOW),
    )
    assert isinstance(none, Told)
    assert isinstance(some, Told)
    assert none.rows == "[]"
    assert none.fresh_until == NOW + 4 * 3600
    assert some.fresh_until == NOW + 86_400
    assert some.rows == '[{"court":"博乐"}]'
    assert none.until == some.until == NOW + 7 * 86_400


def test_a_clock_that_runs_ahead_makes_nothing_fresh_for_longer() -> None:
    reply = read(policy(), "dishonest", "A" * 18, _answer(at=NOW + 3600), NOW)
    assert isinstance(reply, Told)
    assert reply.asked_at == NOW


def test_as_of_is_shanghai_time_with_milliseconds() -> None:
    reply = read(policy(), "dishonest", "A" * 18, _answer(at=NOW - 0.5), NOW)
    assert isinstance(reply, Told)
    assert reply.as_of == "2027-01-15T15:59:59.500+08:00"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_failure_is_refused_or_unavailable(kind: FailureKind) -> None:
    reply = read(policy(), "dishonest", "A" * 18, Failure(kind), NOW)
    assert isinstance(reply, NoAnswer)
    refused = kind in (FailureKind.THROTTLED, FailureKind.FORBIDDEN, FailureKind.REJECTED)
    wants = kind is FailureKind.CONSENT_REJECTED
    assert STATUSES[reply.status] == ("REFUSED" if refused else "CONSENT_REQUIRED" if wants else "UNAVAILABLE")


def test_identity_numbers_in_rows_are_masked() -> None:
    nobody = "652799196009290017"  # no such division
    row = {"result": f"张某（{nobody}）", "parties": [{"number": int(nobody), nobody: "x"}], "amount": 123456789012345}
    reply = read(policy(), "dishonest", "A" * 18, _answer(row), NOW)
    assert isinstance(reply, Told)
    assert nobody not in reply.rows
    assert reply.rows.count("6527**********0017") == 3
    assert "123456789012345" in reply.rows

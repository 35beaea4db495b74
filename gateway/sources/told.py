"""What a source told about one part of one subject, or why it told nothing; and the status that follows.

The ways in which there is no answer are kept apart from "no record" here: only `Told` has rows, and only a connector's
Answer or a kept row of core.source_answer makes one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from connectors.base import Answer, Failure, FailureKind, Outcome, Pending
from gateway.sources.policy import SourcePolicy
from gateway.storage.identifiers import mask_identity_numbers_in
from gateway.zone import SHANGHAI

LARGEST: Final = 1024 * 1024  # bytes of one part's rows about one subject

# From best to worst; a section is as good as its worst part. An answer that is late or wants a consent is still on its
# way, one that was never asked for is not; a refusal is final for now, and an outage tells nothing at all.
STATUSES: Final = (
    "ANSWERED",
    "CACHED",
    "STALE",
    "PENDING",
    "CONSENT_REQUIRED",
    "NOT_CONSULTED",
    "REFUSED",
    "UNAVAILABLE",
)
ANSWERED, CACHED, STALE, PENDING, CONSENT_REQUIRED, NOT_CONSULTED, REFUSED, UNAVAILABLE = range(len(STATUSES))

# Reasons besides the names of FailureKind. Of those here only the last three are of a source that was to be asked.
NOT_CONFIGURED: Final = "NOT_CONFIGURED"  # no connector
MATTER: Final = "MATTER"  # the asker's matter doesn't allow the source
PUBLIC_NOT_KEPT: Final = "PUBLIC_NOT_KEPT"  # the public view never calls, and no answer is kept
PUBLIC: Final = "PUBLIC"  # the public view never calls; what is kept is past its freshness
HOPS: Final = "HOPS"  # asked by another gateway, which gets kept answers alone
BUDGET: Final = "BUDGET"  # the call could not start within the budget
NO_CONSENT: Final = "NO_CONSENT"  # none that fits subject, asker, matter, scope and day; which is not told
LOGGED: Final = "LOGGED"  # PostgreSQL would write what a source says into its log, which must not keep it
LATER: Final = "LATER"  # the source has taken the question and answers later
NOT_PASSED_ON: Final = "NOT_PASSED_ON"  # a region does not pass on what was selected (storage/source_functions.py)
BREAKER_OPEN: Final = "BREAKER_OPEN"  # failures in a row: nothing is called for a while
CONNECTOR: Final = "CONNECTOR"  # a fault of our own; the log has it

_STATUS: Final = {
    FailureKind.THROTTLED.value: REFUSED,
    FailureKind.FORBIDDEN.value: REFUSED,
    FailureKind.REJECTED.value: REFUSED,
    FailureKind.CONSENT_REJECTED.value: CONSENT_REQUIRED,
    NO_CONSENT: CONSENT_REQUIRED,
    LATER: PENDING,
    NOT_CONFIGURED: NOT_CONSULTED,
    MATTER: NOT_CONSULTED,
    PUBLIC_NOT_KEPT: NOT_CONSULTED,
    HOPS: NOT_CONSULTED,
    BUDGET: NOT_CONSULTED,
    LOGGED: NOT_CONSULTED,
}

# Made once: json.dumps makes a new one for each call.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# NUL as JSON has it: jsonb refuses it, which would fail the body statement of everybody who is shown the row.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: `rows` a JSON list as text, `asked_at`, `fresh_until` and `until` Unix seconds, `as_of` RFC 3339."""

    asked_at: float
    as_of: str
    rows: str
    fresh_until: float
    until: float


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is none: a name of FailureKind or one of the reasons above."""

    reason: str

    @property
    def status(self) -> int:
        """Position in STATUSES."""
        return _STATUS.get(self.reason, UNAVAILABLE)


Reply: TypeAlias = "Told | NoAnswer"


def told(policy: SourcePolicy, part: str, asked_at: float, rows: str) -> Told:
    """An answer with its terms. `asked_at` in Unix seconds."""
    fresh, shown = policy.terms(part, rows)
    as_of = datetime.fromtimestamp(asked_at, SHANGHAI).isoformat(timespec="milliseconds")
    return Told(asked_at, as_of, rows, asked_at + fresh, asked_at + shown)


def read(
    policy: SourcePolicy, part: str, uscc: str, outcome: Outcome | None, now: float, end: float | None = None
) -> Reply:
    """A connector's outcome as a reply; None is a subject that it left out. `now` in Unix seconds.

    Rows get what the gateway itself has to say of them (policy.complete). What PostgreSQL would not take as jsonb is a
    failure here, before it can fail a statement. Identity numbers in any text of the rows are masked here, before
    anything is kept or shown. What is not read by `end` (time.monotonic, s) is TOO_LARGE, as more than LARGEST bytes.
    """
    if isinstance(outcome, Failure):
        return NoAnswer(outcome.kind.value)
    if isinstance(outcome, Pending):
        return NoAnswer(LATER)
    if not isinstance(outcome, Answer):
        return NoAnswer(FailureKind.MALFORMED.value)
    try:
        rows = _rows(policy, uscc, outcome.rows, end)
    except (TypeError, ValueError, KeyError, RecursionError):  # UnicodeEncodeError, a lone surrogate, is a ValueError
        return NoAnswer(FailureKind.MALFORMED.value)
    if rows is None:
        return NoAnswer(FailureKind.TOO_LARGE.value)
    if _NUL.search(rows):
        return NoAnswer(FailureKind.MALFORMED.value)
    # A clock that runs ahead must not make an answer fresh for longer.
    return told(policy, part, min(outcome.asked_at.timestamp(), now), rows)


def _rows(policy: SourcePolicy, uscc: str, rows: Sequence[Any], end: float | None) -> str | None:
    """Rows as a JSON list, None where they are too many bytes or too late; as they came before any work is done on
    them, which takes far longer than to write them."""
    size = 0
    for row in rows:
        size += len(_ENCODE(row).encode()) + 1
        if size > LARGEST:
            return None
    made: list[str] = []
    size = 1
    for row in rows:
        if end is not None and time.monotonic() > end:
            return None
        made.append(_ENCODE(policy.complete(policy.code, uscc, mask_identity_numbers_in(row))))
        size += len(made[-1].encode()) + 1
        if size > LARGEST:
            return None
    return f"[{','.join(made)}]"

"""What every connector speaks: questions, answers and the ways in which an upstream fails.

A connector is a thin, stateless-as-possible translation of one wire contract. Caching, coalescing, circuit breaking and
budgets around it belong to gateway.sources.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
Cell: TypeAlias = "None | bool | int | str | Sequence[Cell] | Mapping[str, Cell]"  # no float: amounts are decimal text
Row: TypeAlias = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """A subject as upstreams are asked for it: an 18-character USCC and, where known, the name (else empty)."""

    uscc: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """A subject's written consent to a query about it, as an upstream is told of it.

    `document_sha256` is lower-case hex, `grantee` the USCC of the asking organisation, `valid_to` the last day
    (YYYY-MM-DD).
    """

    id: str
    document_sha256: str
    grantee: str
    valid_to: str


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the question is asked for: matter code, case number, USCC of the asking organisation, and the consent where
    the upstream wants one. `apart` names whose pending requests it may take up (`RequestBook`); it isn't sent."""

    matter: str
    case_number: str
    on_behalf_of: str | None = None
    consent: Consent | None = None
    apart: str = ""


class FailureKind(enum.StrEnum):
    """How an upstream failed to answer; the gateway shows the name as `reason`. None of them means "no record"."""

    TIMEOUT = "TIMEOUT"  # nothing, or not everything, within the deadline
    UNREACHABLE = "UNREACHABLE"  # no connection, or it broke
    THROTTLED = "THROTTLED"  # 302 to a page, 412, 429: refused for now
    SERVER_ERROR = "SERVER_ERROR"  # 5xx
    MALFORMED = "MALFORMED"  # not by the contract: HTML, cut JSON, missing keys, wrong types or totals
    FOREIGN_ROWS = "FOREIGN_ROWS"  # a row about another subject than was asked
    TOO_LARGE = "TOO_LARGE"  # body or pages beyond the limits
    CREDENTIALS = "CREDENTIALS"  # signature, clock, secret or token refused
    FORBIDDEN = "FORBIDDEN"  # no right to the service
    CONSENT_REJECTED = "CONSENT_REJECTED"  # the upstream does not take the consent for one
    REJECTED = "REJECTED"  # any other refusal that the upstream words itself


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows about one subject. No rows is an answer: "no record". `asked_at` is aware (UTC)."""

    rows: tuple[Row, ...]
    asked_at: datetime
    unreadable: int = 0  # fields (dates) that could not be read and are null in rows


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `retry_after` in seconds where the upstream said so; `detail` is for logs, no secrets."""

    kind: FailureKind
    retry_after: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The upstream has taken the question and answers later; asking again takes the same request up. `retry_after` in
    seconds where the upstream said so. Never "no record"."""

    retry_after: float | None = None


Outcome: TypeAlias = Answer | Pending | Failure


class Connector(Protocol):
    """One upstream. `parts` are what can be asked for apart from each other (for courts: its four services)."""

    code: str
    parts: tuple[str, ...]

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """Ask `part` about `subjects`; returns an outcome for each USCC, all of them, by `deadline` (loop time, s).

        Never raises for anything the upstream does; asyncio.CancelledError passes through.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Idempotent."""
        ...


class RequestBook(Protocol):
    """Requests whose answer is still to come, by subject, consent and who shares them: a later ask takes them up again.

    It holds no answers. What it raises fails the ask that called it (`BanksConnector` says how).
    """

    async def find(self, uscc: str, consent_id: str, apart: str = "") -> str | None:
        """The request id that was kept, until its last day is over; else None."""
        ...

    async def keep(self, uscc: str, consent_id: str, request_id: str, until: str, apart: str = "") -> None:
        """Keep a request id, in place of an earlier one. `until` is the last day, YYYY-MM-DD in Asia/Shanghai."""
        ...

    async def forget(self, uscc: str, consent_id: str, apart: str = "") -> None:
        """Forget what was kept; nothing happens where nothing was."""
        ...

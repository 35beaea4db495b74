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
Row: TypeAlias = Mapping[str, "str | int | None | list[str]"]


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """A subject as upstreams are asked for it: an 18-character USCC and, where known, the name (else empty)."""

    uscc: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the question is asked for: matter code, case number, USCC of the asking organisation."""

    matter: str
    case_number: str
    on_behalf_of: str | None = None


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


Outcome: TypeAlias = Answer | Failure


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

"""A source in the process: answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from connectors.base import Answer, Failure, FailureKind, Outcome, Purpose, SubjectRef
from gateway.auth.principal import Principal
from gateway.sources.policy import SourcePolicy
from gateway.storage import levels

ASKER = Principal(levels.RESTRICTED, client_id="c", matter="GRANT", case_number="1", sources=frozenset({"COURTS"}))
PARTS = ("dishonest", "enforcement")
DAY = 86_400.0
PATIENCE = 20.0  # s where the deadline is not what is tested: a machine that tests may pause


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Fake:
    """A connector. `say(part, uscc)` gives the outcome, None leaves the subject out, an exception is raised."""

    clock: Clock
    code: str = "courts"
    parts: tuple[str, ...] = PARTS
    say: Callable[[str, str], Outcome | Exception | None] | None = None
    delay: float = 0.0
    gate: asyncio.Event | None = None
    calls: list[tuple[str, tuple[str, ...], Purpose | None]] = field(default_factory=list)
    flying: int = 0
    most: int = 0
    closed: bool = False

    def answer(self, *rows: Mapping[str, str]) -> Answer:
        return Answer(rows, datetime.fromtimestamp(self.clock.now, UTC))

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        self.calls.append((part, tuple(s.uscc for s in subjects), purpose))
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.delay)
        finally:
            self.flying -= 1
        said: dict[str, Outcome] = {}
        for subject in subjects:
            plain = self.answer({"case_number": f"{part} {subject.uscc}"})
            outcome = self.say(part, subject.uscc) if self.say else plain
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                said[subject.uscc] = outcome
        return said

    async def close(self) -> None:
        self.closed = True


class NoDatabase:
    """A pool that has nothing and takes everything; counts statements."""

    def __init__(self) -> None:
        self.fetches = 0

    async def fetch(
        self, sql: str, arguments: Sequence[object], *, read: Callable[[list[object]], object], **_: object
    ) -> object:
        self.fetches += 1
        return read([])

    async def execute(self, sql: str, arguments: Sequence[object] = ()) -> None:
        pass


def policy(**changes: object) -> SourcePolicy:
    plain: dict[str, object] = {
        "code": "COURTS",
        "fresh": DAY,
        "negative_fresh": 4 * 3600.0,
        "stale": 7 * DAY,
        "budget": PATIENCE,
        "concurrency": 8,
        "requests_per_second": 0.0,
        "breaker_failures": 5,
        "breaker_seconds": 10.0,
    }
    return SourcePolicy(**{**plain, **changes})  # type: ignore[arg-type]


def code() -> str:
    """A subject that no other test has."""
    return uuid4().hex[:18].upper()


def soon(seconds: float = PATIENCE) -> float:
    return asyncio.get_running_loop().time() + seconds


def failing(kind: str, **more: float) -> Callable[[str, str], Outcome]:
    return lambda part, uscc: Failure(FailureKind(kind), **more)


def said(consulted: object, uscc: str, source: str = "COURTS") -> tuple[str, str | None]:
    """(status, reason) of a subject's section."""
    answer = json.loads(consulted.parameters[source])[uscc]["answer"]  # type: ignore[attr-defined]
    return answer["status"], answer["reason"]


def rows(consulted: object, uscc: str, part: str = "dishonest") -> list[dict[str, str]]:
    found = json.loads(consulted.parameters["COURTS"])[uscc][part]  # type: ignore[attr-defined]
    assert isinstance(found, list)
    return found

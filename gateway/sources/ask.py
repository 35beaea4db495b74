"""Asking all sources that a request wants, within its budget and the asker's rights.

`consult` is what the engine calls between finding the keys and running the body statement.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry

from connectors.base import Connector, FailureKind, Purpose
from gateway.auth.principal import Principal
from gateway.sources.answers import KeptAnswers, Key
from gateway.sources.breaker import State
from gateway.sources.flight import Flight, land
from gateway.sources.lane import Lane
from gateway.sources.metrics import SourceMetrics
from gateway.sources.policy import SourcePolicy
from gateway.sources.section import FreshSections, PartAnswer, Section, lines, parameter, section, settled
from gateway.sources.told import (
    ANSWERED,
    BUDGET,
    CACHED,
    HOPS,
    MATTER,
    NOT_CONFIGURED,
    NOT_CONSULTED,
    PUBLIC,
    PUBLIC_NOT_KEPT,
    STATUSES,
    NoAnswer,
    Reply,
    Told,
)
from gateway.sources.writer import AnswerWriter, HealthWriter
from gateway.storage import levels
from gateway.storage.pool import Pool

_Plan: TypeAlias = dict[str, dict[str, tuple[str, ...]]]  # source → USCC → parts
_UNMADE: Final = Section("", "", NOT_CONSULTED, 0.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Parts of one source about subjects (18-character USCCs), in order. `parts` is never empty."""

    source: str
    parts: tuple[str, ...]
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consulted:
    """Answers by source as jsonb text, in the shape of catalogue.SOURCE_FUNCTIONS, and what the disclosure keeps.

    `statuses` is JSON text {source: {USCC: {"status", "asOf", "reason"?, "parts"}}}; where all subjects of a source
    have the same, one entry "*" stands for them. `behind` has, by source, the subjects without a fresh answer: in the
    public view those of them that are on record are for `Sources.refresh`.
    """

    parameters: Mapping[str, str]
    statuses: str
    behind: Mapping[str, tuple[str, ...]]


class Sources:
    """All sources of one process, by code. `connectors` lacks those that the operator has not set up.

    `pool` is of the role `service`; `clock` gives Unix seconds, `chance` numbers in [0, 1) for jitter.
    """

    def __init__(
        self,
        policies: Iterable[SourcePolicy],
        connectors: Mapping[str, Connector],
        pool: Pool,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        kept_entries: int = 50_000,
        kept_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        by_code = {policy.code: policy for policy in policies}
        self._metrics = SourceMetrics(registry)
        self._kept = KeptAnswers(by_code, pool, entries=kept_entries, size=kept_bytes // 2, clock=clock)
        self._ready = FreshSections(kept_bytes // 2)
        self._writer = AnswerWriter(pool, self._metrics.lost)
        self._health = HealthWriter(pool)
        self._clock = clock
        self._lanes = {
            code: Lane(
                policy,
                connectors[code],
                self._metrics,
                partial(self._answered, code),
                partial(self._turned, code),
                clock=clock,
                chance=chance,
            )
            for code, policy in by_code.items()
            if code in connectors
        }
        for code in self._lanes:
            self._metrics.breaker.labels(code).set(State.CLOSED)

    async def consult(self, wanted: Sequence[Wanted], principal: Principal, deadline: float) -> Consulted:
        """Answers for all that is wanted, by `deadline` (loop time, s): kept, else asked for, else why there are none.

        Raises StorageUnavailable where kept answers can't be read; never for anything that a source does.
        """
        plan = self._plan(wanted)
        sections: dict[str, dict[str, Section]] = {}
        asked: list[Key] = []
        now = self._clock()
        for source, subjects in plan.items():
            refusal = self._refusal(source, principal)
            if refusal is not None:
                none: PartAnswer = (NOT_CONSULTED, refusal, None, "[]", 0.0)
                sections[source] = {uscc: section(uscc, parts, [none] * len(parts)) for uscc, parts in subjects.items()}
                continue
            # In the order wanted: a subject that is asked for keeps its place with a section that is never read.
            ready = self._ready.find(source, subjects, now)
            sections[source] = {uscc: one or _UNMADE for uscc, one in ready.items()}
            asked += [(source, part, uscc) for uscc, one in ready.items() if one is None for part in subjects[uscc]]
        if asked:
            board = await self._answer(asked, principal, deadline)
            self._compose(plan, board, sections)
        return self._consulted(sections)

    def refresh(self, source: str, parts: Sequence[str], usccs: Sequence[str]) -> int:
        """Queue, at low priority, what has no fresh answer; returns how many questions were queued.

        For the public view, and only with subjects that are on record: nobody else's code goes to a source unasked.
        """
        lane = self._lanes.get(source)
        if lane is None or lane.policy.by_purpose or not lane.policy.keep:
            return 0
        fresh = self._kept.fresh
        return lane.refresh(
            [(part, uscc) for uscc in usccs for part in parts if part in lane.parts and not fresh((source, part, uscc))]
        )

    async def close(self) -> None:
        """Give up calls, let go of connectors, and write what is still to be written. Idempotent."""
        for lane in self._lanes.values():
            await lane.close()
        await self._writer.close()
        await self._health.close()

    def _plan(self, wanted: Sequence[Wanted]) -> _Plan:
        """What is wanted, by source and subject; a source that is wanted at two places is asked once for both."""
        plan: _Plan = {}
        for want in wanted:
            lane = self._lanes.get(want.source)
            if not want.parts or (lane is not None and not lane.parts.issuperset(want.parts)):
                raise ValueError(f"parts {want.parts} of source {want.source}")
            subjects = plan.setdefault(want.source, {})
            for uscc in want.subjects:
                if not (uscc.isascii() and uscc.isalnum()):  # it is pasted into JSON
                    raise ValueError("a subject that is not a code")
                had = subjects.get(uscc)
                subjects[uscc] = want.parts if had is None else tuple(dict.fromkeys(had + want.parts))
        return plan

    def _refusal(self, source: str, principal: Principal) -> str | None:
        """Why neither the source nor its kept answers may be used for this request at all."""
        if source not in self._lanes:
            return NOT_CONFIGURED
        if principal.access != levels.PUBLIC and source not in principal.sources:
            return MATTER
        return None

    def _compose(
        self, plan: _Plan, board: Mapping[Key, PartAnswer], sections: Mapping[str, dict[str, Section]]
    ) -> None:
        """Sections in place of those that were not ready, kept for the next asker where all is kept and fresh."""
        for source, made in sections.items():
            for uscc, one in made.items():
                if one is _UNMADE:
                    parts = plan[source][uscc]
                    one = section(uscc, parts, [board[source, part, uscc] for part in parts])
                    made[uscc] = one
                    if one.status == CACHED:
                        self._ready.put((source, parts, uscc), one)

    def _consulted(self, sections: Mapping[str, Mapping[str, Section]]) -> Consulted:
        behind: dict[str, tuple[str, ...]] = {}
        for source, made in sections.items():
            for status, count in Counter([one.status for one in made.values()]).items():
                self._metrics.answers.labels(source, STATUSES[status]).inc(count)
            behind[source] = tuple([uscc for uscc, one in made.items() if one.status > CACHED])
        statuses = ",".join([f'"{source}":{lines(made)}' for source, made in sections.items()])
        parameters = {source: parameter(made.values()) for source, made in sections.items()}
        return Consulted(parameters, "{" + statuses + "}", behind)

    async def _answer(self, keys: list[Key], principal: Principal, deadline: float) -> dict[Key, PartAnswer]:
        """A part's answer for each key: kept and fresh, else asked where this asker may, else why not."""
        board: dict[Key, PartAnswer] = {}
        kept = await self._kept.find([key for key in keys if self._lanes[key[0]].policy.keep], deadline)
        now = self._clock()
        rest: list[Key] = []
        for key in keys:
            answer = kept.get(key)
            if answer is not None and answer.fresh_until > now:
                board[key] = settled(answer, None)
            else:
                rest.append(key)
        if not rest:
            return board
        replies: Mapping[Key, Reply] = {}
        if principal.access == levels.PUBLIC:
            unasked, expired = NoAnswer(PUBLIC_NOT_KEPT), NoAnswer(PUBLIC)
        elif principal.hops > 0:
            unasked = expired = NoAnswer(HOPS)
        else:
            replies = await self._ask(rest, principal, deadline)
            unasked = expired = NoAnswer(BUDGET)
        for key in rest:
            answer = kept.get(key)
            reply = replies.get(key, unasked if answer is None else expired)
            if isinstance(reply, Told):
                board[key] = (ANSWERED, None, reply.as_of, reply.rows, 0.0)
            else:
                board[key] = settled(answer, reply)
        return board

    async def _ask(self, keys: list[Key], principal: Principal, deadline: float) -> dict[Key, Reply]:
        """Replies of the sources. Every source has its own budget inside the request's, and waits for no other."""
        by_source: dict[str, list[tuple[str, str]]] = {}
        for source, part, uscc in keys:
            by_source.setdefault(source, []).append((part, uscc))
        now = asyncio.get_running_loop().time()
        if now >= deadline:
            return {}
        waits: list[tuple[float, Lane, list[Flight]]] = []
        try:
            for source, questions in by_source.items():
                lane = self._lanes[source]
                end = min(deadline, now + lane.policy.budget)
                waits.append((end, lane, lane.join(questions, _purpose(lane.policy, principal), end)))
            # All are under way; waiting in the order of their ends makes none wait longer than its own.
            for end, _, flights in sorted(waits, key=lambda wait: wait[0]):
                await land(flights, end)
            return {
                (lane.policy.code, flight.part, flight.uscc): flight.reply(FailureKind.TIMEOUT.value, BUDGET)
                for _, lane, flights in waits
                for flight in flights
            }
        finally:
            for _, lane, flights in waits:
                lane.leave(flights)

    def _answered(self, source: str, part: str, uscc: str, answer: Told) -> None:
        self._health.answered(source, answer.asked_at)
        if self._lanes[source].policy.keep:
            key = (source, part, uscc)
            self._kept.put(key, answer)
            self._writer.put(key, answer)

    def _turned(self, source: str, state: State) -> None:
        self._metrics.breaker.labels(source).set(state)
        self._health.turned(source, state is State.CLOSED)


def _purpose(policy: SourcePolicy, principal: Principal) -> Purpose | None:
    """What a source is told; one that has no use for it is told nothing of the asker."""
    if not policy.by_purpose:
        return None
    return Purpose(principal.matter or "", principal.case_number or "", principal.on_behalf_of)

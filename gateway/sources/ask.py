"""Asking all sources that a request wants, within its budget and the asker's rights.

`consult` is what the engine calls between finding the keys and running the body statement.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry

from connectors.base import Connector, FailureKind, Purpose
from gateway.auth.principal import Principal
from gateway.sources.answers import KeptAnswers, Key, of_purpose
from gateway.sources.breaker import State
from gateway.sources.consented import by_consent
from gateway.sources.flight import Asker, Flight, land
from gateway.sources.lane import Lane
from gateway.sources.metrics import SourceMetrics
from gateway.sources.policy import PEERS, SourcePolicy
from gateway.sources.section import (
    FreshSections,
    PartAnswer,
    Section,
    at_once,
    lines,
    parameter,
    parameter_of_several,
    section,
    settled,
    unanswered,
    within,
)
from gateway.sources.told import (
    BUDGET,
    CACHED,
    HOPS,
    LOGGED,
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
from gateway.sources.wanted import (
    MOMENT,
    Consents,
    Consulted,
    Inquire,
    NoConsents,
    NoSeals,
    Seals,
    Wanted,
    nobody_to_tell,
    purpose_of,
)
from gateway.sources.writer import AnswerWriter, HealthWriter
from gateway.storage import levels
from gateway.storage.pool import Pool

_Plan: TypeAlias = dict[str, dict[str, tuple[str, ...]]]  # source → USCC → parts
_Sections: TypeAlias = "dict[str, dict[str, Section]]"  # source → USCC → section
_LARGEST: Final = 16 * 1024 * 1024  # bytes of what one request hands to its statement
_DOUBT: Final = 0.5  # s that a question under consent waits for what seals there are
_UNMADE: Final = Section("", "", NOT_CONSULTED, 0.0)


class Sources:
    """All sources of one process, by code. `connectors` lacks those that the operator has not set up.

    `pool` is of the role `service`; `consents` has those under which a source may be asked, and `logging_settings` what
    would write its answers into PostgreSQL's log (empty: nothing); without them it is never asked. `seals`: which
    requests leave nothing that another asker could find. `clock` gives Unix seconds, `chance` numbers in [0, 1).
    """

    def __init__(
        self,
        policies: Iterable[SourcePolicy],
        connectors: Mapping[str, Connector],
        pool: Pool,
        registry: CollectorRegistry,
        *,
        consents: Consents | None = None,
        logging_settings: Callable[[], Awaitable[str]] | None = None,
        seals: Seals | None = None,
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
        self._consents = consents or NoConsents()
        self._seals = seals or NoSeals()
        self._logging_settings = logging_settings
        self._policies = by_code
        self._groups: dict[str, list[str]] = {}
        for policy in by_code.values():
            if policy.group:
                self._groups.setdefault(policy.group, []).append(policy.code)
        self._lanes = {
            code: Lane(
                policy,
                connectors[code],
                self._metrics,
                partial(self._answered, code),
                partial(self._turned, code),
                seals=self._seals,
                clock=clock,
                chance=chance,
            )
            for code, policy in by_code.items()
            if code in connectors
        }
        for code in self._lanes:
            self._metrics.breaker.labels(code).set(State.CLOSED)

    async def consult(
        self, wanted: Sequence[Wanted], principal: Principal, deadline: float, *, inquire: Inquire = nobody_to_tell
    ) -> Consulted:
        """Answers for all that is wanted, by `deadline` (loop time, s): kept, else asked for, else why there are none.

        Raises StorageUnavailable where kept answers can't be read; never for anything that a source does.
        """
        under = [want for want in wanted if want.under_consent]
        if principal.access.disclosed:  # taken for sealed for want of knowing, it would ask a source a second time
            await self._seals.ready(_DOUBT if under else MOMENT)
        asker = self._asker(principal)
        if not under:
            alone = await self._of_right(wanted, principal, asker, deadline)
            until = self._until(alone) if principal.access == levels.PUBLIC else 0.0
            return replace(self._consulted(alone, {}), until=until)
        rest = [want for want in wanted if not want.under_consent]
        found: list[_Sections | BaseException] = await asyncio.gather(
            self._of_right(rest, principal, asker, deadline),
            *[self._by_consent(want, principal, asker, deadline, inquire) for want in under],
            return_exceptions=True,  # all are waited for: none may go on alone when the request has ended
        )
        made: list[_Sections] = []
        for one in found:
            if isinstance(one, BaseException):
                raise one
            made.append(one)
        consented: _Sections = {}
        for of_feed in made[1:]:
            for feed, sections in of_feed.items():
                consented.setdefault(feed, {}).update(sections)
        return self._consulted(made[0], consented)

    def _asker(self, principal: Principal) -> Asker:
        """Who asks, and whether under a seal: what is not disclosed has no entry that could be sealed."""
        who = principal.client_id or "", principal.matter or "", principal.case_number or ""
        return Asker(*who, sealed=principal.access.disclosed and self._seals.cover(*who))

    async def _of_right(
        self, wanted: Sequence[Wanted], principal: Principal, asker: Asker, deadline: float
    ) -> _Sections:
        """Sections of the sources that may be asked without a consent, by source and subject."""
        plan = self._plan(wanted)
        sections: _Sections = {}
        asked: list[Key] = []
        now = self._clock()
        for source, subjects in plan.items():
            refusal = self._refusal(source, principal)
            if refusal is not None:
                sections[source] = {uscc: unanswered(parts, refusal) for uscc, parts in subjects.items()}
                continue
            # In the order wanted: a subject that is asked for keeps its place with a section that is never read.
            ready: dict[str, Section | None] = dict.fromkeys(subjects)
            if not asker.sealed:
                ready = self._ready.find(source, self._kept_as(source, subjects, principal), now)
            sections[source] = {uscc: one or _UNMADE for uscc, one in ready.items()}
            asked += [(source, part, uscc) for uscc, one in ready.items() if one is None for part in subjects[uscc]]
        if asked:
            board = await self._answer(asked, principal, asker, deadline)
            self._compose(plan, board, sections, principal, keep=not asker.sealed)
        return sections

    async def _by_consent(
        self, want: Wanted, principal: Principal, asker: Asker, deadline: float, inquire: Inquire
    ) -> _Sections:
        """Sections of a source that is asked under a consent alone."""
        refusal = self._refusal(want.source, principal) or (HOPS if principal.hops else None) or await self._logged()
        if refusal is not None:
            return {want.name: dict.fromkeys(want.subjects, unanswered(want.parts, refusal))}
        found = await by_consent(want, self._lanes[want.source], self._consents, principal, deadline, inquire, asker)
        if await self._logged() is not None:  # since then: what was said must not go into a statement
            found = dict.fromkeys(want.subjects, unanswered(want.parts, LOGGED))
        return {want.name: found}

    async def _logged(self) -> str | None:
        """LOGGED where an answer that may be kept nowhere would be kept in PostgreSQL's log."""
        return LOGGED if self._logging_settings is None or await self._logging_settings() else None

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
            for source in self._members(want.source):
                lane = self._lanes.get(source)
                if not want.parts or (lane is not None and not lane.parts.issuperset(want.parts)):
                    raise ValueError(f"parts {want.parts} of source {source}")
                subjects = plan.setdefault(source, {})
                for uscc in want.subjects:
                    if not (uscc.isascii() and uscc.isalnum()):  # it is pasted into JSON
                        raise ValueError("a subject that is not a code")
                    had = subjects.get(uscc)
                    subjects[uscc] = want.parts if had is None else tuple(dict.fromkeys(had + want.parts))
        return plan

    def _members(self, source: str) -> Sequence[str]:
        """The sources of a group, which may have none; any other source is its own."""
        return self._groups.get(source, () if source == PEERS else (source,))

    def _refusal(self, source: str, principal: Principal) -> str | None:
        """Why neither the source nor its kept answers may be used for this request at all."""
        if source not in self._lanes:
            return NOT_CONFIGURED
        if principal.access == levels.PUBLIC:
            return None
        policy = self._policies[source]
        if principal.hops and policy.group == PEERS:
            return HOPS  # what another region told us is not ours to pass on
        allowed = source in principal.sources or policy.group in principal.sources
        named = policy.matters is None or principal.matter in policy.matters
        return None if allowed and named else MATTER

    def _kept_as(
        self, source: str, subjects: Mapping[str, tuple[str, ...]], principal: Principal
    ) -> Mapping[str, tuple[str, ...]]:
        """Subjects with the names under which this asker's answers about their parts are kept."""
        purpose = _purpose(self._policies.get(source), principal)
        if purpose is None:
            return subjects
        return {uscc: tuple([of_purpose(part, purpose) for part in parts]) for uscc, parts in subjects.items()}

    def _compose(
        self,
        plan: _Plan,
        board: Mapping[Key, PartAnswer],
        sections: Mapping[str, dict[str, Section]],
        principal: Principal,
        *,
        keep: bool,
    ) -> None:
        """Sections in place of those that were not ready; `keep`: for the next asker, where all is kept and fresh."""
        for source, made in sections.items():
            kept_as = self._kept_as(source, plan[source], principal)
            for uscc, one in made.items():
                if one is _UNMADE:
                    parts = plan[source][uscc]
                    one = section(parts, [board[source, part, uscc] for part in parts])
                    made[uscc] = one
                    if keep and one.status == CACHED:
                        self._ready.put((source, kept_as[uscc], uscc), one)

    def _consulted(self, sections: _Sections, under_consent: _Sections) -> Consulted:
        within(_LARGEST, [*sections.values(), *under_consent.values()])
        behind: dict[str, tuple[str, ...]] = {}
        groups: dict[str, dict[str, tuple[str, Mapping[str, Section]]]] = {}
        parameters: dict[str, str] = {}
        for source, made in sections.items():
            self._count(source, made)
            behind[source] = tuple([uscc for uscc, one in made.items() if one.status > CACHED])
            policy = self._policies.get(source)
            if policy is not None and policy.group:
                code, name = policy.region
                region = json.dumps({"code": code, "name": name}, ensure_ascii=False)
                groups.setdefault(policy.group, {})[source] = (f'"region":{region},', made)
            else:
                parameters[source] = parameter(made)
        for group, of_group in groups.items():
            parameters[group] = parameter_of_several(of_group)
        for feed, made in under_consent.items():
            self._count(feed.partition(":")[0], made)
            parameters[feed] = parameter(made)
        statuses = ",".join([f'"{name}":{lines(made)}' for name, made in (sections | under_consent).items()])
        return Consulted(parameters, "{" + statuses + "}", behind)

    def _until(self, sections: _Sections) -> float:
        """When something of this may change (Unix seconds): fresh answers hold, and so does that a source is not set
        up; with all else another answer may come at any moment."""
        found = math.inf
        for source, made in sections.items():
            if source in self._lanes:
                for one in made.values():
                    found = min(found, one.fresh_until if one.status == CACHED else 0.0)
        return found

    def _count(self, source: str, made: Mapping[str, Section]) -> None:
        for status, count in Counter([one.status for one in made.values()]).items():
            self._metrics.answers.labels(source, STATUSES[status]).inc(count)

    async def _answer(
        self, keys: list[Key], principal: Principal, asker: Asker, deadline: float
    ) -> dict[Key, PartAnswer]:
        """A part's answer for each key: kept and fresh, else asked where this asker may, else why not."""
        board: dict[Key, PartAnswer] = {}
        places = {key: self._place(key, principal) for key in keys}
        of_kept = [places[key] for key in keys if self._lanes[key[0]].policy.keep]
        kept = await self._kept.find(of_kept, deadline, traceless=asker.sealed)
        now = self._clock()
        rest: list[Key] = []
        for key in keys:
            answer = kept.get(places[key])
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
            replies = await self._ask(rest, principal, asker, deadline)
            unasked = expired = NoAnswer(BUDGET)
        for key in rest:
            answer = kept.get(places[key])
            reply = replies.get(key, unasked if answer is None else expired)
            board[key] = at_once(reply) if isinstance(reply, Told) else settled(answer, reply)
        return board

    def _place(self, key: Key, principal: Principal) -> Key:
        """Where this asker's answer is kept."""
        source, part, uscc = key
        return source, of_purpose(part, _purpose(self._policies[source], principal)), uscc

    async def _ask(self, keys: list[Key], principal: Principal, asker: Asker, deadline: float) -> dict[Key, Reply]:
        """Replies of the sources. Every source has its own budget inside the request's, and waits for no other."""
        by_source: dict[str, list[tuple[str, str]]] = {}
        for source, part, uscc in keys:
            by_source.setdefault(source, []).append((part, uscc))
        if not asker.sealed:
            await self._seals.ready(MOMENT)  # in doubt no question on its way is shared
        now = asyncio.get_running_loop().time()
        if now >= deadline:
            return {}
        waits: list[tuple[float, Lane, list[Flight]]] = []
        try:
            for source, questions in by_source.items():
                lane = self._lanes[source]
                end = min(deadline, now + lane.policy.budget)
                waits.append((end, lane, lane.join(questions, _purpose(lane.policy, principal), end, asker)))
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

    def _answered(self, source: str, flight: Flight, answer: Told) -> None:
        self._health.answered(source, answer.asked_at)
        if self._lanes[source].policy.keep:
            key = (source, of_purpose(flight.part, flight.purpose), flight.uscc)
            self._kept.put(key, answer)
            self._writer.put(key, answer)

    def _turned(self, source: str, state: State) -> None:
        self._metrics.breaker.labels(source).set(state)
        self._health.turned(source, state is State.CLOSED)


def _purpose(policy: SourcePolicy | None, principal: Principal) -> Purpose | None:
    """What a source is told; one that has no use for it is told nothing of the asker."""
    return purpose_of(principal) if policy is not None and policy.by_purpose else None

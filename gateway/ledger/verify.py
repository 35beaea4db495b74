"""`ledger verify`: everything that the log promises, recomputed from the rows.

In: a connection string of the role `log` and the keys that may have signed. Out: what was looked at, and findings: each
disclosure → entry → leaf → root, against every stored checkpoint with its signature and every tile; the subjects'
entries, gap-free and complete; tombstones with their events; months that were let go with theirs. All of it at one
moment (a snapshot that the processes share), in little memory whatever the size: rows are streamed, and what must be
compared as a whole is compared as a sum that only this run can compute.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from gateway.errors import OperatorError
from gateway.ledger.events import Keys, signed
from gateway.ledger.findings import MOST, Findings
from gateway.ledger.follow import Leaves, NotGiven
from gateway.ledger.judged import Covering, columns, covered, erased, judge, seals
from gateway.ledger.judged import let_go as let_go_by
from gateway.ledger.notes import Verifier
from gateway.ledger.recompute import SUM_BYTES, Gone, Job, recomputing

PAGES: Final = 1_500  # of all partitions in one chunk
_LAST_PAGE: Final = 2**32 - 1
_LINE: Final = 64 * 1024 * 1024  # bytes of a process's answer
_RANGES: Final = 64  # of subjects
_FEW: Final = 1_000  # pages that this process reads alone
_SETTINGS: Final = (
    "set idle_in_transaction_session_timeout = 0; set statement_timeout = 0; set work_mem = '64MB'; set jit = off;"
    "set timezone = 'UTC'; set max_parallel_workers_per_gather = 0"
)
_PAGES: Final = """select pg_relation_size(p.relid) / current_setting('block_size')::int as pages
    from pg_partition_tree('ledger.disclosure') p where p.isleaf"""
_REMOVED: Final = """select l.index, l.id, l.at, l.kind from ledger.leaf l
    where not exists (select from ledger.disclosure d where d.id = l.id) and l.kind = 'D'
    union all
    select l.index, l.id, l.at, l.kind from ledger.leaf l
    where not exists (select from ledger.event e where e.id = l.id) and l.kind <> 'D' order by 1"""
_DOUBLE: Final = "select id, count(*) from ledger.disclosure group by id having count(*) > 1 limit 100"
EVENTS: Final = """select e.id, e.at, e.kind, e.content, e.salt, e.number, e.signature, l.index, l.entry,
    l.kind = 'E' and l.at = e.at and l.xid = e.xid as fits,
    pg_visible_in_snapshot(e.xid, (select snapshot from ledger.log_state))
        or e.xid >= pg_snapshot_xmax(pg_current_snapshot()) as taken
    from ledger.event e left join ledger.leaf l on l.id = e.id order by e.at, e.id"""
_ERASED: Final = "select disclosure_id, place from ledger.erased"
_LOOSE: Final = """select e.disclosure_id, e.place, l.at
    from ledger.erased e left join ledger.leaf l on l.id = e.disclosure_id
    where not exists (select from ledger.disclosure d where d.id = e.disclosure_id and d.salt is null)"""
_TELLING: Final = dt.timedelta(days=1)  # that entries may be behind the log; a fan-out that runs is minutes behind
_UNTOLD: Final = """select f.at from (select l.at from ledger.leaf l where l.index >= $1 and l.kind = 'D'
        order by l.index limit 1) f
    where f.at < (select n.at from ledger.leaf n order by n.index desc limit 1) - $2::interval"""
_TIMES: Final = "select id, at from ledger.leaf where id = any ($1)"
_TEXTS: Final = "select hash, text from ledger.told"
_LACKING: Final = """select l.index, d.id, u.subject from ledger.leaf l join ledger.disclosure d on d.id = l.id
    cross join lateral (select distinct s as subject from unnest(d.subject_ids) s) u
    where l.kind = 'D' and l.index < $1 and l.index <> all ($2) and u.subject <> '00000000-0000-0000-0000-000000000000'
        and not exists (select from ledger.subject_entry e
            where e.subject_id = u.subject and e.leaf_index = l.index and e.disclosure_id = d.id and e.at = d.at)
    order by 1"""
_EXCESS: Final = """select e.subject_id, e.number, e.leaf_index, e.disclosure_id, e.at from ledger.subject_entry e
    where not exists (select from ledger.disclosure d join ledger.leaf l on l.id = d.id where d.id = e.disclosure_id
        and l.index = e.leaf_index and d.at = e.at and e.subject_id = any (d.subject_ids))
    order by 1, 2"""
# Leaves whose subjects' entries wait for the end of a seal that covers them.
HELD_BACK: Final = f"""select l.index from ledger.sealed_entry h join ledger.leaf l on l.index = h.leaf_index
    join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id where {covered(1)}"""
# A seal is over where the log went on behind its time: the runner ends it within seconds.
SEALS: Final = """select s.id, s.ended_at, ledger.seal_event('SEAL', s) as told, coalesce(
    s.until <= (select n.at from ledger.leaf n order by n.index desc limit 1) - interval '10 minutes', false) as over
    from ledger.seal s"""

_Ask: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Progress: TypeAlias = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    disclosures: int = 0
    pending: int = 0  # written, and not yet in the log
    entries: int = 0
    unsigned: int = 0  # entries that no checkpoint covers yet
    checkpoints: int = 0
    subject_entries: int = 0
    unnumbered: int = 0  # leaves whose subjects have no entries yet
    events: int = 0
    unsigned_events: int = 0  # of them, from before events were signed
    tombstones: int = 0
    let_go: int = 0  # disclosures of months that are no longer kept
    findings: Findings = field(default_factory=Findings)
    not_given: NotGiven = field(default_factory=NotGiven)


@dataclass(slots=True)
class _Known:
    """What the first look at the log tells."""

    size: int
    fanned: int
    taken: str
    erased: set[tuple[UUID, int]]  # tombstones that events tell of
    gone: Gone
    told_gone: tuple[int, ...]  # how many of each, as the events say
    held_back: frozenset[int]
    ended: list[Covering]


class Verification:
    """One run. `keys`: the verifier keys of the log under an origin; `others`: those of its keys that were not given,
    and whose signatures are counted as such (Report.not_given). `processes`: beside this one."""

    def __init__(
        self,
        dsn: str,
        keys: Keys,
        *,
        others: Keys = lambda origin: (),
        processes: int | None = None,
        progress: Progress = lambda what, done, of: None,
    ) -> None:
        self._dsn = dsn
        self._keys = keys
        self._others = others
        self._processes = processes or min(8, os.cpu_count() or 1)
        self._progress = progress
        self._report = Report()
        self._key = secrets.token_bytes(32)
        self._texts: set[bytes] = set()
        self._matched = 0
        self._erased = 0
        self._expected = 0  # sum of the subjects' entries that follow from the rows
        self._there = 0

    async def run(self) -> Report:
        """All of it. Raises OperatorError where the database can't be asked."""
        try:
            async with self._connection() as connection:
                snapshot = await connection.fetchval("select pg_export_snapshot()")
                known = await self._known(connection)
                held = known.held_back
                job = Job(self._dsn, snapshot, known.taken, known.fanned, held, self._key, known.gone, known.ended)
                pages = [row[0] for row in await connection.fetch(_PAGES)]
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._recompute(job, pages))
                    group.create_task(self._in_order(connection, known))
                await self._compare(connection, known)
        except* OperatorError as errors:
            raise _first(errors) from None
        except* (OSError, asyncpg.PostgresError) as errors:
            error = _first(errors)
            raise OperatorError(
                f"the database can't be asked: {type(error).__name__}: {error}; was `credit-gateway migrate` run?"
            ) from None
        return self._report

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(
            self._dsn, timeout=10, server_settings={"application_name": "credit-gateway verify"}
        )
        try:
            await connection.execute(_SETTINGS)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close(timeout=5)

    async def _known(self, connection: asyncpg.Connection[asyncpg.Record]) -> _Known:
        state = await connection.fetchrow("select size, fanned, snapshot::text as taken from ledger.log_state")
        if state is None:
            raise OperatorError("there is no log in this database; run: credit-gateway migrate")
        events = await connection.fetch(EVENTS)
        judged = judge(events, self._any_key, self._report.findings)
        self._report.events = len(judged)
        self._report.unsigned_events = sum(event.row["signature"] is None for event in judged)
        self._report.not_given.events = sum(
            event.right and event.row["signature"] is not None and not signed(event.row, self._keys) for event in judged
        )
        let_go = [*let_go_by(judged)]
        gone = Gone(tuple(window for _, window in let_go))
        in_force, ended = seals(judged, await connection.fetch(SEALS), self._report.findings)
        held = frozenset([row[0] for row in await connection.fetch(HELD_BACK, *columns(in_force))])
        self._report.unnumbered = state["size"] - state["fanned"]
        if (late := await connection.fetchval(_UNTOLD, state["fanned"], _TELLING)) is not None:
            what = f"entries since {late:%Y-%m-%d %H:%M:%S} UTC are not told yet, which takes minutes: run it again"
            self._report.findings.add("SUBJECT_ENTRIES", f"ledger.log_state, fanned {state['fanned']}", what)
        told = tuple(count for count, _ in let_go)
        return _Known(state["size"], state["fanned"], state["taken"], erased(judged), gone, told, held, ended)

    def _any_key(self, origin: str) -> Sequence[Verifier]:
        return [*self._keys(origin), *self._others(origin)]

    # Rows, by several processes ---------------------------------------------------------------------------------------

    async def _recompute(self, job: Job, pages: Sequence[int]) -> None:
        most, wide = max(pages, default=0), max(50, PAGES // max(1, sum(map(bool, pages))))
        begins = [*range(0, most, wide)] or [0]
        chunks: list[dict[str, Any]] = [{"begin": begin, "end": end} for begin, end in pairwise([*begins, _LAST_PAGE])]
        ranges = _RANGES if sum(pages) > _FEW else 1
        step = 2**128 // ranges
        chunks += [{"first": str(UUID(int=i * step)), "last": str(UUID(int=(i + 1) * step - 1))} for i in range(ranges)]
        total, waiting = len(chunks), iter(chunks)
        done = 0

        # With little to do, starting processes would take longer than doing it.
        doing = _process if sum(pages) > _FEW else _here

        async def worker() -> None:
            nonlocal done
            async with doing(job) as ask:
                for chunk in waiting:
                    self._take(chunk, await ask(chunk))
                    done += 1
                    self._progress("disclosures", done, total)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._processes if doing is _process else 1):
                group.create_task(worker())

    def _take(self, chunk: dict[str, Any], done: dict[str, Any]) -> None:
        report = self._report
        if "begin" in chunk:
            report.disclosures += done["rows"]
            report.pending += done["pending"]
            self._matched += done["matched"]
            self._erased += done["tombstones"]
            self._expected += done["sum"]
            self._texts |= {bytes.fromhex(text) for text in done["texts"]}
        else:
            report.subject_entries += done["rows"]
            self._there += done["sum"]
        _merge(report.findings, done)

    # The log itself, here ---------------------------------------------------------------------------------------------

    async def _in_order(self, connection: asyncpg.Connection[asyncpg.Record], known: _Known) -> None:
        report = self._report
        leaves = Leaves(connection, self._keys, report.findings, self._others, report.not_given)
        await leaves.run(lambda index: self._progress("entries", index, known.size))
        report.entries, report.checkpoints = leaves.size, leaves.checkpoints
        report.unsigned = max(0, leaves.size - leaves.signed)
        if leaves.size != known.size:
            report.findings.add(
                "LEAF_MISSING", "ledger.log_state", f"it counts {known.size} entries, and there are {leaves.size}"
            )
        await self._tombstones(connection, known)
        await self._removed(connection, known)

    async def _removed(self, connection: asyncpg.Connection[asyncpg.Record], known: _Known) -> None:
        """Leaves whose rows are gone: of months that were let go as many as their events say, of others none."""
        findings = self._report.findings
        counts = [0] * len(known.gone.months)
        async for row in connection.cursor(_REMOVED, prefetch=2_000):
            window = known.gone.month_of(row["at"])
            if row["kind"] == "D" and window is not None:
                counts[window] += 1
                self._report.let_go += 1
            else:
                what = "disclosure" if row["kind"] == "D" else "event"
                findings.add(
                    "ROW_REMOVED", f"{what} {row['id']} of {row['at']:%Y-%m-%d %H:%M:%S} UTC, entry {row['index']}"
                )
        for (begin, end), there, said in zip(known.gone.months, counts, known.told_gone, strict=True):
            if there != said:
                findings.add(
                    "RETENTION",
                    f"disclosures from {begin:%Y-%m-%d} until {end:%Y-%m-%d}",
                    f"{there} are gone, and the event in the log says {said}",
                )

    async def _tombstones(self, connection: asyncpg.Connection[asyncpg.Record], known: _Known) -> None:
        """Tombstones against the events that made them."""
        findings, told = self._report.findings, known.erased
        there: set[tuple[UUID, int]] = {tuple(row) for row in await connection.fetch(_ERASED)}
        self._report.tombstones = len(there)
        for identity, place in sorted(there - told):
            where = f"disclosure {identity}, place {place}"
            findings.add("TOMBSTONE", where, "no event in the log tells of this tombstone")
        lost = told - there
        times = {
            row["id"]: row["at"] for row in await connection.fetch(_TIMES, list({identity for identity, _ in lost}))
        }
        for identity, place in sorted(lost):
            if identity in times and known.gone.has(times[identity]):
                continue  # it went with its month
            findings.add("TOMBSTONE", f"disclosure {identity}, place {place}", "an erasure's tombstone is gone")

    # What needs both --------------------------------------------------------------------------------------------------

    async def _compare(self, connection: asyncpg.Connection[asyncpg.Record], known: _Known) -> None:
        report, findings = self._report, self._report.findings
        disclosures = await connection.fetchval("select count(*) from ledger.leaf where kind = 'D'")
        lost = findings.counts["ROW_REMOVED"] + report.let_go
        if self._matched != disclosures - lost:
            for identity, count in await connection.fetch(_DOUBLE):
                findings.add("ROW_DOUBLE", f"disclosure {identity}", f"{count} rows have this id")
        if self._erased != report.tombstones:
            for identity, place, at in await connection.fetch(_LOOSE):
                if at is None or not known.gone.has(at):
                    findings.add("TOMBSTONE", f"disclosure {identity}, place {place}", "nothing was erased there")
        texts: dict[bytes, bool] = {}
        async for row in connection.cursor(_TEXTS, prefetch=500):
            texts[row["hash"]] = sha256(row["text"].encode()).digest() == row["hash"]
        for found in sorted(self._texts | texts.keys()):
            if not texts.get(found):
                findings.add("TEXT_CHANGED", f"ledger.told {found.hex()}")
        if (self._expected - self._there) % 2 ** (8 * SUM_BYTES):
            await self._entries(connection, known)

    async def _entries(self, connection: asyncpg.Connection[asyncpg.Record], known: _Known) -> None:
        """The sums differ: where?"""
        findings = self._report.findings
        before = len(findings)
        held_back = list(known.held_back)
        async for index, identity, subject in connection.cursor(_LACKING, known.fanned, held_back, prefetch=2_000):
            findings.add("SUBJECT_ENTRIES", f"disclosure {identity}, entry {index}", f"subject {subject} lacks it")
        async for row in connection.cursor(_EXCESS, prefetch=2_000):  # most are of months that were let go
            if not known.gone.has(row["at"]):
                where = f"subject {row['subject_id']}, number {row['number']}"
                findings.add("SUBJECT_ENTRIES", where, f"no such disclosure: {row['disclosure_id']}")
        if len(findings) == before:
            findings.add("SUBJECT_ENTRIES", "ledger.subject_entry", "an entry stands there twice, or too early")


@asynccontextmanager
async def _here(job: Job) -> AsyncIterator[_Ask]:
    """The same without a process."""
    async with recomputing(job) as do:

        async def ask(chunk: dict[str, Any]) -> dict[str, Any]:
            made: dict[str, Any] = json.loads((await do(chunk)).line())
            return made

        yield ask


@asynccontextmanager
async def _process(job: Job) -> AsyncIterator[_Ask]:
    """A process that recomputes chunks."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.ledger.recompute",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(job.line().encode() + b"\n")

    async def ask(chunk: dict[str, Any]) -> dict[str, Any]:
        stdin.write(json.dumps(chunk).encode() + b"\n")
        await stdin.drain()
        line = await stdout.readline()
        if not line:
            raise OperatorError("a process of the verification ended early; see the lines above")
        made: dict[str, Any] = json.loads(line)
        return made

    try:
        yield ask
        stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    """One of them, the group's own nesting taken away."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _merge(findings: Findings, done: dict[str, Any]) -> None:
    for kind, where, what in done["told"]:
        findings.add(kind, where, what)
    for kind, count in done["counts"].items():
        findings.counts[kind] += max(0, count - MOST)

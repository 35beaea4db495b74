"""A process of `ledger verify`: rows of ledger.disclosure become entries again, and are held against the leaves.

In, on stdin, a line of JSON each: first the job (DSN, snapshot, what is known of the log), then chunks: pages of the
partitions, or a range of subjects. Out, on stdout: a line for each chunk with counts and findings. The parent starts as
many as there are processors; all see the database as it was at one moment. The DSN has a password: it is no argument.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import asyncpg

from gateway.ledger.commitment import ERASED_SUBJECT, OF_ENTRY, SOURCES, SUBJECTS, VARIABLES, Punctured, of_disclosure
from gateway.ledger.findings import Findings
from gateway.ledger.judged import Covering, columns, covered

BATCH: Final = 2_000  # rows that are fetched at once
SUM_BYTES: Final = 16
_SETTINGS: Final = (
    "set enable_hashjoin = off; set enable_mergejoin = off; set max_parallel_workers_per_gather = 0;"
    "set idle_in_transaction_session_timeout = 0; set statement_timeout = 0; set timezone = 'UTC'; set jit = off"
)
# The same pages of every partition: the role may not read a partition by its name. Each row finds its leaf by the id.
_ROWS: Final = """select d.id, d.at, d.client_id, d.organisation_uscc, d.view, d.matter, d.case_number, d.on_behalf_of,
    d.outcome, d.operation_name, d.document_hash, d.variables, d.subject_ids, d.snapshot, d.sources, d.withheld, d.salt,
    d.fields_hash, d.basis_hash, l.index, l.entry, l.kind = 'D' and l.at = d.at and l.xid = d.xid as fits,
    case when l.index is null then pg_visible_in_snapshot(d.xid, $1::text::pg_snapshot)
        or d.xid >= pg_snapshot_xmax(pg_current_snapshot()) end as taken
    from ledger.disclosure d left join ledger.leaf l on l.id = d.id
    where d.ctid >= $2 and d.ctid < $3"""
_ENTRIES: Final = """select subject_id, number, leaf_index, disclosure_id, at from ledger.subject_entry
    where subject_id >= $1 and subject_id <= $2 order by subject_id, number"""
# Of entries those that may have waited for the end of a seal.
_WAITED: Final = f"""select l.index from ledger.leaf l
    join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id
    where l.index = any ($1::bigint[]) and {covered(2)}"""
_ERASED: Final = "select disclosure_id, place, leaf_hash from ledger.erased where disclosure_id = any ($1)"
_KEPT: Final = "select disclosure_id, place, salt from ledger.kept_salt where disclosure_id = any ($1)"


@dataclass(frozen=True, slots=True)
class Gone:
    """The months (from, until) whose disclosures are no longer kept."""

    months: tuple[tuple[dt.datetime, dt.datetime], ...] = ()

    def month_of(self, at: dt.datetime) -> int | None:
        """Which of them a moment is in; None for what is kept."""
        return next((place for place, (begin, end) in enumerate(self.months) if begin <= at < end), None)

    def has(self, at: dt.datetime) -> bool:
        """Whether what was disclosed then is no longer kept."""
        return bool(self.months) and self.month_of(at) is not None


@dataclass(frozen=True, slots=True)
class Job:
    """What all chunks have in common."""

    dsn: str
    snapshot: str  # exported by the parent, whose transaction is open
    taken: str  # the pg_snapshot up to which rows have become leaves
    fanned: int  # the leaves below have their subjects' entries
    held_back: frozenset[int]  # leaves below it that have none yet
    key: bytes  # of the sums, made for this run: nobody can make rows whose sum fits
    gone: Gone
    ended: list[Covering]  # what seals covered that have ended

    @classmethod
    def read(cls, line: str) -> Job:
        """A job out of its JSON."""
        data = json.loads(line)
        gone = tuple((dt.datetime.fromisoformat(begin), dt.datetime.fromisoformat(end)) for begin, end in data["gone"])
        return cls(
            data["dsn"],
            data["snapshot"],
            data["taken"],
            data["fanned"],
            frozenset(data["held_back"]),
            bytes.fromhex(data["key"]),
            Gone(gone),
            [Covering(*covering) for covering in data["ended"]],
        )

    def line(self) -> str:
        """The job as JSON."""
        made = {
            "dsn": self.dsn,
            "snapshot": self.snapshot,
            "taken": self.taken,
            "fanned": self.fanned,
            "held_back": sorted(self.held_back),
            "key": self.key.hex(),
            "gone": [[begin.isoformat(), end.isoformat()] for begin, end in self.gone.months],
            "ended": [astuple(covering) for covering in self.ended],
        }
        return json.dumps(made)


@dataclass(slots=True)
class Done:
    """What became of a chunk. `sum`: of the subjects' entries that there must be, or are, in whatever order."""

    rows: int = 0
    matched: int = 0  # rows with a leaf
    pending: int = 0  # rows that are to become leaves
    tombstones: int = 0  # places that are erased
    sum: int = 0
    texts: set[str] = field(default_factory=set)  # hashes of texts that rows point to
    findings: Findings = field(default_factory=Findings)

    def line(self) -> str:
        """As JSON."""
        told = [[found.kind, found.where, found.what] for found in self.findings.told]
        return json.dumps(
            {
                "rows": self.rows,
                "matched": self.matched,
                "pending": self.pending,
                "tombstones": self.tombstones,
                "sum": self.sum,
                "texts": sorted(self.texts),
                "told": told,
                "counts": self.findings.counts,
            }
        )


def entry_sum(key: bytes, subject: UUID, index: int, disclosure: UUID, at: dt.datetime) -> int:
    """What one subject's entry adds to the sum."""
    data = subject.bytes + disclosure.bytes + struct.pack("<qd", index, at.timestamp())
    return int.from_bytes(blake2b(data, digest_size=SUM_BYTES, key=key).digest(), "big")


class Recomputing:
    """The rows of one connection's chunks."""

    def __init__(self, job: Job, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._job = job
        self._connection = connection
        self._texts: set[bytes | None] = set()  # that rows of this chunk point to

    async def rows(self, begin: int, end: int) -> Done:
        """The rows in these pages of every partition."""
        done = Done()
        pages = [(page, 0) for page in (begin, end)]
        cursor = await self._connection.cursor(_ROWS, self._job.taken, *pages)
        while batch := await cursor.fetch(BATCH):
            punctured = [row["id"] for row in batch if row["salt"] is None]
            erased, kept = await self._punctured(punctured) if punctured else ({}, {})
            for row in batch:
                self._row(row, done, erased.get(row["id"], {}), kept.get(row["id"], {}))
        done.texts = {found.hex() for found in self._texts if found is not None}
        self._texts.clear()
        return done

    async def _punctured(
        self, ids: Sequence[UUID]
    ) -> tuple[dict[UUID, dict[int, bytes]], dict[UUID, dict[int, bytes]]]:
        """Tombstones and kept salts of disclosures, by place."""
        found: list[dict[UUID, dict[int, bytes]]] = []
        for sql in (_ERASED, _KEPT):
            made: dict[UUID, dict[int, bytes]] = {}
            for identity, place, value in await self._connection.fetch(sql, ids):
                made.setdefault(identity, {})[place] = value
            found.append(made)
        return found[0], found[1]

    def _row(self, row: Any, done: Done, erased: Mapping[int, bytes], kept: Mapping[int, bytes]) -> None:
        done.rows += 1
        index = row["index"]
        if index is None:
            if row["taken"]:
                done.findings.add("ROW_ADDED", _where(row))
            else:
                done.pending += 1
            return
        done.matched += 1
        self._texts.add(row["fields_hash"])
        self._texts.add(row["basis_hash"])
        try:
            made = of_disclosure(row, erased, kept)
        except Punctured as error:
            done.findings.add("ROW_CHANGED", _where(row), f"{error}, and no tombstone stands in its place")
            return
        except (ValueError, TypeError) as error:
            done.findings.add("ROW_CHANGED", _where(row), f"no entry can be made of it ({type(error).__name__})")
            return
        if made.entry != row["entry"]:
            done.findings.add("ROW_CHANGED", _where(row))
        elif not row["fits"]:
            done.findings.add("LEAF_CHANGED", _where(row), "the leaf has another time, transaction or kind")
        if row["salt"] is None:
            done.tombstones += len(erased)
            if wrong := _puncture(row, erased, kept):
                done.findings.add("TOMBSTONE", _where(row), wrong)
        job, at = self._job, row["at"]
        let_go = job.gone.has(at)
        if let_go:
            done.findings.add("RETENTION", _where(row), "it stands in a month that was let go, as a whole")
        if index < job.fanned and index not in job.held_back and not let_go:
            for subject in {*row["subject_ids"]}:
                if subject != ERASED_SUBJECT:
                    done.sum += entry_sum(job.key, subject, index, row["id"], at)

    async def entries(self, first: str, last: str) -> Done:
        """The entries of these subjects: their numbers, in the order of the log, and their sum."""
        done, job = Done(), self._job
        cursor = await self._connection.cursor(_ENTRIES, UUID(first), UUID(last))
        subject, number, before = None, 0, -1
        while batch := await cursor.fetch(BATCH):
            back = {}
            for owner, own, index, disclosure, at in batch:
                done.rows += 1
                if owner != subject:
                    subject, number, before = owner, 0, -1
                number += 1
                if own != number:
                    done.findings.add("NUMBERS", f"subject {owner}", f"number {number} is missing, {own} follows")
                    number = own
                let_go = job.gone.has(at)
                if index < before and not let_go:  # of what is gone nobody knows any more
                    back[index, owner] = own
                before = index
                if not let_go:
                    done.sum += entry_sum(job.key, owner, index, disclosure, at)
            if back:
                await self._out_of_order(back, done)
        return done

    async def _out_of_order(self, back: Mapping[tuple[int, UUID], int], done: Done) -> None:
        """Entries that stand further back in the log than the number before theirs: the first of those that a seal held
        up, which get their numbers when it ends."""
        indices = list({index for index, _ in back})
        rows = await self._connection.fetch(_WAITED, indices, *columns(self._job.ended))
        waited = {row["index"] for row in rows}
        for (index, owner), number in back.items():
            if index not in waited:
                done.findings.add("NUMBERS", f"subject {owner}, number {number}", "it is not in the order of the log")


def _where(row: Mapping[str, Any]) -> str:
    index = row["index"]
    return f"disclosure {row['id']} of {row['at']:%Y-%m-%d %H:%M:%S} UTC" + (
        "" if index is None else f", entry {index}"
    )


def _puncture(row: Mapping[str, Any], erased: Iterable[int], kept: Iterable[int]) -> str:
    """What is wrong with a row of which something was erased; empty where it is as erasures leave it."""
    places = {*erased}
    allowed = {VARIABLES, SOURCES, *range(SUBJECTS, SUBJECTS + len(row["subject_ids"]))}
    if not places <= allowed:
        return "more was erased than personal data: its header"
    gone = {SUBJECTS + i for i, subject in enumerate(row["subject_ids"]) if subject == ERASED_SUBJECT}
    if gone != {place for place in places if place >= SUBJECTS}:
        return "other subjects were erased than have a tombstone"
    if (VARIABLES in places and row["variables"] is not None) or (SOURCES in places and row["sources"] != "{}"):
        return "something stands where variables or sources were erased"
    if places & {*kept}:
        return "the salt of what was erased is still there"
    if OF_ENTRY not in {*kept} or not places:
        return "its salt is gone, and nothing was erased"
    return ""


@asynccontextmanager
async def recomputing(job: Job) -> AsyncIterator[Callable[[Mapping[str, Any]], Awaitable[Done]]]:
    """What does a job's chunks, in this process, on a connection of its own that sees what the parent sees."""
    connection = await asyncpg.connect(job.dsn, server_settings={"application_name": "credit-gateway verify"})
    try:
        await connection.execute(_SETTINGS)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # A snapshot's name comes from the server and is checked by it; the statement takes no parameters.
            if not all(c in "0123456789ABCDEFabcdef-" for c in job.snapshot):
                raise ValueError("no snapshot of that name")
            await connection.execute(f"set transaction snapshot '{job.snapshot}'")
            doing = Recomputing(job, connection)

            async def do(chunk: Mapping[str, Any]) -> Done:
                if "begin" in chunk:
                    return await doing.rows(chunk["begin"], chunk["end"])
                return await doing.entries(chunk["first"], chunk["last"])

            yield do
    finally:
        await connection.close(timeout=5)


async def _work(lines: Iterable[str], write: Callable[[str], None]) -> None:
    source = iter(lines)
    async with recomputing(Job.read(next(source))) as do:
        for line in source:
            write((await do(json.loads(line))).line() + "\n")


def main() -> None:
    """Entry point of the process."""

    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    asyncio.run(_work(sys.stdin, write))


if __name__ == "__main__":
    main()

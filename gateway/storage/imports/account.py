"""How each authority sends its rows: rows taken, rejected, and late by more than seven working days.

In: what the imports left: versions of records, and the counts of each run. Out: an `AuthorityReport`. A file that was
imported several times counts once, by its last run that ended; a rejected row that was mended counts as rejected once
and as taken once. Late are penalties and licences: they are made public within seven working days of the decision.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass, field

import asyncpg

from gateway.storage.database import Database
from gateway.storage.identifiers import fold_name, valid_uscc
from gateway.storage.imports.connection import Connection, import_connection
from gateway.storage.imports.parse import normal_code
from gateway.storage.imports.read import InputFile, Row
from gateway.storage.working_days import WorkingDays

LIMIT = 7  # working days from the decision until it is public: 双公示
_MOST = 2_000  # authorities of one run that are counted apart
# What may be kept of a rejected row is the organ that sent it. A name that is none of an organ may be a person's, put
# into the wrong column: it is not kept.
_ORGAN = re.compile(
    r"(?:局|委|委员会|政府|厅|部|办|办公室|院|法院|检察院|中心|所|站|队|大队|支队|总队|署|行|银行|处|科|会|协会|街道|乡|镇|法庭|分局|机关|集团|公司)$"
)
_ROWS = """
    select coalesce(a.name, '') as name, coalesce(a.uscc, '') as uscc, r.kind, v.decided_on,
           (v.received_at at time zone 'Asia/Shanghai')::date as received_on, count(*) as rows
    from core.record_version v
    join core.record r on r.id = v.record_id
    left join core.subject a on a.id = r.authority_id
    where v.version = 1
      and ($1::date is null or (v.received_at at time zone 'Asia/Shanghai')::date >= $1)
      and ($2::date is null or (v.received_at at time zone 'Asia/Shanghai')::date <= $2)
    group by 1, 2, 3, 4, 5
"""
_REJECTED = """
    with last as (
        select distinct on (kind, file_hash) id from core.import_run
        where finished_at is not null
          and ($1::date is null or (coalesce(received_at, started_at) at time zone 'Asia/Shanghai')::date >= $1)
          and ($2::date is null or (coalesce(received_at, started_at) at time zone 'Asia/Shanghai')::date <= $2)
        order by kind, file_hash, id desc
    )
    select a.authority_name as name, a.authority_uscc as uscc, sum(a.rows_rejected)::bigint as rejected
    from core.import_run_authority a join last on last.id = a.run_id
    where a.rows_rejected > 0
    group by 1, 2
"""
_NAMES = (
    "select name_folded, uscc, name from core.subject where uscc = any ($1::text[]) or name_folded = any ($2::text[])"
)


@dataclass(frozen=True, slots=True)
class AuthorityLine:
    """One authority: rows taken, rejected, late; `due`: taken rows that had to be public within the limit."""

    name: str
    uscc: str
    rows: int
    rejected: int
    due: int
    late: int


@dataclass(frozen=True, slots=True)
class AuthorityReport:
    """All authorities, those with most rows first. `unknown_years`: counted without their holidays."""

    lines: tuple[AuthorityLine, ...]
    unknown_years: tuple[int, ...]


@dataclass
class RunCounts:
    """Rows of each authority in one run, as the file names it."""

    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, file: InputFile, row: Row, *, rejected: bool) -> None:
        """Count one row."""
        values = row.values
        name = values.get("authority_name") or file.cell_of("authority_name", row)
        code = normal_code(str(values.get("authority_uscc") or file.cell_of("authority_uscc", row)))
        uscc = code if valid_uscc(code) else ""
        named = " ".join(str(name).split())[:200]
        key = (named if uscc or _ORGAN.search(named) else "", uscc)
        if key not in self.taken and key not in self.rejected and len(self.taken) + len(self.rejected) >= _MOST:
            key = ("", "")
        (self.rejected if rejected else self.taken)[key] += 1

    async def write(self, connection: Connection, run: int) -> None:
        """Keep the counts with their run."""
        keys = sorted({*self.taken, *self.rejected})
        await connection.execute(
            "insert into core.import_run_authority (run_id, authority_name, authority_uscc, rows_taken, rows_rejected)"
            " select $1, * from unnest($2::text[], $3::text[], $4::integer[], $5::integer[])",
            run,
            [name for name, _ in keys],
            [uscc for _, uscc in keys],
            [self.taken[key] for key in keys],
            [self.rejected[key] for key in keys],
        )


async def report_by_authority(
    database: Database, since: dt.date | None = None, until: dt.date | None = None
) -> AuthorityReport:
    """The report on rows received from `since` to `until`, both inclusive, days in Shanghai. Raises StorageError."""
    async with import_connection(database, lock=False) as connection:
        days = WorkingDays({r["day"]: r["working"] for r in await connection.fetch("select * from core.working_day")})
        rows = await connection.fetch(_ROWS, since, until)
        rejected = await connection.fetch(_REJECTED, since, until)
        known = await connection.fetch(
            _NAMES, [r["uscc"] for r in rejected if r["uscc"]], [fold_name(r["name"]) for r in rejected if r["name"]]
        )
    return _report(rows, rejected, known, days)


def _report(
    rows: list[asyncpg.Record], rejected: list[asyncpg.Record], known: list[asyncpg.Record], days: WorkingDays
) -> AuthorityReport:
    taken: Counter[tuple[str, str]] = Counter()
    due: Counter[tuple[str, str]] = Counter()
    late: Counter[tuple[str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key = (row["name"], row["uscc"])
        taken[key] += row["rows"]
        if row["kind"] in ("PENALTY", "LICENCE"):
            due[key] += row["rows"]
            late[key] += row["rows"] * days.is_late(row["decided_on"], row["received_on"], LIMIT)
    by_code = {row["uscc"]: (row["name"], row["uscc"]) for row in known if row["uscc"]}
    by_name = {row["name_folded"]: (row["name"], row["uscc"] or "") for row in known}
    for row in rejected:
        key = by_code.get(row["uscc"]) or by_name.get(fold_name(row["name"])) or (row["name"], row["uscc"])
        refused[key] += row["rejected"]
    lines = [
        AuthorityLine(*key, taken[key], refused[key], due[key], late[key])
        for key in sorted({*taken, *refused}, key=lambda key: (-taken[key] - refused[key], key))
    ]
    return AuthorityReport(tuple(lines), tuple(sorted(days.unknown)))

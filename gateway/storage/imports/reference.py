"""Divisions and courts: reference data, upserted by code.

In: typed rows. Out: core.region with its closure, core.court. GB/T 2260 codes are stored as they are: 65, 6527, 652701,
652701001; the parent is the longest shorter prefix of that shape. Local areas without a division code have a code and
parent of their own (`local`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gateway.storage.imports.connection import Connection
from gateway.storage.imports.outcome import Outcome, Seen
from gateway.storage.imports.parse import normal_code
from gateway.storage.imports.read import Row
from gateway.storage.imports.refused import CellError

_LEVELS = {2: "PROVINCE", 4: "PREFECTURE", 6: "COUNTY", 9: "TOWNSHIP"}
_PARENT_LENGTH = {4: 2, 6: 4, 9: 6}

_REGIONS = """
    insert into core.region (code, name, level, parent, local)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
    on conflict (code) do update
    set name = excluded.name, level = excluded.level, parent = excluded.parent, local = excluded.local
    where (region.name, region.level, region.parent, region.local)
          is distinct from (excluded.name, excluded.level, excluded.parent, excluded.local)
    returning xmax = 0 as made
"""
# Only differences are written, so that the same file again changes nothing.
_CLOSURE = """
    with recursive up (code, ancestor) as (
        select code, code from core.region
        union
        select u.code, r.parent from up u join core.region r on r.code = u.ancestor where r.parent is not null
    ),
    gone as (
        delete from core.region_closure c
        where not exists (select from up where up.ancestor = c.ancestor and up.code = c.code)
    )
    insert into core.region_closure (ancestor, code)
    select ancestor, code from up on conflict do nothing
"""
_COURTS = """
    insert into core.court (code, name, division_code, level)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::smallint[])
    on conflict (code) do update
    set name = excluded.name, division_code = excluded.division_code, level = excluded.level
    where (court.name, court.division_code, court.level)
          is distinct from (excluded.name, excluded.division_code, excluded.level)
    returning xmax = 0 as made
"""


@dataclass
class DivisionLoader:
    """Loads divisions of all levels, upper ones first (in an earlier file or higher up in this one)."""

    seen: Seen = field(default_factory=Seen)

    def rolled_back(self) -> None:
        """Nothing is remembered that a rollback could make untrue."""

    def problems(self, row: Row) -> list[CellError]:
        """Nothing that the cells don't say themselves."""
        return []

    async def load(self, connection: Connection, rows: list[Row]) -> Outcome:
        """Write the batch and the closure over all regions."""
        outcome = Outcome()
        known = {row["code"] for row in await connection.fetch("select code from core.region")}
        taken: list[tuple[Any, ...]] = []
        for row in rows:
            try:
                region = _region(row, known)
                if self.seen.twice(region[0], row, region):
                    outcome.same += 1
                    continue
            except CellError as error:
                outcome.reject(row, error)
                continue
            known.add(region[0])
            taken.append(region)
        _count(outcome, len(taken), await connection.fetch(_REGIONS, *_columns(taken, 5)))
        await connection.execute(_CLOSURE)
        return outcome


@dataclass
class CourtLoader:
    """Loads courts by the code that case numbers carry (法〔2015〕137号)."""

    seen: Seen = field(default_factory=Seen)

    def rolled_back(self) -> None:
        """Nothing is remembered that a rollback could make untrue."""

    def problems(self, row: Row) -> list[CellError]:
        """Nothing that the cells don't say themselves."""
        return []

    async def load(self, connection: Connection, rows: list[Row]) -> Outcome:
        """Write the batch."""
        outcome = Outcome()
        taken: list[tuple[Any, ...]] = []
        for row in rows:
            court = tuple(row.values.get(name) for name in ("code", "name", "division_code", "level"))
            try:
                if self.seen.twice(court[0], row, court):
                    outcome.same += 1
                    continue
            except CellError as error:
                outcome.reject(row, error)
                continue
            taken.append(court)
        _count(outcome, len(taken), await connection.fetch(_COURTS, *_columns(taken, 4)))
        return outcome


def _region(row: Row, known: set[str]) -> tuple[Any, ...]:
    values: dict[str, Any] = row.values
    code, parent = normal_code(values["code"]), values.get("parent")
    local = values.get("local") is True
    if not re.fullmatch(r"[0-9A-Z]{2,12}" if local else r"(\d{2}|\d{4}|\d{6}|\d{9})", code):
        raise CellError(
            "code", code, "不是 GB/T 2260 代码（2、4、6、9 位）", "not a code of 2, 4, 6 or 9 digits (GB/T 2260)"
        )
    if local and (parent is None or code.isdigit()):
        raise CellError("code", code, "本地代码须含字母并有上级代码", "a local code needs a letter in it and a parent")
    if parent is None and len(code) > 2:
        parent = code[: _PARENT_LENGTH[len(code)]]
    if parent is not None and parent not in known:
        raise CellError(
            "parent", parent, "上级区划尚未入库，请先导入", "the division above is not on record yet; import it first"
        )
    return code, values["name"], "LOCAL" if local else _LEVELS[len(code)], parent, local


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows] for i in range(width)]


def _count(outcome: Outcome, taken: int, written: list[Any]) -> None:
    made = sum(row["made"] for row in written)
    outcome.new += made
    outcome.changed += len(written) - made
    outcome.same += taken - len(written)

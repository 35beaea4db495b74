"""Records that a row is about although its key is another one: a mistyped code, a document number written otherwise.

In: rows whose key no record has. Out: the record on record under a code that does not hold, or beside one that does;
what stands near a withdrawal that withdraws nothing. Called by records.py within its transaction; it writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import asyncpg

from gateway.storage.identifiers import loose_document_number
from gateway.storage.imports.connection import Connection
from gateway.storage.imports.refused import CellError

_SHOWN = 3

# The same document of the same organ about an organisation of the same name, of which one has a code that holds, and
# the other one that does not.
_MISCODED = """
    select w.n, r.id, r.version, r.status, r.published_from, r.published_until, r.published, s.uscc
    from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::boolean[])
         w (n, source, kind, document, authority, folded, coded)
    -- With limits, so that each row is looked up by its name and then by its subject, whatever the planner believes.
    cross join lateral (
        select o.id, o.uscc from core.subject o
        where o.name_folded = w.folded and o.class = 'ORGANISATION' and (o.uscc is null) = w.coded
          and (o.uscc is not null or exists (select from core.identifier i where i.subject_id = o.id
                                             and i.scheme = 'USCC_INVALID'))
        limit 100
    ) s
    cross join lateral (
        select o.* from core.record o
        where o.subject_id = s.id and o.source_code = w.source and o.kind = w.kind and o.document_number = w.document
          and o.authority_id is not distinct from w.authority
        limit 2
    ) r
"""
_NAMES = """
    select distinct s.name_folded from core.identifier i join core.subject s on s.id = i.subject_id
    where i.scheme = 'USCC_INVALID'
"""
_NEAR = """
    select w.n, r.document_number, r.decided_on, r.alike, a.name as authority
    from unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::date[]) w (n, subject, kind, loose, decided)
    cross join lateral (
        select o.document_number, o.decided_on, o.authority_id,
               coalesce(translate(o.document_number, '〔〕（）()第 ', '') = w.loose, false) as alike
        from core.record o
        where o.subject_id = w.subject and o.kind = w.kind and o.status in ('ACTIVE', 'CORRECTED')
        order by 4 desc, o.decided_on = w.decided desc, o.decided_on desc, o.id limit 3
    ) r
    left join core.subject a on a.id = r.authority_id
"""


@dataclass(frozen=True, slots=True)
class Unfound:
    """A row whose key no record has. `coded`: its subject has a code that holds; `miscoded`: one that does not."""

    kind: str
    source: str
    subject_id: int
    personal: bool
    folded: str
    document: str | None
    authority_id: int | None
    decided_on: dt.date
    status: str | None
    coded: bool
    miscoded: bool
    told: str  # the title, or the name of the list
    grounds: str | None = None  # of an entry of a list

    @property
    def document_of(self) -> tuple[object, ...]:
        """The document, and the name that it is about: the same under a code that holds and under one that does not."""
        return self.kind, self.source, self.document, self.authority_id, self.folded


async def names_under_no_code(connection: Connection) -> set[str]:
    """The folded names on record under codes that do not hold: few, so that most rows need no look."""
    return {row["name_folded"] for row in await connection.fetch(_NAMES)}


async def under_another_code(
    connection: Connection, rows: Sequence[Unfound], names: Collection[str]
) -> dict[int, asyncpg.Record]:
    """By position: the one record of the same document and name whose code holds where the row's does not, or the
    other way round. `names`: those on record under codes that do not hold."""
    asked = [
        (n, row)
        for n, row in enumerate(rows)
        if row.document is not None and (row.miscoded or (row.coded and row.folded in names))
    ]
    if not asked:
        return {}
    found = await connection.fetch(
        _MISCODED,
        [n for n, _ in asked],
        [row.source for _, row in asked],
        [row.kind for _, row in asked],
        [row.document for _, row in asked],
        [row.authority_id for _, row in asked],
        [row.folded for _, row in asked],
        [row.coded for _, row in asked],
    )
    made: dict[int, list[asyncpg.Record]] = {}
    for row in found:
        made.setdefault(row["n"], []).append(row)
    claims = Counter(row["id"] for row in found if row["uscc"] is None)  # a record moves to one code, not to either
    return {n: several[0] for n, several in made.items() if len(several) == 1 and claims[several[0]["id"]] < 2}


def mistyped(uscc: str) -> CellError:
    """This document is on record under a code that holds: another subject would be given the same penalty again."""
    return CellError(
        "uscc",
        "",
        f"代码校验不通过，而同一文号、机关、名称的信息已在 {uscc} 名下：请核对并改正代码后重新导入",
        f"the code fails its check digit, and this document of that authority is on record of the same name under"
        f" {uscc}: correct the code and import the row again",
    )


def another_person() -> CellError:
    """An identity number that is somebody else's. Not whose: that may be a stranger."""
    return CellError(
        "identity_number",
        "",
        "该证件号码在库中属于另一姓名的人：请核对证件号码；确已改名的，请系统管理员先登记其曾用名",
        "this identity number is on record under quite another name: see whether the number is right; if the person has"
        " changed names, ask the operator to add the former one first",
    )


async def withdrawn_nothing(connection: Connection, rows: Sequence[Unfound]) -> dict[int, CellError]:
    """By position: why a row that revokes or repairs can't be taken. A repair is refused only where the document is on
    record under another key; a revocation that finds nothing always."""
    asked = [(n, row) for n, row in enumerate(rows) if row.status in ("REVOKED", "REPAIRED")]
    if not asked:
        return {}
    found = await connection.fetch(
        _NEAR,
        [n for n, _ in asked],
        [row.subject_id for _, row in asked],
        [row.kind for _, row in asked],
        [loose_document_number(row.document or "") for _, row in asked],
        [row.decided_on for _, row in asked],
    )
    near: dict[int, list[asyncpg.Record]] = {}
    for one in found:
        near.setdefault(one["n"], []).append(one)
    made = {}
    for n, row in asked:
        there = near.get(n, [])
        if row.status == "REVOKED" or (row.document and any(one["alike"] for one in there)):
            made[n] = _nothing(row, [] if row.personal else there)
    return made


def _nothing(row: Unfound, near: Sequence[asyncpg.Record]) -> CellError:
    told_zh = "、".join(f"{_number(one)}（{one['authority'] or '无机关'}）" for one in near[:_SHOWN])
    told_en = ", ".join(f"{_number(one)} by {one['authority'] or 'no authority'}" for one in near[:_SHOWN])
    verb_zh, verb_en = ("撤销", "revoke") if row.status == "REVOKED" else ("修复", "repair")
    return CellError(
        "document_number",
        row.document or "",
        f"没有可{verb_zh}的信息：按该主体、机关（含机关代码）和文号查不到原信息，原信息仍在公示。"
        + (f"该主体在库的有：{told_zh}。" if told_zh else "该主体没有这类信息在库。")
        + "请按原信息报送时的主体代码、机关、机关代码和文号填写后重新导入",
        f"there is nothing to {verb_en}: no record of this subject has that authority (and its code) and document"
        " number, and what was meant stays public. "
        + (f"On record of it: {told_en}. " if told_en else "Nothing of this kind is on record of it. ")
        + "Put in the subject's code, the authority, its code and the number as they were sent at first",
    )


def _number(one: asyncpg.Record) -> str:
    return str(one["document_number"] or one["decided_on"])

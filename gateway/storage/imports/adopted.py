"""Records that a source's feed brought first, and that a file of their department brings now: one record, not two.

In: rows of a file whose key no record has. Out: the record of the same act that the feed of the regional platform
brought, and its change of hands: the record keeps its id and becomes the file's source's, the feed's row is linked to
it. Called by records.py within its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from gateway.storage.identifiers import normal_document_number, same_document_number, squeeze_name
from gateway.storage.imports.connection import Connection
from gateway.storage.imports.near import Unfound
from gateway.storage.imports.refused import CellError

# Of the same subject, kind and day, and a feed's still. The authority: one subject, or one name where not both have a
# code: two codes are two organs. `withdrawn_as`: why the feed withdrew it, in the word of its contract.
_BROUGHT = """
    select w.n, r.id, r.version, r.status, r.published_from, r.published_until, r.published, r.document_number, r.told,
           r.grounds, r.withdrawn_as, (a.id is null) as undecided,
           coalesce(a.id = b.id or (a.name_folded = b.name_folded and (a.uscc is null or b.uscc is null)),
                    a.id is null and b.id is null) as same_authority
    from unnest($1::int[], $2::bigint[], $3::text[], $4::date[], $5::bigint[]) w (n, subject, kind, decided, authority)
    -- Apart, so that each row is looked up by its subject and day, whatever the planner believes.
    cross join lateral (
        select o.*, case o.kind when 'LIST_ENTRY' then coalesce(o.detail ->> 'list_name', o.title) else o.title end
                    as told, o.detail ->> 'grounds' as grounds,
               (select v.original::jsonb ->> 'reason' from core.record_version v
                where v.record_id = o.id and v.version = o.version and v.entered_by = o.source_code) as withdrawn_as
        from core.record o
        where o.subject_id = w.subject and o.decided_on = w.decided and o.kind = w.kind
          and exists (select from core.source_row c where c.record_id = o.id and not c.linked
                      and c.source_code = o.source_code and c.natural_key = o.natural_key)
        offset 0
    ) r
    left join core.subject a on a.id = r.authority_id
    left join core.subject b on b.id = w.authority
    order by w.n, r.id
"""
_TAKE = """
    update core.record r set source_code = w.source_code, natural_key = w.natural_key
    from unnest($1::bigint[], $2::text[], $3::text[]) w (id, source_code, natural_key) where r.id = w.id
"""
_LINK = "update core.source_row set linked = true where record_id = any ($1::bigint[]) and not linked"


async def brought_by_a_feed(connection: Connection, rows: Sequence[Unfound]) -> dict[int, asyncpg.Record]:
    """By position: the record of the same act that a feed brought and that is no other source's yet. A record is given
    to one row, the first; of several records a row is given one with its number to the letter, else the first."""
    if not rows:
        return {}
    found = await connection.fetch(
        _BROUGHT,
        list(range(len(rows))),
        [row.subject_id for row in rows],
        [row.kind for row in rows],
        [row.decided_on for row in rows],
        [row.authority_id for row in rows],
    )
    made: dict[int, asyncpg.Record] = {}
    given: set[int] = set()
    for one in sorted(found, key=lambda one: (one["n"], one["document_number"] != rows[one["n"]].document)):
        if one["n"] not in made and one["id"] not in given and _same(rows[one["n"]], one):
            made[one["n"]] = one
            given.add(one["id"])
    return made


async def take(connection: Connection, taken: Sequence[tuple[int, str, str]]) -> None:
    """The records become those of these sources under these natural keys (id, source, key). What their feed says of
    them later it says of a record of another source."""
    if taken:
        ids, sources, keys = map(list, zip(*taken, strict=True))
        await connection.execute(_TAKE, ids, sources, keys)
        await connection.execute(_LINK, ids)


def withdrawn_as_wrong(found: asyncpg.Record, status: str | None) -> CellError | None:
    """Why a row is not taken whose record the feed withdrew as wrong: taken, it could stay ended for good, although the
    act may be in force. Neither is it published on the word of a file that may have the same fault."""
    if found["withdrawn_as"] != "corrected" or found["status"] != "REVOKED" or status in ("REVOKED", "REPAIRED"):
        return None
    return CellError(
        "document_number",
        found["document_number"] or "",
        "区域平台已以“信息有误”撤回该条信息：请核对本行内容；平台推送更正后的信息后重新导入",
        "the regional platform has withdrawn this as wrong: see whether this row is right, and import it again once the"
        " platform has sent what is right",
    )


def _same(row: Unfound, found: asyncpg.Record) -> bool:
    """Is it the same act? Documents by number and authority; honours and entries of lists, which have no number, by
    what they are called, entries by their grounds, too, where both name them, honours by the authority likewise."""
    if row.kind in ("HONOUR", "LIST_ENTRY"):
        if squeeze_name(row.told) != squeeze_name(found["told"]):
            return False
        if row.kind == "HONOUR":
            return row.authority_id is None or found["undecided"] or bool(found["same_authority"])
        return None in (row.grounds, found["grounds"]) or row.grounds == found["grounds"]
    if row.document is None or found["document_number"] is None or not found["same_authority"]:
        return False
    return _folded(row.document) == _folded(found["document_number"])


def _folded(number: str) -> str:
    """A number with one kind of brackets, 第102号 as 102号."""
    return same_document_number(normal_document_number(number))

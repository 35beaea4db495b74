"""Names and codes as they are searched: each ending of each form is a row of core.name_part.

In: subjects whose names or codes have changed, or what somebody typed. Out: their rows; the folded text and the range
of endings that begin with it. Called by whatever writes subjects, in the same transaction, and by `migrate`.

A name is folded (有限责任公司 is 有限公司), but who has typed only 博尔塔拉 of 博尔塔拉蒙古自治州 must find it,
too. So a name has a form for each way of writing its long parts; those that are whole in what is typed are folded.
Codes are found by their beginning; of a USCC, the organisation code inside as well. What may be a person's number is
not found at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

import asyncpg

from gateway.storage.identifiers import (
    SHORTER,
    fold_name,
    mask_identity_numbers,
    squeeze_name,
    valid_organisation_code,
)
from gateway.storage.nearly import is_code_of_organisation, nearly_identity_number

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

VERSION = 3  # of the forms below and of fold_name: another number, and `migrate` makes all rows anew
LEAST = 2  # characters of a search
LONGEST = 64  # characters of a row: what a search has beyond them is not compared
_BATCH = 5_000  # subjects of one transaction
_LAST = "\U0010ffff"  # greater than any character of a name
_SHORT = dict(SHORTER)
_LONG = re.compile(f"({'|'.join(_SHORT)})")
_MOST_LONG = 4  # long parts of a name that are written in every way
# ASCII alone is put into capitals: names in other alphabets are compared as they are written.
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")

_READ = """
    select s.id, s.name, array (select f.name from core.former_name f where f.subject_id = s.id) as former,
           s.uscc, array (select array[i.scheme, i.value] from core.identifier i where i.subject_id = s.id
                          and i.scheme <> 'ROW') as codes
    from core.subject s where s.id = any ($1::bigint[])
"""
_WRITE = """
    insert into core.name_part (subject_id, tier, personal, kind, region_code, repeated, suffix)
    select subject_id, tier, personal, kind, region_code,
           row_number() over (partition by subject_id, left(suffix, $4::int) order by tier, suffix) > 1, suffix
    from (
        select distinct w.id as subject_id, (n > 1)::int::smallint as tier, s.class <> 'ORGANISATION' as personal,
               s.kind, s.region_code, substr(w.form, n, $5::int) as suffix
        from unnest($1::bigint[], $2::text[], $3::int[]) w (id, form, endings)
        join core.subject s on s.id = w.id
        cross join lateral generate_series(1, w.endings) n
    ) q
"""
# Who else writes the rows of these subjects waits here, and sees them when it deletes.
_LOCK = "select from core.subject where id = any ($1::bigint[]) order by id for no key update"
_DELETE = "delete from core.name_part where subject_id = any ($1::bigint[])"
_NEXT = "select id from core.subject where id > $1 order by id limit $2"


def folded(text: str) -> str:
    """What somebody typed, as names are folded for the search, at most LONGEST characters. No identity number goes to
    the database, which may log it: nobody is found by one."""
    whole = _folded(text)
    # Within a code, spaced as people write it, digits may look like an old number.
    if not is_code_of_organisation(whole.upper()):
        whole = _folded(mask_identity_numbers(text))
    return whole[:LONGEST]


def _folded(text: str) -> str:
    return fold_name(text).translate(_UPPER)


def end_of(begin: str) -> str:
    """The end (exclusive) of the range of endings that begin with a folded text."""
    return begin + _LAST


def _forms(name: str) -> set[str]:
    """The name with each of its long parts as written or short."""
    written = squeeze_name(name).translate(_UPPER)
    pieces = _LONG.split(written)  # what stands between long parts, and the long parts
    if len(pieces) > 2 * _MOST_LONG + 1:
        return {written, _folded(name)}
    ways = [(piece,) if at % 2 == 0 else (piece, _SHORT[piece]) for at, piece in enumerate(pieces)]
    return ({"".join(way) for way in product(*ways)} | {_folded(name)}) - {""}


def forms(name: str, former: Sequence[str], uscc: str | None, codes: Sequence[str]) -> list[tuple[str, int]]:
    """The forms of a subject, each with how many endings of it are rows: all of a name, a code as it is."""
    found: dict[str, int] = {}
    for one in (name, *former):
        for form in _forms(one):
            found[form] = max(1, len(form) - LEAST + 1)
    for code in (uscc, uscc and uscc[8:17], *codes):
        if code:
            found.setdefault(code.translate(_UPPER), 1)
    return list(found.items())


def _searched(identifiers: Sequence[Sequence[str]]) -> list[str]:
    """The codes, of (scheme, code), that a subject is found by: what may be the number of a person is none of them."""
    return [
        code
        for scheme, code in identifiers
        if not nearly_identity_number(code) and (scheme != "ORGANISATION_CODE" or valid_organisation_code(code))
    ]


async def index_names(connection: Connection, ids: Sequence[int], *, new: bool = False) -> None:
    """Write the rows of these subjects; of `new` ones there are none yet. Within the caller's transaction."""
    if not ids:
        return
    if not new:
        await connection.execute(_LOCK, ids)
        await connection.execute(_DELETE, ids)
    written = [
        (row["id"], form, endings)
        for row in await connection.fetch(_READ, ids)
        for form, endings in forms(row["name"], row["former"], row["uscc"], _searched(row["codes"]))
    ]
    await connection.execute(_WRITE, *zip(*written, strict=True), LEAST, LONGEST)


async def ensure_indexed(connection: Connection) -> bool:
    """Make every subject's rows anew where they have another folding than this program's; says whether it did.

    Searches go on meanwhile. Killed, it begins again at the next time.
    """
    if await connection.fetchval("select to_regclass('core.name_folding') is null"):
        return False
    if await connection.fetchval("select version from core.name_folding") == VERSION:
        return False
    await index_all(connection)
    await connection.execute(
        "insert into core.name_folding (version) values ($1)"
        " on conflict (one) do update set version = excluded.version",
        VERSION,
    )
    return True


async def index_all(connection: Connection, *, new: bool = False) -> None:
    """Write the rows of all subjects, in transactions of some thousand each."""
    last = 0
    while ids := [row["id"] for row in await connection.fetch(_NEXT, last, _BATCH)]:
        async with connection.transaction():
            await index_names(connection, ids, new=new)
        last = ids[-1]

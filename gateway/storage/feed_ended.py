"""Rows of a source that have ended there: noted with their moment, whether anything of them is stored here or not.

In: natural keys and moments. Out: core.source_ended, which the view schemas hide live and kept rows by, and the time of
core.source_row. Called by feed_writer.py alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.storage.imports.connection import Connection

_ENDED: Final = """
    select natural_key, ended_at from core.source_ended where source_code = $1 and natural_key = any ($2::text[])
"""
_NOTE: Final = """
    insert into core.source_ended as e (source_code, natural_key, ended_at)
    select $1, w.natural_key, w.ended_at from unnest($2::text[], $3::timestamptz[]) w (natural_key, ended_at)
    on conflict (source_code, natural_key) do update set ended_at = greatest(e.ended_at, excluded.ended_at)
"""
_RELEASE: Final = "delete from core.source_ended where source_code = $1 and natural_key = any ($2::text[])"
_MOVE: Final = """
    update core.source_row c set said_at = greatest(c.said_at, w.said_at)
    from unnest($2::text[], $3::timestamptz[]) w (natural_key, said_at)
    where c.source_code = $1 and c.natural_key = w.natural_key and w.said_at is not null
"""


async def read_ended(connection: Connection, source: str, keys: Sequence[str]) -> Mapping[str, dt.datetime]:
    """Those of the rows that have ended, and when (aware)."""
    rows = await connection.fetch(_ENDED, source, keys)
    return {row["natural_key"]: row["ended_at"] for row in rows}


async def note_ended(connection: Connection, source: str, ends: Mapping[str, dt.datetime]) -> None:
    """Rows have ended at these moments (aware); the later one counts."""
    if ends:
        await connection.execute(_NOTE, source, list(ends), list(ends.values()))


async def release(connection: Connection, source: str, keys: Sequence[str]) -> None:
    """Rows are in force again."""
    if keys:
        await connection.execute(_RELEASE, source, keys)


async def move_said_at(connection: Connection, source: str, said: Mapping[str, dt.datetime | None]) -> None:
    """The source has said something of rows at these moments (aware; None: it doesn't say when)."""
    if said:
        await connection.execute(_MOVE, source, list(said), list(said.values()))

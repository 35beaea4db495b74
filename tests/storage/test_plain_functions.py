"""What SQL computes for each row of an answer: the day is Shanghai's at every hour, and each character is escaped as
JSON wants it, in the schema that the asker's role may name."""

from __future__ import annotations

import json
from typing import Any

from asyncpg import Connection

from gateway.storage.levels import ACCESSES


async def test_the_day_is_that_of_shanghai_at_every_hour(owner: Connection[Any]) -> None:
    """The function's own body with another moment in now()'s place, against the zone's whole table of offsets."""
    body = await owner.fetchval("select prosrc from pg_proc where oid = 'core.today()'::regprocedure")
    assert body.count("now()") == 1
    at = body.replace("select", "").replace("now()", "t.t")
    hours, wrong = await owner.fetchrow(
        f"select count(*), count(*) filter (where {at} <> (t.t at time zone 'Asia/Shanghai')::date)"
        " from generate_series(timestamptz '1992-01-01 00:30+08', '2100-01-01', '1 hour') t(t)"
    )
    assert hours > 900_000
    assert wrong == 0
    # A day off by the zone would be seen.
    other = at.replace("8 hours", "7 hours")
    assert other != at
    assert await owner.fetchval(
        f"select {other} <> (t.t at time zone 'Asia/Shanghai')::date"
        " from (values (timestamptz '2026-01-01 00:30+08')) t(t)"
    )


async def test_every_character_is_a_json_string(owner: Connection[Any]) -> None:
    texts = [chr(code) for code in range(1, 0x3000)] + ["", '"\\\n\t\u007f', "伊犁州\u2028博乐市", "😀"]
    for access in ACCESSES:
        made = await owner.fetch(
            f"select t, {access.schema}.json_text(t) as j, to_json(t)::text as other"
            " from unnest($1::text[]) with ordinality u(t, n) order by n",
            texts,
        )
        assert [json.loads(row["j"]) for row in made] == texts, access.name
        assert [row["j"] for row in made] == [row["other"] for row in made], access.name
        assert await owner.fetchval(f"select {access.schema}.json_text(null)") is None


async def test_it_is_inlined(owner: Connection[Any]) -> None:
    """A call for each row would cost more than it saves."""
    plan = await owner.fetch("explain (verbose) select v_public.json_text(t), core.today() from unnest(array['a']) t")
    text = "\n".join(row[0] for row in plan)
    assert "Output" in text
    assert "json_text" not in text
    assert "today" not in text

"""What PostGraphile is measured with (benchmarks/peers/) stands: its schema over today's tables, and its cursors.

Promised: the views and functions can be made and read, names of the self-employed are masked in them; a cursor of
either server is the same place, and another place is not; the page and package.json name every server.
"""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.peers import postgraphile
from benchmarks.peers.__main__ import PEERS, WORKLOADS
from scripts.bench_docs import peer_table

ROOT = Path(__file__).resolve().parents[2]
ROW = uuid.UUID("f39e3242-5d1c-4963-a842-f8bbd0fcf273")
GATEWAYS = "d2026-11-17" + base64.urlsafe_b64encode(b"R" + ROW.bytes).decode().rstrip("=")


def _cursor(*values: Any) -> str:
    return base64.b64encode(json.dumps(values).encode()).decode()


async def test_views_and_functions_fit_the_tables(owner: asyncpg.Connection[asyncpg.Record]) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await postgraphile.make(owner)
        code = await owner.fetchval(
            "insert into core.subject (external_id, class, kind, uscc, name, name_folded, legal_representative)"
            " values (gen_random_uuid(), 'ORGANISATION', 'INDIVIDUAL_BUSINESS', '92650000MA00000001', '甲商店',"
            " '甲商店', '王伟') returning uscc"
        )
        found = await owner.fetch("select name, legal_representative from peers.subjects(array[$1, 'nobody'])", code)
        assert [tuple(row) for row in found] == [("甲商店", "王**")]
        assert await owner.fetchval("select peers.folded('Ａ b有限责任公司')") == "AB有限公司"
        for name in ("record", "record_count", "region", "source", "search_subjects('甲')"):
            await owner.fetch(f"select * from peers.{name}")
    finally:
        await transaction.rollback()


def test_a_place_is_the_same_in_both_cursors() -> None:
    theirs = _cursor("911d606682", "2026-11-17", str(ROW))
    same = postgraphile.normalised({"pageInfo": {"endCursor": theirs}, "edges": [{"cursor": None}]})
    assert same == postgraphile.normalised({"pageInfo": {"endCursor": GATEWAYS}, "edges": [{"cursor": None}]})
    other = postgraphile.normalised({"endCursor": _cursor("911d606682", "2026-11-18", str(ROW))})
    assert other != postgraphile.normalised({"endCursor": GATEWAYS})


def test_values_stay_as_they_are() -> None:
    assert postgraphile.normalised({"a": ["d", 1, None, {"amount": "1.0"}]}) == {"a": ["d", 1, None, {"amount": "1.0"}]}


def test_every_server_is_told_of_and_pinned() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").lower()
    pinned = json.loads((ROOT / "benchmarks" / "peers" / "package.json").read_text())["dependencies"]
    for name, file in PEERS.items():
        assert f"**{name}" in page or f"`{name}`" in page
        assert not file or pinned[name.partition("-")[0]].replace(".", "").isdecimal()
    assert set(postgraphile.DOCUMENTS) == set(WORKLOADS)


def test_peers_as_a_table() -> None:
    row = {"workload": "W1", "stack": "postgraphile", "rps": 1234.5, "rps_min": 1.0, "rps_max": 2.0, "p50_ms": 3.0}
    row |= {"cpu_ms_server": 0.1, "cpu_ms_postgres": 0.2, "ratio": 4.0}
    made = peer_table({"machine": "2 cores", "commit": "0123456789abcdef", "rows": [row]})
    assert made[-1] == "| W1 | postgraphile | 1,234.5 (1.0, 2.0) | 3.0 | 0.1 | 0.2 | 4.0 |"

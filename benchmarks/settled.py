"""Waiting until the ledger's runner has nothing left to do, so that nobody else's turn pays for it."""

from __future__ import annotations

import asyncio
import time

import asyncpg

_LOOK = 0.02  # s
_LONGEST = 300.0  # s
# Committed a moment ago: what the runner has not even seen. Its snapshot is behind it then.
_LEFT = """
select s.size - s.fanned + (select count(*) from ledger.disclosure d where d.xid >= pg_snapshot_xmax(s.snapshot))
from ledger.log_state s"""


async def settled(owner: asyncpg.Connection[asyncpg.Record]) -> float:
    """Returns once every disclosure has its leaf, and every leaf its subjects' entries: after how many seconds."""
    began = time.monotonic()
    while await owner.fetchval(_LEFT):
        if time.monotonic() - began > _LONGEST:
            raise SystemExit("the ledger's runner does not get done")
        await asyncio.sleep(_LOOK)
    return time.monotonic() - began

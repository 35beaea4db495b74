"""Who leads: of any number of processes the one that holds a lock which only the role `log` can take.

In: a DSN of the role `log`. Out: a context in which this process leads. The lock is that of an open transaction on a
connection of its own, and goes with it. That transaction has neither number nor snapshot, so it may stay open for
months without holding up vacuum (decision 0035). Two who believe to lead for a moment do no harm: ledger.log_state
lets one through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from gateway.storage.lane import Connection

_LOOK: Final = 0.5  # s between two looks whether somebody leads
_CONNECTING: Final = 2.0  # s of an attempt
_ANSWER: Final = 10.0  # s for a statement that does nothing
_HOLD: Final = "select ledger.hold('leading', false)"
# Whatever ends transactions or sessions that wait: this one does, for good. Servers differ in which they have.
_FOR_GOOD: Final = """select set_config(name, '0', false) from pg_settings
    where name in ('idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout')"""
# A server that has lost us must let go of the lock, and not in two hours.
_KEPT_ALIVE: Final = {"tcp_keepalives_idle": "3", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}


@asynccontextmanager
async def connected(dsn: str, settings: Mapping[str, str]) -> AsyncIterator[Connection]:
    """A connection, ended at once afterwards, whatever is under way. Raises what asyncpg raises."""
    async with asyncio.timeout(_CONNECTING):
        connection = await asyncpg.connect(dsn, timeout=_CONNECTING, server_settings={**_KEPT_ALIVE, **settings})
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def leading(dsn: str) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Wait until nobody else leads, and lead. What it gives raises where this process no longer does."""
    async with connected(dsn, {"application_name": "credit-gateway leader"}) as connection:
        await connection.execute(_FOR_GOOD)
        while True:
            await connection.execute("begin")
            if await connection.fetchval(_HOLD, timeout=_ANSWER):
                break
            await connection.execute("rollback")
            await asyncio.sleep(_LOOK)

        async def still() -> object:
            # By the simple protocol: the other leaves a portal behind, whose snapshot stays as long as the transaction.
            return await connection.execute("select 1", timeout=_ANSWER)

        await still()
        yield still

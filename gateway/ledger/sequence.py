"""Slice by slice, what is committed becomes leaves (ledger.sequence): for the runner, and for who needs all of it.

In: a connection of a role that may. Out: leaves, and whether all is taken that was committed when it began: the log's
snapshot then reaches beyond every transaction of that moment, however slices were cut, and whoever made them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.storage.lane import Connection

AT_ONCE: Final = 5_000  # disclosures of one slice, where no one transaction wrote more
BUSY: Final = -1
_AGAIN: Final = 0.1  # s until it is looked again whether somebody else still is
_LONGEST: Final = 900.0  # s of a statement: the first leaves of a ledger that is older than its log
_BEHIND: Final = "select pg_snapshot_xmax(pg_current_snapshot())"
_REACHED: Final = "select pg_snapshot_xmax(snapshot) >= $1 from ledger.log_state"
_SLICE: Final = "select case when ledger.waits() then ledger.sequence($1) end"


class Slices:
    """What is committed by now. `complete`: all of it is in the log."""

    def __init__(self, connection: Connection, behind: object) -> None:
        self._connection = connection
        self._behind = behind  # the first transaction that needs not be in it
        self.complete = False

    @classmethod
    async def begin(cls, connection: Connection) -> Slices:
        """From now on."""
        return cls(connection, await connection.fetchval(_BEHIND, timeout=_LONGEST))

    async def next(self) -> int:
        """Take one more; returns how many leaves it made, BUSY where somebody else is at the log. Raises
        UniqueViolationError where an id is there already."""
        made: int | None = await self._connection.fetchval(_SLICE, AT_ONCE, timeout=_LONGEST)
        if made is None:
            self.complete = True  # nothing waits
            return 0
        if made != BUSY:
            self.complete = await self._connection.fetchval(_REACHED, self._behind, timeout=_LONGEST)
        return made


async def take_all(connection: Connection) -> None:
    """Take all that is committed, and wait for who else is at it. Raises UniqueViolationError as Slices.next."""
    slices = await Slices.begin(connection)
    while not slices.complete:
        if await slices.next() == BUSY:
            await asyncio.sleep(_AGAIN)

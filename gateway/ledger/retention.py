"""Months of disclosures that are no longer kept are let go by days that were lived through, not by one look at a clock.

In: a connection of the role `log` in the process that leads. Out: the row of today, months that go with their events,
and what an operator should see of a clock that was set. A day counts when the process has led for an hour in which the
database's clock went as its own monotonic one, which nobody sets; ledger.let_go wants seven such days (decision 0038).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.counted import counted
from gateway.ledger.events import Events
from gateway.storage.lane import Connection

logger = logging.getLogger(__name__)

_LONGEST: Final = 900.0  # s of a statement: a month is counted, and its table dropped
_STEP: Final = 300.0  # s by which the clocks may part between two looks: more is no slewing
_CLOCK: Final = "select extract(epoch from clock_timestamp())::float8"
_LIVE: Final = "select today, before, ahead, fresh from ledger.live()"
# Months that wait for days, and when the first of them goes. One at a time is the course of things.
WAITING: Final = """select count(*) as months, min(m.earliest) as earliest from ledger.months() m
    where m.due and m.days < ledger.days_due()"""
_LET_GO: Final = "select ledger.let_go()"


class Retention:
    """`clock`: s, monotonic, of this process."""

    def __init__(
        self, registry: CollectorRegistry, events: Events, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events = events
        self._clock = clock
        self._apart: tuple[float, float] | None = None  # between these the clocks were apart at the last look, s
        self._told = 0
        self._waiting = Gauge(
            "credit_log_months_waiting",
            "Months that are no longer to be kept by the clock and wait for days lived through, where it leads",
            registry=registry,
        )
        self._steps = Counter(
            "credit_log_clock_steps", "Times that the database's clock was seen to have been set", registry=registry
        )

    async def care(self, connection: Connection) -> None:
        """One look, once an hour. Raises what asyncpg raises."""
        before, step = self._apart, await self._step(connection)
        if step:
            self._steps.inc()
            logger.warning(
                "sequencer: the database's clock was set by %+.0f s, or this machine slept; no month of disclosures is"
                " let go in this hour",
                step,
            )
            return
        if before is not None:
            await self._live(connection)
        await self._tell(connection)
        while gone := await self._let_go(connection):
            logger.info("sequencer: %d disclosures are no longer kept", gone)

    async def _step(self, connection: Connection) -> float:
        """By how much the database's clock was set since the last look, s; 0 where it was not."""
        asked = self._clock()
        now: float = await connection.fetchval(_CLOCK, timeout=_LONGEST)
        least, most = now - self._clock(), now - asked
        last, self._apart = self._apart, (least, most)
        if last is None:
            return 0.0
        if least > last[1] + _STEP:
            return least - last[1]
        return most - last[0] if most < last[0] - _STEP else 0.0

    async def _live(self, connection: Connection) -> None:
        row: Any = await connection.fetchrow(_LIVE, timeout=_LONGEST)
        if row["ahead"]:
            logger.warning(
                "sequencer: the database's clock was set back; what it had of days ahead no longer counts: %s",
                counted(row["ahead"], "day"),
            )
        if row["fresh"] and row["before"] is not None and (row["today"] - row["before"]).days > 1:
            logger.warning(
                "sequencer: between %s and %s by the database's clock this ledger has no day: nothing ran, or the clock"
                " was set ahead. See: credit-gateway ledger retention",
                row["before"],
                row["today"],
            )

    async def _tell(self, connection: Connection) -> None:
        """Several months at once are said, whenever they become more."""
        waiting: int = await connection.fetchval(WAITING, timeout=_LONGEST)
        self._waiting.set(waiting)
        if waiting > max(self._told, 1):
            logger.warning(
                "sequencer: %d months of disclosures are to go at once, within days: the database's clock was set"
                " ahead, or ledger.retention changed. See: credit-gateway ledger retention",
                waiting,
            )
        self._told = waiting

    async def _let_go(self, connection: Connection) -> int:
        """One month that is no longer kept, with its event; how many disclosures that were."""
        async with connection.transaction():
            gone: int = await connection.fetchval(_LET_GO, timeout=_LONGEST)
            if gone:
                await self._events.sign(connection, "RETENTION")
        return gone

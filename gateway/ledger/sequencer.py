"""Disclosures become leaves, leaves a signed log, and entries of their subjects: the ledger's runner.

In: a DSN of the role `log`, and what publishes (tiles, checkpoints). Out: rows of ledger.leaf and ledger.subject_entry.
Every process runs one, and one leads at a time: who holds the lock of it (lead.py). If it dies another one has it
within a second. All work is done by functions of the database, each one transaction: nobody who is killed leaves half
of anything. Without a database it waits for one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.ledger.events import Events
from gateway.ledger.head import UNSIGNED
from gateway.ledger.lead import connected, leading
from gateway.ledger.retention import Retention
from gateway.ledger.sequence import BUSY, Slices
from gateway.storage.faults import told_of
from gateway.storage.lane import Connection

logger = logging.getLogger(__name__)

Publish: TypeAlias = Callable[[Connection], Awaitable[object]]

_INTERVAL: Final = 1.0  # s between two sequencings: a disclosure is under a checkpoint within two
_BUSY: Final = 100  # disclosures a second from which on answers go first
_SHARE: Final = 0.02  # of the time that fan-out then takes
_SPELL: Final = 0.05  # s that one call of fan-out should take at most
_MOST, _LEAST = 5_000, 20  # entries of one call
_CARE: Final = 3_600.0  # s between two looks at partitions
_MONTHS: Final = 4  # this one and those ahead
_LONGEST: Final = 900.0  # s of a statement: the first leaves of a ledger that is older than its log
_FIRST, _AGAIN = 0.1, 1.0  # s between two attempts
_OVER: Final = "select exists (select from ledger.seal where ended_at is null and until <= now())"
_SETTINGS: Final = {
    # Thousands of leaves meet thousands of rows: what the planner takes for a few must not become a loop in a loop.
    "enable_nestloop": "off",
    "application_name": "credit-gateway sequencer",
}


class Sequencer:
    """`publish` is called after leaves were made, with the connection, outside of a transaction. `share`: of the time
    that fan-out takes while many disclosures come; with few it takes all it needs."""

    def __init__(
        self,
        dsn: str,
        registry: CollectorRegistry,
        publish: Publish,
        events: Events,
        *,
        interval: float = _INTERVAL,
        share: float = _SHARE,
    ) -> None:
        self._dsn = dsn
        self._publish = publish
        self._events = events
        self._interval = interval
        self._share = share
        self._task: asyncio.Task[None] | None = None
        self._at_once = _LEAST  # entries of the next call of fan-out
        self._done_at = -math.inf  # when the last complete look began
        self._cared_at = -math.inf
        self._settled = False  # whether rows need no looking up among the leaves (ledger.adopt)
        self.leads = False
        self._metrics(registry)
        self._retention = Retention(registry, events)

    def _metrics(self, registry: CollectorRegistry) -> None:
        Gauge("credit_log_leads", "1 in the process that sequences", registry=registry).set_function(
            lambda: float(self.leads)
        )
        Gauge(
            "credit_log_lag_seconds",
            "Age that a disclosure outside the log can have at most; of the process that leads, elsewhere NaN",
            registry=registry,
        ).set_function(lambda: time.monotonic() - self._done_at if self.leads else math.nan)
        self._size = Gauge("credit_log_size", "Leaves of the log, where this process leads", registry=registry)
        self._backlog = Gauge(
            "credit_log_fan_out_backlog", "Leaves whose subjects have no entry yet, where it leads", registry=registry
        )
        self._fanned = Counter("credit_log_fan_out_leaves", "Leaves that fan-out has done", registry=registry)
        self._spent = Counter("credit_log_fan_out_seconds", "Time that fan-out took for them", registry=registry)
        self._made = Counter("credit_log_leaves", "Leaves that this process has made", registry=registry)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End, whatever is under way: it is done or undone. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        pause, said = _FIRST, ""
        while True:
            try:
                async with leading(self._dsn) as still, connected(self._dsn, _SETTINGS) as connection:
                    await self._begin(connection)
                    pause, said = _FIRST, ""
                    while True:
                        await still()
                        await self.once(connection)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self._task is None:
                    return  # what was cancelled failed instead of ending
                told = told_of(error)
                if told != said:
                    logger.warning("sequencer: %s; trying again", told)
                said = told
            finally:
                self.leads = False
                self._size.set(math.nan)  # whoever leads now knows
                self._backlog.set(math.nan)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN)

    async def _begin(self, connection: Connection) -> None:
        if await connection.fetchval("select ledger.adopt()", timeout=_LONGEST):
            logger.warning("sequencer: this ledger was restored into another server; all rows are looked at again")
        self._settled = False
        await self._events.begin(connection)
        self._done_at = time.monotonic() - (await connection.fetchval(UNSIGNED, timeout=_LONGEST) or 0.0)
        self.leads = True
        logger.info("sequencer: leading")

    async def once(self, connection: Connection) -> None:
        """One look, and the rest of the interval: all leaves, a checkpoint, some of the fan-out."""
        began = time.monotonic()
        made, complete = await self._take(connection, began + self._interval)
        self._made.inc(made)
        if not self._settled:
            self._settled = await connection.fetchval("select ledger.settle()", timeout=_LONGEST)
        await self._publish(connection)
        if complete:
            self._done_at = began
        if began - self._cared_at > _CARE:
            self._cared_at = began
            await self._care(connection)
        await self._unseal(connection, began + self._interval)
        busy = made > _BUSY * self._interval
        share = self._share * self._interval
        until = max(began + self._interval, time.monotonic() + share)  # that much, if leaves have taken all of the time
        await self._fan_out(connection, until, share if busy else math.inf)
        await asyncio.sleep(began + self._interval - time.monotonic())

    async def _take(self, connection: Connection, until: float) -> tuple[int, bool]:
        """Leaves of what is committed, and whether it was all there was when this began; where that takes longer than
        until a moment, or somebody else is at the log, a checkpoint goes first. Returns how many leaves."""
        made, slices = 0, await Slices.begin(connection)
        while True:
            try:
                found = await slices.next()
            except asyncpg.UniqueViolationError:
                # Ids are random: no mishap, but somebody with a view's role. The log goes on all the same.
                parted = await connection.fetchval("select ledger.part_doubles()", timeout=_LONGEST)
                if not parted:
                    raise
                logger.error(
                    "sequencer: %d disclosures were written under ids that others have; they got new ones", parted
                )
                continue
            if found == BUSY:
                return made, False
            made += found
            if slices.complete or time.monotonic() > until:
                return made, slices.complete

    async def _unseal(self, connection: Connection, until: float) -> None:
        """Numbers for what was sealed until now, one seal after the other; after a moment the others wait for the next
        look: many end at midnight, and the log goes on meanwhile."""
        while await connection.fetchval(_OVER, timeout=_LONGEST):
            async with connection.transaction():
                if await connection.fetchval("select ledger.end_seal(null)", timeout=_LONGEST) >= 0:
                    await self._events.sign(connection, "UNSEAL")
            if time.monotonic() > until:
                break

    async def _fan_out(self, connection: Connection, until: float, budget: float) -> None:
        """Fan out until a moment, for `budget` seconds at most; with a budget, evenly over the time."""
        state = await connection.fetchrow("select size, fanned from ledger.log_state", timeout=_LONGEST)
        assert state is not None
        backlog = state["size"] - state["fanned"]
        self._size.set(state["size"])
        self._backlog.set(backlog)
        while backlog > 0 and budget > 0 and (began := time.monotonic()) < until:
            done = await connection.fetchval("select ledger.fan_out($1)", self._at_once, timeout=_LONGEST)
            if done <= 0:
                break
            spent = time.monotonic() - began
            budget -= spent
            backlog -= done
            self._fanned.inc(done)
            self._spent.inc(spent)
            self._backlog.set(backlog)
            if spent < _SPELL / 2 and backlog > 0:  # how long took what there was tells nothing of more
                self._at_once = min(2 * self._at_once, _MOST)
            elif spent > _SPELL:
                self._at_once = max(self._at_once // 2, _LEAST)

    async def _care(self, connection: Connection) -> None:
        """Partitions ahead, months that are over. What does not work now is tried again in an hour."""
        try:
            await connection.execute("select ledger.count_sealed()", timeout=_LONGEST)
            if made := await connection.fetchval("select ledger.add_partitions($1)", _MONTHS, timeout=_LONGEST):
                logger.info("sequencer: %d partitions made", made)
            await self._retention.care(connection)
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            logger.warning("sequencer: partitions: %s", told_of(error))

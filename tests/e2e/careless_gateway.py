"""The gateway with an account that answers before it is durable: what scripts/kill_gateway.py must find out.

A program for test_kill.py alone; no setting makes the real gateway do this.
"""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from gateway.app import Parts, create_app
from gateway.cli import main, serve
from gateway.engine.account import Disclosure
from gateway.ledger.disclosures import Ledger
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.web.front import Front

LATE = 0.05  # s


class Careless:
    """Writes what the real ledger writes, a moment after it said that it had."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tasks: set[asyncio.Task[None]] = set()

    in_statement = False

    async def record(self, disclosure: Disclosure) -> None:
        task = asyncio.create_task(self._later(disclosure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, disclosure: Disclosure) -> None:
        await asyncio.sleep(LATE)
        await self._ledger.record(disclosure)


def careless_app(settings: Settings, database: Database) -> Front:
    ledger = Ledger(Pool(database.dsn("ledger"), size=4), CollectorRegistry(), timeout=settings.ledger_timeout)
    return create_app(settings, database, Parts(account=Careless(ledger)))


if __name__ == "__main__":
    setattr(serve, "create_app", careless_app)  # noqa: B010 - the command takes it from there
    main()

"""What the tests of the changes share: a feed over real HTTP, a worker on it, and what the database looks like then.

The feed is a log: every change that was ever made, in order; a cursor is a place in it, signed with an epoch, so that a
test can have all cursors refused.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from connectors.region_platform import RegionPlatformConnector, RegionPlatformSettings
from gateway.sharing.changes import ChangesWorker
from gateway.storage.database import Database
from tests.connectors.platform_upstream import APP_KEY, SECRET, Platform, ok, penalty, serving

NOW = dt.datetime(2026, 6, 1, 4, 0, tzinfo=dt.UTC)  # noon in Asia/Shanghai
SOURCE = "REGION_PLATFORM"

_TABLES = (
    "record", "record_version", "withdrawal", "subject", "identifier", "source_row", "source_ended", "feed_change",
    "feed_reject", "feed_cursor",
)  # fmt: skip
# All that the feed writes, but for random ids, running numbers and moments.
_STATE = (
    """select r.external_id, s.uscc, s.name, a.name, r.kind, r.severity, r.status, r.published, r.version, r.decided_on,
              r.published_from, r.published_until, r.repairable_from, r.amount, r.title, r.document_number, r.basis,
              r.facts, r.detail, r.natural_key, r.source_code, r.catalogue_item
       from core.record r join core.subject s on s.id = r.subject_id
       left join core.subject a on a.id = r.authority_id""",
    """select r.natural_key, v.version, v.status, v.content, v.content_hash, v.decided_on, v.published_from,
              v.published_until, v.reason, v.entered_by, v.original
       from core.record_version v join core.record r on r.id = v.record_id""",
    "select s.uscc, s.name, s.kind, s.class from core.subject s",
    "select r.natural_key, w.withdrawn_on, w.reason from core.withdrawal w join core.record r on r.id = w.record_id",
    """select c.natural_key, c.linked, c.said_at, r.natural_key from core.source_row c
       join core.record r on r.id = c.record_id""",
    "select natural_key, ended_at from core.source_ended",
    "select natural_key, digest, content from core.feed_change",
    "select cursor, place, natural_key, op, reason, resolved_at is null from core.feed_reject",
    "select cursor, rereading from core.feed_cursor",
)


class FeedPlatform(Platform):
    """The platform with a feed: `log` of changes, pages of `most` at most."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []
        self.epoch, self.most = 1, 500
        self.now = NOW
        self.reply = self.answer
        self.connectors: list[RegionPlatformConnector] = []  # of its workers

    def answer(self, path: str, asked: dict[str, Any]) -> Any:
        assert path == "changes", path
        epoch, _, place = asked["since"].partition("-")
        if asked["since"] and epoch != str(self.epoch):
            return {"status": 3, "message": "no such cursor"}
        begin = int(place or 0)
        end = min(len(self.log), begin + min(int(asked["size"]), self.most))
        return ok({"next": f"{self.epoch}-{end}", "more": end < len(self.log), "list": self.log[begin:end]})

    def upsert(self, row: dict[str, Any]) -> None:
        self.log.append({"op": "upsert", **row})

    def withdraw(self, row: dict[str, Any], reason: str, on: str = "2026-05-20") -> None:
        self.log.append({"op": "withdraw", "reason": reason, "effectiveOn": on, **row})


def at(time: str, uscc: str, wsh: str = "样例[2026]1号", **changes: Any) -> dict[str, Any]:
    """A penalty that was changed on that time of day."""
    return penalty(uscc, wsh, **changes) | {"updateTime": f"2026-04-01 {time}"}


def connector(url: str, **limits: Any) -> RegionPlatformConnector:
    return RegionPlatformConnector(
        RegionPlatformSettings(url, APP_KEY, SECRET, budget=5.0, requests_per_second=0, clock=lambda: NOW, **limits)
    )


def worker(
    platform: FeedPlatform, database: Database, limits: dict[str, Any] | None = None, **options: Any
) -> ChangesWorker:
    platform.connectors.append(connector(platform.url, **(limits or {})))
    return ChangesWorker(platform.connectors[-1], database, **{"clock": lambda: NOW, **options})


@contextlib.asynccontextmanager
async def feeding() -> AsyncIterator[FeedPlatform]:
    """The platform on a free port; at the end its workers' connectors are closed."""
    async with serving(FeedPlatform()) as platform:
        try:
            yield platform
        finally:
            for one in platform.connectors:
                await one.close()


async def clear(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute(f"truncate {', '.join(f'core.{table}' for table in _TABLES)} restart identity cascade")


async def state(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """All that the feed has written, in an order of its own."""
    return [line for sql in _STATE for line in sorted(str(tuple(row)) for row in await connection.fetch(sql))]


async def records(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, tuple[str, int]]:
    """Status and version of every record by its natural key."""
    rows = await connection.fetch("select natural_key, status, version from core.record order by 1")
    return {row["natural_key"]: (row["status"], row["version"]) for row in rows}

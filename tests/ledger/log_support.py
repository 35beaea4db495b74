"""A log over a database of its own: disclosures by SQL, leaves by ledger.sequence, checkpoints by the publisher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry

from gateway.auth.keys import KeyStore
from gateway.ledger.events import Events
from gateway.ledger.publish import Publisher
from gateway.storage.database import Database

ORIGIN = "gateway.example/log"
ISSUER = "https://gateway.example"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connected: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"

# Subjects overlap, so that each has several entries; some rows have none, some variables, some neither.
WRITE = """
insert into ledger.disclosure (id, at, client_id, organisation_uscc, view, matter, case_number, on_behalf_of, outcome,
    operation_name, document_hash, variables, subject_ids, snapshot, sources, withheld)
select gen_random_uuid(), now(), 'client-' || i % 7, '91652700MA0000000' || i % 10, 'RESTRICTED', 'GRANT',
    '博州财审〔2026〕' || i || '号', case when i % 3 = 0 then 'Alice "A"' end, 'ANSWERED',
    case when i % 2 = 0 then 'Profile' end, sha256('query'), case when i % 4 > 0 then '{"n":' || i || '}' end,
    array(select md5((i + s) % 50 || '')::uuid from generate_series(1, i % 6) s), '1:1:',
    '{"C":{"status":"LIVE"}}', '{}'
from generate_series($1::int, $1::int + $2::int - 1) i"""


class TestLog:
    """One log. `owner` may do everything, `log` what the role may."""

    __test__ = False

    def __init__(self, owner: Connection, log: Connection, keys: KeyStore, origin: str = "") -> None:
        self.owner = owner
        self.log = log
        self.keys = keys
        self.registry = CollectorRegistry()
        self.publisher = Publisher(keys, self.registry, issuer=ISSUER, origin=origin)
        self.events = Events(keys, issuer=ISSUER, origin=origin)
        self.written = 0

    async def write(self, count: int) -> None:
        """So many disclosures, in one transaction."""
        await self.owner.execute(WRITE, self.written, count)
        self.written += count

    async def sequence(self) -> None:
        """Leaves of all that was written."""
        while await self.log.fetchval("select ledger.sequence(100000)"):
            pass

    async def grow(self, count: int) -> bool:
        """Written, made leaves of, published."""
        await self.write(count)
        await self.sequence()
        return await self.publish()

    async def signed(self, kind: str, sql: str, *arguments: Any) -> Any:
        """What a statement gives that writes an event, which is signed."""
        async with self.owner.transaction():
            made = await self.owner.fetchval(sql, *arguments)
            await self.events.sign(self.owner, kind)
        return made

    async def fan_out(self) -> None:
        """The subjects' entries."""
        while await self.log.fetchval("select ledger.fan_out(5000)") > 0:
            pass

    async def publish(self) -> bool:
        return await self.publisher.publish(self.log)

    def restarted(self, origin: str = "") -> TestLog:
        """The same log in another process."""
        made = TestLog(self.owner, self.log, self.keys, origin)
        made.written = self.written
        return made

    async def checkpoints(self) -> Sequence[asyncpg.Record]:
        return await self.owner.fetch("select size, root, note from ledger.checkpoint order by size, at")

    async def leaves(self) -> list[bytes]:
        return [row["hash"] for row in await self.owner.fetch("select hash from ledger.leaf order by index")]

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


async def open_log(database: Database, owner: Connection, folder: Path) -> TestLog:
    """A log over the module's database; the caller closes `log.log`."""
    return TestLog(owner, await asyncpg.connect(database.dsn("log")), KeyStore(folder / "keys"))


@asynccontextmanager
async def listening(connected: Connected) -> AsyncIterator[str]:
    """A server of a test's own, which gets each connection; the URL of the log that it stands for."""
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/log"
    finally:
        server.close()


async def emptied(owner: Connection) -> None:
    """Back to a log of nothing."""
    await owner.execute(
        "truncate ledger.disclosure, ledger.leaf, ledger.tile, ledger.checkpoint, ledger.subject_entry, ledger.event,"
        " ledger.erased, ledger.kept_salt, ledger.told, ledger.cosignature, ledger.witnessed, ledger.seal,"
        " ledger.sealed_entry;"
        " update ledger.log_state set size = 0, snapshot = pg_current_snapshot(), fanned = 0"
    )


async def forge(owner: Connection, *statements: str) -> Any:
    """What somebody with the database in his hands does."""
    for statement in statements:
        await owner.execute(statement)

"""A connection to PostgreSQL with its prepared statements: opened, asked, and found sound again after a cancellation.

In: a DSN, SQL with its parameters. Out: rows whose text columns are bytes, or whatever asyncpg raises; faults.py sorts
that. Only a pool calls it. Moments are of time.monotonic(), s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gateway.errors import GatewayError
from gateway.storage.faults import NotBegun, Unsure, refused
from gateway.storage.framing import install

install()
Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Ask: TypeAlias = "Callable[[str, Sequence[Any]], Awaitable[list[Record]]]"  # rows of a statement of a transaction
T = TypeVar("T")

_STATEMENTS: Final = 100  # prepared statements kept on a connection
_LEAVE: Final = 2.0  # s
_MENDING: Final = 1.0  # s for the server to acknowledge a cancellation


class Lane:
    """A connection with its prepared statements, least recently used first to go. `since`: when it was last taken."""

    __slots__ = ("_prepared", "connection", "since", "statements")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.since = 0.0
        self._prepared = 0
        self.statements: OrderedDict[str, PreparedStatement[Record]] = OrderedDict()

    async def fetch(self, sql: str, arguments: Sequence[Any], until: float) -> list[Record]:
        """The rows of a statement, which is cancelled at that moment (TimeoutError)."""
        found = self.statements.get(sql)
        if found is None:
            found = await self._prepare(sql, until)
        else:
            self.statements.move_to_end(sql)
        return await found.fetch(*arguments, timeout=_left(until))

    async def transact(self, work: Callable[[Ask], Awaitable[T]], scope: str, until: float) -> T:
        """What `work` makes of its statements, in one transaction that carries the scope; what it raises undoes them.

        Raises NotBegun where the connection failed before anything was asked, Unsure where it failed at the commit.
        """
        try:
            await self.connection.execute(_begin(scope), timeout=_left(until))
        except Exception as error:
            raise NotBegun from error

        async def ask(sql: str, arguments: Sequence[Any]) -> list[Record]:
            return await self.fetch(sql, arguments, until)

        try:
            made = await work(ask)
        except (asyncpg.PostgresError, GatewayError):
            await self.connection.execute("rollback", timeout=_left(until))
            raise
        try:
            done = await self.connection.execute("commit", timeout=_left(until))
        except asyncpg.PostgresError as error:
            if refused(error):
                raise  # it was not committed, and the server says so
            raise Unsure from error
        except Exception as error:
            raise Unsure from error
        if done != "COMMIT":
            raise RuntimeError(f"a transaction ended in {done}")
        return made

    async def mend(self, *, scoped: bool) -> bool:
        """Whether the connection is sound after a statement that was cancelled: the server has acknowledged it, and
        answers. asyncpg sends the request to cancel, on a connection of its own; terminated before that, the statement
        would run on."""
        try:
            await self.connection.execute("rollback" if scoped else "select 1", timeout=_MENDING)
        except Exception:
            return False
        return not self.connection.is_in_transaction()

    async def close(self) -> None:
        """Take leave of the server; where it doesn't listen, without."""
        with contextlib.suppress(Exception):
            await self.connection.close(timeout=_LEAVE)

    def drop(self) -> None:
        """Let go of the connection, whatever state it is in."""
        with contextlib.suppress(Exception):
            self.connection.terminate()

    async def _prepare(self, sql: str, until: float) -> PreparedStatement[Record]:
        # Named by us: with asyncpg's own cache off it would use the unnamed statement, parsed and planned at each use.
        self._prepared += 1
        made = await self.connection.prepare(sql, name=f"gateway_{self._prepared}", timeout=_left(until))
        self.statements[sql] = made
        if len(self.statements) > _STATEMENTS:
            self.statements.popitem(last=False)  # asyncpg deallocates it once nothing refers to it
        return made


async def connect(dsn: str, settings: Mapping[str, str], seconds: float) -> Lane:
    """A new connection. Raises whatever keeps it from being there in time."""
    async with asyncio.timeout(seconds):
        connection = await asyncpg.connect(
            dsn, timeout=seconds, command_timeout=seconds, statement_cache_size=0, server_settings=dict(settings)
        )
        try:
            # The body of an answer is text in PostgreSQL and bytes on the wire: never decoded, never encoded again.
            await connection.set_type_codec(
                "text", schema="pg_catalog", encoder=_encode, decoder=bytes, format="binary"
            )
        except BaseException:
            connection.terminate()
            raise
    return Lane(connection)


def _left(until: float) -> float:
    """Seconds until then. asyncpg takes what is not positive as over, and sends nothing."""
    return until - time.monotonic()


def _encode(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _begin(scope: str) -> str:
    # One message for both; hex, so that nothing in the scope can be read as SQL.
    return f"begin; select set_config('gateway.scope', convert_from('\\x{scope.encode().hex()}', 'UTF8'), true)"

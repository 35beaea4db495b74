"""The body statement of a request: alone, with others of its kind or in its turn; and what it leaves to be filled in.

In: a compiled plan with its arguments, who asks. Out: what was found, whole. Pools are handed in; the turns are those
of a process (scans.py, together.py), and so is what is filled in (references.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from gateway.auth.principal import Principal
from gateway.engine.account import id_in, with_new_ids
from gateway.engine.compile import Compiled
from gateway.engine.mutate import Database
from gateway.engine.references import References
from gateway.engine.request import Done, Limits, Request, ends_at
from gateway.engine.response import Found, read_row
from gateway.engine.scans import LARGE, LONG, Scans
from gateway.engine.together import Together
from gateway.errors import StorageUnavailable
from gateway.storage.pool import same

T = TypeVar("T")


class Statements:
    """Runs body statements. One for each process."""

    def __init__(self, pools: Mapping[str, Database], limits: Limits, scans: Scans) -> None:
        self._pools = pools
        self._limits = limits
        self._scans = scans
        self.together = {access: Together(width=limits.statements, lists=limits.lists, scans=scans) for access in pools}
        self.references = {access: References() for access in pools}

    async def read(
        self,
        compiled: Compiled,
        arguments: Sequence[Any],
        principal: Principal,
        request: Request,
        done: Done,
        rows: int,
    ) -> Found | None:
        """What the body statement found; None where it shows more subjects than the token allows."""
        statement, pool = compiled.body, self._pools[principal.access.name]
        assert statement is not None
        until = ends_at(request, self._limits, done)
        read = partial(_answered, compiled, principal)
        again = with_new_ids if statement.accounts else same
        if request.wants_receipt and statement.accounts:
            # Alone, so that it is known which row was written.
            again = partial(_with_known_id, done)
            done.disclosure = id_in(arguments)
        elif (
            (statement.apiece or (statement.keys and not _is_large(compiled, done)))
            and not compiled.plan.sources
            and not compiled.counts_all
        ):
            name, asker = principal.access.name, done.asker(principal) if statement.apiece else ""
            row = await self.together[name].row(
                name, pool, statement, arguments, rows, until, reads_all=compiled.lists_all, asker=asker
            )
            return read((row,))

        async def ask(once_more: bool) -> Found | None:
            found: Found | None = await pool.fetch(
                statement.text,
                again(arguments) if once_more else arguments,
                until=until,
                read=read,
                again=again,
            )
            return found

        return await self.in_turn(compiled, principal, done, until, ask)

    async def in_turn(
        self, compiled: Compiled, principal: Principal, done: Done, until: float, ask: Callable[[bool], Awaitable[T]]
    ) -> T:
        """What `ask` brings, when it may read all that this plan may. Raises RateLimited."""
        name = principal.access.name
        if compiled.counts_all:
            async with self._scans.turn(name, until, done.asker(principal)):
                return await ask(False)
        if compiled.lists_all:
            return await self._scans.page(name, until, done.asker(principal), ask)
        if _is_large(compiled, done):
            async with self._scans.large(name, until, done.asker(principal)):
                return await ask(False)
        return await ask(False)

    async def whole(
        self, compiled: Compiled, found: Found, principal: Principal, request: Request, done: Done
    ) -> Found:
        """What was found, with what its statement left out. Raises StorageUnavailable."""
        assert compiled.body is not None
        gaps = compiled.body.gaps
        if not gaps.kinds:
            return found
        access, until = principal.access.name, ends_at(request, self._limits, done)
        known, pool = self.references[access], self._pools[access]
        try:
            found.body = await known.filled(found.body, found.version, gaps, principal, pool, until)
        except StorageUnavailable as error:
            if not principal.access.disclosed:
                raise
            raise StorageUnavailable(  # the disclosure was written with the rows
                "the database did not answer to the end; the request is on record as answered, ask again later",
                "数据库未能完成答复，本次请求已记为已答复，请稍后再试",
            ) from error
        return found


def _answered(compiled: Compiled, principal: Principal, rows: Sequence[Any]) -> Found | None:
    """The statement's one row, read to the end while its connection is still to be blamed for what can't be."""
    (row,) = rows
    if not row["body"]:
        return None
    if compiled.body is not None and compiled.body.accounts and row["disclosed"] != 1:
        raise RuntimeError("an answer without its disclosure")  # durable otherwise: the transaction has ended
    return read_row(compiled, row, principal)


def _with_known_id(done: Done, arguments: Sequence[Any]) -> Sequence[Any]:
    again = with_new_ids(arguments)
    done.disclosure = id_in(again)
    return again


def _is_large(compiled: Compiled, done: Done) -> bool:
    """Whether it may take long, by its rows or by what there is to be planned."""
    return done.cost >= LARGE or (compiled.body is not None and len(compiled.body.text) >= LONG)

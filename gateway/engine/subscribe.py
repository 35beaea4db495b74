"""Subscriptions: rows that come one by one, read from the outbox by position, each answered like a query of its own.

In: an operation of type subscription, who asks, how far the outbox reaches. Out: responses, each of which is disclosed
when it is handed over. Nothing is kept for a client that is slow: the next row is looked for when the last was taken.
A database that is away is waited for: the position goes on only behind what was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from gateway.auth.principal import Principal
from gateway.engine import plan as p
from gateway.engine.bindings import AT, BEYOND, UNTIL, WINDOW
from gateway.engine.bookmarks import of_the_bookmark
from gateway.engine.compile import Planned, bad_values, refuse_bad_values
from gateway.engine.mutate import Database
from gateway.engine.request import Done, Limits, Request, check_sizes
from gateway.engine.scans import Turn, Turns
from gateway.engine.values import Fed, resolved
from gateway.errors import BadUserInput, LedgerUnavailable, QueryTooCostly, RateLimited, Refused, StorageUnavailable
from gateway.storage.pool import same

CHECK: Final = 0.5  # s between two looks at who asks
_PAUSES: Final = (0.1, 0.25, 0.5, 1.0)  # s after a database that did not answer
MOST_BYTES: Final = 1_048_576  # of one event

Who = Callable[[], Awaitable[Principal]]
T = TypeVar("T")


class Changes(Protocol):
    """How far changes reach (storage.outbox.Outbox)."""

    async def beyond(self, position: int) -> int:
        """Waits until they reach further than a position; returns how far."""
        ...


class Answering(Protocol):
    """What answers one request (execute.Engine)."""

    @property
    def pools(self) -> Mapping[str, Database]:
        """By access."""
        ...

    @property
    def limits(self) -> Limits:
        """Of one request."""
        ...

    async def planned(self, principal: Principal, request: Request, done: Done) -> Planned:
        """The request with its plan."""
        ...

    async def respond(self, planned: Planned, request: Request, done: Done, given: Mapping[str, Any]) -> bytes:
        """The response, disclosed."""
        ...

    async def check_within(self, planned: Planned, until: float) -> None:
        """Raises Forbidden where codes are outside the asker's scope."""
        ...

    async def accounted(self, principal: Principal, request: Request, done: Done, work: Awaitable[T]) -> T:
        """What comes of the work; whatever happens is accounted for. Raises Refused, StorageUnavailable,
        LedgerUnavailable."""
        ...


def _name(value: Any) -> str:
    assert isinstance(value.origin, Fed)
    return value.origin.name


class Subscription:
    """One subscription that has begun, at `place`. `turns` bounds how many of a process ask the database at once, so
    that they never take all connections from those who wait for one answer. Who waits for a source holds none."""

    def __init__(self, engine: Answering, changes: Changes, request: Request, place: int, turns: Turns) -> None:
        self._engine = engine
        self._changes = changes
        self._request = request
        self._place = place
        self._turns = turns

    async def events(self, who: Who) -> AsyncGenerator[bytes, None]:
        """The responses. `who` tells who asks at this moment, and raises what ends it all, within CHECK seconds.

        Raises Refused: for good, the client has to subscribe anew."""
        failures = 0
        while True:
            try:
                principal = await who()
                body = await self._next(principal)
            except (StorageUnavailable, LedgerUnavailable):
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
                continue
            except Refused as refused:
                if refused.code != RateLimited.code:
                    raise
                await asyncio.sleep(_PAUSES[-1])  # others' turns are under way: no reason to end it
                continue
            failures = 0
            if body is not None:
                yield body

    async def _next(self, principal: Principal) -> bytes | None:
        """The next response; None where there is none now."""
        end = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK):
                end = await self._changes.beyond(self._place)
        if end is None:
            return None
        done = Done()
        request = replace(self._request, arrived=time.monotonic())
        work = self._answer(principal, request, done, min(end, self._place + WINDOW))
        body = await self._engine.accounted(principal, request, done, work)
        if body is not None and len(body) > MOST_BYTES:
            raise Refused(
                [
                    QueryTooCostly(
                        f"an event would be longer than {MOST_BYTES} bytes; select less of it",
                        f"单个事件超过 {MOST_BYTES} 字节，请减少所选字段",
                    )
                ]
            )
        return body

    async def _answer(self, principal: Principal, request: Request, done: Done, until: int) -> bytes | None:
        """The response of the next row up to `until`; None where this asker has none."""
        turn = Turn(self._turns, done.asker(principal))
        async with turn:
            done.aside = turn.aside
            planned = await self._engine.planned(principal, request, done)
            found = await self._look(planned, until)
            if found is None:
                self._place = until
                return None
            body = await self._engine.respond(planned, request, done, {_name(AT): found})
        self._place = found
        if body.endswith(b":null}}") and body == b'{"data":{"%s":null}}' % planned.compiled.plan.fields[0].key.encode():
            return None  # gone between the two statements: what has taken it away comes as an event of its own
        return body

    async def _look(self, planned: Planned, until: int) -> int | None:
        """Where the next row is that this asker has."""
        statement = planned.compiled.next
        assert statement is not None
        fed = {_name(BEYOND): self._place, _name(UNTIL): until}
        arguments = resolved(statement.parameters, planned.variables, planned.principal, fed)
        place: int | None = await self._engine.pools[planned.principal.access.name].fetch(
            statement.text, arguments, read=_place, again=same
        )
        return place


async def begin(
    engine: Answering,
    changes: Changes,
    principal: Principal,
    request: Request,
    done: Done,
    turns: Turns,
) -> Subscription:
    """A subscription, checked as far as it can be before its first event. Raises ClientErrors, Refused."""
    planned = await engine.planned(principal, request, done)
    asking, variables, compiled = planned.principal, planned.variables, planned.compiled
    (field,) = compiled.plan.fields
    if not isinstance(field, p.One) or field.rows.following is None:
        raise BadUserInput("a subscription needs its field; select it", "订阅必须选择其字段，请选择")
    try:
        check_sizes(compiled, variables, asking, engine.limits)
        refuse_bad_values(compiled, variables, asking)
    except BadUserInput as error:
        raise bad_values(compiled, variables, asking, error) from None
    until = time.monotonic() + engine.limits.storage
    await engine.check_within(planned, until)
    schema, behind = asking.access.schema, field.rows.following.behind
    sql, arguments = f"select {schema}.change_end()::text as place", []
    if behind is not None:
        sql = f"select {schema}.change_place($1::text)::text as place"
        arguments = [behind.resolve(variables, asking, {})]
    try:
        place = await engine.pools[asking.access.name].fetch(sql, arguments, until=until, read=_place, again=same)
    except StorageUnavailable as error:
        if refusal := of_the_bookmark(error):
            raise refusal from None
        raise
    return Subscription(engine, changes, replace(request, deadline=None), int(place or 0), turns)


def _place(rows: Any) -> int | None:
    return int(rows[0]["place"]) if rows else None

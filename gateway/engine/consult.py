"""What a plan asks of sources, and about whom: before its statement, which takes their answers along.

In: a compiled plan with its variables. Out: the answers, fed to the statement; what was consulted. Who is asked about
is in the arguments, or a statement of its own finds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine.compile import Compiled
from gateway.engine.mutate import Database
from gateway.engine.request import Done, Limits, Request, budget, ends_at
from gateway.engine.sql import Statement
from gateway.engine.statements import Statements
from gateway.engine.values import resolved
from gateway.errors import QueryTooCostly
from gateway.sources.ask import Sources
from gateway.sources.wanted import Consulted, Inquire, Wanted
from gateway.storage.pool import same


class Inquiries:
    """Asks the sources of plans. One for each process."""

    def __init__(self, sources: Sources, pools: Mapping[str, Database], limits: Limits, statements: Statements) -> None:
        self._sources = sources
        self._pools = pools
        self._limits = limits
        self._statements = statements

    async def consult(
        self,
        compiled: Compiled,
        variables: Mapping[str, Any],
        principal: Principal,
        fed: dict[str, Any],
        request: Request,
        done: Done,
        inquire: Inquire,
    ) -> Consulted:
        """Feed the answers of the plan's sources; returns what was consulted, for the disclosure and the refresh.
        `inquire` is awaited before a source hears of anybody that asks for it (banks)."""
        deadline = asyncio.get_running_loop().time() + budget(request, self._limits)
        wanted: list[Wanted] = []
        for feed, keys in compiled.keys.items():
            consent = None if keys.consent is None else keys.consent.resolve(variables, principal, fed)
            by_subject: dict[str, dict[str, None]] = {}
            if keys.statement is None:
                for value, is_list, parts in keys.given:
                    codes = value.resolve(variables, principal, fed)
                    for code in codes if is_list else (codes,):
                        by_subject.setdefault(code, {}).update(dict.fromkeys(parts))
            else:
                arguments = resolved(keys.statement.parameters, variables, principal, fed)
                until = ends_at(request, self._limits, done)
                find = partial(_find, self._pools[principal.access.name], keys.statement, arguments, until)
                codes = await self._statements.in_turn(compiled, principal, done, until, find)
                for code in codes:
                    if code:
                        by_subject[code] = dict.fromkeys(keys.parts)
            self._check_keys(len(by_subject), principal)
            grouped: dict[tuple[str, ...], list[str]] = {}
            for code, parts_of in by_subject.items():
                grouped.setdefault(tuple(parts_of), []).append(code)
            wanted += [
                Wanted(keys.source, parts, tuple(codes), feed, consent, under_consent=keys.consent is not None)
                for parts, codes in grouped.items()
            ]
        began = time.monotonic()
        done.asking = wanted
        async with done.aside():
            consulted = await self._sources.consult(wanted, principal, deadline, inquire=inquire)
            done.asking, done.sources = (), consulted.statuses
        done.waited = time.monotonic() - began
        for feed in compiled.keys:
            fed[f"answers:{feed}"] = consulted.parameters.get(feed, "{}")
        return consulted

    def _check_keys(self, count: int, principal: Principal) -> None:
        most = self._limits.of(principal).subjects
        if principal.max_subjects is not None:
            most = min(most, principal.max_subjects)
        if count > most:
            raise QueryTooCostly(
                f"sources would be asked about {count} subjects, at most {most} are allowed",
                f"需要向来源查询 {count} 个主体，上限为 {most} 个",
            )

    def refresh(self, compiled: Compiled, consulted: Consulted, shown: bytes) -> None:
        """The public view never waits for a source: what it showed may be refreshed afterwards, at low priority.

        Only subjects that are on record (the statement returned them): nobody else's code goes to a source unasked.
        """
        on_record = set(shown.decode().split(","))
        for source, behind in consulted.behind.items():
            codes = tuple(code for code in behind if code in on_record)
            if codes:
                self._sources.refresh(source, compiled.keys[source].parts, codes)


async def _find(
    pool: Database, statement: Statement, arguments: Sequence[Any], until: float, _: bool
) -> dict[str, None]:
    """The codes that a keys statement finds."""
    found: dict[str, None] = await pool.fetch(statement.text, arguments, until=until, read=_codes, again=same)
    return found


def _codes(rows: Sequence[Any]) -> dict[str, None]:
    """The codes of a keys statement, in their order."""
    (row,) = rows
    return dict.fromkeys(row["shown"].decode().split(","))

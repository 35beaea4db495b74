"""What was asked of a sandbox upstream, so that a test can hold what was *not* asked.

A call is recorded when it arrives, before any check, as service, subject, page and time. Headers, signatures, secrets
and whole bodies are never kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

from aiohttp import web

KEPT = 100_000  # a benchmark must not eat the memory: the oldest go first
_LONGEST_TEXT = 64  # what a stranger sends as a code is not kept at any length


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `service` as asked for, `uscc` and `page` where the body had them, `at` in Unix ms (UTC)."""

    service: str
    uscc: str | None
    page: int | None
    at: int


class CallLog:
    """The calls of one upstream, oldest first; `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._calls: deque[Call] = deque(maxlen=KEPT)

    def add(self, service: str, uscc: str | None = None, page: int | None = None) -> None:
        """Record one call as having arrived now."""
        subject = None if uscc is None else uscc[:_LONGEST_TEXT]
        self._calls.append(Call(service[:_LONGEST_TEXT], subject, page, int(self._clock() * 1000)))

    def all(self) -> list[Call]:
        """The calls that are kept, oldest first."""
        return list(self._calls)

    def clear(self) -> None:
        """Forget every call."""
        self._calls.clear()


def routes(log: CallLog) -> list[web.RouteDef]:
    """`GET /_calls` → `[{service, uscc, page, at}]`; `DELETE /_calls` → 204."""

    async def listed(_: web.Request) -> web.Response:
        return web.json_response([asdict(call) for call in log.all()])

    async def cleared(_: web.Request) -> web.Response:
        log.clear()
        return web.Response(status=204)

    return [web.get("/_calls", listed), web.delete("/_calls", cleared)]

"""What was asked of a sandbox upstream, so that a test can hold what was *not* asked.

A call is recorded when it arrives, before any check, as service, subject, page and time, and what more of it matters
to the upstream (its subjects where it is about several, whom it is asked for …). Signatures, secrets and whole bodies
are never kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEPT = 100_000  # a benchmark must not eat the memory: the oldest go first
_LONGEST_TEXT = 64  # what a stranger sends as a code is not kept at any length
_LONGEST_LIST = 64


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `service` as asked for, `uscc` and `page` where the body had them, `at` in Unix ms (UTC).

    `more` is what the upstream adds; its keys stand beside the others in `GET /_calls`.
    """

    service: str
    uscc: str | None
    page: int | None
    at: int
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The call as `GET /_calls` tells it."""
        return {"service": self.service, "uscc": self.uscc, "page": self.page, "at": self.at, **self.more}


class CallLog:
    """The calls of one upstream, oldest first; `clock` gives Unix seconds, `kept` is how many are remembered."""

    def __init__(self, clock: Callable[[], float] = time.time, kept: int = KEPT) -> None:
        self._clock = clock
        self._calls: deque[Call] = deque(maxlen=kept)

    def add(self, service: str, uscc: str | None = None, page: int | None = None, **more: Any) -> None:
        """Record one call as having arrived now; of `more`, texts, numbers and lists of texts are kept."""
        kept = {name: _short(value) for name, value in more.items()}
        self._calls.append(Call(service[:_LONGEST_TEXT], _short(uscc), page, int(self._clock() * 1000), kept))

    def all(self) -> list[Call]:
        """The calls that are kept, oldest first."""
        return list(self._calls)

    def clear(self) -> None:
        """Forget every call."""
        self._calls.clear()


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, Sequence):
        return [_short(item) for item in value[:_LONGEST_LIST] if isinstance(item, str)]
    # Whatever else a stranger puts where a text belongs is not worth keeping.
    return value if value is None or isinstance(value, int) else None


def routes(log: CallLog) -> list[web.RouteDef]:
    """`GET /_calls` → `[{service, uscc, page, at, …}]`; `DELETE /_calls` → 204."""

    async def listed(_: web.Request) -> web.Response:
        return web.json_response([call.as_json() for call in log.all()])

    async def cleared(_: web.Request) -> web.Response:
        log.clear()
        return web.Response(status=204)

    return [web.get("/_calls", listed), web.delete("/_calls", cleared)]

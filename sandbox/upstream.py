"""What every sandbox upstream has: faults on request, the record of calls, latency, and bodies read without trust.

In: a request, what it asks for, and a function that makes the true answer. Out: the response. The upstreams
(sandbox/courts.py, banks.py, region_platform.py, peer_region.py) are made of it; it knows none of them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Any

from aiohttp import web

from sandbox import calls, faults, wire

CHINA = timezone(timedelta(hours=8))  # all days and times of the contracts


@dataclass(frozen=True)
class Asked:
    """What a call asks for, as far as it can be read before any check: for the faults and the record of calls.

    `usccs` are the subjects; `more` goes into the record beside them.
    """

    service: str
    usccs: Sequence[str] = ()
    page: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


class Upstream:
    """Faults, calls and latency of one upstream. `latency_ms` is waited before every answer, `clock` is Unix seconds.

    `answer_faults` are the upstream's own faults with the services that they make sense for; `by_name_only` are
    services that a fault for `*` reaches only where it is of the wire.
    """

    def __init__(
        self,
        answer_faults: Mapping[str, Collection[str]],
        services: Collection[str],
        *,
        by_name_only: Collection[str] = (),
        latency_ms: float = 0.0,
        clock: Callable[[], float] = time.time,
        calls_kept: int = calls.KEPT,
    ) -> None:
        self.latency_ms = latency_ms
        self.faults = faults.FaultBook(answer_faults, services, by_name_only)
        self.calls = calls.CallLog(clock, calls_kept)
        self.clock = clock

    def application(self) -> web.Application:
        """The web application, control paths (`/_faults`, `/_calls`) included."""
        app = web.Application(client_max_size=self.largest_body)
        app.add_routes(self.routes())
        app.router.add_get(wire.BUSY_PATH, self._busy)
        app.add_routes([*faults.routes(self.faults), *calls.routes(self.calls)])
        return app

    largest_body = 64 * 1024

    def routes(self) -> list[web.RouteDef]:
        """The paths of the upstream's contract."""
        raise NotImplementedError

    async def answer(
        self, request: web.Request, asked: Asked, make: Callable[[faults.Fault | None], Any]
    ) -> web.StreamResponse:
        """Record the call, find the fault that it meets, and send what `make` returns under it (wire.Answer or JSON).

        The record has the only subject as `uscc`, and all of them as `usccs` where the upstream is asked about several.
        """
        self.calls.add(asked.service, asked.usccs[0] if len(asked.usccs) == 1 else None, asked.page, **asked.more)
        fault = self.faults.take(asked.service, *asked.usccs)
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        return await wire.reply(request, fault, self.clock, lambda: make(fault))

    def now_ms(self) -> int:
        """The time in Unix milliseconds."""
        return int(self.clock() * 1000)

    async def _busy(self, _: web.Request) -> web.Response:
        self.calls.add("redirected")
        return wire.busy_page()


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that says nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))


def only(request: web.Request, name: str) -> str:
    """The value of a header that is there once; empty where it is missing or comes twice."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def parsed(body: bytes) -> Any:
    """The body's JSON value, None where it is none: refused after the signature, not before it."""
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def canonical(value: Any) -> str:
    """A text that two JSON values have in common if and only if they are equal; 1 and true are not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def text_of(body: Any, key: str) -> str | None:
    """`body[key]` where the body is an object and has a text there."""
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def texts_of(body: Any, key: str) -> list[str]:
    """The texts in the list `body[key]`, as far as there are any."""
    value = body.get(key) if isinstance(body, dict) else None
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def whole(value: Any, least: int, most: int) -> bool:
    """Whether `value` is a whole number (JSON's true is none) between the two, both included."""
    return type(value) is int and least <= value <= most


WRONG = {"unexpected": True}  # an object that no key of any contract is


def without(value: Any, key: str) -> None:
    """Take `key` out of every object inside `value`."""
    _each(value, lambda found: found.pop(key, None))


def wrong_in(value: Any, key: str) -> None:
    """Put an unexpected object in the place of `key` in every object inside `value` that has it."""
    _each(value, lambda found: found.update({key: WRONG}) if key in found else None)


def _each(value: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    if isinstance(value, dict):
        change(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if item is not WRONG:
            _each(item, change)

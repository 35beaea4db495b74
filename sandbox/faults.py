"""Faults on request: which call of a sandbox upstream goes wrong, and how.

`POST /_faults` adds one, `GET /_faults` lists them, `DELETE /_faults` clears them. A fault is either of the wire (any
upstream has it; sandbox/wire.py plays it) or of the answer (the upstream's own: refusals and false rows). The first
fault that fits a call is played, in the order in which they were added.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from aiohttp import web

# Names of the wire's faults → what the caller meets.
WIRE_FAULTS: Mapping[str, str] = {
    "down": "the connection is closed without a reply",
    "black_hole": "the call is taken and never answered",
    "slow": "the true answer, after `seconds` (default 1)",
    "lost_reply": "the call is acted on, then the connection is closed without a reply",
    "redirect": "302 to an HTML page",
    "redirect_away": "`status` (default 307, which repeats the body) to `location`, by default a private address",
    "throttled_412": "412, with Retry-After where `retry_after` is given",
    "throttled_429": "429, Retry-After in seconds (`retry_after`, default 30)",
    "throttled_429_date": "429, Retry-After as an HTTP date so far ahead",
    "server_error": "`status` (default 500)",
    "not_found": "404 with an HTML page",
    "html": "an HTML page with status 200",
    "cut_json": "half of the answer, with the Content-Length of that half",
    "cut_body": "half of the answer, then the connection is closed before Content-Length is met",
    "gzip_bomb": "the true answer, padded with spaces to 256 MiB and sent as some hundred KiB of gzip",
    "endless_body": "a body that never ends",
    "huge_json": "the true answer, with 64 MiB in a key that nobody asked for",
    "dense_json": "the true answer, with 7 MiB of empty lists in a key that nobody asked for",
    "deep_json": "the true answer, with a list nested 200,000 deep in a key that nobody asked for",
    "drip": "the true answer, a byte at a time, `seconds` apart (default 0.05)",
    "gb18030": "the true answer in GB18030, its charset named",
    "null_body": "the JSON text null",
    "empty_list": "the JSON text []",
}


@dataclass(slots=True)
class Fault:
    """One fault. `times` counts down and None means until cleared; a `uscc` of None fits every subject.

    `key` names the key that missing_key and wrong_type are about, where the upstream's default will not do; `text` is
    what a refusal says, so that a test can look for it where it must not be. `polls` is for answers that come later.
    """

    service: str
    fault: str
    uscc: str | None = None
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    retry_after: int | None = None
    key: str | None = None
    text: str | None = None
    location: str | None = None
    polls: int | None = None


class FaultBook:
    """The faults asked for of one upstream.

    `answer_faults` says which services each of the upstream's own faults makes sense for. `by_name_only` are services
    (a refresh, a token endpoint) that `*` covers for faults of the wire alone: otherwise a fault meant once for an
    answer would be used up by the call before it.
    """

    def __init__(
        self,
        answer_faults: Mapping[str, Collection[str]],
        services: Collection[str],
        by_name_only: Collection[str] = (),
    ) -> None:
        self._answer_faults = answer_faults
        self._services = services
        self._by_name_only = by_name_only
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add one fault; ValueError where its service, its name or a number in it makes no sense."""
        if fault.service != "*" and fault.service not in self._services:
            raise ValueError(f"unknown service {fault.service!r}: one of * {' '.join(sorted(self._services))}")
        if fault.fault not in WIRE_FAULTS:
            fitting = self._answer_faults.get(fault.fault)
            if fitting is None:
                names = " ".join(sorted([*WIRE_FAULTS, *self._answer_faults]))
                raise ValueError(f"unknown fault {fault.fault!r}: one of {names}")
            if fault.service != "*" and fault.service not in fitting:
                raise ValueError(f"{fault.fault} makes no sense for {fault.service}")
        _check_options(fault)
        self._faults.append(fault)

    def take(self, service: str, *usccs: str | None) -> Fault | None:
        """The fault that this call about these subjects meets, counted as used once; None where it meets none."""
        for fault in self._faults:
            if self._fits(fault, service, usccs):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None

    def all(self) -> list[Fault]:
        """The faults that still wait for a call, in their order."""
        return list(self._faults)

    def clear(self) -> None:
        """Forget every fault."""
        self._faults.clear()

    def _fits(self, fault: Fault, service: str, usccs: Collection[str | None]) -> bool:
        if fault.uscc is not None and fault.uscc not in usccs:
            return False
        if fault.service != "*":
            return fault.service == service
        if fault.fault in WIRE_FAULTS:
            return True
        return service not in self._by_name_only and service in self._answer_faults[fault.fault]


def _check_options(fault: Fault) -> None:
    if fault.times is not None and fault.times < 1:
        raise ValueError("times is at least 1")
    if fault.seconds is not None and not (math.isfinite(fault.seconds) and fault.seconds >= 0):
        raise ValueError("seconds is a finite number of at least 0")
    first = 300 if fault.fault == "redirect_away" else 500
    if fault.status is not None and not first <= fault.status <= first + 99:
        raise ValueError(f"status is from {first} to {first + 99}")
    if fault.retry_after is not None and fault.retry_after < 0:
        raise ValueError("retry_after is at least 0")
    if fault.polls is not None and fault.polls < 0:
        raise ValueError("polls is at least 0")
    if fault.location is not None and not (fault.location.isascii() and fault.location.isprintable()):
        raise ValueError("location is printable ASCII, as a header is")


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "service": str,
    "fault": str,
    "uscc": str,
    "times": int,
    "seconds": (int, float),
    "status": int,
    "retry_after": int,
    "key": str,
    "text": str,
    "location": str,
    "polls": int,
}


def parse_fault(body: Any) -> Fault:
    """A fault from the JSON of `POST /_faults`; ValueError says what is wrong with it."""
    if not isinstance(body, dict):
        raise ValueError("the body is a JSON object")
    known = {field.name for field in fields(Fault)}
    if unknown := set(body) - known:
        # A misspelt option that is quietly ignored makes a test pass for the wrong reason.
        raise ValueError(f"unknown keys: {' '.join(sorted(map(str, unknown)))}")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, _TYPES[name]):
            raise ValueError(f"{name} has the wrong type")
    if missing := {"service", "fault"} - set(given):
        raise ValueError(f"missing: {' '.join(sorted(missing))}")
    return Fault(**given)


def routes(book: FaultBook) -> list[web.RouteDef]:
    """`POST /_faults` → 201, or 400 with `error`; `GET /_faults` → the list; `DELETE /_faults` → 204."""

    async def added(request: web.Request) -> web.Response:
        try:
            fault = parse_fault(await request.json())
            book.add(fault)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(asdict(fault), status=201)

    async def listed(_: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in book.all()])

    async def cleared(_: web.Request) -> web.Response:
        book.clear()
        return web.Response(status=204)

    return [web.post("/_faults", added), web.get("/_faults", listed), web.delete("/_faults", cleared)]

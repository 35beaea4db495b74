"""Starting sandbox upstreams, in a test's own event loop or as the process of `python -m sandbox`.

In: what an upstream knows and whom it knows. Out: a handle with its address, its faults and calls, and its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from aiohttp import web

from sandbox.courts import SECRET_SECONDS, Courts, CourtsCredentials
from sandbox.data import CourtData

LOCAL = "127.0.0.1"
Upstream = TypeVar("Upstream")


@dataclass
class Running(Generic[Upstream]):
    """A server that runs: `url` is the base URL, `upstream` its state (`.faults`, `.calls`, `.data` …)."""

    url: str
    port: int
    upstream: Upstream
    _runner: web.AppRunner = field(repr=False)

    async def close(self) -> None:
        """Stop it: calls that still wait are dropped, and from here on connections are refused."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def serve(
    upstream: Upstream, application: web.Application, *, host: str = LOCAL, port: int = 0
) -> Running[Upstream]:
    """Serve an upstream's application; port 0 takes a free one. OSError where the port is taken."""
    # A caller that gives up must end the handler (a black hole waits for ever), and so must close(), without delay.
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = int(runner.addresses[0][1])
    shown = f"[{host}]" if ":" in host else host
    return Running(f"http://{shown}:{bound}", bound, upstream, runner)


async def start_courts(
    data: CourtData | None = None,
    *,
    credentials: CourtsCredentials | None = None,
    host: str = LOCAL,
    port: int = 0,
    latency_ms: float = 0.0,
    secret_seconds: float = SECRET_SECONDS,
    clock: Callable[[], float] = time.time,
) -> Running[Courts]:
    """Start the courts (docs/connectors.md): `data` None knows nobody, `clock` gives Unix seconds."""
    courts = Courts(data, credentials=credentials, latency_ms=latency_ms, secret_seconds=secret_seconds, clock=clock)
    return await serve(courts, courts.application(), host=host, port=port)

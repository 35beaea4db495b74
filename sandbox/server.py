"""Starting sandbox upstreams, in a test's own event loop or as the process of `python -m sandbox`.

In: what an upstream knows and whom it knows. Out: a handle with its address, its faults and calls, and its end.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from aiohttp import web

from sandbox.banks import Banks, BanksCredentials
from sandbox.banks_data import BankData
from sandbox.courts import SECRET_SECONDS, Courts, CourtsCredentials
from sandbox.data import CourtData
from sandbox.oauth import TOKEN_SECONDS
from sandbox.peer_data import PeerData
from sandbox.peer_region import DEV_PEER_MATTERS, DEV_PEER_REGION, PeerRegion
from sandbox.peer_tokens import PublicKeys
from sandbox.region_platform import PlatformCredentials, RegionPlatform
from sandbox.subjects import Row

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
    upstream: Upstream,
    application: web.Application,
    *,
    host: str = LOCAL,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Running[Upstream]:
    """Serve an upstream's application; port 0 takes a free one. OSError where the port is taken.

    `tls` is a server's context with its certificate; without one it is plain HTTP.
    """
    # A caller that gives up must end the handler (a black hole waits for ever), and so must close(), without delay.
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = int(runner.addresses[0][1])
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    return Running(f"{scheme}://{shown}:{bound}", bound, upstream, runner)


async def start_courts(
    data: CourtData | None = None,
    *,
    credentials: CourtsCredentials | None = None,
    host: str = LOCAL,
    port: int = 0,
    latency_ms: float = 0.0,
    secret_seconds: float = SECRET_SECONDS,
    clock: Callable[[], float] = time.time,
    tls: ssl.SSLContext | None = None,
) -> Running[Courts]:
    """Start the courts (docs/connectors.md): `data` None knows nobody, `clock` gives Unix seconds."""
    courts = Courts(data, credentials=credentials, latency_ms=latency_ms, secret_seconds=secret_seconds, clock=clock)
    return await serve(courts, courts.application(), host=host, port=port, tls=tls)


async def start_banks(
    data: BankData | None = None,
    *,
    credentials: BanksCredentials | None = None,
    host: str = LOCAL,
    port: int = 0,
    latency_ms: float = 0.0,
    token_seconds: float = TOKEN_SECONDS,
    clock: Callable[[], float] = time.time,
    tls: ssl.SSLContext | None = None,
) -> Running[Banks]:
    """Start the banks: `data` None knows nobody."""
    banks = Banks(data, credentials=credentials, latency_ms=latency_ms, token_seconds=token_seconds, clock=clock)
    return await serve(banks, banks.application(), host=host, port=port, tls=tls)


async def start_region_platform(
    rows: Iterable[Row] = (),
    *,
    credentials: PlatformCredentials | None = None,
    host: str = LOCAL,
    port: int = 0,
    latency_ms: float = 0.0,
    clock: Callable[[], float] = time.time,
    tls: ssl.SSLContext | None = None,
) -> Running[RegionPlatform]:
    """Start the regional platform, with rows of sandbox/platform_data.py."""
    platform = RegionPlatform(rows, credentials=credentials, latency_ms=latency_ms, clock=clock)
    return await serve(platform, platform.application(), host=host, port=port, tls=tls)


async def start_peer_region(
    data: PeerData | None = None,
    *,
    keys: Mapping[str, PublicKeys] | None = None,
    matters: Collection[str] = DEV_PEER_MATTERS,
    region: Mapping[str, Any] = DEV_PEER_REGION,
    issuer: str | None = None,
    host: str = LOCAL,
    port: int = 0,
    latency_ms: float = 0.0,
    token_seconds: float = TOKEN_SECONDS,
    clock: Callable[[], float] = time.time,
    tls: ssl.SSLContext | None = None,
) -> Running[PeerRegion]:
    """Start another region's gateway: `data` None knows nobody, `keys` None only the development client.

    `issuer` None is the base URL.
    """
    peer = PeerRegion(
        data,
        keys=keys,
        matters=matters,
        region=region,
        issuer=issuer,
        latency_ms=latency_ms,
        token_seconds=token_seconds,
        clock=clock,
    )
    running = await serve(peer, peer.application(), host=host, port=port, tls=tls)
    peer.issuer = issuer or running.url
    return running

"""Another region's log over HTTP: its checkpoint, and the hashes of its tree. Nothing of it is believed.

In: a URL, the log's prefix. Out: bytes of bounded length, in bounded time, from that host alone: no redirects, no
compression, https but for a loopback address. Raises RemoteError, whose text repeats nothing of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from gateway.errors import OperatorError
from gateway.ledger.merkle import Part
from gateway.ledger.notes import MOST_BYTES
from gateway.ledger.tiles import HASH, WIDTH, Tile, TileHashes, tiles_for

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=5)
_AT_ONCE: Final = 4


class RemoteError(OperatorError):
    """The other log did not answer, or not with what it must answer."""


class RemoteLog:
    """A log by its prefix, as tlog-tiles has it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = checked_url(url)
        self._session = session
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def checkpoint(self) -> bytes:
        """Its last checkpoint, as it came."""
        return await self.note("checkpoint")

    async def note(self, path: str) -> bytes:
        """A note below the prefix."""
        found = await self._get(path, MOST_BYTES)
        if found is None:
            hint = "" if self._url.endswith("/log") else "; the URL of a gateway's log ends in /log"
            raise RemoteError(f"there is nothing at {self._url}/{path}{hint}")
        return found

    async def cosigned(self, origin: str) -> bytes:
        """The last checkpoint of the log of that origin that this one's region has cosigned."""
        found = await self._get(f"witness/{sha256(origin.encode()).hexdigest()}/checkpoint", MOST_BYTES)
        if found is None:
            await self.checkpoint()  # raises where there is no log at all
            raise RemoteError(
                f"{self._url}: this witness has not cosigned our log, {origin}, yet; its operator does it with:"
                " credit-gateway ledger witness <URL of our log> --key <our verifier key>"
            )
        return found

    async def proof(self, parts: Sequence[Part], size: int) -> list[bytes]:
        """The hashes of these parts of its tree of that size. Raises ProofError where its tiles don't have them."""
        tiles = tiles_for(parts, size)
        rows = await asyncio.gather(*[self._tile(tile) for tile in tiles])
        return TileHashes(size, dict(zip(tiles, rows, strict=True))).proof(parts)

    async def _tile(self, tile: Tile) -> bytes:
        found = await self._get(tile.path, tile.width * HASH)
        if found is None and tile.width < WIDTH:
            # A log may let go of a partial tile once the full one is there.
            found = await self._get(Tile(tile.level, tile.number).path, WIDTH * HASH)
        if found is None:
            raise RemoteError(f"there is nothing at {self._url}/{tile.path}")
        return found[: tile.width * HASH]

    async def _get(self, path: str, most: int) -> bytes | None:
        """The body, `most` bytes of it at most; None for 404."""
        where = f"{self._url}/{path}"
        try:
            async with (
                self._places,
                self._session.get(where, allow_redirects=False, headers={"accept-encoding": "identity"}) as answer,
            ):
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise RemoteError(f"{where} answered {answer.status}; expected 200")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise RemoteError(f"{where} answered compressed, which was not asked for")
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise RemoteError(f"{where} answered more than {most} bytes")
                return bytes(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise RemoteError(f"{where} can't be read: {type(error).__name__}") from None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RemoteLog]:
    """The log at that prefix, until the end of the block."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as s:
        yield RemoteLog(url, s)


def checked_url(url: str) -> str:
    """The prefix without a slash at its end. Raises RemoteError for one that can't be asked safely."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise RemoteError("the log's URL can't be read; it looks like https://gateway.example/log") from None
    if not host or parts.username is not None or parts.query or parts.fragment:
        raise RemoteError("the log's URL must have a host, and no user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise RemoteError("the log's URL must be https")
    return url.rstrip("/").removesuffix("/checkpoint")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

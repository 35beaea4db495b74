"""The transparency log over HTTP, for anybody: C2SP tlog-tiles below /log/.

In: what the log shows (`Published`). Out: Starlette routes for GET and HEAD. Tiles and bundles never change, so they
may be kept for ever; a checkpoint may not, it has an ETag instead. A path of another spelling, or beyond the last
checkpoint, is not there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import StorageUnavailable
from gateway.ledger.published import Published
from gateway.ledger.tiles import tile_of_path
from gateway.web.conditional import etag, has_it
from gateway.web.refusals import refusal

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_TILE: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def log_routes(log: Published) -> list[Route]:
    """/log/checkpoint, /log/tile/…, /log/verifiers, /log/sealed, /log/cosigned, /log/witness/<SHA-256 of an
    origin>/checkpoint."""

    async def checkpoint(request: Request) -> Response:
        return await _answer(request, log.checkpoint, _TEXT, _ASK)

    async def cosigned(request: Request) -> Response:
        return await _answer(request, log.cosigned, _TEXT, _ASK)

    async def verifiers(request: Request) -> Response:
        return await _answer(request, log.verifiers, _TEXT, _ASK)

    async def sealed(request: Request) -> Response:
        return await _answer(request, log.sealed, _JSON, _ASK)

    async def tile(request: Request) -> Response:
        # As it was sent: what is spelt with percent signs is another spelling.
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        found = tile_of_path(raw.partition(b"?")[0].removeprefix(b"/log/tile/").decode("latin-1"))
        if found is None:
            raise _missing()
        return await _answer(request, lambda: log.tile(found), _TILE, _FOR_EVER)

    async def witnessed(request: Request) -> Response:
        origin = request.path_params["origin"]
        if _HASH.fullmatch(origin) is None:
            raise _missing()
        return await _answer(request, lambda: log.witnessed(origin), _TEXT, _ASK)

    return [
        Route("/log/checkpoint", checkpoint),
        Route("/log/cosigned", cosigned),
        Route("/log/sealed", sealed),
        Route("/log/verifiers", verifiers),
        Route("/log/tile/{path:path}", tile),
        Route("/log/witness/{origin}/checkpoint", witnessed),
    ]


async def _answer(request: Request, ask: Callable[[], Awaitable[bytes | None]], media: str, cache: str) -> Response:
    try:
        body = await ask()
    except StorageUnavailable as error:
        return refusal(request, 503, error.en, error.zh, {"retry-after": "1", "cache-control": "no-store"})
    if body is None:
        raise _missing()
    tag = etag(media.encode(), body)
    headers = {"cache-control": cache, "etag": tag.decode()}
    given = [value for name, value in request.headers.raw if name == b"if-none-match"]
    if given and has_it(given, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "content-type": media})


def _missing() -> HTTPException:
    return HTTPException(404, headers={"cache-control": "no-store"})

"""The transparency log over HTTP, for anybody: C2SP tlog-tiles below /log/.

In: what the log shows (`Published`). Out: Starlette routes for GET and HEAD. Tiles and bundles never change, so they
may be kept for ever; a checkpoint may not, it has an ETag instead. A path of another spelling, or beyond the last
checkpoint, is not there: who asks for it is told, in plain text, what is.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import StorageUnavailable
from gateway.ledger.published import Published
from gateway.ledger.tiles import tile_of_path
from gateway.web.conditional import etag, has_it
from gateway.web.refusals import language_of, refusal

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_TILE: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

_PATHS: Final = """
/log/checkpoint
/log/tile/<L>/<N>[.p/<W>]
/log/tile/entries/<N>[.p/<W>]
/log/verifiers
/log/cosigned
/log/sealed
/log/witness/<SHA-256 of an origin, in hex>/checkpoint
"""
_MISSING: Final = {
    "en": "There is nothing at this path of the log. Tiles are there up to the last checkpoint, spelt as C2SP"
    f" tlog-tiles has it; cosigned checkpoints once somebody has cosigned. What there is:\n{_PATHS}",
    "zh": "日志中没有该路径。分块按 C2SP tlog-tiles 的写法，仅到最后一个检查点为止；联署的检查点在有人联署之后才有。"
    f"现有路径：\n{_PATHS}",
}


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
            return _missing(request)
        return await _answer(request, lambda: log.tile(found), _TILE, _FOR_EVER)

    async def witnessed(request: Request) -> Response:
        origin = request.path_params["origin"]
        if _HASH.fullmatch(origin) is None:
            return _missing(request)
        return await _answer(request, lambda: log.witnessed(origin), _TEXT, _ASK)

    async def nothing(request: Request) -> Response:
        return _missing(request)

    return [
        Route("/log/checkpoint", checkpoint),
        Route("/log/cosigned", cosigned),
        Route("/log/sealed", sealed),
        Route("/log/verifiers", verifiers),
        Route("/log/tile/{path:path}", tile),
        Route("/log/witness/{origin}/checkpoint", witnessed),
        Route("/log", nothing, include_in_schema=False),
        Route("/log/{path:path}", nothing, include_in_schema=False),  # the last: what none of the others has taken
    ]


async def _answer(request: Request, ask: Callable[[], Awaitable[bytes | None]], media: str, cache: str) -> Response:
    try:
        body = await ask()
    except StorageUnavailable as error:
        return refusal(request, 503, error.en, error.zh, {"retry-after": "1", "cache-control": "no-store"})
    if body is None:
        return _missing(request)
    tag = etag(media.encode(), body)
    headers = {"cache-control": cache, "etag": tag.decode()}
    given = [value for name, value in request.headers.raw if name == b"if-none-match"]
    if given and has_it(given, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "content-type": media})


def _missing(request: Request) -> Response:
    text = _MISSING[language_of(request.headers.get("accept-language", ""))]
    headers = {"cache-control": "no-store", "vary": "accept-language", "content-type": _TEXT}
    return Response(text, 404, headers)

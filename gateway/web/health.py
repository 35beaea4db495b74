"""Health, readiness, metrics and the contracts' SDL over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.errors import ClientError
from gateway.web.refusals import refusal

_PATIENCE = 2.0  # seconds for each check
Check = Callable[[], Awaitable[None]]


def health_routes(checks: Mapping[str, Check], warnings: Callable[[], Awaitable[list[str]]]) -> list[Route]:
    """/healthz: the process lives. /readyz: each thing that an answer needs answers itself, within two seconds for
    all of them.

    Warnings are what an operator should mend though everything answers; they don't change the status.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def state(check: Check) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                await check()
        except (ClientError, TimeoutError, OSError):
            return "down"
        return "ok"

    async def readyz(_: Request) -> Response:
        found = dict(zip(checks, await asyncio.gather(*[state(check) for check in checks.values()]), strict=True))
        ready = all(state == "ok" for state in found.values())
        told: list[str] = []
        if ready:
            with suppress(ClientError, TimeoutError):  # the database has gone since: the next to ask is told
                async with asyncio.timeout(_PATIENCE / 4):
                    told = await warnings()
        return JSONResponse({"ready": ready, "checks": found, "warnings": told}, 200 if ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def schema_routes(sdl: Mapping[str, str]) -> list[Route]:
    """/schema/{view}.graphql: public for everybody, since names are no secret; the contract itself enforces. / leads to
    /graphql, which in a browser is GraphiQL."""

    async def schema(request: Request) -> Response:
        text = sdl.get(request.path_params["view"].upper())
        if text is None:
            views = ", ".join(name.lower() for name in sdl)
            return refusal(
                request, 404, f"there is no such view; take one of {views}", f"没有该视图，请使用以下之一：{views}"
            )
        return PlainTextResponse(text, media_type="application/graphql", headers={"cache-control": "no-cache"})

    async def front(_: Request) -> Response:
        return RedirectResponse("/graphql")

    return [Route("/", front), Route("/schema/{view}.graphql", schema)]


def metrics_app(registry: CollectorRegistry) -> Starlette:
    """/metrics, for the admin address."""

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics)])

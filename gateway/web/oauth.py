"""Routes of the authorization server: POST /oauth/token, GET /oauth/jwks, GET /.well-known/oauth-authorization-server.

In: an AuthorizationServer. Out: Starlette routes. Bodies are read up to a limit, and nothing of them is logged.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.auth.server import MAX_BODY, AuthorizationServer

_PUBLIC = {"cache-control": "public, max-age=60"}


def oauth_routes(server: AuthorizationServer) -> list[Route]:
    """The routes, to be mounted at the root of the issuer."""

    async def token(request: Request) -> Response:
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    break  # the server refuses it by its length
        except ClientDisconnect:
            return Response(status_code=400)
        made = await server.token(
            content_type=_only(request.headers.getlist("content-type")),
            authorization=request.headers.getlist("authorization"),
            body=bytes(body),
        )
        return Response(made.body, made.status, dict(made.headers))

    async def jwks(_: Request) -> Response:
        return JSONResponse(server.jwks(), headers=_PUBLIC)

    async def metadata(_: Request) -> Response:
        return JSONResponse(server.metadata(), headers=_PUBLIC)

    return [
        Route("/oauth/token", token, methods=["POST"]),
        Route("/oauth/jwks", jwks, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", metadata, methods=["GET"]),
    ]


def _only(values: list[str]) -> str | None:
    return values[0] if len(values) == 1 else None

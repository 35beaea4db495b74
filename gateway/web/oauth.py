"""Routes of the authorization server: POST /oauth/token, GET /oauth/jwks, GET /.well-known/oauth-authorization-server.

In: an AuthorizationServer, and who says where a request comes from. Out: Starlette routes. Bodies are read up to a
limit, and nothing of them is logged.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.auth.server import MAX_BODY, AuthorizationServer, Caller
from gateway.errors import BadUserInput
from gateway.web.client_cert import ClientCertificates

_PUBLIC = {"cache-control": "public, max-age=60"}
_NO_STORE = {"cache-control": "no-store"}


def oauth_routes(
    server: AuthorizationServer, certificates: ClientCertificates, address: Callable[[MutableMapping[str, Any]], str]
) -> list[Route]:
    """The routes, to be mounted at the root of the issuer. `address` gives a client's address out of a scope."""

    async def token(request: Request) -> Response:
        if request.url.query:
            # RFC 6749 §2.3.1, §3.2: never in the URI, which stands in logs.
            return _invalid("parameters belong into the body, not into the URL")
        try:
            certificate = certificates.header(request.scope)
        except BadUserInput as error:
            return _invalid(error.en)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    break  # the server refuses it by its length
        except ClientDisconnect:
            return Response(status_code=400)
        headers = request.headers
        made = await server.token(
            content_type=_only(headers.getlist("content-type")),
            body=bytes(body),
            caller=Caller(
                headers.getlist("authorization"), headers.getlist("dpop"), certificate, address(request.scope)
            ),
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


def _invalid(description: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": description}, 400, _NO_STORE)


def _only(values: list[str]) -> str | None:
    return values[0] if len(values) == 1 else None

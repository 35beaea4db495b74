"""The front door: /graphql goes straight to its callable, everything else through Starlette, not too often."""

from __future__ import annotations

import json
import math

from starlette.applications import Starlette

from gateway.web.door import Door
from gateway.web.graphql import GraphQLEndpoint, Receive, Scope, Send
from gateway.web.throttle import Throttle


class Front:
    """The ASGI app. `rest` has every other route and the lifespan; `door` is for the server that serves it."""

    def __init__(self, endpoint: GraphQLEndpoint, rest: Starlette, throttle: Throttle, door: Door) -> None:
        self._endpoint = endpoint
        self._throttle = throttle
        self.rest = rest
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._endpoint(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._endpoint.socket(scope, receive, send)
        elif scope["type"] == "http" and (wait := self._wait(scope)):
            await _refuse(send, scope["path"], math.ceil(wait))
        else:
            await self.rest(scope, receive, send)

    def _wait(self, scope: Scope) -> float:
        """Seconds until this address may ask for this path again; 0.0: now. Whether we live may always be asked."""
        if scope["path"] == "/healthz":
            return 0.0
        if scope["path"] == TOKEN:
            return self._throttle.token_request(scope)
        return self._throttle.public_request(scope)


TOKEN = "/oauth/token"  # noqa: S105 - a path


async def _refuse(send: Send, path: str, seconds: int) -> None:
    """429; at the token endpoint in the form of RFC 6749 §5.2, which has no code of its own for it."""
    text = f"too many requests; go on after {seconds} s, and more slowly"
    body, media = text.encode() + b"\n", b"text/plain; charset=utf-8"
    if path == TOKEN:
        body = json.dumps({"error": "temporarily_unavailable", "error_description": text}).encode()
        media = b"application/json"
    headers = [
        (b"content-type", media),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"retry-after", b"%d" % seconds),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})

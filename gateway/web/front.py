"""The front door: /graphql goes straight to its callable, everything else through Starlette."""

from __future__ import annotations

from starlette.applications import Starlette

from gateway.web.graphql import GraphQLEndpoint, Receive, Scope, Send


class Front:
    """The ASGI app. `rest` has every other route and the lifespan."""

    def __init__(self, endpoint: GraphQLEndpoint, rest: Starlette) -> None:
        self._endpoint = endpoint
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._endpoint(scope, receive, send)
        else:
            await self.rest(scope, receive, send)

"""Promise: the front page leads to /graphql."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

from gateway.web.health import schema_routes


async def test_the_front_page_leads_to_graphql() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "root_path": "", "query_string": b"", "headers": []}
    await Starlette(routes=[*schema_routes({})])(scope, receive, send)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"location"]) == (307, b"/graphql")

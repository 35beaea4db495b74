"""Promises: the front page leads to /graphql; the assets of its page are under its policy, and no path leads out of
their folder or to a 5xx."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.web.graphiql import POLICY, Assets
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


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a/page.js", 200),
        ("/a/none.js", 404),
        ("/a/\0", 404),
        ("/a/page.js\0", 404),
        ("/a/../secret", 404),
        ("/a/" + "x" * 5_000, 404),
        ("/a/" + "x/" * 5_000, 404),
    ],
)
async def test_assets(tmp_path: Path, path: str, status: int) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "page.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()  # the client stays

    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}
    app = Starlette(routes=[Mount("/a", Assets(directory=tmp_path / "assets"))])
    await app(scope, receive, send)
    assert sent[0]["status"] == status
    if status == 200:
        assert dict(sent[0]["headers"])[b"content-security-policy"] == POLICY.encode()

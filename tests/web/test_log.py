"""The log over HTTP: what never changes may be kept for ever, a checkpoint is asked for each time, and a path that is
not spelt as the standard has it is not there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from gateway.errors import StorageUnavailable
from gateway.ledger.tiles import Tile, tile_of_path
from gateway.web.log import log_routes
from gateway.web.refusals import refuse

NOTE = b"gateway.example/log\n1\n\n"


@dataclass
class Log:
    """Shows one tile and one bundle, both partial."""

    down: bool = False
    cosignatures: bytes | None = None
    asked: list[Tile] = field(default_factory=list)

    async def checkpoint(self) -> bytes | None:
        if self.down:
            raise StorageUnavailable("down, try again", "不可用")
        return NOTE

    async def cosigned(self) -> bytes | None:
        return self.cosignatures

    async def sealed(self) -> bytes | None:
        return b"{}"

    async def verifiers(self) -> bytes | None:
        return b"key\n"

    async def witnessed(self, origin: str) -> bytes | None:
        return NOTE if origin == "ab" * 32 else None

    async def tile(self, tile: Tile) -> bytes | None:
        self.asked.append(tile)
        return b"rows" if tile in (Tile(0, 1234, 5), Tile(-1, 0, 256)) else None


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes


async def get(log: Log, path: str, method: str = "GET", **headers: str) -> Got:
    app = Starlette(routes=log_routes(log), exception_handlers={HTTPException: refuse})  # type: ignore[arg-type]
    app.router.redirect_slashes = False
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path.partition("?")[0].replace("%30", "0"),
        "raw_path": path.encode(),
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    return Got(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def test_a_checkpoint_is_asked_for_each_time() -> None:
    found = await get(Log(), "/log/checkpoint")
    assert (found.status, found.body) == (200, NOTE)
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert found.headers["cache-control"] == "no-cache"
    again = await get(Log(), "/log/checkpoint", if_none_match=found.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", found.headers["etag"])
    assert (await get(Log(), "/log/checkpoint", if_none_match='"other"')).status == 200


@pytest.mark.parametrize("path", ["/log/tile/0/x001/234.p/5", "/log/tile/entries/000", "/log/tile/entries/000?x=y"])
async def test_tiles_are_kept_for_ever(path: str) -> None:
    found = await get(Log(), path)
    assert (found.status, found.body) == (200, b"rows")
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert found.headers["content-length"] == "4"
    assert (await get(Log(), path, "HEAD")).headers == found.headers


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/0/001.p/5",
        "/log/tile/0/x000/x001/234.p/5",
        "/log/tile/0/x001/234.p/05",
        "/log/tile/0/x001/%3234.p/5",
        "/log/tile/%30/x001/234.p/5",
        "/log/tile/0/x001/234.p/5/",
        "/log/tile/0/x001//234.p/5",
        "/log/tile/entries/000.p/256",
        "/log/tile/64/000",
        "/log/tile/",
        "/log/tile/0/999",
        "/log/cosigned",
        "/log/witness/" + "ba" * 32 + "/checkpoint",
        "/log/witness/" + "AB" * 32 + "/checkpoint",
        "/log/checkpoint/",
        "/log/",
        "/log",
        "/log/xyz",
        "/log/witness/x/y/checkpoint",
    ],
)
async def test_what_is_not_there(path: str) -> None:
    """Every path that it names is one of ours; it is not spoken of queries, which are not the log's."""
    found = await get(Log(), path)
    assert found.status == 404
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    chinese = await get(Log(), path, accept_language="zh-CN")
    assert (chinese.status, chinese.headers["vary"]) == (404, "accept-language")
    for text in (found.body.decode(), chinese.body.decode()):
        assert "graphql" not in text
        named = {line for line in text.splitlines() if line.startswith("/log/")}
        paths = [re.sub(r"\[.*\]", "", name).replace("<L>", "0").replace("<N>", "000") for name in named]
        paths = [re.sub("<SHA-256[^>]*>", "ab" * 32, name) for name in paths]
        assert len(paths) == len(log_routes(Log())) - 1  # two kinds of tiles; without the two that are nothing's
        assert {(await get(Log(cosignatures=NOTE), name)).status for name in paths if "tile" not in name} == {200}
        assert [tile_of_path(name.removeprefix("/log/tile/")) for name in paths if "tile" in name].count(None) == 0
    assert "日志" in chinese.body.decode()
    assert "日志" not in found.body.decode()


async def test_another_spelling_is_not_looked_up() -> None:
    log = Log()
    await get(log, "/log/tile/%30/x001/234.p/5")
    assert log.asked == []


async def test_the_others() -> None:
    assert (await get(Log(), "/log/verifiers")).body == b"key\n"
    assert (await get(Log(), "/log/witness/" + "ab" * 32 + "/checkpoint")).body == NOTE


@pytest.mark.parametrize("path", ["/log/checkpoint", "/log/tile/entries/000", "/log/verifiers"])
async def test_nothing_else_than_get(path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        found = await get(Log(), path, method)
        assert (found.status, found.headers["content-type"]) == (405, "text/plain; charset=utf-8")
        assert found.body == b"this path takes GET, HEAD alone; use it\n"
    assert "请改用" in (await get(Log(), path, "POST", accept_language="zh")).body.decode()


async def test_without_the_database() -> None:
    found = await get(Log(down=True), "/log/checkpoint")
    assert (found.status, found.headers["retry-after"], found.headers["cache-control"]) == (503, "1", "no-store")
    assert (found.headers["content-type"], found.body) == ("text/plain; charset=utf-8", b"down, try again\n")

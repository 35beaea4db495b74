"""A regional platform over real HTTP for tests: checks signatures with code of its own, answers what a test wants.

`reply` is what a call is answered with, given the path below /api/v1/credit/ and what was asked (the body, or the query
of a GET). It is written from UPSTREAMS §3 and shares nothing with the connector or the sandbox.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

APP_KEY, SECRET = "gw-bortala-test", "platform-secret-7f3a"
Reply = Callable[[str, dict[str, Any]], Any]


def code(prefix: str, number: int) -> str:
    """A code that holds and is nobody's (GB 32100-2015, GB 11714-1997)."""
    body = f"YL{number:06d}"
    total = sum(int(c, 36) * w for c, w in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    first = f"{prefix}652799{body}{'0123456789X0'[(11 - total % 11)]}"
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    check = sum(alphabet.index(c) * 3**place for place, c in enumerate(first))
    return first + alphabet[(31 - check % 31) % 31]


def penalty(uscc: str, wsh: str = "样例[2026]1号", **changes: Any) -> dict[str, Any]:
    """A row of xzcf; changes to the entity."""
    entity = {
        "CF_XDR_MC": "样例一有限公司", "CF_XDR_LB": "法人及非法人组织", "CF_XDR_SHXYM": uscc, "CF_XDR_GSZC": "/",
        "CF_FRDB": "张样", "CF_FR_ZJLX": "身份证", "CF_FR_ZJHM": "652799196009290017", "CF_XDR_ZJHM": "无",
        "CF_WSH": wsh, "CF_WFXW": "无证经营", "CF_SY": "样例事实", "CF_YJ": "样例依据", "CF_CFLB": "罚款;没收违法所得",
        "CF_NR": "罚款", "CF_NR_FK": 1.5, "CF_NR_WFFF": "0.25", "CF_NR_ZKDX": "/", "CF_JDRQ": "2026年03月15日",
        "CF_YXQ": "2099-12-31", "CF_GSJZQ": "20270315", "CF_CFJG": "示例博州财政局", "CF_CFJGDM": code("11", 900001),
        "CF_SJLY": "示例数据中心", "CF_SJLYDM": code("11", 900002), "BZ": "无",
    }  # fmt: skip
    return row("xzcf", uscc, {**entity, **changes})


def row(table: str, uscc: str, entity: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row as queries and the feed have it."""
    return {
        "table_name": table, "tyshxydm": uscc, "entity": entity, "dataSource": "示例数据中心",
        "updateTime": "2026-04-01 10:20:30", **more,
    }  # fmt: skip


def page(rows: list[Any], number: int = 1, pages: int | None = None, total: int | None = None) -> dict[str, Any]:
    """A page of a query, by default the only one."""
    whole = len(rows) if total is None else total
    return ok({"total": whole, "totalSize": -(-whole // 100) if pages is None else pages, "page": number, "list": rows})


def ok(data: Any) -> dict[str, Any]:
    return {"status": 1, "message": "", "data": data}


class Platform:
    """The platform. Counts calls, remembers nonces, and refuses what is not signed as the contract says."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.reply: Reply = lambda path, asked: page([])
        self.raw: web.Response | None = None
        self.algorithm = "sm3"
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.nonces: set[str] = set()
        self.url = ""

    def signed(self, headers: dict[str, str], body: bytes) -> bool:
        time, nonce = headers["X-Request-Time"], headers["X-Nonce"]
        text = headers["X-App-Key"] + time + nonce + hashlib.new(self.algorithm, body).hexdigest()
        expected = hmac.new(SECRET.encode(), text.encode(), self.algorithm).hexdigest()
        fresh = abs(int(time) - self.now.timestamp() * 1000) <= 300_000 and nonce not in self.nonces
        self.nonces.add(nonce)
        return headers["X-Sign"] == expected and headers["X-App-Key"] == APP_KEY and fresh and 1 <= len(nonce) <= 64

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.headers.append(dict(request.headers))
        if not self.signed(self.headers[-1], body):
            return web.json_response({"status": 0, "message": "签名错误"})
        asked = json.loads(body) if request.method == "POST" else dict(request.query)
        path = request.path.removeprefix("/api/v1/credit/")
        self.asked.append((path, asked))
        if self.raw is not None:
            return web.Response(status=self.raw.status, headers=self.raw.headers, body=self.raw.body)
        answer = self.reply(path, asked)
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.json_response(answer)


@contextlib.asynccontextmanager
async def serving(platform: Platform) -> AsyncIterator[Platform]:
    """The platform on a free port of 127.0.0.1."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/api/v1/credit/{path:.*}", platform.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield platform
    finally:
        await runner.cleanup()

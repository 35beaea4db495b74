"""Promise: however much an upstream sends, on however many calls and pages, it takes a bounded part of our memory."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from hostile import allocating, bomb, endless, serving

from connectors.base import FailureKind
from connectors.http import Allowance, HttpClient, HttpLimits, UpstreamError

MIB = 1 << 20
CALLS = 16


@cache
def hundred_megabytes() -> bytes:
    return bomb(100)


async def swollen(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """A hundred megabytes of nothing, small on the wire."""
    return web.Response(body=hundred_megabytes(), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("reply", [endless, swollen])
async def test_calls_at_once_hold_little_more_than_one(reply: Any) -> None:
    http = HttpClient(HttpLimits(concurrency=CALLS, requests_per_second=0))

    async def ask(url: str) -> FailureKind:
        with pytest.raises(UpstreamError) as error:
            await http.send("POST", url, deadline=asyncio.get_running_loop().time() + 30, headers={}, body=b"{}")
        return error.value.failure.kind

    async def handle(request: web.Request) -> web.StreamResponse:
        found: web.StreamResponse = await reply(request, {})
        return found

    async with serving(handle) as base:
        await asyncio.gather(*(ask(f"{base}/first") for _ in range(2)))
        # A quarter of a MiB and buffers for each call, the limit of 8 MiB for one, and the bomb, which this process
        # makes; 16 x 8 MiB without the order.
        with allocating(less_than=32 * MIB):
            kinds = await asyncio.gather(*(ask(f"{base}/all") for _ in range(CALLS)))
        await http.close()
    assert {*kinds} == {FailureKind.TOO_LARGE}


async def test_a_large_true_answer_is_read_beside_others() -> None:
    text = json.dumps({"rows": ["x" * 100_000] * 30})

    async def reply(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    http = HttpClient(HttpLimits(concurrency=CALLS, requests_per_second=0))
    async with serving(reply) as base:
        deadline = asyncio.get_running_loop().time() + 30
        replies = await asyncio.gather(
            *(http.send("GET", f"{base}/{place}", deadline=deadline, headers={}) for place in range(CALLS))
        )
        await http.close()
    assert all(found.json() == json.loads(text) for found in replies)


def test_an_allowance_is_used_up() -> None:
    allowance = Allowance(10)
    allowance.take(6)
    with pytest.raises(UpstreamError) as error:
        allowance.take(5)
    assert error.value.failure.kind is FailureKind.TOO_LARGE

"""A bare ASGI app: the bytes of W1's answer for the bytes of its request, out of a dictionary, and nothing else.

In: the database, once, at the start: the floor's statement answers each of W1's parameters in the public view. Out: an
app that reads the request's body and sends what belongs to it: what uvicorn and a Python callable take by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from benchmarks.data import Size
from benchmarks.floor import as_bytes, statements
from benchmarks.workloads import workloads

Message: TypeAlias = "Mapping[str, Any]"
WORKLOADS = ("W1",)


async def answers(dsn: str, data_dir: Path) -> dict[bytes, bytes]:
    """Bodies of answers by bodies of requests."""
    made = json.loads((data_dir / "benchmark.json").read_text())
    size = Size(made["subjects"], made["records"], made["seed"])
    connection = await asyncpg.connect(dsn)
    try:
        asked = await workloads(connection, size, WORKLOADS)
        await as_bytes(connection)
        return {
            workload.graphql(variables): await connection.fetchval(
                statements("public")[workload.name], variables["uscc"]
            )
            for workload in asked
            for variables in workload.variables
        }
    finally:
        await connection.close()


def create_bare(dsn: str, data_dir: Path) -> Any:
    """The ASGI app."""
    found: dict[bytes, bytes] = {}

    async def lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        await receive()
        found.update(await answers(dsn, data_dir))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        answer = found[body]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        return None

    return app

"""Promises: a demo whose gateway has died says so with the end of its log, and does not exit 0; a log keeps its
name."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import pytest

from gateway.storage.database import Database
from scripts import demo

# Ready at once, and dead when it is told to: by a signal, or in the middle of a question.
DYING = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        print("no more", file=sys.stderr, flush=True)
        os._exit(7)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"serving on http://127.0.0.1:{server.server_port}/graphql", file=sys.stderr, flush=True)
server.serve_forever()
"""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The demo's gateway, and what it was started with."""
    (tmp_path / "demo").mkdir()
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    started: list[tuple[Any, dict[str, str]]] = []
    process = demo.process

    @contextmanager
    def watched(arguments: list[str], environment: dict[str, str], **more: Any) -> Iterator[Any]:
        with process([sys.executable, "-c", DYING], environment, **more) as running:
            started.append((running, environment))
            yield running

    monkeypatch.setattr(demo, "process", watched)
    upstreams = dict.fromkeys(("courts", "banks", "region_platform", "peer_region"), "http://127.0.0.1:1")
    return demo.gateway(0, upstreams, {"GATEWAY_LOG_ORIGIN": "x.example/log"}, once=True), started


def test_a_gateway_that_dies_of_a_question(dying: Any) -> None:
    gateway, _ = dying

    def asked() -> NoReturn:
        with gateway as (base, _):
            demo.ask(base, "{ __typename }", {})
        raise AssertionError("it was told")

    with pytest.raises(SystemExit, match=r"ended with status 7; see .*gateway.log:[^!]*no more") as raised:
        asked()
    assert raised.value.code not in (0, None)


def test_a_gateway_that_dies_while_it_is_waited_for(dying: Any) -> None:
    gateway, started = dying

    def waited() -> NoReturn:
        with gateway as (_, ended):
            threading.Timer(0.2, os.kill, (started[0][0].pid, signal.SIGKILL)).start()
            ended()

    with pytest.raises(SystemExit, match="ended with status -9"):
        waited()
    assert started[0][1]["GATEWAY_LOG_ORIGIN"] == "x.example/log"


async def test_a_log_without_a_name_gets_one_and_one_that_has_it_keeps_it(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_LOG_ORIGIN", raising=False)
    assert await demo.log_name(database) == {"GATEWAY_LOG_ORIGIN": demo.LOG_ORIGIN}
    await owner.execute("insert into ledger.checkpoint (size, root, note) values (0, sha256(''), 'x')")
    assert await demo.log_name(database) == {}

"""Promises: a demo whose gateway has died says so with the end of its log, and does not exit 0; a log keeps its
name; whom it asks about the sandbox's sources know, on whatever day."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from sandbox.banks_data import SyntheticSummaries
from sandbox.data import Synthetic
from sandbox.peer_data import SyntheticPeer
from sandbox.platform_data import synthetic_rows
from scripts import demo, demo_subjects, make_demo_data

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


def test_made_up_firms_go_into_no_other_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who has followed README's "Run it for real" in this shell, and then tries the demo."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://migrate@db.example/credit")
    with pytest.raises(SystemExit, match="GATEWAY_DATABASE_URL is set"):
        demo.check_place()
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "")
    demo.check_place()
    monkeypatch.setattr(demo, "kept_in", lambda _: True)
    with pytest.raises(SystemExit, match="no demo has made"):
        demo.check_place()
    (tmp_path / "demo").mkdir()
    demo.check_place()


def test_ctrl_c_before_it_serves_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(demo, "main", demo.stop)
    assert demo.told() == 130
    assert capsys.readouterr().err.count("\n") == 1


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


@pytest.mark.parametrize("day", ["2026-11-01", "2027-02-28", "2029-07-15"])
def test_the_sources_have_something_to_say(tmp_path: Path, day: str) -> None:
    make_demo_data.main(["--today", day, "--out", str(tmp_path)])
    names, kinds = demo.known(demo.read_organisations(tmp_path / "organisations.csv"))
    courts, peer = Synthetic(names), SyntheticPeer(names)
    first, second = demo_subjects.for_sources(names, kinds)
    shown = demo_subjects.for_views(names, kinds, {})
    for uscc in (first, second, shown):
        assert courts.rows("dishonest", uscc)
        assert courts.rows("enforcement", uscc)
    for uscc in (first, second):
        there = peer.of(uscc)
        assert there is not None
        assert there.records
    assert SyntheticSummaries(names).of(first) is not None
    assert [row for row in synthetic_rows({first: names[first]}) if row["tyshxydm"] == first]
    # Each is asked about by one table alone, and README's first query by nobody: its courts would be kept else.
    assert demo_subjects.README in names
    assert len({first, second, shown, demo_subjects.README}) == 4
    assert f'{{"uscc": "{demo_subjects.README}"}}' in (demo.ROOT / "README.md").read_text(encoding="utf-8")
    assert demo_subjects.for_views(names, kinds, {first: ["A", "B", "C"]}) == shown


def test_of_those_that_courts_have_listed_the_one_whose_records_differ_most(tmp_path: Path) -> None:
    make_demo_data.main(["--today", "2026-11-01", "--out", str(tmp_path)])
    names, kinds = demo.known(demo.read_organisations(tmp_path / "organisations.csv"))
    courts, taken = Synthetic(names), {*demo_subjects.for_sources(names, kinds), demo_subjects.README}
    free = [uscc for uscc, kind in kinds.items() if kind == "ENTERPRISE" and uscc not in taken]
    listed = next(uscc for uscc in free if courts.rows("dishonest", uscc))
    other = next(uscc for uscc in free if not courts.rows("dishonest", uscc))
    statuses = {listed: ["ACTIVE", "EXPIRED"], other: ["ACTIVE", "EXPIRED", "REPAIRED"]}
    assert demo_subjects.for_views(names, kinds, statuses) == listed


def test_a_port_that_is_taken_is_told_before_anything_is_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for given in ({"port": port, "admin_port": 0}, {"port": 0, "admin_port": port}):
            with pytest.raises(
                SystemExit, match=rf"cannot listen on 127.0.0.1:{port}: .*_PORT; or run `make demo ONCE=1`"
            ):
                demo.check_ports(Settings.model_validate(given))
    demo.check_ports(Settings.model_validate({"port": 0, "admin_port": 0}))

"""The embedded PostgreSQL keeps its promises: one server per data directory whatever is killed, data that last, in any
folder. Against real servers; the slow part is initdb (1 s), so most tests start from a copy. They work as root and as
an ordinary user; what needs a second user needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.storage import embedded_binaries, embedded_cluster
from gateway.storage.embedded import (
    EmbeddedPostgresError,
    RunningServer,
    ensure_running,
)

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
SMALL = {"shared_buffers": "16MB"}

HOLDER = """
import sys, time
from pathlib import Path
from gateway.storage.embedded import ensure_running
with ensure_running(Path(sys.argv[1]), fsync=False) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped, fresh data directory, to be copied: copying takes a tenth of the time of initdb."""
    data_dir = tmp_path_factory.mktemp("template") / "data"
    ensure_running(data_dir, fsync=False, extra_settings=SMALL).release()
    return data_dir


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Iterator[Path]:
    copy = clone(template, tmp_path)
    yield copy
    ensure_running(copy, fsync=False).release()  # whatever a test left behind: found, and stopped


def clone(template: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-a", str(template), str(folder / "data")], check=True)
    return folder / "data"


def start(data_dir: Path) -> RunningServer:
    return ensure_running(data_dir, fsync=False, extra_settings=SMALL)


@contextlib.contextmanager
def holder(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the server; yields it and the server's pid as it sees it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the other process could not start or find the server"
        try:
            yield process, int(line)
        finally:
            if process.poll() is None:
                process.kill()


@contextlib.contextmanager
def stranger_as(uid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A program of that user's which is no PostgreSQL."""
    with subprocess.Popen(["sleep", "60"], cwd="/", user=uid if AS_ROOT else None) as process:
        try:
            yield process
        finally:
            process.kill()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], timeout: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


async def query(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


# Life and death


async def test_data_are_kept_between_starts(data_dir: Path) -> None:
    with start(data_dir) as first:
        await query(first.dsn(), "create table kept as select 42 as n", "select n from kept")
    assert not runs(first.pid)
    assert not first.socket_dir.exists()
    with start(data_dir) as second:
        assert second.pid != first.pid
        assert await query(second.dsn(), "select n from kept") == 42


def test_a_second_process_uses_the_same_server_and_the_last_one_stops_it(data_dir: Path) -> None:
    server = start(data_dir)
    with holder(data_dir) as (process, pid):
        assert pid == server.pid
        server.release()
        server.release()  # twice is once
        assert runs(pid)
        process.communicate("", timeout=20)  # its with-statement ends
        assert process.returncode == 0
    assert not runs(pid)


def test_two_holds_in_one_process_count_twice(data_dir: Path) -> None:
    first, second = start(data_dir), start(data_dir)
    assert first.pid == second.pid
    first.release()
    assert runs(second.pid)
    second.release()
    assert not runs(second.pid)


def test_kill_9_of_a_holder_stops_nobody(data_dir: Path) -> None:
    with start(data_dir) as server:
        with holder(data_dir) as (process, _pid):
            process.kill()
            process.wait()
        assert runs(server.pid)
    assert not runs(server.pid), "the killed holder's share must be gone"


async def test_a_server_that_outlived_its_killed_parent_is_found_again(data_dir: Path) -> None:
    with holder(data_dir) as (process, pid):
        process.kill()
        process.wait()
    assert runs(pid)
    with start(data_dir) as server:
        assert server.pid == pid
        assert await query(server.dsn(), "select 1") == 1
    assert not runs(pid)


async def test_kill_9_of_the_server_loses_nothing_committed(template: Path, tmp_path: Path) -> None:
    data_dir = clone(template, tmp_path)
    with ensure_running(data_dir, extra_settings=SMALL) as first:  # fsync on
        await query(first.dsn(), "create table kept as select 42 as n", "select n from kept")
        os.kill(first.pid, signal.SIGKILL)
        assert eventually(lambda: not runs(first.pid))
        with ensure_running(data_dir, extra_settings=SMALL) as second:
            assert second.pid != first.pid
            assert second.socket_dir == first.socket_dir, "the first holder's pool has to find its way back"
            assert await query(first.dsn(), "select n from kept") == 42
        assert runs(second.pid), "the first hold still counts"
    assert not runs(second.pid)


@needs_proc
async def test_orphans_of_a_killed_server_do_not_block_the_next(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_cluster, "_ORPHANS_PATIENCE", 0.3)
    with start(data_dir) as first:
        connection = await asyncpg.connect(first.dsn())
        # Busy, not asleep: a sleeper notices that its postmaster is gone. A cross join needs no temporary files.
        endless = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"
        busy = asyncio.ensure_future(connection.execute(endless))
        await asyncio.sleep(0.3)
        os.kill(first.pid, signal.SIGKILL)
        assert await asyncio.to_thread(eventually, lambda: not runs(first.pid))
        second = await asyncio.to_thread(start, data_dir)
        assert second.pid != first.pid
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await busy
        connection.terminate()
        second.release()


async def test_a_stale_pid_file_is_no_obstacle_even_if_its_pid_lives(data_dir: Path) -> None:
    with start(data_dir) as server:
        pid_file = server.pgdata / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    owner = server.pgdata.stat().st_uid
    with stranger_as(owner) as stranger:
        lines[0] = str(stranger.pid)
        pid_file.write_text("\n".join(lines) + "\n")
        os.chown(pid_file, owner, -1)
        with start(data_dir) as again:
            assert again.pid != stranger.pid
            assert await query(again.dsn(), "select 1") == 1
        assert stranger.poll() is None, "a stranger was signalled"


async def test_a_socket_that_was_swept_away_is_made_anew(data_dir: Path) -> None:
    server = start(data_dir)
    shutil.rmtree(server.socket_dir)
    with pytest.raises(EmbeddedPostgresError, match="same /tmp"):
        start(data_dir)  # the first hold may still reach it, so it is not stopped
    os.close(server._hold or -1)
    server._hold = None
    with start(data_dir) as again:
        assert await query(again.dsn(), "select 1") == 1


def test_an_interrupted_first_start_is_repeated(tmp_path: Path) -> None:
    draft = tmp_path / "data" / "postgres.new-killed"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with start(tmp_path / "data") as server:
        assert runs(server.pid)
    assert not draft.exists()


# Where it works


def test_a_very_long_data_directory(tmp_path: Path) -> None:
    data_dir = tmp_path.joinpath(*["d" * 60] * 5, "数据 'x\"")
    with start(data_dir) as server:
        assert len(os.fsencode(server.socket_dir / f".s.PGSQL.{server.port}")) <= 107
        assert asyncio.run(query(server.dsn(), "select 1")) == 1


@needs_root
async def test_below_a_closed_folder_whose_rights_stay(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed / "existing"
    data_dir.mkdir(mode=0o755)
    modes = {path: path.stat().st_mode for path in [data_dir, *data_dir.parents]}
    with start(data_dir) as server:
        assert server.pgdata.stat().st_uid != 0
        assert await query(server.dsn(), "select 1") == 1
    assert {path: path.stat().st_mode for path in modes} == modes


@needs_root
@needs_proc
def test_programs_out_of_the_accounts_reach_are_copied(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binaries, "_reachable", lambda *_: False)
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder, "copies")
        Path(folder).chmod(0o755)
        monkeypatch.setattr(embedded_binaries, "_COPIES", copies)
        for _ in range(2):
            with start(data_dir) as server:
                assert Path(os.readlink(f"/proc/{server.pid}/exe")).is_relative_to(copies)
        assert len(list(copies.iterdir())) == 1
        assert all(path.lstat().st_uid == 0 for path in copies.rglob("*"))


# What it refuses, and its settings


def test_data_without_their_password_file_are_refused_with_advice(data_dir: Path) -> None:
    kept = data_dir / "secrets" / "postgres"
    kept.rename(data_dir / "elsewhere")
    with pytest.raises(EmbeddedPostgresError, match="restore it"):
        start(data_dir)
    (data_dir / "elsewhere").rename(kept)


def test_data_of_another_version_are_refused_with_advice(data_dir: Path) -> None:
    version = data_dir / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 17"):
        start(data_dir)
    version.write_text("18\n")


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"shared_buffers"):
        ensure_running(data_dir, extra_settings={"shared_buffers": "nonsense"})


async def test_settings(data_dir: Path) -> None:
    with ensure_running(data_dir, extra_settings={"work_mem": "7MB", "shared_buffers": "24MB"}) as server:
        names = "fsync synchronous_commit timezone jit max_connections work_mem shared_buffers password_encryption"
        values = [await query(server.dsn(), f"show {name}") for name in names.split()]
    assert values == ["on", "on", "UTC", "off", "500", "7MB", "24MB", "scram-sha-256"]


@pytest.mark.parametrize("setting", [{"listen_addresses": "*"}, {"work_mem": "1MB\nfsync=off"}, {"Work Mem": "1"}])
def test_settings_that_open_the_server_are_refused(tmp_path: Path, setting: dict[str, str]) -> None:
    with pytest.raises(EmbeddedPostgresError):
        ensure_running(tmp_path / "data", extra_settings=setting)
    assert not (tmp_path / "data").exists()


async def test_a_server_that_dies_while_it_is_kept_is_started_again_with_its_data(data_dir: Path) -> None:
    with start(data_dir) as server, server.kept_running():
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("create table kept as select 1 as it")
        await connection.execute("checkpoint")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        with contextlib.suppress(Exception):
            await connection.close(timeout=1)
        assert eventually(lambda: server.pid != first and runs(server.pid))
        again = await asyncpg.connect(server.dsn())
        assert await again.fetchval("select it from kept") == 1
        await again.close()
        assert not server.revive()  # it runs: nothing to do
    assert not runs(server.pid)


def test_a_server_that_nobody_keeps_stays_down(data_dir: Path) -> None:
    """The test above would pass with anything that starts servers: here nothing does."""
    with start(data_dir) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert eventually(lambda: not runs(server.pid))
        time.sleep(1)
        assert server._cluster.find() is None
        assert server.revive()

"""The embedded PostgreSQL keeps its promises: one server per data directory whatever is killed, data that last, and no
way in but the socket, for root and its own account, with a password. Against real servers; the slow part is initdb (1 s),
so what only reads shares one cluster. Works as root and as an ordinary user; what needs a second user needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
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
    create_database,
    ensure_migrate_role,
    ensure_running,
)
from gateway.storage.secrets import SecretFileError, SecretFiles, scram_matches, scram_verifier

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
    copy = tmp_path / "data"
    subprocess.run(["cp", "-a", str(template), str(copy)], check=True)
    yield copy
    ensure_running(copy, fsync=False).release()  # whatever a test left behind: found, and stopped


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """For tests that leave it running; with fsync, as in production."""
    with ensure_running(tmp_path_factory.mktemp("shared") / "data", extra_settings=SMALL) as running:
        yield running


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


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> bool:
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
    data_dir = tmp_path / "data"
    subprocess.run(["cp", "-a", str(template), str(data_dir)], check=True)
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
        busy = asyncio.ensure_future(connection.execute("select count(*) from generate_series(1, 1e10::bigint) a"))
        await asyncio.sleep(0.3)
        os.kill(first.pid, signal.SIGKILL)
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
    rights = {"user": owner} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **rights) as stranger:
        lines[0] = str(stranger.pid)
        pid_file.write_text("\n".join(lines) + "\n")
        os.chown(pid_file, owner, -1)
        with start(data_dir) as again:
            assert again.pid != stranger.pid
            assert await query(again.dsn(), "select 1") == 1
        assert stranger.poll() is None, "a stranger was signalled"
        stranger.kill()


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
    draft = tmp_path / "data" / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with start(tmp_path / "data") as server:
        assert runs(server.pid)
    assert not draft.exists()


# Who gets in


async def test_every_role_needs_its_password(server: RunningServer) -> None:
    await create_database(server, "doors")
    migrate = await ensure_migrate_role(server, "doors")
    assert await query(migrate, "select 1") == 1
    for user in ("postgres", "doors_migrate", "nobody_at_all"):
        for password in ("", "wrong", server.password[:-1]):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
                await query(server.dsn("doors", user, password), "select 1")
    rules = "select string_agg(concat_ws(' ', type, database, user_name, auth_method), ',') from pg_hba_file_rules"
    assert await query(server.dsn(), rules) == "local {all} {all} scram-sha-256"
    assert await query(server.dsn(), "show listen_addresses") == ""


@needs_root
def test_another_user_of_the_machine_reaches_neither_socket_nor_data(server: RunningServer) -> None:
    stranger = pwd.getpwnam("nobody")
    path = str(server.socket_dir / f".s.PGSQL.{server.port}")

    def refused() -> bool:
        os.setgroups([])
        os.setgid(stranger.pw_gid)
        os.setuid(stranger.pw_uid)
        doors: list[Callable[[], object]] = [
            lambda: os.listdir(server.socket_dir),
            lambda: os.listdir(server.pgdata),
            lambda: os.listdir(server.data_dir / "secrets"),
        ]
        with socket.socket(socket.AF_UNIX) as client:
            doors.append(lambda: client.connect(path))
            for door in doors:
                try:
                    door()
                except PermissionError:
                    continue
                return False
        return True

    child = os.fork()  # not a new program: the interpreter itself may lie where a stranger cannot go
    if child == 0:
        os._exit(0 if refused() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_rights_of_what_is_made(server: RunningServer) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    secrets = server.data_dir / "secrets"
    assert [mode(path) for path in (server.data_dir, secrets, server.pgdata, server.socket_dir)] == [0o700] * 4
    assert {mode(path) for path in [*secrets.iterdir(), *server.data_dir.glob("*.lock")]} == {0o600}
    assert mode(server.socket_dir / ".s.PGSQL.5432") == 0o700


@needs_proc
def test_the_password_shows_nowhere(server: RunningServer) -> None:
    assert server.password not in repr(server)
    for name in ("cmdline", "environ"):
        assert server.password.encode() not in Path(f"/proc/{server.pid}/{name}").read_bytes()
    logs = [server.data_dir / "startup.log", *(server.data_dir / "log").iterdir()]
    assert not any(server.password in path.read_text() for path in logs)


async def test_the_log_holds_no_statements_and_no_values(server: RunningServer) -> None:
    connection = await asyncpg.connect(server.dsn())
    with pytest.raises(asyncpg.DataError):
        await connection.execute("select 'canary-in-statement'::int")
    with pytest.raises(asyncpg.DataError):
        await connection.fetchval("select cast($1::text as int)", "canary-in-parameter")
    await connection.close()
    logs = "".join(path.read_text() for path in (server.data_dir / "log").iterdir())
    assert "ready to accept connections" in logs
    assert "canary" not in logs


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


# Databases, roles, secrets, settings


async def test_database_and_migrate_role(server: RunningServer) -> None:
    name = 'credit-数据 "x"'
    await asyncio.gather(*(create_database(server, name) for _ in range(3)))
    first, *others = await asyncio.gather(*(ensure_migrate_role(server, name) for _ in range(3)))
    assert others == [first, first]
    role = f"{name}_migrate"
    connection = await asyncpg.connect(first)
    try:
        flags = "rolcanlogin, rolcreaterole, rolsuper, rolcreatedb, rolreplication, rolbypassrls"
        row = await connection.fetchrow(f"select {flags} from pg_roles where rolname = current_user")
        assert tuple(row) == (True, True, False, False, False, False)
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        assert await connection.fetchval(owner) == role
        await connection.execute("create extension pg_trgm; create extension btree_gist; create schema core")
        assert await connection.fetchval("select cardinality(show_trgm('博海化工'))") == 5
        await connection.execute("create role somebody")
        for right in ("create", "temporary"):
            assert not await connection.fetchval(f"select has_database_privilege('somebody', $1, '{right}')", name)
        assert not await connection.fetchval("select has_schema_privilege('somebody', 'public', 'create')")
        assert not await connection.fetchval("select has_language_privilege('somebody', 'plpgsql', 'usage')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("do $$ begin end $$")
        assert await connection.fetchval("select current_setting('server_encoding')") == "UTF8"
    finally:
        await connection.close()


async def test_a_migrate_role_follows_its_file(server: RunningServer) -> None:
    await create_database(server, "follows")
    before = await ensure_migrate_role(server, "follows")
    await query(server.dsn(), "alter role follows_migrate password 'x' superuser", "select 1")
    assert await ensure_migrate_role(server, "follows") == before
    assert await query(before, "select rolsuper from pg_roles where rolname = current_user") is False


@pytest.mark.parametrize("name", ["", "x" * 64, "a\0b"])
async def test_names_that_postgresql_would_change_are_refused(server: RunningServer, name: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match="cannot name"):
        await create_database(server, name)


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
    assert values == ["on", "on", "UTC", "off", "100", "7MB", "24MB", "scram-sha-256"]


@pytest.mark.parametrize("setting", [{"listen_addresses": "*"}, {"work_mem": "1MB\nfsync=off"}, {"Work Mem": "1"}])
def test_settings_that_open_the_server_are_refused(tmp_path: Path, setting: dict[str, str]) -> None:
    with pytest.raises(EmbeddedPostgresError):
        ensure_running(tmp_path / "data", extra_settings=setting)
    assert not (tmp_path / "data").exists()


def test_secrets_are_made_once_and_stay_in_their_folder(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    names = ["a", "../b", ".", "..", "数据", "a/b"]
    values = {files.secret(name) for name in names}
    assert len(values) == len(names)
    assert {SecretFiles(tmp_path / "secrets").secret(name) for name in names} == values
    assert min(map(len, values)) >= 43  # 32 bytes in base64
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert files.find("unknown") is None


def test_secrets_that_others_can_read_are_refused_and_not_shown(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    value = files.secret("role")
    files.path("role").chmod(0o640)
    with pytest.raises(SecretFileError, match="chmod 600") as caught:
        files.secret("role")
    assert value not in str(caught.value)
    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(SecretFileError, match="chmod 700"):
        files.secret("new")


def test_scram_verifiers_tell_passwords_apart() -> None:
    verifier = scram_verifier("secret")
    assert scram_matches(verifier, "secret")
    assert not scram_matches(verifier, "Secret")
    assert not scram_matches("md5abc", "secret")
    assert not scram_matches(None, "secret")

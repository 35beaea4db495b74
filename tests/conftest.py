"""Fixture strategy: one embedded server a test process (fsync off), one migrated template, a clone of it per module.

`make test` has a process for each processor, four at most (pytest-xdist). A module's tests stay in one of them, and so
does all of tests/walls, which counts its pairs. `database` is the module's clone, `seeded` the same with the synthetic
demo data; roles belong to the template, so a clone costs a file copy and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from xdist.scheduler import LoadScopeScheduling

from gateway.storage.database import Database, prepare
from gateway.storage.embedded import RunningServer, create_database, ensure_migrate_role, ensure_running
from gateway.storage.pool import Pool
from gateway.storage.roles import ROLES, role_name
from gateway.storage.secrets import SecretFiles

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_numbers = itertools.count(1)
TEMPLATE = "credit_test"


class _ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """What stays in one process: a module's tests, and tests/walls."""

    def _split_scope(self, nodeid: str) -> str:
        module: str = nodeid.partition("::")[0]
        return "tests/walls" if module.startswith("tests/walls/") else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Which test runs where."""
    return _ByModule(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a process has to tell when it ends is told by the one that started it."""
    for line in getattr(node, "workeroutput", {}).get("told", ()):
        print(line)


def on_database(dsn: str, name: str) -> str:
    """The same DSN for another database of the server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def ended() -> AsyncIterator[None]:
    """What a module dropped is closed in its own loop's next turns, not by the collector in another module's test."""
    yield
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The run's own server, without fsync."""
    with ensure_running(tmp_path_factory.mktemp("server"), fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: RunningServer) -> Database:
    """A migrated database that nobody connects to afterwards."""

    async def make() -> Database:
        await create_database(postgres, TEMPLATE)
        dsn = await ensure_migrate_role(postgres, TEMPLATE)
        made = Database(TEMPLATE, TEMPLATE, dsn, SecretFiles(postgres.data_dir / "secrets"), embedded=True)
        await prepare(made)
        return made

    return asyncio.run(make())


def clone(postgres: RunningServer, template: Database, name: str) -> Database:
    """A copy of a database under another name, with the template's roles."""

    async def copy() -> None:
        connection = await asyncpg.connect(postgres.dsn())
        try:
            await connection.execute(f'create database "{name}" template "{template.name}" owner "{TEMPLATE}_migrate"')
            # Rights on the database itself are not copied with it.
            await connection.execute(f'revoke all on database "{name}" from public')
            for role in ROLES:
                await connection.execute(f'grant connect on database "{name}" to "{role_name(TEMPLATE, role)}"')
        finally:
            await connection.close()

    asyncio.run(copy())
    return replace(template, name=name, migrate_dsn=on_database(template.migrate_dsn, name))


def drop(postgres: RunningServer, name: str) -> None:
    """Drop a clone, whoever is still connected."""

    async def gone() -> None:
        connection = await asyncpg.connect(postgres.dsn())
        try:
            await connection.execute(f'drop database if exists "{name}" with (force)')
        finally:
            await connection.close()

    asyncio.run(gone())


@pytest.fixture(scope="module")
def database(postgres: RunningServer, template: Database) -> Iterator[Database]:
    """The module's own database, migrated, with reference data alone."""
    name = f"credit_test_{next(_numbers)}"
    yield clone(postgres, template, name)
    drop(postgres, name)


@pytest.fixture(scope="module")
async def service_pool(database: Database) -> AsyncIterator[Pool]:
    """Connections of the role `service` to the module's database."""
    pool = Pool(database.dsn("service"), size=4)
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the role that owns the schemas, for what tests set up and look at."""
    connection = await asyncpg.connect(database.migrate_dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def root(postgres: RunningServer, database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """The superuser in the module's database, who sees and ends everybody's statements and backends."""
    connection = await asyncpg.connect(postgres.dsn(database.name))
    yield connection
    await connection.close()

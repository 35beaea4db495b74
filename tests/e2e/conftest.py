"""Fixtures of the end-to-end tests: one seeded database a run, a clone of it with courts, gateway and clients a module.

A module may set COURTS (changes to the settings of the courts) and SETTINGS (changes to the others).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from e2e_stack import (
    STRANGER,
    Courts,
    Stack,
    clone,
    courts_process,
    courts_source,
    drop,
    make_client,
    rows_of,
    seed,
    serving,
)

from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer

_numbers = itertools.count(1)
_seeded: list[tuple[Database, Path]] = []  # made on first use; async fixtures of a session would need its loop

CLIENTS: tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...] = (
    ("restricted", "view:restricted", ("GRANT", "TENDERING"), {}),
    ("internal", "view:internal", ("SUPERVISION",), {}),
    ("scoped", "view:restricted", ("GRANT",), {"kinds": ("ENTERPRISE",)}),
    ("plain", "", (), {}),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeded(
    postgres: RunningServer, template: Database, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Database, Path]:
    """The seeded database, which nobody connects to afterwards, and the folder of its files."""
    if not _seeded:
        folder = tmp_path_factory.mktemp("demo")
        made = await clone(postgres, template, "credit_e2e_seeded")
        await seed(made, folder)
        _seeded.append((made, folder))
    return _seeded[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres: RunningServer, seeded: tuple[Database, Path]) -> AsyncIterator[Database]:
    """The module's own clone of the seeded database."""
    name = f"credit_e2e_{next(_numbers)}"
    yield await clone(postgres, seeded[0], name)
    await drop(postgres, name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    request: pytest.FixtureRequest,
    world: Database,
    seeded: tuple[Database, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    """Courts, gateway, clients and their tokens."""
    organisations = [row for row in rows_of(seeded[1] / "organisations.csv") if row["uscc"]]
    known = [row["uscc"] for row in organisations if row["subject_kind"] == "ENTERPRISE"]
    folder = tmp_path_factory.mktemp("gateway")
    with courts_process(folder, [*known, STRANGER]) as url:
        courts = courts_source(url, **getattr(request.module, "COURTS", {}))
        settings = Settings(data_dir=folder, courts=courts, **getattr(request.module, "SETTINGS", {}))
        async with serving(settings, world) as base, aiohttp.ClientSession() as session:
            made = Stack(
                base,
                session,
                courts=Courts(url, session),
                database=world,
                settings=settings,
                owner=await asyncpg.connect(world.migrate_dsn),
                organisations=organisations,
            )
            for name, scope, matters, more in CLIENTS:
                made.clients[name] = await make_client(world, name, scope, *matters, organisation=made.organ, **more)
                made.tokens[name] = await made.fetch_token(made.clients[name])
            yield made
            await made.owner.close()


@pytest.fixture(scope="module")
async def owner(world: Database) -> AsyncIterator[Any]:
    """A connection of the role that owns the schemas of the module's world."""
    connection = await asyncpg.connect(world.migrate_dsn)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def usccs(owner: Any) -> list[str]:
    """Codes of three enterprises on record."""
    rows = await owner.fetch("select uscc from core.subject where kind = 'ENTERPRISE' and uscc is not null limit 3")
    return [row["uscc"] for row in rows]

"""Fixtures of the tests of the log: an empty one in the module's database, and what it shows to everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from log_support import TestLog, emptied, open_log

from gateway.ledger.published import Published
from gateway.storage.pool import Pool


@pytest_asyncio.fixture
async def log(database: Any, owner: Any, tmp_path: Path) -> AsyncIterator[TestLog]:
    await emptied(owner)
    made = await open_log(database, owner, tmp_path)
    yield made
    await made.log.close()


@pytest_asyncio.fixture
async def published(database: Any, log: TestLog) -> AsyncIterator[Published]:
    pool = Pool(database.dsn("log"), size=2)
    yield Published(pool, log.keys)
    await pool.close()

"""The walls are tested on a database that was prepared as in production: a clone does not copy the rights on the
database itself (CONNECT, TEMPORARY), so they are set again.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.storage.database import Database, prepare


@pytest.fixture(scope="module")
def database(database: Database) -> Database:
    """The module's own database, prepared once more under its own name."""
    asyncio.run(prepare(database))
    return database

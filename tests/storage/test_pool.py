"""Promises of the pool: what is durable stays durable, whatever anybody has set for the role or the database."""

from __future__ import annotations

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.pool import Pool
from gateway.storage.roles import quote


@pytest.mark.parametrize("where", ["", "in database"])
async def test_a_commit_is_on_disk_whatever_the_role_or_its_database_has_been_given(
    postgres: RunningServer, database: Database, where: str
) -> None:
    role = f"{database.prefix}_restricted"
    target = f"alter role {quote(role)}" + (f" in database {quote(database.name)}" if where else "")
    superuser = await asyncpg.connect(postgres.dsn())
    try:
        await superuser.execute(f"{target} set synchronous_commit = off")
        found = []
        for durable in (False, True):
            pool = Pool(database.dsn("restricted"), size=1, durable=durable)
            row = await pool.fetchrow("select current_setting('synchronous_commit') as found", ())
            found.append(row["found"])
            await pool.close()
        assert found == [b"off", b"on"]  # the first shows that it would be off otherwise
    finally:
        await superuser.execute(f"{target} reset synchronous_commit")
        if not where:
            await superuser.execute(f"{target} set synchronous_commit = on")
        await superuser.close()

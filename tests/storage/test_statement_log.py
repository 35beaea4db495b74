"""Settings by which PostgreSQL would write parameters down are found, as the role that asks has them."""

from __future__ import annotations

import asyncpg
import pytest

from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.storage.statement_log import StatementLog, settings_that_log
from tests.conftest import RunningServer, on_database

LOGGING = [
    ({"log_statement": "all"}, "log_statement"),
    ({"log_min_duration_statement": "0"}, "log_min_duration_statement"),
    ({"log_min_duration_statement": "5000"}, "log_min_duration_statement"),
    ({"log_min_duration_sample": "1", "log_statement_sample_rate": "0.1"}, "log_min_duration_sample"),
    ({"log_transaction_sample_rate": "0.001"}, "log_transaction_sample_rate"),
    ({"log_parameter_max_length_on_error": "-1"}, "log_parameter_max_length_on_error"),
    ({"log_min_messages": "debug5"}, "log_min_messages"),
    ({"debug_print_plan": "on"}, "debug_print_parse, debug_print_rewritten or debug_print_plan"),
    ({"auto_explain.log_min_duration": "0"}, "auto_explain.log_min_duration"),
    ({"pgaudit.log_parameter": "on"}, "pgaudit.log_parameter"),
]


async def set_for_role(postgres: RunningServer, database: Database, settings: dict[str, str]) -> None:
    """Settings of the restricted view's role, by the superuser; {} takes all of ours back."""
    owner = await asyncpg.connect(on_database(postgres.dsn(), database.name))
    role = f'"{database.prefix}_restricted"'
    try:
        for name in ("log_parameter_max_length", *{name for given, _ in LOGGING for name in given}):
            await owner.execute(f'alter role {role} in database "{database.name}" reset {name}')
        for name, value in settings.items():
            await owner.execute(f"alter role {role} in database \"{database.name}\" set {name} = '{value}'")
    finally:
        await owner.close()


async def found(database: Database) -> str:
    pool = Pool(database.dsn("restricted"), size=1)
    try:
        return await settings_that_log(pool)
    finally:
        await pool.close()


@pytest.mark.parametrize(("settings", "name"), LOGGING)
async def test_each_is_found(postgres: RunningServer, database: Database, settings: dict[str, str], name: str) -> None:
    assert await found(database) == ""
    await set_for_role(postgres, database, {"log_parameter_max_length": "-1", **settings})
    try:
        assert await found(database) == name
    finally:
        await set_for_role(postgres, database, {})


@pytest.mark.parametrize("settings", [{"log_statement": "all"}, {"log_min_duration_statement": "0"}])
async def test_statements_without_their_parameters_are_no_matter(
    postgres: RunningServer, database: Database, settings: dict[str, str]
) -> None:
    await set_for_role(postgres, database, {"log_parameter_max_length": "0", **settings})
    try:
        assert await found(database) == ""
    finally:
        await set_for_role(postgres, database, {})


async def test_it_is_asked_each_time(postgres: RunningServer, database: Database) -> None:
    pools = [Pool(database.dsn("restricted"), size=1) for _ in range(2)]
    log = StatementLog(pools[:1])
    try:
        assert await log.found() == ""
        await set_for_role(postgres, database, {"log_parameter_max_length": "-1", "log_statement": "all"})
        assert await log.found() == ""  # settings of a role hold for its new connections
        log._pools = pools
        assert await log.found() == "log_statement"  # one of several is enough
    finally:
        for pool in pools:
            await pool.close()
        await set_for_role(postgres, database, {})


async def test_what_cannot_be_read_counts_as_logging(database: Database) -> None:
    pool = Pool(database.dsn("restricted").replace("restricted", "nobody"), size=1, timeout=0.5)
    try:
        assert await StatementLog([pool]).found()
    finally:
        await pool.close()

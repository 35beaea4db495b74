"""A server with its clients in a database of the module's own, keys in a folder of its own, and time under control."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from auth_support import AUDIENCE, ENTERPRISE, ISSUER, ORGAN, Setting

from gateway.auth.assertion import UsedAssertions
from gateway.auth.authenticate import Authenticator
from gateway.auth.clients import ClientStore
from gateway.auth.dpop import UsedProofs
from gateway.auth.guesses import Guesses
from gateway.auth.keys import KeyStore
from gateway.auth.possession import Possession
from gateway.auth.server import AuthorizationServer
from gateway.auth.tokens import Tokens
from gateway.cli import common
from gateway.storage.database import Database
from gateway.storage.pool import Pool

SUBJECTS = ((ORGAN, "ORGAN", "测试机关"), (ENTERPRISE, "ENTERPRISE", "测试企业"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth_pool(database: Database) -> AsyncIterator[Pool]:
    connection = await asyncpg.connect(database.dsn("import"))
    for code, kind, name in SUBJECTS:
        await connection.execute(
            "insert into core.subject (external_id, class, kind, uscc, name, name_folded)"
            " values ($1, 'ORGANISATION', $2, $3, $4, $4) on conflict do nothing",
            uuid.uuid4(),
            kind,
            code,
            name,
        )
    await connection.close()
    pool = Pool(database.dsn("service"), size=4)
    yield pool
    await pool.close()


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


@pytest.fixture
def tokens(keys: KeyStore) -> Tokens:
    return Tokens(keys, issuer=ISSUER, audience=AUDIENCE)


@pytest_asyncio.fixture(loop_scope="module")
async def setting(database: Database, auth_pool: Pool, keys: KeyStore, tokens: Tokens) -> AsyncIterator[Setting]:
    made: Setting
    store = ClientStore(auth_pool, clock=lambda: made.monotonic)
    proofs = UsedProofs(auth_pool)
    server = AuthorizationServer(
        issuer=ISSUER,
        clients=store,
        tokens=tokens,
        keys=keys,
        assertions=UsedAssertions(auth_pool),
        proofs=proofs,
        guesses=Guesses(auth_pool),
        mutual_tls=True,
        clock=lambda: made.now,
    )
    authenticator = Authenticator(tokens, store, Possession(proofs), clock=lambda: made.now)
    made = Setting(store, keys, tokens, server, authenticator)
    yield made
    # The service role can't delete a client, so that ids are never used again; the next test may.
    owner = await asyncpg.connect(database.migrate_dsn)
    await owner.execute("delete from auth.client where id = any ($1)", list(made.registered))
    await owner.execute("delete from auth.guess")
    await owner.execute("delete from auth.used_assertion where issuer = any ($1)", list(made.registered))
    await owner.close()


@pytest.fixture
def data(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a command that is run on the module's database."""

    @contextmanager
    def opened(_: object) -> Iterator[Database]:
        yield database

    monkeypatch.setattr(common, "database_there", opened)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    return tmp_path

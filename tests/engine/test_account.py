"""Promise: above the public view an answer and its disclosure are one transaction. What the statement writes is what an
account would have been told; whatever keeps it from being written keeps the answer back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from gateway.auth.principal import Principal
from gateway.engine.account import Disclosure, Told, cells
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import LedgerUnavailable, Refused
from gateway.ledger.disclosures import Ledger
from gateway.schema.contracts import build_contracts
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.storage.views import CELLS
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.snapshot import FOLDER, read_case

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NAME = "query S($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
MANY = "query L($usccs: [Uscc!]!) { subjects(usccs: $usccs) { name } }"
NESTED = """query N($uscc: Uscc!) { subject(uscc: $uscc) { name records(first: 5) { edges { node {
  title authority { uscc records(first: 1) { totalCount } } } } } } }"""
CASES = sorted(path.stem for path in FOLDER.glob("*.graphql"))


@pytest.fixture(scope="module")
async def engine(world: World, database: Database) -> AsyncIterator[Engine]:
    """The engine with the real ledger."""
    pool = Pool(database.dsn("ledger"), size=2)
    ledger = Ledger(pool, CollectorRegistry(), timeout=20)
    yield engine_over(world, world.engine._pools, ledger)
    await ledger.close()
    await pool.close()


def engine_over(world: World, pools: Any, account: Any) -> Engine:
    return Engine(build_contracts(), pools, account, world.sources, Limits(50_000, 5_000, storage=20.0))  # type: ignore[arg-type]


async def rows(owner: Connection, case: str) -> list[asyncpg.Record]:
    return list(await owner.fetch("select * from ledger.disclosure where case_number = $1", case))


def asker(world: World, view: str, case: str, **more: Any) -> Principal:
    return replace(world.principal(view), case_number=case, **more)


@pytest.mark.parametrize("name", CASES)
async def test_the_statement_writes_what_an_account_is_told(
    world: World, engine: Engine, owner: Connection, name: str
) -> None:
    case = read_case(name)
    who = world.principal(case.view)
    who = replace(who, case_number=f"told {name}") if case.view != "public" else who
    request = Request(case.query, None, case.variables)
    world.account.disclosures.clear()
    assert await engine.answer(who, request) == await world.engine.answer(who, request)
    written = await rows(owner, f"told {name}")
    assert len(written) == len(world.account.disclosures) == (case.view != "public")
    for row, told in zip(written, world.account.disclosures, strict=True):
        assert {str(i) for i in row["subject_ids"]} == set(filter(None, bytes(told.subject_ids).decode().split(",")))
        for column in ("client_id", "organisation_uscc", "view", "matter", "outcome", "on_behalf_of"):
            assert row[column] == getattr(told, column)
        for column in ("document_hash", "variables", "sources", "withheld", "operation_name", "fields_hash"):
            assert row[column] == getattr(told, column)
        assert row["snapshot"].count(":") == 2
        kept = await owner.fetchval("select text from ledger.told where hash = $1", row["fields_hash"])
        assert kept == told.fields.text


@pytest.mark.parametrize(
    ("query", "variables"),
    [(NESTED, {"uscc": small_world.FIRM}), ("{ records { totalCount edges { node { title } } } }", {})],
)
async def test_more_subjects_than_the_token_allows(
    world: World, engine: Engine, owner: Connection, query: str, variables: dict[str, Any]
) -> None:
    """Known only once they were found: neither they nor a row that says they were answered come out."""
    for engine_of, case in ((engine, "within"), (world.engine, "told")):
        world.account.disclosures.clear()
        case = f"{case} {query[:9]}"
        allowed = await engine_of.answer(
            asker(world, "restricted", case, max_subjects=20), Request(query, None, variables)
        )
        assert len(json.loads(allowed)["data"]) == 1
        with pytest.raises(Refused) as caught:
            await engine_of.answer(asker(world, "restricted", case, max_subjects=1), Request(query, None, variables))
        assert caught.value.code == "BAD_USER_INPUT"
        if engine_of is engine:
            found = [(row["outcome"], len(set(row["subject_ids"])) > 1) for row in await rows(owner, case)]
        else:
            found = [(d.outcome, bytes(d.subject_ids).count(b",") > 0) for d in world.account.disclosures]
        assert found == [("ANSWERED", True), ("BAD_USER_INPUT", False)]


class Forgetful:
    """A pool in whose database nothing is written, whatever it says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, sql: str, arguments: Sequence[Any], *, read: Callable[[Any], Any], **_: Any) -> Any:
        return read([{**dict(row), "disclosed": 0} for row in await self._pool.fetch(sql, arguments)])


@pytest.mark.parametrize(
    ("query", "variables"), [(NAME, {"uscc": small_world.FIRM}), (MANY, {"usccs": [small_world.FIRM]})]
)
async def test_an_answer_that_was_not_disclosed_stays_here(
    world: World, engine: Engine, query: str, variables: dict[str, Any]
) -> None:
    pools = {"restricted": Forgetful(world.engine._pools["restricted"])}  # type: ignore[arg-type]
    forgetful = engine_over(world, pools, engine._account)
    with pytest.raises(RuntimeError):
        await forgetful.answer(world.principal("restricted"), Request(query, None, variables))


@pytest.mark.parametrize("query", [NAME, MANY])
async def test_a_role_that_may_not_disclose_answers_nothing(
    world: World, engine: Engine, owner: Connection, database: Database, query: str
) -> None:
    variables = {"uscc": small_world.FIRM} if query == NAME else {"usccs": [small_world.FIRM]}
    name = "disclose" if query == NAME else "disclose_one"
    function, role = f"v_restricted.{name}", f'"{database.prefix}_restricted"'
    await owner.execute(f"revoke execute on function {function} from {role}")
    try:
        with pytest.raises(Refused) as caught:
            await engine.answer(world.principal("restricted"), Request(query, None, variables))
        assert caught.value.code == "LEDGER_UNAVAILABLE"
    finally:
        await owner.execute(f"grant execute on function {function} to {role}")
    assert b"name" in await engine.answer(world.principal("restricted"), Request(query, None, variables))


def test_cells() -> None:
    made = cells(
        Disclosure(
            "c",
            "o",
            "RESTRICTED",
            "m",
            "示例〔2026〕1号",
            "ANSWERED",
            document_hash=b"\x01\xff",
            id="1",
            fields=Told("{}"),
        )
    )
    assert dict(zip(CELLS, made.decode().split("\x1f"), strict=True)) == {
        "id": "1",
        "client_id": "c",
        "organisation_uscc": "o",
        "matter": "m",
        "case_number": "示例〔2026〕1号",
        "on_behalf_of": "\x1e",
        "operation_name": "\x1e",
        "document_hash": "01ff",
        "variables": "\x1e",
        "sources": "{}",
        "withheld": "{}",
        "fields_hash": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",  # sha256sum
        "basis_hash": "\x1e",
    }


@pytest.mark.parametrize("case", ["a\x1fb", "\x1f", "\x1e", "a\x1e", "a\x1db", "a\0", "\ud800"])
def test_text_that_would_be_cut_at_the_wrong_place(case: str) -> None:
    """A case number with a separator would give one request's account to another's."""
    with pytest.raises(LedgerUnavailable):
        cells(Disclosure("c", "o", "RESTRICTED", "m", case, "ANSWERED"))

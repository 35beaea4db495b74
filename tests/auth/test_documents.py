"""Promises: what an operator registers for a client is found by it within two seconds in every process, and gone as
soon when it is taken out; nobody else finds it; what a process keeps of it is bounded. The commands say line and reason
of what they left out, do nothing twice, and nothing at all in a dry run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from auth_support import ORGAN
from typer.testing import CliRunner

from gateway.auth import documents as documents_module
from gateway.auth.clients import ClientStore
from gateway.auth.documents import PUBLIC_OWNER, StoredDocuments
from gateway.cli import clients
from gateway.cli import documents as commands
from gateway.storage.database import Database
from gateway.storage.pool import Pool

VIEW = "query View { viewer { view } }"
MATTERS = "query Matters { matters { code } }"  # not in the PUBLIC contract


def row(text: str, id_: str = "") -> dict[str, str]:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return {"id": id_ or sha256, "sha256": sha256, "name": "", "body": text}


async def version_of(store: StoredDocuments, owner: str) -> int | None:
    """The version of an owner's set, past everything that is kept."""
    rows = await store._pool.fetch("select version::text as v from auth.document_set where owner = $1", (owner,))
    return int(rows[0]["v"]) if rows else None


async def test_found_by_id_and_by_hash_and_under_its_owner_alone(service_pool: Pool) -> None:
    store = StoredDocuments(service_pool)
    assert await store.find("one", None, "View") is None
    assert await store.add("one", [row(VIEW, "View")]) == 1
    version = await version_of(store, "one")
    assert await store.find("one", version, "View") == VIEW
    assert await store.find("one", version, hashlib.sha256(VIEW.encode()).hexdigest()) == VIEW
    assert await store.find("two", version, "View") is None
    assert await store.find(PUBLIC_OWNER, version, "View") is None
    # Kept under its owner: the same version of another owner's set finds nothing either, and one's own no statement.
    assert len(store._texts) == 2
    assert await store.add("one", [row(MATTERS, "View")]) == 0  # an id is never given another text
    assert await StoredDocuments(service_pool).find("one", version, "View") == VIEW


async def test_the_id_comes_before_the_hash(service_pool: Pool) -> None:
    """Nobody's own id takes the place of another document's hash, or the other way round."""
    store = StoredDocuments(service_pool)
    await store.add("ids", [row(VIEW), row(MATTERS, "x")])
    version = await version_of(store, "ids")
    assert await store.find("ids", version, row(VIEW)["id"]) == VIEW
    assert await store.find("ids", version, row(MATTERS)["sha256"]) == MATTERS


async def test_another_version_is_read_anew(service_pool: Pool) -> None:
    here, elsewhere = StoredDocuments(service_pool), StoredDocuments(service_pool)
    await elsewhere.add("changing", [row(VIEW, "View")])
    before = await version_of(here, "changing")
    assert await here.find("changing", before, "View") == VIEW
    assert await elsewhere.remove("changing", ["View", "unknown"]) == 1
    after = await version_of(here, "changing")
    assert after != before
    assert await here.find("changing", after, "View") is None
    # What the version is there for: without it the text would be answered for ever.
    assert await here.find("changing", before, "View") == VIEW


async def test_the_public_views_version_is_read_again(service_pool: Pool) -> None:
    now = 0.0
    store = StoredDocuments(service_pool, ttl=1.5, clock=lambda: now)
    first = await store.public_version()
    await StoredDocuments(service_pool).add(PUBLIC_OWNER, [row(VIEW, "Portal")])
    assert await store.public_version() == first
    now = 1.5
    version = await store.public_version()
    assert version != first
    assert await store.find(PUBLIC_OWNER, version, "Portal") == VIEW


async def test_what_is_kept_is_bounded(service_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "_KEPT", 10 * len(VIEW))
    store = StoredDocuments(service_pool)
    await store.add("many", [row(VIEW + " " * number, f"d{number}") for number in range(30)])
    version = await version_of(store, "many")
    for number in range(30):
        assert await store.find("many", version, f"d{number}") == VIEW + " " * number
    assert store._size == sum(map(len, store._texts.values())) <= 10 * len(VIEW)


async def test_many_at_once_keep_one(service_pool: Pool) -> None:
    store = StoredDocuments(service_pool)
    await store.add("crowd", [row(VIEW, "View")])
    version = await version_of(store, "crowd")
    found = await asyncio.gather(*(store.find("crowd", version, "View") for _ in range(20)))
    assert set(found) == {VIEW}
    assert store._size == len(VIEW)


async def test_the_database_holds_hash_and_text_together(
    service_pool: Pool, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await StoredDocuments(service_pool).add("honest", [row(VIEW, "View")])
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("update auth.document set body = $1 where owner = 'honest'", MATTERS)


# Commands ------------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(clients.app, list(arguments))


def registered(client_id: str, *more: str) -> str:
    base = ["add", "财政局", "--id", client_id, "--organisation", ORGAN, "--secret"]
    made = run(*base, "--scope", "view:restricted", "--matter", "GRANT", *more)
    assert made.exit_code == 0, made.output
    return client_id


def manifest(folder: Path, **texts: str) -> str:
    path = folder / "manifest.json"
    operations = [{"id": name, "name": name, "type": "query", "body": text} for name, text in texts.items()]
    found = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return str(path)


def listed(owner: str) -> list[str]:
    return [document["id"] for document in json.loads(run("documents", "list", owner, "--json").stdout)]


def test_a_manifest_twice(data: Path) -> None:
    client = registered("docs-twice")
    file = manifest(data, View=VIEW, Matters=MATTERS)
    tried = run("documents", "add", client, file, "--dry-run")
    assert (tried.exit_code, listed(client)) == (0, [])
    assert "2 new, 0 known, 0 left out; nothing was changed" in tried.stderr
    made = run("documents", "add", client, file, "--json")
    assert json.loads(made.stdout) == {"added": 2, "known": 0, "left_out": 0, "faults": []}
    again = run("documents", "add", client, file)
    assert "0 new, 2 known" in again.stderr
    assert listed(client) == ["Matters", "View"]
    assert run("documents", "list", client).stdout.count("Matters") == 2


def test_what_is_wrong_is_told_and_the_rest_goes_on(data: Path) -> None:
    client = registered("docs-wrong")
    texts = {
        "View": VIEW,
        "Nonsense": "{ viewer {\n  nonsense } }",
        "Open": "{ viewer {",
        "Deep": "{ a " * 50 + "}" * 50,
    }
    made = run("documents", "add", client, manifest(data, **texts))
    assert made.exit_code == 3
    assert listed(client) == ["View"]
    lines = Path(data / "manifest.json").read_text().splitlines()
    for name, code in (
        ("Nonsense", "GRAPHQL_VALIDATION_FAILED"),
        ("Open", "GRAPHQL_PARSE_FAILED"),
        ("Deep", "QUERY_TOO_COSTLY"),
    ):
        (told,) = [line for line in made.stderr.splitlines() if f" {name}: " in line]
        number = int(told.split("line ")[1].split(",")[0])
        assert f'"id": "{name}"' in lines[number - 1]
        assert code in told
    assert "line 2, column 3 of its text" in made.stderr


def test_the_owners_own_contract_decides(data: Path) -> None:
    file = manifest(data, View=VIEW, Matters=MATTERS)
    made = run("documents", "add", PUBLIC_OWNER, file)
    assert made.exit_code == 3
    assert "contract PUBLIC" in made.stderr
    assert "Matters" not in listed(PUBLIC_OWNER)
    assert run("documents", "remove", PUBLIC_OWNER, "--all").exit_code == 0


def test_an_id_is_never_given_another_text(data: Path) -> None:
    client = registered("docs-other")
    run("documents", "add", client, manifest(data, View=VIEW))
    made = run("documents", "add", client, manifest(data, View=MATTERS))
    assert made.exit_code == 3
    assert "another text is registered under this id" in made.stderr
    assert run("documents", "remove", client, "View").exit_code == 0
    assert run("documents", "add", client, manifest(data, View=MATTERS)).exit_code == 0


def test_removing(data: Path) -> None:
    client = registered("docs-remove")
    run("documents", "add", client, manifest(data, View=VIEW, Matters=MATTERS))
    hash_ = hashlib.sha256(VIEW.encode()).hexdigest()
    assert run("documents", "remove", client, "Matters", "--dry-run").exit_code == 0
    assert run("documents", "remove", client, f"sha256:{hash_}").exit_code == 0
    assert listed(client) == ["Matters"]
    missing = run("documents", "remove", client, "Never")
    assert (missing.exit_code, "not registered: Never" in missing.stderr) == (1, True)
    assert run("documents", "remove", client).exit_code == 2
    assert run("documents", "remove", client, "Matters", "--all").exit_code == 2
    assert run("documents", "remove", client, "--all").exit_code == 0
    assert listed(client) == []


def test_removing_by_the_operation_that_one_document_has(data: Path) -> None:
    client = registered("docs-by-name")
    (data / "more").mkdir()
    texts = {"View.graphql": VIEW, "more/View.graphql": VIEW + " # again", "Matters.graphql": MATTERS}
    for name, text in texts.items():
        (data / name).write_text(text, encoding="utf-8")
        made = run("documents", "add", client, str(data / name))
        hash_ = hashlib.sha256(text.encode()).hexdigest()
        assert (made.exit_code, hash_ in made.stderr) == (0, True)
    assert run("documents", "remove", client, "Matters").exit_code == 0
    assert len(listed(client)) == 2
    several = run("documents", "remove", client, "View")
    assert several.exit_code == 1
    assert [id_ for id_ in listed(client) if id_ not in several.stderr] == []
    assert len(listed(client)) == 2


@pytest.mark.parametrize("command", [("list",), ("remove", "x"), ("add", "manifest.json")])
def test_an_owner_that_is_none(data: Path, command: tuple[str, ...]) -> None:
    for owner in ("docs-nobody", "@other", ""):
        made = run("documents", command[0], owner, *command[1:])
        assert made.exit_code == 1
        assert "no enabled client" in made.stderr


def test_there_is_no_room_for_more(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = registered("docs-room")
    monkeypatch.setattr(commands, "MOST_DOCUMENTS", 1)
    made = run("documents", "add", client, manifest(data, View=VIEW, Matters=MATTERS))
    assert made.exit_code == 1
    assert "remove old ones first" in made.stderr
    assert listed(client) == []


async def client_of(database: Database, client_id: str) -> Any:
    pool = Pool(database.dsn("service"), size=1)
    try:
        return await ClientStore(pool).get(client_id)
    finally:
        await pool.close()


def test_policy_and_limits_of_a_client(data: Path, database: Database) -> None:
    client = registered("docs-policy", "--documents", "registered", "--limit", "cost=2000", "--limit", "depth=9")

    def now() -> tuple[bool, dict[str, int], int]:
        found = asyncio.run(client_of(database, client))
        return found.only_registered, dict(found.limits or ()), found.version

    assert now() == (True, {"cost": 2000, "depth": 9}, 1)
    assert run("update", client, "--documents", "any").exit_code == 0
    assert now() == (False, {"cost": 2000, "depth": 9}, 1)  # its tokens go on
    assert run("update", client, "--limit", "aliases=3").exit_code == 0
    assert now() == (False, {"aliases": 3}, 1)
    assert run("update", client, "--no-limits", "--documents", "registered").exit_code == 0
    assert now() == (True, {}, 1)
    described = {c["id"]: c for c in json.loads(run("list", "--json").stdout)}[client]
    assert (described["documents"], described["limits"]) == ("REGISTERED", {})


@pytest.mark.parametrize(
    "options",
    [["--limit", "cost"], ["--limit", "cost=-1"], ["--limit", "cost=0"], ["--limit", "depth=41"], ["--limit", "x=1"],
     ["--limit", "cost=1", "--limit", "cost=2"]],
)  # fmt: skip
def test_limits_that_are_none(data: Path, options: list[str]) -> None:
    client = "docs-limits"
    if run("update", client, "--documents", "any").exit_code:
        registered(client)
    made = run("update", client, *options)
    assert made.exit_code == 1
    assert made.stderr.startswith("error: ")


def test_usage_of_update(data: Path) -> None:
    assert run("update", "x").exit_code == 2
    assert run("update", "x", "--limit", "cost=1", "--no-limits").exit_code == 2
    assert run("update", "x", "--documents", "some").exit_code == 2
    assert run("update", "docs-nobody", "--documents", "any").exit_code == 1

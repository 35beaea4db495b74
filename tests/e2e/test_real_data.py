"""Promises: the real registrations of Bortala and the World Bank's list go in through the command line, and a query by
code, or by node where a row has no valid code, finds each of them in each view as it should."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_stack import DATA, DIVISIONS, ROOT, TODAY, Gateway, Reply, clone, drop, make_client, process, serving

from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from gateway.storage.identifiers import valid_uscc
from gateway.storage.imports import import_file

SHARED = ROOT.parent / "shared" / "data"
ORGANISATIONS = SHARED / "organisations" / "bortala_organisations.csv"
WORLD_BANK = SHARED / "worldbank" / "worldbank_debarred_xinjiang.csv"
VIEWS = ("public", "restricted", "internal")

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent: its data is not ours to ship")

ENTRY = """kind title status severity catalogueItem publishedFrom publishedUntil decidedOn authority { name }
  source { code kind } ... on ListEntry { listName grounds removedOn }"""
BY_CODE = f"""query Q($usccs: [Uscc!]!) {{ subjects(usccs: $usccs) {{
  id uscc onRecord name kind registeredOn region {{ code }}
  records(first: 20) {{ totalCount edges {{ node {{ {ENTRY} }} }} }} }} }}"""
BY_NODE = f"""query N($id: ID!) {{ node(id: $id) {{ id __typename ... on Subject {{ uscc onRecord name
  records(first: 20) {{ totalCount edges {{ node {{ {ENTRY} }} }} }} }} }} }}"""


class Imported:
    """The gateway over what the command line put in."""

    def __init__(self, gateway: Gateway, owner: Any, said: dict[str, str]) -> None:
        self.gateway = gateway
        self.owner = owner
        self.said = said

    async def by_code(self, usccs: list[str], view: str) -> list[dict[str, Any] | None]:
        found: list[dict[str, Any] | None] = []
        for first in range(0, len(usccs), 20):
            variables = {"usccs": usccs[first : first + 20]}
            found += (await self.gateway.ask(BY_CODE, variables, view)).data["subjects"]
        return found

    async def by_node(self, node: str, view: str) -> Reply:
        return await self.gateway.ask(BY_NODE, {"id": node}, view)


def command(database: Database, data_dir: Path, *arguments: str) -> str:
    """credit-gateway as an operator runs it; its standard output."""
    environment = {
        "GATEWAY_DATA_DIR": str(data_dir),
        "GATEWAY_DATABASE_URL": database.migrate_dsn,
        "GATEWAY_ROLE_PREFIX": database.prefix,
    }
    line = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
    with process(line, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
async def imported(postgres: RunningServer, template: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import aiohttp
    import asyncpg

    database = await clone(postgres, template, "credit_e2e_real")
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(database.secrets.folder, folder / "secrets")  # the passwords of the roles
    said = {}
    for name in DIVISIONS:  # the shipped data, whose command line has tests of its own
        await import_file(
            database, DATA / "divisions" / f"{name}.csv", "divisions",
            mapping=None, rejects=None, entered_by="e2e", progress=None,
        )  # fmt: skip
    for path, kind, mapping in (
        (ORGANISATIONS, "organisations", "bortala_registrations.toml"),
        (WORLD_BANK, "lists", "worldbank.toml"),
    ):
        more = ("--mapping", str(DATA / "mappings" / mapping), "--rejects", str(folder / "rejects.csv"))
        said[kind] = command(database, folder, "import", str(path), "--as", kind, *more)
    organ = rows(ORGANISATIONS)[0]["uscc"]
    async with (
        serving(Settings(data_dir=folder), database) as base,
        aiohttp.ClientSession() as session,
    ):
        gateway = Gateway(base, session)
        for view, matter in (("restricted", "GRANT"), ("internal", "SUPERVISION")):
            client = await make_client(database, view, f"view:{view}", matter, organisation=organ)
            gateway.tokens[view] = await gateway.fetch_token(client)
        owner = await asyncpg.connect(database.migrate_dsn)
        yield Imported(gateway, owner, said)
        await owner.close()
    await drop(postgres, database.name)


def test_all_rows_went_in(imported: Imported) -> None:
    assert numbers(imported.said["organisations"]) == ["338", "338", "0", "0", "0"]
    # Two names of the list have one code, one day and one ground: one entry.
    assert numbers(imported.said["lists"]) == ["33", "32", "0", "1", "0"]


def numbers(table: str) -> list[str]:
    return [word for word in table.split() if word.isdigit()]


@pytest.mark.parametrize("view", VIEWS)
async def test_each_registration_is_found_by_its_code(imported: Imported, view: str) -> None:
    given = rows(ORGANISATIONS)
    valid = [row for row in given if valid_uscc(row["uscc"])]
    found = await imported.by_code([row["uscc"] for row in valid], view)
    for row, subject in zip(valid, found, strict=True):
        assert subject is not None, row["uscc"]
        assert (subject["uscc"], subject["onRecord"], subject["name"]) == (row["uscc"], True, row["name"])
        assert subject["registeredOn"] == row["registered_on"]
        assert subject["records"]["totalCount"] == 0 or row["uscc"] in {r["uscc"] for r in rows(WORLD_BANK)}
    print(f"{view}: {len(found)} of {len(given)} registrations by code")
    regions = {row["uscc"]: s["region"] for row, s in zip(valid, found, strict=True) if s}
    assert regions["91652722229430260Y"] == {"code": "652722"}  # by its code, not by the prefecture that the file names
    # Rows without a valid code: by node, under the code as published.
    for row in given:
        if not valid_uscc(row["uscc"]):
            node = await imported.owner.fetchval(
                "select s.node_id from core.subject s join core.identifier i on i.subject_id = s.id"
                " where i.kind = 'USCC_INVALID' and i.value = $1",
                row["uscc"],
            )
            found_node = (await imported.by_node(node, view)).data["node"]
            assert (found_node["name"], found_node["uscc"]) == (row["name"], None)
            print(f"{view}: {row['uscc']} by node")


@pytest.mark.parametrize("view", VIEWS)
async def test_each_entry_of_the_list_is_found_as_the_view_has_it(imported: Imported, view: str) -> None:
    nodes = {
        row["name"]: row["node"]
        for row in await imported.owner.fetch(
            "select s.name, core.node_id('S', s.external_id) node from core.subject s where s.uscc is null"
        )
    }
    shown = 0
    seen: dict[str, int] = {}
    for row in rows(WORLD_BANK):
        if valid_uscc(row["uscc"]):
            (subject,) = await imported.by_code([row["uscc"]], view)
            seen["code"] = seen.get("code", 0) + 1
        else:
            subject = (await imported.by_node(nodes[row["name_zh"]], view)).data["node"]
            assert subject is not None
            assert subject["uscc"] is None
            seen["node"] = seen.get("node", 0) + 1
        assert subject is not None, row
        # "Ongoing" and the listing's year 2999 both say that it has no end
        own = None if row["ineligible_to"] in ("", "Ongoing", "2999-12-31") else row["ineligible_to"]
        expired = own is not None and dt.date.fromisoformat(own) < TODAY
        entries = [edge["node"] for edge in subject["records"]["edges"]]
        assert subject["records"]["totalCount"] == len(entries) == (0 if expired and view == "public" else 1)
        for entry in entries:
            shown += 1
            assert entry["kind"] == "LIST_ENTRY"
            assert entry["status"] == ("EXPIRED" if expired else "ACTIVE")
            assert (entry["catalogueItem"], entry["severity"]) == ("QG-06", None)
            assert entry["publishedUntil"] == own  # the row's own end or none: nothing is computed
            assert entry["decidedOn"] == row["ineligible_from"]
            assert entry["source"] == {"code": "WORLD_BANK", "kind": "LOCAL"}
            assert (entry["listName"], entry["grounds"].strip()) == ("世界银行禁入名单", row["grounds"].strip())
    print(f"{view}: {seen} of the list found, {shown} entries shown")
    assert sum(seen.values()) == 33


async def test_the_whole_list_by_view(imported: Imported) -> None:
    query = "query Q { records(filter: { kinds: [LIST_ENTRY] }, first: 100) { totalCount edges { node { status } } } }"
    active = sum(dt.date.fromisoformat(row["ineligible_to"]) >= TODAY for row in rows(WORLD_BANK))
    for view in VIEWS:
        found = (await imported.gateway.ask(query, None, view)).data["records"]
        assert found["totalCount"] == (active if view == "public" else 32)
        print(f"{view}: {found['totalCount']} entries, {active} active")


SEARCH = "s{n}: searchSubjects(query: $q{n}, first: 100) {{ edges {{ node {{ name }} }} }}"
WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def swapped(name: str, *pairs: tuple[str, str]) -> str:
    """The name with its long forms short, or else its short ones long."""
    for long, short in pairs:
        name = name.replace(long, short) if long in name else name.replace(short, long)
    return name


# Kind of variant: how a clerk would write the name, and whether it must come first.
VARIANTS: dict[str, tuple[Any, bool]] = {
    "as published": (lambda row: row["name"], True),
    "full width": (lambda row: row["name"].translate(WIDE), True),
    "spaces and a line break": (lambda row: "\u3000 ".join(row["name"]) + "\n", True),
    "brackets of the other width": (lambda row: row["name"].translate(str.maketrans("（）()", "()（）")), True),
    "the other form of limited company": (lambda row: swapped(row["name"], ("有限责任公司", "有限公司")), True),
    "the other form of region and prefecture": (
        lambda row: swapped(row["name"], ("新疆维吾尔自治区", "新疆"), ("博尔塔拉蒙古自治州", "博州")),
        True,
    ),
    "the other middle dots, characters nobody sees": (
        lambda row: "\u200b" + row["name"].replace("·", "•") + "\ufeff",
        True,
    ),
    "a part from the middle": (lambda row: row["name"][1:-1], False),
    "the code in lower case, with spaces": (lambda row: " ".join(row["uscc"].lower()), True),
}


@pytest.mark.parametrize("view", VIEWS)
async def test_each_registration_is_found_by_every_spelling(imported: Imported, view: str) -> None:
    given = rows(ORGANISATIONS)
    for kind, (write, first) in VARIANTS.items():
        asked = [(row["name"], write(row)) for row in given]
        found = 0
        for start in range(0, len(asked), 10):
            some = asked[start : start + 10]
            declared = ", ".join(f"$q{n}: String!" for n in range(len(some)))
            text = f"query S({declared}) {{ {' '.join(SEARCH.format(n=n) for n in range(len(some)))} }}"
            data = (await imported.gateway.ask(text, {f"q{n}": q for n, (_, q) in enumerate(some)}, view)).data
            for n, (name, query) in enumerate(some):
                names = [edge["node"]["name"] for edge in data[f"s{n}"]["edges"]]
                assert name in (names[:1] if first else names), (kind, query, names[:3])
                found += 1
        print(f"{view}: {found} of {len(given)} by: {kind}")
        assert found == 338

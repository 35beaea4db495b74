"""Promise: what a question costs in PostgreSQL, counted there: one statement for the body, one more where kept answers
of a source are read, and where an authority, a source or a region is met for the first time. The body's statement
writes the disclosure, too.

Counted in the server's log with log_statement on for the module's database alone: unlike pg_stat_statements it needs no
preloaded library (the embedded server loads none), and it has the order, the connection and every repetition.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e_stack import ROOT, Gateway, Reply, Stack, serving, superuser

from gateway.storage.embedded import RunningServer
from gateway.storage.imports import import_file

RECORDS = "totalCount edges { node { id title status underObjection source { code name } authority { uscc name } } }"
PROFILE = f"query P($uscc: Uscc!) {{ subject(uscc: $uscc) {{ uscc name records(first: 20) {{ {RECORDS} }} }} }}"
LIST = f"query L($usccs: [Uscc!]!) {{ subjects(usccs: $usccs) {{ uscc name records(first: 5) {{ {RECORDS} }} }} }}"
COURTS_TOO = "courts { answer { status } dishonestListings { caseNumber } enforcementCases { caseNumber } }"
WITH_COURTS = LIST.replace("uscc name records", f"uscc name {COURTS_TOO} records")
_LINE = re.compile(r"\[(\d+)\] LOG:  (?:execute [^:]+|statement): (.*)")

Ask = Callable[[], Awaitable[Reply]]


class Log:
    """The server's log of this database's statements."""

    def __init__(self, postgres: RunningServer, stack: Stack) -> None:
        self._postgres = postgres
        self._stack = stack
        self.last = ""  # the text of the last work's statements

    async def statements(self, work: Ask) -> tuple[Reply, list[tuple[str, str]]]:
        """What `work()` made the gateway's roles run: role and first line of each, in order."""
        async with superuser(self._postgres, self._stack.database) as connection:
            begin, end = secrets.token_hex(8), secrets.token_hex(8)
            await connection.execute(f"select '{begin}'")
            reply = await work()
            await connection.execute(f"select '{end}'")
            roles = {
                row["pid"]: row["usename"].removeprefix(f"{self._stack.database.prefix}_")
                for row in await connection.fetch("select pid, usename from pg_stat_activity where usename is not null")
            }
            own = await connection.fetchval("select pg_backend_pid()")
        text = await self._until(end)
        between = self.last = text[text.rindex(begin) : text.rindex(end)]
        found = [(int(pid), statement) for pid, statement in _LINE.findall(between)]
        # Run by the clock, whoever asks: registrations read anew, heartbeats, places of changes. Not this question's.
        others = ("json_build_object", "credit_beat", "number_changes", "change_end", "sweep_changes")
        mine = [(pid, text) for pid, text in found if pid != own and not any(part in text for part in others)]
        return reply, [(roles[pid], text) for pid, text in mine]

    async def _until(self, marker: str) -> str:
        for _ in range(1_500):
            files = sorted((self._postgres.pgdata / "log").iterdir())
            text = "".join(file.read_text(encoding="utf-8") for file in files)
            if marker in text:
                return text
            await asyncio.sleep(0.02)
        raise AssertionError("the marker is not in the log")


@asynccontextmanager
async def another(stack: Stack, **changes: Any) -> AsyncIterator[Gateway]:
    """A gateway whose connections and kept answers are its own."""
    async with serving(stack.settings.model_copy(update=changes), stack.database) as base:
        made = Gateway(base, stack.session)
        for view in ("restricted", "internal", "scoped"):
            made.tokens[view] = await made.fetch_token(stack.clients[view])
        yield made


@pytest.fixture(scope="module")
async def log(postgres: RunningServer, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Statements are logged from here on, for whoever connects."""
    await twenty_records(stack, tmp_path_factory.mktemp("twenty"))
    async with superuser(postgres, stack.database) as connection:
        await connection.execute(f"alter database \"{stack.database.name}\" set log_statement = 'all'")
        # In the log a statement is cut into lines; only the line that begins it counts.
    return Log(postgres, stack)


async def twenty_records(stack: Stack, folder: Path) -> None:
    """Twenty penalties more of one enterprise, each with its authority."""
    with (ROOT / "data" / "synthetic" / "penalties.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        example = next(row for row in reader if row["CF_XDR_SHXYM"].startswith("91") and row["CF_CFJGDM"])
    path = folder / "twenty.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(example), lineterminator="\n")
        writer.writeheader()
        named = next(row for row in stack.organisations if row["uscc"] == subject(stack))
        who = {"CF_XDR_SHXYM": named["uscc"], "CF_XDR_MC": named["name"], "是否公示": "是"}
        for number in range(20):
            writer.writerow({**example, **who, "CF_WSH": f"样例统计〔2026〕{number}号"})
    report = await import_file(
        stack.database, path, "penalties", mapping=None, rejects=None, entered_by="e2e", progress=None
    )
    assert (report.new, report.rejected) == (20, 0)


def subject(stack: Stack) -> str:
    return stack.enterprises()[3]


def roles(found: list[tuple[str, str]]) -> Counter[str]:
    return Counter(role for role, _ in found)


def show(name: str, found: list[tuple[str, str]]) -> Iterator[str]:
    yield f"{name}: {len(found)} statements"
    yield from (f"  {role}: {text[:90]}" for role, text in found)


async def test_one_statement_for_a_profile_and_one_for_a_list(stack: Stack, log: Log) -> None:
    usccs = stack.enterprises()[:100]
    async with another(stack) as gateway:
        for name, query, variables in (
            ("profile, 20 records", PROFILE, {"uscc": subject(stack)}),
            ("list, 100 subjects", LIST, {"usccs": usccs}),
        ):

            async def ask(query: str = query, variables: dict[str, Any] = variables) -> Reply:
                return await gateway.ask(query, dict(variables), "restricted")

            for _ in range(2):
                await ask()  # warm: planned, prepared, connected, the token's verdict kept
            reply, found = await log.statements(ask)
            print(*show(name, found), sep="\n")
            assert roles(found) == {"restricted": 1}
            assert "v_restricted.disclose" in log.last
            (row,) = await stack.owner.fetch("select * from ledger.disclosure order by at desc limit 1")
            assert json.loads(row["variables"]) == variables
            assert len(row["subject_ids"]) == len(variables.get("usccs", [1]))
            data = reply.data
            if name.startswith("profile"):
                edges = data["subject"]["records"]["edges"]
                assert len(edges) == 20
                assert all(e["node"]["source"]["code"] and e["node"]["authority"]["name"] for e in edges)
                assert all(e["node"]["underObjection"] in (True, False) for e in edges)
            else:
                assert [s["uscc"] for s in data["subjects"]] == usccs
                assert sum(len(s["records"]["edges"]) for s in data["subjects"]) > 100


async def test_one_more_for_the_authorities_that_are_met_for_the_first_time(stack: Stack, log: Log) -> None:
    async with another(stack) as gateway:

        async def ask() -> Reply:
            return await gateway.ask(PROFILE, {"uscc": subject(stack)}, "restricted")

        reply, found = await log.statements(ask)
        print(*show("profile, nobody known", found), sep="\n")
        texts = [text for role, text in found if role == "restricted"]
        assert [("disclose" in text, "v_restricted.authority" in log.last) for text in texts] == [
            (True, True),
            (False, True),
        ]
        assert len({edge["node"]["authority"]["name"] for edge in reply.data["subject"]["records"]["edges"]}) >= 1
        again, found = await log.statements(ask)
        assert again.data == reply.data
        assert roles(found) == {"restricted": 1}


async def test_one_more_for_the_kept_answers_of_a_source(stack: Stack, log: Log) -> None:
    usccs = stack.enterprises()[:100]
    first = (await stack.ask(WITH_COURTS, {"usccs": usccs}, "restricted")).data["subjects"]
    assert {s["courts"]["answer"]["status"] for s in first} == {"ANSWERED"}
    for _ in range(600):  # keeping is write-behind
        kept = await stack.owner.fetchval("select count(distinct (uscc, part)) from core.source_answer")
        if kept == 200:
            break
        await asyncio.sleep(0.05)
    assert kept == 200
    await stack.courts.heal()
    async with another(stack) as gateway:
        await gateway.ask(WITH_COURTS, {"usccs": usccs[:1]}, "restricted")  # warm, but for the answers
        await gateway.ask(LIST, {"usccs": usccs}, "restricted")  # every authority is known

        async def ask() -> Reply:
            return await gateway.ask(WITH_COURTS, {"usccs": usccs[1:]}, "restricted")

        reply, found = await log.statements(ask)
        print(*show("list with courts, kept in the database", found), sep="\n")
        assert {s["courts"]["answer"]["status"] for s in reply.data["subjects"]} == {"CACHED"}
        assert roles(found) == {"service": 1, "restricted": 1}
        _, found = await log.statements(ask)
        print(*show("the same again, kept in the process", found), sep="\n")
        assert roles(found) == {"restricted": 1}
    assert await stack.courts.calls() == []


@pytest.mark.parametrize(("client", "role"), [("scoped", "restricted_scoped"), ("internal", "internal")])
async def test_a_scope_comes_in_the_statement(stack: Stack, log: Log, client: str, role: str) -> None:
    async with another(stack) as gateway:

        async def ask() -> Reply:
            return await gateway.ask(PROFILE, {"uscc": subject(stack)}, client)

        for _ in range(2):
            await ask()
        reply, found = await log.statements(ask)
        print(*show(f"profile, {client}", found), sep="\n")
        assert len(reply.data["subject"]["records"]["edges"]) == 20
        assert roles(found)[role] == 1
        assert roles(found).keys() <= {role, "service"}  # who reads by the clock, whoever asks
        assert "set_config('gateway.scope'" in log.last


async def test_the_public_view_writes_nothing(stack: Stack, log: Log) -> None:
    async with another(stack, public_cache_bytes=0) as gateway:

        async def ask() -> Reply:
            return await gateway.ask(PROFILE, {"uscc": subject(stack)})

        for _ in range(2):
            await ask()
        _, found = await log.statements(ask)
        print(*show("profile, public", found), sep="\n")
        assert roles(found) == {"public": 1}
        assert "disclose" not in log.last

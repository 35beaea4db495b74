"""What the platform changes comes on record by itself, keeps its place and its id in the platform's section, and is
counted once; a repair there takes it from everybody. The command reads the feed and tells of it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from e2e_stack import Account, Gateway, make_client, serving, valid
from typer.testing import CliRunner

from gateway.cli import app as command
from gateway.cli import changes
from gateway.settings import Settings
from gateway.source_settings import PlatformSource
from gateway.storage.database import Database
from sandbox.platform_data import given_rows
from sandbox.region_platform import DEV_PLATFORM_APP_KEY, DEV_PLATFORM_SECRET
from sandbox.server import Running, start_region_platform

ORGAN = valid("11652700YL0000001")
FIRM = valid("91652799YL0077001")
QUESTION = """query Q($uscc: Uscc!) { subject(uscc: $uscc) {
  onRecord name recordCounts { kind count }
  records(first: 10) { totalCount edges { node { id title status source { code } } } }
  regionPlatform { answer { status } records { id title status } }
} }"""


def row(number: int) -> dict[str, Any]:
    """A penalty as the platform has it."""
    return {
        "table_name": "xzcf",
        "tyshxydm": FIRM,
        "dataSource": "示例地州",
        "updateTime": "2026-11-01 10:00:00",
        "entity": {
            "CF_XDR_MC": "示例外地有限公司",
            "CF_XDR_LB": "法人及非法人组织",
            "CF_XDR_SHXYM": FIRM,
            "CF_WSH": f"示例罚〔2026〕{number}号",
            "CF_WFXW": "示例违法行为",
            "CF_SY": "示例事实",
            "CF_YJ": "示例依据",
            "CF_CFLB": "罚款",
            "CF_NR": "罚款五万元",
            "CF_NR_FK": "5.000000",
            "CF_JDRQ": "2026-10-20",
            "CF_CFJG": "示例外地市场监督管理局",
            "CF_CFJGDM": ORGAN,
            "CF_SJLY": "示例地州",
            "CF_SJLYDM": ORGAN,
        },
    }


@dataclass
class Stage:
    """A gateway that follows a platform."""

    gateway: Gateway
    platform: Running[Any]
    department: Account

    async def ask(self) -> dict[str, Any]:
        token = await self.gateway.fetch_token(self.department)
        data = (await self.gateway.ask(QUESTION, {"uscc": FIRM}, token=token)).data
        subject: dict[str, Any] = data["subject"]
        return subject

    async def until(self, wanted: Any) -> dict[str, Any]:
        """The answer, as soon as it is as wanted."""
        async with asyncio.timeout(60):
            while not wanted(subject := await self.ask()):  # noqa: ASYNC110 - another process commits
                await asyncio.sleep(0.1)
        return subject

    async def changed(self, change: dict[str, Any]) -> None:
        async with self.gateway.session.post(f"{self.platform.url}/_changes", json=change) as reply:
            assert reply.status == 201, await reply.text()


def settings_of(url: str, folder: Path) -> Settings:
    source = PlatformSource(
        base_url=url,
        app_key=DEV_PLATFORM_APP_KEY,
        secret=DEV_PLATFORM_SECRET,  # type: ignore[arg-type]
        changes_seconds=0.2,
        requests_per_second=0,
        fresh_seconds=0,
        negative_fresh_seconds=0,
    )
    return Settings(data_dir=folder, region_platform=source)


@pytest.fixture
async def platform() -> AsyncIterator[Running[Any]]:
    async with await start_region_platform(given_rows([row(1)])) as running:
        yield running


@pytest.fixture
def known(database: Database, platform: Running[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's settings and database."""

    @contextlib.contextmanager
    def opened(_: object) -> Iterator[Database]:
        yield database

    monkeypatch.setattr(changes, "database_there", opened)
    monkeypatch.setattr(changes, "load", lambda: settings_of(platform.url, tmp_path))


async def run(*arguments: str) -> Any:
    """The command in a thread: it has an event loop of its own, and the platform answers in this one."""
    return await asyncio.to_thread(CliRunner().invoke, command, ["changes", *arguments])


async def test_the_command_reads_on_and_tells(known: None, platform: Running[Any]) -> None:
    found = await run("read")
    assert (found.exit_code, found.stdout) == (
        0,
        "1 page: 1 new, 0 changed, 0 the same, 0 our own, 0 withdrawn, 0 of what is not here, 0 put aside\n",
    )
    told = (await run("status")).stdout
    assert told.startswith("REGION_PLATFORM: 1 row known, 0 put aside, last read ")
    told = json.loads((await run("status", "--json")).stdout)
    (source,) = told["sources"]
    read_at = dt.datetime.fromisoformat(source.pop("moved_at"))
    assert source == {"source_code": "REGION_PLATFORM", "rows": 1, "aside": 0, "rereading": False}
    assert read_at.utcoffset() == dt.timedelta(hours=8)
    assert abs(dt.datetime.now(dt.UTC) - read_at) < dt.timedelta(minutes=5)
    assert told["aside"] == []
    assert (await run("reread")).exit_code == 0
    assert "being read from its beginning again" in (await run("status")).stdout
    assert (await run("read")).stdout.startswith("1 page: 0 new, 0 changed, 1 the same")
    await platform.close()
    failed = await run("read")
    assert (failed.exit_code, failed.stdout.splitlines()[0][:8]) == (1, "0 pages:")
    assert "UNREACHABLE" in failed.stderr


async def test_what_was_put_aside_is_told(known: None, database: Database) -> None:
    owner = await asyncpg.connect(database.migrate_dsn)
    try:
        await owner.execute(
            "insert into core.feed_reject (source_code, cursor, place, natural_key, op, reason, rejected_at)"
            " values ('REGION_PLATFORM', '', 1, 'key', 'UPSERT', 'no code', '2026-03-01T20:00:00Z')"
        )
        told = json.loads((await run("status", "--json")).stdout)
        at = "2026-03-02T04:00:00+08:00"
        assert told["aside"] == [{"at": at, "op": "UPSERT", "natural_key": "key", "reason": "no code"}]
        assert "  2026-03-02 04:00  UPSERT  key  no code\n" in (await run("status")).stdout
    finally:
        await owner.execute("delete from core.feed_reject where natural_key = 'key'")
        await owner.close()


@pytest.fixture
async def stage(database: Database, platform: Running[Any], tmp_path: Path) -> AsyncIterator[Stage]:
    department = await make_client(database, "department", "view:restricted", "GRANT", organisation=ORGAN)
    async with serving(settings_of(platform.url, tmp_path), database) as base, aiohttp.ClientSession() as session:
        yield Stage(Gateway(base, session), platform, department)


async def test_a_change_is_one_record_in_two_places(stage: Stage) -> None:
    subject = await stage.until(lambda found: found["records"]["totalCount"] == 1)
    stored = subject["records"]["edges"][0]["node"]
    (live,) = subject["regionPlatform"]["records"]
    assert subject["regionPlatform"]["answer"]["status"] == "ANSWERED"
    assert (live["id"], live["title"]) == (stored["id"], stored["title"])
    assert stored["source"] == {"code": "REGION_PLATFORM"}
    assert subject["recordCounts"] == [{"kind": "PENALTY", "count": 1}]
    assert (subject["onRecord"], subject["name"]) == (True, "示例外地有限公司")

    await stage.changed({"op": "upsert", **row(2)})
    subject = await stage.until(lambda found: found["records"]["totalCount"] == 2)
    ids = {edge["node"]["id"] for edge in subject["records"]["edges"]}
    assert {record["id"] for record in subject["regionPlatform"]["records"]} == ids

    withdrawal = {"table_name": "xzcf", "wsh": "示例罚〔2026〕1号", "tyshxydm": FIRM}
    await stage.changed({"op": "withdraw", **withdrawal, "reason": "repaired", "effectiveOn": "2026-11-02"})
    subject = await stage.until(lambda found: found["records"]["totalCount"] == 1)
    assert {edge["node"]["id"] for edge in subject["records"]["edges"]} == ids - {stored["id"]}
    assert stored["id"] not in {record["id"] for record in subject["regionPlatform"]["records"]}
    async with stage.gateway.session.get(f"{stage.platform.url}/_calls") as reply:
        sizes = [call["size"] for call in await reply.json() if call["service"] == "changes"]
    assert sizes  # the feed was asked, not only the subject

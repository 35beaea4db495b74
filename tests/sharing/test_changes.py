"""Promises: what the feed tells becomes records and their versions, by the import's rules and once; every withdrawal
has its effect; our own reports are recognised; read again it changes nothing; what can't be applied is put aside."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from gateway.errors import StorageError
from gateway.sharing.changes import ChangesWorker, Followed
from gateway.storage.database import Database
from gateway.storage.feed import Position, open_feed
from gateway.storage.feed_rows import FeedChange
from gateway.storage.identifiers import live_record_id, organisation_uuid
from gateway.storage.imports import import_file
from tests.connectors.platform_upstream import code, row
from tests.sharing.changes_support import NOW, SOURCE, FeedPlatform, at, clear, feeding, records, state, worker

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
USCC, OTHER, ORGAN = code("91", 1), code("91", 2), code("11", 900001)
KEY = f"xzcf|{USCC}|样例〔2026〕1号"


@pytest.fixture
async def platform(owner: Owner) -> AsyncIterator[FeedPlatform]:
    await clear(owner)
    async with feeding() as server:
        yield server


async def follow(platform: FeedPlatform, database: Database, **options: Any) -> Followed:
    followed = await worker(platform, database, **options).once()
    assert not followed.busy
    return followed


def counts(followed: Followed) -> dict[str, int]:
    applied = followed.applied
    names = ("new", "changed", "same", "linked", "withdrawn", "unknown", "rejected")
    return {name: getattr(applied, name) for name in names if getattr(applied, name)}


async def test_an_upsert_becomes_a_record_by_the_rules_of_the_import(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    assert counts(await follow(platform, database)) == {"new": 1}
    record = await owner.fetchrow("select * from core.record")
    assert record is not None
    subject = await owner.fetchrow("select * from core.subject where id = $1", record["subject_id"])
    authority = await owner.fetchrow("select * from core.subject where id = $1", record["authority_id"])
    assert subject is not None
    assert authority is not None
    assert (subject["external_id"], subject["uscc"], subject["name"]) == (
        organisation_uuid(USCC),
        USCC,
        "样例一有限公司",
    )
    assert (authority["uscc"], authority["name"]) == (ORGAN, "示例博州财政局")
    assert (record["source_code"], record["natural_key"]) == (SOURCE, KEY)
    assert record["external_id"] == live_record_id(SOURCE, KEY)
    # 17,500 yuan with confiscation: general, published at most a year from the decision; its own end is the earlier.
    assert (record["kind"], record["severity"], record["catalogue_item"]) == ("PENALTY", "GENERAL", "QG-04")
    assert (str(record["amount"]), record["decided_on"]) == ("17500.00", dt.date(2026, 3, 15))
    assert (record["published_from"], record["published_until"]) == (dt.date(2026, 6, 1), dt.date(2027, 3, 15))
    version = await owner.fetchrow("select * from core.record_version")
    assert version is not None
    assert (version["version"], version["status"], version["entered_by"]) == (1, "ACTIVE", SOURCE)
    assert version["received_at"] == NOW
    assert "652799196009290017" not in version["original"]


async def test_all_five_tables(platform: FeedPlatform, database: Database, owner: Owner) -> None:
    licence = {
        "XK_XDR_MC": "样例一有限公司", "XK_XDR_SHXYM": USCC, "XK_WSH": "许1", "XK_XKLB": "普通", "XK_NR": "经营",
        "XK_JDRQ": "2026-01-01", "XK_YXQZI": "长期", "XK_XKJG": "示例局",
    }  # fmt: skip
    honour = {"title": "示例先进", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": "2027-01-01"}
    listed = {
        "list_name": "示例名单",
        "listed_on": "2026-01-01",
        "basis": "法",
        "authority": "示例局",
        "removed_on": None,
    }
    abnormal = {"reason": "示例原因", "listed_on": "2026-01-01", "authority": "示例局", "removed_on": None}
    # A row without a name comes before the one that has it.
    platform.upsert(row("honour", USCC, honour))
    platform.upsert(row("xzxk", USCC, licence))
    platform.upsert(row("serious_dishonesty", USCC, listed))
    platform.upsert(row("abnormal", USCC, abnormal))
    platform.upsert(at("10:00:00", USCC))
    assert counts(await follow(platform, database)) == {"new": 5}
    rows = await owner.fetch(
        "select kind, title, catalogue_item, detail::text as detail from core.record order by kind, title"
    )
    assert [(one["kind"], one["title"], one["catalogue_item"]) for one in rows] == [
        ("HONOUR", "示例先进", "QG-09"), ("LICENCE", "经营", "QG-03"), ("LIST_ENTRY", "示例名单", "QG-06"),
        ("LIST_ENTRY", "经营异常名录", "QG-06"), ("PENALTY", "无证经营", "QG-04"),
    ]  # fmt: skip
    assert '"valid_until": "2027-01-01"' in rows[0]["detail"]
    assert '"grounds": "示例原因"' in rows[3]["detail"]


async def test_an_upsert_replaces_and_the_same_again_changes_nothing(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(at("11:00:00", USCC, CF_NR_FK=3, CF_CFJG="示例博州发改委", CF_CFJGDM=code("11", 900003)))
    platform.upsert(at("12:00:00", USCC, CF_NR_FK=3, CF_CFJG="示例博州发改委", CF_CFJGDM=code("11", 900003)))
    assert counts(await follow(platform, database)) == {"new": 1, "same": 2, "changed": 1}
    assert await records(owner) == {KEY: ("CORRECTED", 2)}
    found = await owner.fetchrow(
        "select r.amount, a.name from core.record r join core.subject a on a.id = r.authority_id"
    )
    assert found is not None
    assert (str(found["amount"]), found["name"]) == ("32500.00", "示例博州发改委")
    assert await owner.fetchval("select array_agg(status order by version) from core.record_version") == [
        "ACTIVE",
        "CORRECTED",
    ]


@pytest.mark.parametrize(
    ("reason", "status", "until", "notice"),
    [
        ("repaired", "REPAIRED", "2027-03-15", None),
        ("revoked", "REVOKED", "2027-03-15", "原决定已撤销"),
        ("corrected", "REVOKED", "2027-03-15", "信息有误，已更正"),
        ("expired", "ACTIVE", "2026-05-19", None),
    ],
)
async def test_a_withdrawal_is_a_version(
    platform: FeedPlatform, database: Database, owner: Owner, reason: str, status: str, until: str, notice: str | None
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await follow(platform, database)
    platform.withdraw(at("11:00:00", USCC), reason)
    platform.withdraw(at("11:00:00", USCC), reason)
    assert counts(await follow(platform, database)) == {"withdrawn": 1, "same": 1}
    record = await owner.fetchrow("select * from core.record")
    version = await owner.fetchrow("select * from core.record_version where version = 2")
    assert record is not None
    assert version is not None
    assert (record["status"], str(record["published_until"]), record["version"]) == (status, until, 2)
    assert (version["status"], str(version["published_until"])) == (status, until)
    assert f'"status": "{status}"' in version["content"]
    assert f'"published_until": "{until}"' in version["content"]
    assert version["reason"]
    notices = await owner.fetch("select withdrawn_on, reason from core.withdrawal")
    assert [tuple(one) for one in notices] == ([(dt.date(2026, 5, 20), notice)] if notice else [])


async def test_a_revocation_of_what_was_not_public_has_no_notice(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC, CF_CFLB="警告", CF_NR_FK=None, CF_NR_WFFF=None))  # minor: not published
    platform.withdraw(at("11:00:00", USCC), "revoked")
    assert counts(await follow(platform, database)) == {"new": 1, "withdrawn": 1}
    assert await owner.fetchval("select count(*) from core.withdrawal") == 0


async def test_a_row_is_in_force_again_by_something_new_and_not_by_an_echo(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("11:00:00", USCC), "repaired")
    platform.upsert(at("10:00:00", USCC))
    assert counts(await follow(platform, database)) == {"new": 1, "withdrawn": 1, "same": 1}
    assert await records(owner) == {KEY: ("REPAIRED", 2)}
    platform.upsert(at("12:00:00", USCC))  # another time, another origin, and nothing else
    platform.upsert(at("13:00:00", USCC) | {"dataSource": "另一中心"})
    platform.upsert(at("14:00:00", USCC) | {"updateTime": None})
    assert counts(await follow(platform, database)) == {"same": 3}
    assert await records(owner) == {KEY: ("REPAIRED", 2)}
    assert await ended(owner) == {KEY: "13:00"}  # nor is it shown of an answer that has the echo's time
    assert await owner.fetchval("select said_at from core.source_row") == moment("13:00")
    platform.upsert(at("12:30:00", USCC, CF_NR_FK=7))
    assert counts(await follow(platform, database)) == {"changed": 1}
    assert await records(owner) == {KEY: ("CORRECTED", 3)}
    assert await ended(owner) == {}


@pytest.mark.parametrize("reason", ["repaired", "revoked", "corrected"])
async def test_an_echo_is_told_without_what_was_remembered_of_the_change(
    platform: FeedPlatform, database: Database, owner: Owner, reason: str
) -> None:
    """As where the change was applied before its content was remembered."""
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("11:00:00", USCC), reason)
    await follow(platform, database)
    await owner.execute("update core.feed_change set content = null")
    await owner.execute("delete from core.source_ended")
    before = await records(owner)
    platform.upsert(at("12:00:00", USCC))
    assert counts(await follow(platform, database)) == {"same": 1}
    assert await records(owner) == before
    assert await ended(owner) == {KEY: "12:00"}


async def test_an_earlier_content_than_the_one_withdrawn_is_an_echo_too(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(at("11:00:00", USCC, CF_NR_FK=2))
    platform.withdraw(at("12:00:00", USCC, CF_NR_FK=3), "repaired")  # what it last said was never told
    await follow(platform, database)
    for fine in (1.5, 2, 3):
        platform.upsert(at("13:00:00", USCC, CF_NR_FK=fine))
    assert counts(await follow(platform, database)) == {"same": 3}
    assert await records(owner) == {KEY: ("REPAIRED", 3)}


async def ended(owner: Owner) -> dict[str, str]:
    """Rows that are noted as ended, and the time of day on 1 April; of another day, the whole moment."""
    rows = await owner.fetch("select natural_key, ended_at from core.source_ended")
    local = {row["natural_key"]: row["ended_at"].astimezone(dt.timezone(dt.timedelta(hours=8))) for row in rows}
    return {key: f"{at:%H:%M}" if at.date() == dt.date(2026, 4, 1) else f"{at:%F %H:%M}" for key, at in local.items()}


def moment(time: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2026-04-01T{time}:00+08:00")


async def test_a_withdrawal_of_what_is_not_here_makes_no_record_and_is_noted(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.withdraw(at("10:00:00", USCC), "revoked")
    platform.withdraw(at("10:00:00", USCC, "2") | {"updateTime": None}, "corrected")
    platform.withdraw(at("10:00:00", USCC, "3"), "expired")  # its term says it
    assert counts(await follow(platform, database)) == {"unknown": 3}
    assert await records(owner) == {}
    assert await ended(owner) == {KEY: "10:00", f"xzcf|{USCC}|2": "2026-06-01 12:00"}
    platform.upsert(at("11:00:00", USCC))  # an echo makes no record either
    assert counts(await follow(platform, database)) == {"same": 1}
    assert (await records(owner), (await ended(owner))[KEY]) == ({}, "11:00")
    platform.upsert(at("09:00:00", USCC, CF_NR_FK=7))
    assert counts(await follow(platform, database)) == {"new": 1}
    assert await records(owner) == {KEY: ("ACTIVE", 1)}
    assert KEY not in await ended(owner)


async def test_what_was_put_aside_and_then_ended_is_noted_and_never_comes_back(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    listed = {"list_name": "示例名单", "listed_on": "2026-01-01", "basis": "法", "authority": "局", "removed_on": None}
    key = f"serious_dishonesty|{USCC}|示例名单|2026-01-01"
    entry = row("serious_dishonesty", USCC, listed)
    platform.upsert(entry)  # its subject has no name here
    platform.upsert(row("serious_dishonesty", USCC, {**listed, "basis": "旧法"}))
    platform.withdraw(entry | {"updateTime": "2026-04-01 11:00:00"}, "repaired")
    assert counts(await follow(platform, database)) == {"rejected": 2, "unknown": 1}
    assert await ended(owner) == {key: "11:00"}
    platform.upsert(at("12:00:00", USCC))  # now it has one
    await follow(platform, database)
    for _ in range(2):
        await worker(platform, database).reread()
        await follow(platform, database)
        assert await records(owner) == {KEY: ("ACTIVE", 1)}
        assert await ended(owner) == {key: "11:00"}
    platform.upsert(row("serious_dishonesty", USCC, {**listed, "basis": "新法"}))
    assert counts(await follow(platform, database)) == {"new": 1}
    assert await ended(owner) == {}


async def test_a_withdrawal_moves_what_the_source_last_said(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("12:00:00", USCC, CF_NR="更正"), "repaired")
    await follow(platform, database)
    assert await owner.fetchval("select said_at from core.source_row") == moment("12:00")
    assert await ended(owner) == {KEY: "12:00"}
    platform.withdraw(at("11:00:00", USCC), "repaired")
    await follow(platform, database)
    assert await owner.fetchval("select said_at from core.source_row") == moment("12:00")
    assert await ended(owner) == {KEY: "12:00"}


async def test_the_copy_of_our_report_that_was_corrected_is_noted_until_it_is_said_anew(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    await own(database, tmp_path)
    before = await records(owner)
    platform.withdraw(OWN[0], "corrected")
    await follow(platform, database)
    assert (await records(owner), await ended(owner)) == (before, {KEY: "10:00"})
    platform.upsert(at("11:00:00", USCC))
    await follow(platform, database)
    assert await ended(owner) == {KEY: "11:00"}
    platform.upsert(at("12:00:00", USCC, CF_NR_FK=9))
    await follow(platform, database)
    assert (await records(owner), await ended(owner)) == (before, {})


# Our own reports ------------------------------------------------------------------------------------------------------


async def own(database: Database, folder: Path) -> None:
    """Rows of ours as an import brings them: a penalty with other brackets, an honour, a list entry."""
    files = {
        "penalties": "CF_XDR_MC,CF_XDR_SHXYM,CF_WSH,CF_CFLB,CF_NR_FK,CF_JDRQ,CF_CFJG,CF_CFJGDM\n"
        f"样例一有限公司,{USCC},样例（2026）1号,罚款,1.5,2026-03-15,示例博州财政局,{ORGAN}\n"
        f"样例一有限公司,{USCC},[2026]样例字第9号,罚款,1.5,2026-03-15,示例博州财政局,{ORGAN}\n",  # kept with （）
        "honours": "名称,统一社会信用代码,荣誉名称,表彰日期,表彰机关\n"
        f"样例一有限公司,{USCC},示例先进,2026-01-01,示例局\n",
        "lists": "名称,统一社会信用代码,名单名称,列入日期,列入机关\n"
        f"样例一有限公司,{USCC},示例名单,2026-01-01,示例局\n",
    }
    for kind, text in files.items():
        path = folder / f"{kind}.csv"
        path.write_text(text, encoding="utf-8")
        report = await import_file(
            database, path, kind, mapping=None, rejects=None, entered_by="示例", progress=None, received_at=NOW
        )
        assert (report.new, report.rejected) == (2 if kind == "penalties" else 1, 0), report.first_rejects


OWN = [
    at("10:00:00", USCC),
    row("honour", USCC, {"title": "示例先进", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": None}),
    row(
        "serious_dishonesty",
        USCC,
        {"list_name": "示例名单", "listed_on": "2026-01-01", "basis": "法", "authority": "局"},
    ),
]


async def test_our_own_reports_are_recognised_and_never_doubled(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    await own(database, tmp_path)
    before = await records(owner)
    for one in OWN:
        platform.upsert(one)
    platform.upsert(at("10:00:00", OTHER, CF_XDR_MC="样例二有限公司"))  # the same number, another subject
    platform.upsert(at("10:00:00", USCC, "样例[2026]2号"))
    platform.upsert(at("10:00:00", USCC, "〔2026〕样例字第9号"))
    assert counts(await follow(platform, database)) == {"linked": 4, "new": 2}
    platform.upsert(at("11:00:00", USCC, CF_NR_FK=9))  # what it says of ours is ours to say
    assert counts(await follow(platform, database)) == {"same": 1}
    after = await records(owner)
    assert {key: after[key] for key in before} == before
    links = await owner.fetch(
        "select c.natural_key, r.source_code, c.linked from core.source_row c join core.record r on r.id = c.record_id"
    )
    assert sum(link["linked"] and link["source_code"] == "LOCAL" for link in links) == 4
    assert sum(not link["linked"] and link["source_code"] == SOURCE for link in links) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"CF_CFJG": "示例博州税务局", "CF_CFJGDM": code("11", 900009)},
        {"CF_CFJGDM": code("11", 900009)},
        {"CF_CFJG": "示例博州税务局", "CF_CFJGDM": None},
        {"CF_JDRQ": "2026-03-16"},
    ],
)
async def test_another_authoritys_act_or_one_of_another_day_is_none_of_ours(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path, changes: dict[str, Any]
) -> None:
    await own(database, tmp_path)
    before = await records(owner)
    platform.upsert(at("10:00:00", USCC, **changes))
    assert counts(await follow(platform, database)) == {"new": 1}
    assert await records(owner) == before | {KEY: ("ACTIVE", 1)}
    platform.withdraw(at("11:00:00", USCC, **changes), "repaired")
    assert counts(await follow(platform, database)) == {"withdrawn": 1}
    assert await records(owner) == before | {KEY: ("REPAIRED", 2)}


async def test_an_authority_without_its_code_is_told_by_its_name(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    await own(database, tmp_path)
    platform.upsert(at("10:00:00", USCC, CF_CFJG="示例博尔塔拉蒙古自治州 财政局", CF_CFJGDM=None))
    assert counts(await follow(platform, database)) == {"linked": 1}


async def test_a_withdrawal_that_names_no_day_or_authority_ends_no_record_of_ours(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path
) -> None:
    await own(database, tmp_path)
    before = await records(owner)
    platform.withdraw(at("10:00:00", USCC, CF_JDRQ="何日"), "repaired")
    platform.withdraw(at("11:00:00", USCC, CF_CFJG=None, CF_CFJGDM=None), "repaired")
    assert counts(await follow(platform, database)) == {"unknown": 2}
    assert await records(owner) == before


async def test_a_withdrawal_with_an_unreadable_column_ends_the_record(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    platform.withdraw(at("11:00:00", USCC, CF_NR_FK="约壹万伍仟元", CF_JDRQ="何日", CF_XDR_MC=None), "repaired")
    assert counts(await follow(platform, database)) == {"new": 1, "withdrawn": 1}
    assert await records(owner) == {KEY: ("REPAIRED", 2)}


@pytest.mark.parametrize(
    ("reason", "status"),
    [("repaired", "REPAIRED"), ("revoked", "REVOKED"), ("corrected", "ACTIVE"), ("expired", "ACTIVE")],
)
async def test_a_withdrawal_of_our_own_report_ends_the_record_where_it_ends_the_act(
    platform: FeedPlatform, database: Database, owner: Owner, tmp_path: Path, reason: str, status: str
) -> None:
    await own(database, tmp_path)
    platform.withdraw(OWN[0], reason)  # without having been told of it before
    await follow(platform, database)
    found = await owner.fetchrow(
        "select status, published_until from core.record where kind = 'PENALTY' and document_number like '样例%'"
    )
    assert found is not None
    assert (found["status"], found["published_until"]) == (status, dt.date(2027, 3, 15))
    assert await owner.fetchval("select count(*) from core.withdrawal") == (reason == "revoked")


# From the beginning again ---------------------------------------------------------------------------------------------


def history(platform: FeedPlatform) -> None:
    """A log in which rows are replaced, withdrawn and said anew, some of them within the same second."""
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(at("10:00:00", USCC, CF_NR_FK=2))
    platform.upsert(at("10:00:00", USCC))
    platform.upsert(at("10:00:00", OTHER, CF_XDR_MC="样例二有限公司"))
    platform.withdraw(at("11:00:00", OTHER, CF_XDR_MC="样例二有限公司"), "repaired")
    platform.upsert(at("10:00:00", USCC, "样例[2026]3号", CF_CFLB="不知何种"))
    platform.upsert(at("12:00:00", USCC, "样例[2026]4号"))
    platform.withdraw(at("12:00:00", USCC, "样例[2026]4号"), "corrected")
    platform.upsert(at("13:00:00", USCC, "样例[2026]4号", CF_NR_FK=7))


async def test_a_refused_cursor_means_a_full_read_which_changes_nothing(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    history(platform)
    platform.most = 2
    await follow(platform, database)
    before = [line for line in await state(owner) if "'1-9'" not in line]
    platform.epoch, platform.most = 2, 3
    followed = await follow(platform, database)
    assert counts(followed) == {"same": 8, "rejected": 1}
    assert followed.failure is None
    assert [line for line in await state(owner) if "'2-9'" not in line] == before
    assert [tuple(one) for one in await owner.fetch("select cursor, rereading from core.feed_cursor")] == [
        ("2-9", False)
    ]
    platform.upsert(at("09:00:00", USCC, CF_NR_FK=5))  # in order it counts, whatever time it says
    assert counts(await follow(platform, database)) == {"changed": 1}


async def test_a_full_read_takes_what_is_new_and_what_was_put_aside(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    history(platform)
    honour = {"title": "示例先进", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": None}
    platform.log.insert(0, {"op": "upsert", **row("honour", code("91", 9), honour)})  # nobody knows its subject
    platform.most = 4
    assert counts(await follow(platform, database))["rejected"] == 2
    platform.upsert(at("14:00:00", code("91", 9), CF_XDR_MC="样例九有限公司"))
    await follow(platform, database)
    before = await records(owner)
    await worker(platform, database).reread()
    assert counts(await follow(platform, database)) == {"new": 1, "same": 9, "rejected": 1}
    key = f"honour|{code('91', 9)}|示例先进|2026-01-01"
    assert await records(owner) == before | {key: ("ACTIVE", 1)}
    rejects = await owner.fetch(
        "select natural_key, resolved_at is not null as resolved from core.feed_reject order by id"
    )
    assert [tuple(one) for one in rejects] == [(key, True), (f"xzcf|{USCC}|样例〔2026〕3号", False)]


async def test_a_row_that_was_put_aside_is_told_by_its_number_and_settled_by_a_good_one(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC, CF_JDRQ=None))
    assert counts(await follow(platform, database)) == {"rejected": 1}
    rejected = "select natural_key, resolved_at is not null from core.feed_reject"
    assert [tuple(one) for one in await owner.fetch(rejected)] == [(KEY, False)]
    platform.upsert(at("11:00:00", USCC))
    assert counts(await follow(platform, database)) == {"new": 1}
    assert [tuple(one) for one in await owner.fetch(rejected)] == [(KEY, True)]


async def test_an_old_row_that_was_put_aside_does_not_come_over_a_newer_one(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC, CF_CFLB="不知何种"))
    platform.upsert(at("11:00:00", USCC, CF_NR_FK=7))
    assert counts(await follow(platform, database)) == {"rejected": 1, "new": 1}
    platform.log[0] = {"op": "upsert", **at("10:00:00", USCC, CF_CFLB="警告", CF_NR_FK=1)}  # can be read by now
    await worker(platform, database).reread()
    assert counts(await follow(platform, database)) == {"same": 2}
    assert await records(owner) == {KEY: ("ACTIVE", 1)}


# What can't be applied ------------------------------------------------------------------------------------------------


async def test_poisoned_rows_are_put_aside_and_the_rest_goes_on(
    platform: FeedPlatform, database: Database, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    number = "652799196009290017"
    platform.log += [None, {"op": "upsert"}]
    platform.upsert(at("10:00:00", USCC, CF_JDRQ="昨天"))
    platform.upsert(at("10:00:00", USCC, CF_JDRQ="2999-01-01"))  # decided after it was received
    platform.upsert(at("10:00:00", USCC, "1", CF_CFLB="不知何种"))
    platform.upsert(at("10:00:00", USCC, "2", CF_CFJG="/"))
    platform.upsert(at("10:00:00", USCC, f"样例{number}号"))
    platform.upsert(at("10:00:00", USCC, "3", CF_SY=f"样例{number}"))
    platform.upsert(at("10:00:00", USCC, "4", CF_JDRQ="1950-01-01"))  # no rule on class that far back
    platform.upsert(at("10:00:00", OTHER, "5", CF_XDR_MC="样例二有限公司"))
    assert counts(await follow(platform, database)) == {"new": 2, "rejected": 8}
    assert list(await records(owner)) == [f"xzcf|{USCC}|3", f"xzcf|{OTHER}|5"]
    rejects = await owner.fetch("select * from core.feed_reject order by place")
    assert [one["place"] for one in rejects] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert all(one["reason"] and one["cursor"] == "" for one in rejects)
    everything = str(await state(owner)) + str(rejects) + caplog.text
    assert number not in everything
    assert "6527**********0017" in everything
    assert caplog.text.count("put aside") >= 6
    assert "不知何种" not in str(rejects) + caplog.text


# A digit lost in the middle, and one added, behind the words that say what it is.
@pytest.mark.parametrize("number", ["65279919600929001", "6527991960092900177"])
async def test_mistyped_identity_numbers_are_masked_as_in_an_import(
    platform: FeedPlatform, database: Database, owner: Owner, number: str
) -> None:
    said = f"当事人张样，身份证号：{number}，无证"
    plain = at(
        "10:00:00", USCC, CF_SY=said, CF_YJ=said, CF_NR=said, CF_WFXW=said, CF_NR_ZKDX=said, CF_CFLB=f"罚款;{said}"
    )
    platform.upsert(plain | {"dataSource": f"公民身份号码{number}"})
    platform.upsert(at("10:00:00", USCC, f"样例 身份证号{number}"))
    platform.upsert(at("10:00:00", USCC, "2", CF_CFLB="罚款", CF_SY=said, CF_XDR_MC=f"样例{number}"))
    platform.upsert(at("10:00:00", USCC, "3", CF_CFJG=number, CF_CFJGDM=None))
    platform.withdraw(plain, "repaired")
    platform.upsert(row("abnormal", USCC, {"reason": said, "listed_on": "2026-01-01", "authority": "局"}))
    platform.withdraw(row("abnormal", USCC, {"reason": said, "listed_on": "2026-01-01", "authority": "局"}), "repaired")
    await follow(platform, database)
    assert "2" in str(await records(owner))
    tables = await owner.fetch("select tablename from pg_tables where schemaname = 'core'")
    for table in tables:
        found = await owner.fetch(f"select x::text from core.{table['tablename']} x")
        assert number not in str(found), table["tablename"]


async def test_a_row_that_the_database_refuses_keeps_no_other_out(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    await owner.execute("alter table core.record add constraint unforeseen check (title <> '毒')")
    try:
        for place in range(7):
            platform.upsert(at("10:00:00", USCC, f"样例{place}号", CF_WFXW="毒" if place == 4 else "违"))
        assert counts(await follow(platform, database)) == {"new": 6, "rejected": 1}
        assert await owner.fetchval("select reason from core.feed_reject") == (
            "the row could not be written (CheckViolationError)"
        )
    finally:
        await owner.execute("alter table core.record drop constraint unforeseen")


async def test_a_page_and_its_cursor_are_in_together_or_not_at_all(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    for place in range(4):
        platform.upsert(at("10:00:00", USCC, f"样例{place}号"))
    platform.most = 2
    await owner.execute("alter table core.feed_cursor add constraint unforeseen check (cursor <> '1-4')")
    try:
        for _ in range(2):
            with pytest.raises(StorageError):
                await worker(platform, database).once()
            assert list(await records(owner)) == [f"xzcf|{USCC}|样例{place}号" for place in range(2)]
            assert await owner.fetchval("select count(*) from core.feed_change") == 2
            assert await owner.fetchval("select cursor from core.feed_cursor") == "1-2"
    finally:
        await owner.execute("alter table core.feed_cursor drop constraint unforeseen")
    assert counts(await follow(platform, database)) == {"new": 2}


async def test_a_page_that_is_not_behind_the_cursor_is_not_applied(
    platform: FeedPlatform, database: Database, owner: Owner
) -> None:
    platform.upsert(at("10:00:00", USCC))
    await follow(platform, database)
    before = await state(owner)
    change = FeedChange("upsert", "xzcf", USCC, "xzcf|x", problem="poison")
    async with open_feed(database, SOURCE, lambda: NOW) as feed:
        assert await feed.position() == Position("1-1", False)
        assert await feed.apply("", "1-1", False, [change]) is None
        assert await state(owner) == before
        assert await feed.apply("1-1", "1-2", False, [change]) is not None
    assert await owner.fetchval("select cursor from core.feed_cursor") == "1-2"


async def test_the_rights_of_the_role_that_follows(platform: FeedPlatform, database: Database) -> None:
    connection = await asyncpg.connect(database.dsn("import"))
    try:
        for sql in (
            "delete from core.feed_change", "update core.feed_change set digest = ''", "delete from core.source_row",
            "update core.source_row set record_id = 1", "update core.feed_reject set reason = ''",
            "truncate core.source_ended", "delete from core.feed_reject",
            "delete from core.feed_cursor", "delete from core.record_version",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
    finally:
        await connection.close()


def test_the_worker_is_one_that_the_package_offers() -> None:
    from gateway import sharing

    assert sharing.ChangesWorker is ChangesWorker

"""Whatever is changed in the account afterwards is found, and said where: a byte in any column of a disclosure, a row
that was removed, added, doubled or swapped, a leaf, a tile, a checkpoint, a subject's entry. What was erased or is no
longer kept by the rules, with its event in the log, is not taken for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from log_support import ORIGIN, TestLog, emptied, open_log

from gateway.auth.keys import KeyStore
from gateway.errors import OperatorError
from gateway.ledger.commitment import SOURCES, VARIABLES
from gateway.ledger.erasure import erase
from gateway.ledger.head import verifiers
from gateway.ledger.verify import Report, Verification

ROWS = 300


class Checked:
    """A log of 300 disclosures under two checkpoints, with what verifies it."""

    def __init__(self, log: TestLog, database: Any) -> None:
        self.log = log
        self.database = database
        self.ids: list[UUID] = []

    async def fill(self) -> None:
        await self.log.grow(200)
        await self.log.grow(ROWS - 200)
        await self.log.fan_out()
        self.ids = [row[0] for row in await self.log.owner.fetch("select id from ledger.leaf order by index")]

    async def verify(self, keys: KeyStore | None = None) -> Report:
        run = Verification(
            self.database.dsn("log"), lambda origin: verifiers(keys or self.log.keys, origin), processes=1
        )
        return await run.run()

    async def found(self) -> list[tuple[str, str]]:
        """Kinds and places of what does not hold."""
        report = await self.verify()
        assert report.findings.counts.total() == len(report.findings.told)
        return [(one.kind, one.where) for one in report.findings.told]

    async def execute(self, sql: str, *arguments: Any) -> None:
        await self.log.owner.execute(sql, *arguments)

    async def publish_again(self) -> None:
        """A new event or disclosure gets its leaf and its checkpoint."""
        await self.log.sequence()
        assert await self.log.publish()
        await self.log.fan_out()


@pytest_asyncio.fixture
async def checked(database: Any, owner: Any, tmp_path: Path) -> AsyncIterator[Checked]:
    await emptied(owner)
    log = await open_log(database, owner, tmp_path)
    made = Checked(log, database)
    await made.fill()
    yield made
    await log.log.close()


def kinds(found: Iterable[tuple[str, str]]) -> set[str]:
    return {kind for kind, _ in found}


async def test_what_was_not_touched_holds(checked: Checked) -> None:
    await checked.log.write(5)
    report = await checked.verify()
    assert report.findings.told == []
    assert (report.disclosures, report.pending, report.entries, report.checkpoints) == (305, 5, 300, 2)
    assert (report.unsigned, report.unnumbered) == (0, 0)
    entries = await checked.log.owner.fetchval("select count(*) from ledger.subject_entry")
    assert report.subject_entries == entries > 300


# Another value of the same type, which differs in as little as it can.
OTHER = {
    "text": "{}|| ' '",
    "uuid": "overlay({}::text placing case when left({}::text, 1) = '0' then '1' else '0' end from 1 for 1)::uuid",
    "timestamp with time zone": "{} + interval '1 microsecond'",
    "bytea": "set_bit({}, 3, 1 - get_bit({}, 3))",
    "ARRAY": "{} || coalesce({}[1], id)",  # of some rows it is empty
    "xid8": "({}::text::bigint + 1)::text::xid8",
}


async def columns(owner: Any) -> list[tuple[str, str]]:
    rows = await owner.fetch(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'ledger' and table_name = 'disclosure' order by ordinal_position"
    )
    return [(row[0], row[1]) for row in rows]


async def test_a_changed_byte_in_any_column(checked: Checked) -> None:
    """Each column of one row each: all of them are found, and no other."""
    every = await columns(checked.log.owner)
    assert len(every) == 20
    changed: dict[UUID, str] = {}
    for place, (column, kind) in enumerate(every):
        row = checked.ids[7 * place + 5]
        filled = {"fields_hash": "sha256('f')", "basis_hash": "sha256('b')"}.get(column)
        value = filled or OTHER[kind].replace("{}", f"coalesce({column}, '')" if kind == "text" else column)
        await checked.execute(f"update ledger.disclosure set {column} = {value} where id = $1", row)
        changed[row] = column
    told = await checked.found()
    for row, column in changed.items():
        assert any(str(row) in where for _, where in told), column
    named = {where.split()[1] for kind, where in told if kind in ("ROW_CHANGED", "LEAF_CHANGED", "ROW_REMOVED")}
    assert named == {str(row) for row in changed}


async def test_null_is_not_the_same_as_nothing(checked: Checked) -> None:
    for column in ("on_behalf_of", "operation_name", "variables", "snapshot"):
        for old, new in (("is null", "''"), ("is not null", "null")):
            await checked.execute(
                f"update ledger.disclosure set {column} = {new} where id ="
                f" (select id from ledger.disclosure where {column} {old} and client_id <> 'x' limit 1)"
            )
    assert kinds(await checked.found()) == {"ROW_CHANGED"}


async def test_rows_that_are_removed_added_doubled_or_swapped(checked: Checked) -> None:
    ids = checked.ids
    await checked.execute("delete from ledger.disclosure where id = $1", ids[10])
    await checked.execute(
        "update ledger.disclosure d set case_number = o.case_number from ledger.disclosure o"
        " where d.id = any ($1) and o.id = any ($1) and o.id <> d.id",
        [ids[20], ids[21]],
    )
    every = ", ".join(name for name, _ in await columns(checked.log.owner))
    await checked.execute(
        f"insert into ledger.disclosure ({every}) select {every} from ledger.disclosure where id = $1", ids[30]
    )
    added = uuid4()
    await checked.execute(
        f"insert into ledger.disclosure ({every}) select {every.replace('id,', '$2,', 1)} from ledger.disclosure"
        " where id = $1",
        ids[31],
        added,
    )
    told = await checked.found()
    assert sorted((kind, where.split()[1]) for kind, where in told if kind != "SUBJECT_ENTRIES") == sorted(
        [
            ("ROW_REMOVED", str(ids[10])),
            ("ROW_CHANGED", str(ids[20])),
            ("ROW_CHANGED", str(ids[21])),
            ("ROW_DOUBLE", str(ids[30])),
            ("ROW_ADDED", str(added)),
        ]
    )


async def test_a_row_that_no_runner_will_ever_take(checked: Checked) -> None:
    """Of a transaction that is still to come: it would wait for its leaf for ever."""
    await checked.log.write(2)
    assert await checked.found() == []
    await checked.execute(
        "update ledger.disclosure d set xid = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8"
        " where not exists (select from ledger.leaf l where l.id = d.id)"
    )
    await checked.execute(
        "insert into ledger.event (kind, content, xid) values ('KEY', '{}',"
        " (pg_current_xact_id()::text::bigint + 1000000)::text::xid8)"
    )
    await checked.publish_again()
    assert [kind for kind, _ in await checked.found()] == ["ROW_ADDED"] * 3


CHANGES = {
    "a leaf's hash": ("update ledger.leaf set hash = sha256('x') where index = 250", {"LEAF_CHANGED"}),
    "a leaf's entry": (
        "update ledger.leaf set entry = sha256('x'), hash = sha256('\\x00' || sha256('x')) where index = 250",
        {"ROW_CHANGED", "CHECKPOINT_ROOT", "TILE_CHANGED"},
    ),
    "a leaf's row": (
        "update ledger.leaf set id = gen_random_uuid() where index = 250",
        {"ROW_ADDED", "ROW_REMOVED", "SUBJECT_ENTRIES"},
    ),
    "a leaf's kind": ("update ledger.leaf set kind = 'E' where index = 250", {"LEAF_CHANGED", "ROW_REMOVED"}),
    "a leaf's time": ("update ledger.leaf set at = at + interval '1 s' where index = 250", {"LEAF_CHANGED"}),
    "a leaf in the middle": (
        "delete from ledger.leaf where index = 250",
        {"LEAF_MISSING", "ROW_ADDED", "TILE_CHANGED", "CHECKPOINT_AHEAD", "SUBJECT_ENTRIES"},
    ),
    "the last leaf": (
        "delete from ledger.leaf where index = 299",
        {"LEAF_MISSING", "ROW_ADDED", "CHECKPOINT_AHEAD", "SUBJECT_ENTRIES"},
    ),
    "two leaves": (
        "update ledger.leaf l set entry = o.entry, hash = o.hash, id = o.id, at = o.at, xid = o.xid"
        " from (select * from ledger.leaf where index in (250, 251)) o"
        " where l.index in (250, 251) and o.index <> l.index",
        set(),  # see below
    ),
    "a tile": ("update ledger.tile set hash = sha256('x')", {"TILE_CHANGED"}),
    "no tile": ("delete from ledger.tile", {"TILE_CHANGED"}),
    "one tile more": ("insert into ledger.tile values (0, 1, sha256('x'))", {"TILE_CHANGED"}),
    "a checkpoint's root": (
        "update ledger.checkpoint set root = sha256('x') where size = 200",
        {"CHECKPOINT_SIGNATURE", "CHECKPOINT_ROOT"},
    ),
    "a checkpoint's note": (
        "update ledger.checkpoint set note = replace(note, '/log', '/lug') where size = 200",
        {"CHECKPOINT_SIGNATURE"},
    ),
    "a checkpoint's size": (
        "update ledger.checkpoint set size = 301 where size = 300",
        {"CHECKPOINT_SIGNATURE", "CHECKPOINT_AHEAD"},
    ),
    "a subject's entry": (
        "delete from ledger.subject_entry e where number = 3 and subject_id = md5('7')::uuid",
        {"NUMBERS", "SUBJECT_ENTRIES"},
    ),
    "a subject's last entry": (
        "delete from ledger.subject_entry e where subject_id = md5('7')::uuid and number ="
        " (select max(number) from ledger.subject_entry where subject_id = md5('7')::uuid)",
        {"SUBJECT_ENTRIES"},
    ),
    "a subject's time": (
        "update ledger.subject_entry set at = at + interval '1 microsecond' where number = 3 and"
        " subject_id = md5('7')::uuid",
        {"SUBJECT_ENTRIES"},
    ),
    "a number": (
        "update ledger.subject_entry set number = 1000 where number = 3 and subject_id = md5('7')::uuid",
        {"NUMBERS"},
    ),
    "the order of a subject's entries": (
        "create temporary table two as select * from ledger.subject_entry where subject_id = md5('7')::uuid"
        " and number in (2, 4); delete from ledger.subject_entry e using two t where e.subject_id = t.subject_id and"
        " e.number = t.number; insert into ledger.subject_entry (subject_id, number, leaf_index, disclosure_id, at)"
        " select subject_id, 6 - number, leaf_index, disclosure_id, at from two; drop table two",
        {"NUMBERS"},
    ),
    "an entry more": (
        "insert into ledger.subject_entry select subject_id, 1 + (select max(number) from ledger.subject_entry where"
        " subject_id = md5('7')::uuid), leaf_index, disclosure_id, at from ledger.subject_entry where number = 3 and"
        " subject_id = md5('7')::uuid",
        {"NUMBERS", "SUBJECT_ENTRIES"},
    ),
    "a tombstone": (
        "insert into ledger.erased (disclosure_id, place, leaf_hash)"
        " select id, 1, sha256('x') from ledger.leaf where index = 1",
        {"TOMBSTONE"},
    ),
    "what others cosigned": (
        "insert into ledger.cosignature (size, root, name, line) values (200, sha256('x'), 'w', 'l')",
        {"COSIGNATURE"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_the_log(checked: Checked, change: str) -> None:
    sql, expected = CHANGES[change]
    if change == "two leaves":
        await checked.execute("alter table ledger.leaf drop constraint leaf_id_key")
    try:
        await checked.execute(sql)
        found = await checked.found()
    finally:
        if change == "two leaves":
            await checked.execute("truncate ledger.leaf; alter table ledger.leaf add unique (id)")
    if change == "two leaves":
        assert "CHECKPOINT_ROOT" in kinds(found)
    else:
        # Whether the row shows anybody is chance: leaves are in the order of random ids.
        maybe = {"SUBJECT_ENTRIES"} if "leaf" in change else set()
        assert kinds(found) - maybe == expected - maybe


async def test_a_checkpoint_signed_with_another_key(checked: Checked, tmp_path: Path) -> None:
    """Signed well, by somebody who is not the log: as a whole new log, too."""
    other = KeyStore(tmp_path / "other")
    report = await checked.verify(other)
    assert report.findings.counts == {"CHECKPOINT_SIGNATURE": 2}
    await checked.execute("truncate ledger.checkpoint, ledger.tile")
    assert await TestLog(checked.log.owner, checked.log.log, other).publish()
    assert kinds(await checked.found()) == {"CHECKPOINT_SIGNATURE"}
    assert (await checked.verify(other)).findings.told == []


async def test_after_a_rotation_all_holds(checked: Checked) -> None:
    checked.log.keys.rotate("checkpoints")
    await checked.log.grow(3)
    assert await checked.found() == []
    assert len(verifiers(checked.log.keys, ORIGIN)) == 2


async def test_a_text_that_disclosures_point_to(checked: Checked) -> None:
    insert = "insert into ledger.told values (sha256(convert_to($1, 'UTF8')), $1)"
    for text in ("fields", "basis", "unused"):
        await checked.execute(insert, text)
    await checked.log.write(2)
    await checked.execute(
        "update ledger.disclosure d set fields_hash = sha256('fields'), basis_hash = sha256('basis')"
        " where not exists (select from ledger.leaf l where l.id = d.id)"
    )
    await checked.publish_again()
    assert await checked.found() == []
    hashed = "alter table ledger.told {} constraint told_is_what_its_hash_says"
    await checked.execute(hashed.format("drop"))  # by who may
    await checked.execute("update ledger.told set text = 'field' where text = 'fields'")
    await checked.execute(hashed.format("add") + " check (hash = sha256(convert_to(text, 'UTF8'))) not valid")
    await checked.execute("delete from ledger.told where text = 'basis'")
    assert kinds(await checked.found()) == {"TEXT_CHANGED"}
    assert len(await checked.found()) == 2


async def test_an_event(checked: Checked) -> None:
    await checked.execute("insert into ledger.event (kind, content) values ('KEY', '{\"kid\":\"a\"}')")
    await checked.publish_again()
    assert (await checked.verify()).events == 1
    assert await checked.found() == []
    await checked.execute('update ledger.event set content = \'{"kid":"b"}\'')
    assert kinds(await checked.found()) == {"EVENT_CHANGED"}
    await checked.execute("delete from ledger.event")
    assert kinds(await checked.found()) == {"ROW_REMOVED"}


@pytest.mark.long
async def test_one_byte_of_one_column_of_any_row(checked: Checked) -> None:
    """Each column of three rows by chance, one change at a time, mended after it."""
    owner, chance = checked.log.owner, random.Random(7)
    for column, kind in await columns(owner):
        for row in chance.sample(checked.ids, 3):
            filled = {"fields_hash": "sha256('f')", "basis_hash": "sha256('b')"}.get(column)
            value = filled or OTHER[kind].replace("{}", f"coalesce({column}, '')" if kind == "text" else column)
            await checked.execute(f"create table public.before as select * from ledger.disclosure where id = '{row}'")
            changed = await owner.fetchval(
                f"update ledger.disclosure d set {column} = {value} where id = $1 returning d.id", row
            )
            told = await checked.found()
            assert any(str(row) in where for _, where in told), (column, row)
            await checked.execute("delete from ledger.disclosure where id = $1", changed)
            await checked.execute("insert into ledger.disclosure select * from public.before; drop table public.before")
            assert await checked.found() == []


# Erasure --------------------------------------------------------------------------------------------------------------


async def erased(checked: Checked) -> UUID:
    """Somebody who stands in several disclosures is erased, another who stands in some of them after that."""
    somebody = await checked.log.owner.fetchval("select md5('7')::uuid")
    for subject in (somebody, await checked.log.owner.fetchval("select md5('8')::uuid")):
        assert (await erase(checked.database, subject, "Article 47", checked.log.events)).disclosures > 5
    await checked.publish_again()
    return UUID(str(somebody))


async def test_an_erased_subject_is_not_mistaken_for_a_change(checked: Checked) -> None:
    somebody = await erased(checked)
    report = await checked.verify()
    assert report.findings.told == []
    assert (report.events, report.disclosures) == (2, ROWS)
    assert report.tombstones > 30
    left = "select count(*) from ledger.disclosure where $1 = any (subject_ids)"
    assert await checked.log.owner.fetchval(left, somebody) == 0


ONE = "(select disclosure_id from ledger.erased order by 1 limit 1)"
AFTER_ERASURE = {
    "the tombstone's hash": (
        f"update ledger.erased set leaf_hash = sha256('x') where disclosure_id = {ONE}",
        "ROW_CHANGED",
    ),
    "no tombstone": (f"delete from ledger.erased where place = {VARIABLES} and disclosure_id = {ONE}", "TOMBSTONE"),
    "a salt": (f"delete from ledger.kept_salt where place = 0 and disclosure_id = {ONE}", "ROW_CHANGED"),
    "another salt": (
        f"update ledger.kept_salt set salt = '\\x00' where place = -1 and disclosure_id = {ONE}",
        "ROW_CHANGED",
    ),
    "what stays": (f"update ledger.disclosure set case_number = 'x' where id = {ONE}", "ROW_CHANGED"),
    "something in place of it": (f"update ledger.disclosure set variables = 'x' where id = {ONE}", "TOMBSTONE"),
    "other sources": (f"update ledger.disclosure set sources = '{{\"x\":{{}}}}' where id = {ONE}", "TOMBSTONE"),
    "somebody else in its place": (
        "update ledger.disclosure set subject_ids = array_replace(subject_ids,"
        " '00000000-0000-0000-0000-000000000000', md5('9')::uuid) where id = (select disclosure_id from ledger.erased"
        " where place > 2 order by 1 limit 1)",
        "TOMBSTONE",
    ),
    "the event": ("delete from ledger.event", "TOMBSTONE"),
    "the row": (f"delete from ledger.disclosure where id = {ONE}", "ROW_REMOVED"),
    "more of it": (
        "insert into ledger.erased (disclosure_id, place, leaf_hash)"
        f" select disclosure_id, 0, leaf_hash from ledger.erased where place = {SOURCES} limit 1",
        "TOMBSTONE",
    ),
}


async def test_changes_under_the_cover_of_erasures(checked: Checked) -> None:
    """Each in a disclosure of its own: each is found there."""
    await erased(checked)
    rows = await checked.log.owner.fetch(
        "select disclosure_id from ledger.erased group by 1 having max(place) > 2 order by 1"
    )
    changed = {}
    for change, row in zip([name for name in AFTER_ERASURE if ONE in AFTER_ERASURE[name][0]], rows, strict=False):
        sql, changed[str(row[0])] = AFTER_ERASURE[change]
        await checked.execute(sql.replace(ONE, f"'{row[0]}'::uuid"))
    assert len(changed) == 8
    found = await checked.found()
    for row, expected in changed.items():
        assert any(kind == expected and row in where for kind, where in found)


@pytest.mark.long
@pytest.mark.parametrize("change", AFTER_ERASURE)
async def test_a_change_under_the_cover_of_an_erasure(checked: Checked, change: str) -> None:
    await erased(checked)
    sql, expected = AFTER_ERASURE[change]
    await checked.execute(sql)
    assert expected in kinds(await checked.found())


async def test_an_erasure_without_an_event(checked: Checked) -> None:
    """As somebody with the database in his hands would do it: all but the event."""
    await erased(checked)
    await checked.execute(
        "delete from ledger.leaf where kind = 'E'; delete from ledger.event;"
        "update ledger.log_state set size = 300, fanned = 300; delete from ledger.checkpoint where size > 300"
    )
    assert kinds(await checked.found()) == {"TOMBSTONE"}


# Months that are no longer kept --------------------------------------------------------------------------------------


async def let_go(checked: Checked, said: int, gone: int = 100) -> None:
    """What the runner does at the end of a month's time, for the rows below 100."""
    await checked.execute("update ledger.leaf set at = at - interval '40 days' where index < 100")
    await checked.execute(
        "update ledger.disclosure set at = at - interval '40 days' where id = any ($1)", checked.ids[:100]
    )
    await checked.execute("update ledger.subject_entry set at = at - interval '40 days' where leaf_index < 100")
    await checked.execute("delete from ledger.disclosure where id = any ($1)", checked.ids[:gone])
    await checked.log.signed(
        "RETENTION",
        "insert into ledger.event (kind, content) select 'RETENTION', format("
        '\'{"disclosures":%s,"from":"%s","kind":"RETENTION","until":"%s"}\', $1::int,'
        " to_char(m, 'YYYY-MM-DD\"T00:00:00+08:00\"'),"
        " to_char(m + interval '1 month', 'YYYY-MM-DD\"T00:00:00+08:00\"'))"
        " from date_trunc('month', (now() - interval '40 days') at time zone 'Asia/Shanghai') m",
        said,
    )
    await checked.publish_again()


async def test_a_month_that_was_let_go(checked: Checked) -> None:
    await let_go(checked, 100)
    report = await checked.verify()
    assert report.findings.told == []
    assert (report.let_go, report.disclosures) == (100, 200)


async def test_tombstones_go_with_their_month(checked: Checked) -> None:
    """Somebody was erased before the month was let go; outside of it a tombstone may not go."""
    await erased(checked)
    await let_go(checked, 100)
    gone = "delete from ledger.{} where disclosure_id = any ($1)"
    for table in ("erased", "kept_salt"):
        await checked.execute(gone.format(table), checked.ids[:100])
    assert await checked.found() == []
    await checked.execute(f"delete from ledger.erased where disclosure_id = {ONE}")
    assert "TOMBSTONE" in kinds(await checked.found())


async def test_more_is_gone_than_the_event_says(checked: Checked) -> None:
    await let_go(checked, 99)
    assert kinds(await checked.found()) == {"RETENTION"}


async def test_a_row_moved_under_the_cover_of_a_month(checked: Checked) -> None:
    """A row of today is taken out, and its leaf given a time at which rows are no longer kept."""
    await let_go(checked, 100)
    await checked.execute("delete from ledger.disclosure where id = $1", checked.ids[250])
    await checked.execute("update ledger.leaf set at = at - interval '40 days' where index = 250")
    assert "RETENTION" in kinds(await checked.found())


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("l.at", "l.at + interval '1 microsecond'"),
        ("m.first", "m.first + interval '32 days'"),
        ("m.first", "date_trunc('month', m.first + interval '32 days', 'Asia/Shanghai')"),
    ],
    ids=["a moment", "no month", "the present month"],
)
async def test_an_event_is_no_cover_for_a_row(checked: Checked, begin: str, end: str) -> None:
    """Whoever has the database takes a row away and writes an event, which the gateway signs like any other."""
    await checked.execute("delete from ledger.disclosure where id = $1", checked.ids[250])
    await checked.execute(
        "insert into ledger.event (kind, content) select 'RETENTION', "
        'format(\'{"disclosures":1,"from":%s,"kind":"RETENTION","until":%s}\', to_json(w.b), to_json(w.e))'
        f" from (select {begin} as b, {end} as e from ledger.leaf l"
        " cross join lateral (select date_trunc('month', l.at, 'Asia/Shanghai') as first) m where l.index = 250) w"
    )
    await checked.publish_again()
    assert "ROW_REMOVED" in kinds(await checked.found())


async def test_an_event_is_no_cover_for_some_rows_of_a_month(checked: Checked) -> None:
    """99 rows of a month that is over are taken away, and one stays."""
    await let_go(checked, 99, gone=99)
    assert "RETENTION" in kinds(await checked.found())


async def sealed(checked: Checked, until: str, which: str = "null, 'GRANT', null") -> UUID:
    """A seal, by default of the matter in which all rows are; its event is in the log."""
    made = await checked.log.signed(
        "SEAL", f"select ledger.add_seal('示例', '示例', {which}, null, now() + $1::text::interval)", until
    )
    await checked.publish_again()
    return UUID(str(made))


@pytest.mark.parametrize(("until", "found"), [("1 day", set()), ("-1 day", {"SUBJECT_ENTRIES"})])
async def test_a_seal_that_is_over_excuses_nothing(checked: Checked, until: str, found: set[str]) -> None:
    """What was asked under it waits for its end, and whoever leads ends it at its time."""
    await sealed(checked, until)
    await checked.log.grow(20)
    await checked.log.fan_out()
    assert await checked.log.owner.fetchval("select count(*) from ledger.sealed_entry") > 10
    assert kinds(await checked.found()) == found


async def test_a_seal_excuses_nothing_that_was_told_before_it(checked: Checked) -> None:
    """All that subjects were told is taken away, and noted as held back by a genuine seal of its matter."""
    await sealed(checked, "1 day")
    assert await checked.found() == []
    await checked.execute(
        "insert into ledger.sealed_entry select l.index, l.at, s.id from ledger.leaf l, ledger.seal s"
        " where l.kind = 'D'; delete from ledger.subject_entry"
    )
    assert (await checked.verify()).findings.counts == {"SUBJECT_ENTRIES": 750}  # as many as there were


async def test_the_end_of_a_seal_excuses_no_order_of_what_it_did_not_hold(checked: Checked) -> None:
    """What stands before it in the log, and what stands behind its end."""
    before = await sealed(checked, "1 day")
    await checked.log.signed("UNSEAL", "select ledger.end_seal($1)", before)
    await checked.publish_again()
    assert await checked.found() == []
    await checked.execute(ORDER)
    assert kinds(await checked.found()) == {"NUMBERS"}
    await checked.execute(ORDER)
    await checked.log.grow(200)
    await checked.log.fan_out()
    assert await checked.found() == []
    last = ORDER.replace("number in (2, 4)", "number in (15, 17)").replace("6 - number", "32 - number")
    assert last != ORDER
    await checked.execute(last)
    assert kinds(await checked.found()) == {"NUMBERS"}


@pytest.mark.parametrize(
    "change",
    [
        "update ledger.seal set authority = 'another'",
        "update ledger.seal set basis = basis || ' '",
        "update ledger.seal set matter = 'TENDER'",
        "update ledger.seal set until = until + interval '1 year'",
        "update ledger.seal set ended_at = now()",
        "delete from ledger.seal",
        "insert into ledger.seal (authority, basis, matter, until) values ('a', 'b', 'GRANT', '2099-01-01')",
    ],
)
async def test_a_seal_is_what_its_event_says(checked: Checked, change: str) -> None:
    """Whoever has the database can't sign an event for it, nor take the genuine one out."""
    await sealed(checked, "1 day")
    assert await checked.found() == []
    await checked.execute(change)
    assert kinds(await checked.found()) == {"SEAL_CHANGED"}


async def test_that_nothing_is_told_yet_is_no_excuse_for_long(checked: Checked) -> None:
    """All entries are taken away, and the log said to be at its beginning with telling; its first row is of yesterday's
    yesterday."""
    await checked.execute("delete from ledger.subject_entry; update ledger.log_state set fanned = 0")
    assert await checked.found() == []  # of a log of this minute: the next look would tell all of it
    await emptied(checked.log.owner)
    await checked.execute(
        "insert into ledger.disclosure (id, at, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " subject_ids, sources, withheld) values (gen_random_uuid(), now() - interval '2 days', 'c', '', 'RESTRICTED',"
        " 'GRANT', '1', 'ANSWERED', array[md5('7')::uuid], '{}', '{}')"
    )
    log = checked.log.restarted()
    await log.grow(20)
    await log.fan_out()
    assert await checked.found() == []
    await checked.execute("delete from ledger.subject_entry; update ledger.log_state set fanned = 0")
    assert kinds(await checked.found()) == {"SUBJECT_ENTRIES"}


async def test_a_seal_that_has_ended_is_not_put_in_force_again(checked: Checked) -> None:
    ended = await sealed(checked, "1 day")
    await checked.log.signed("UNSEAL", "select ledger.end_seal($1)", ended)
    await checked.publish_again()
    assert await checked.found() == []
    await checked.execute("update ledger.seal set ended_at = null")
    assert kinds(await checked.found()) == {"SEAL_CHANGED"}


async def test_the_place_is_named_behind_many_that_are_excused(checked: Checked) -> None:
    """Two hundred leaves are held back and a hundred were let go, with hundreds of entries: what is wrong is named."""
    await let_go(checked, 100)
    await sealed(checked, "1 day")
    await checked.log.grow(200)
    identity = uuid4()
    await checked.execute(
        "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
        " subject_ids, sources, withheld) values ($1, 'c', '', 'RESTRICTED', 'TENDER', '1', 'ANSWERED',"
        " array[md5('7')::uuid], '{}', '{}')",
        identity,
    )
    await checked.publish_again()
    held, kept = "select count(*) from ledger.sealed_entry", "select count(*) from ledger.subject_entry"
    assert await checked.log.owner.fetchval(held) > 100
    assert await checked.log.owner.fetchval(kept) > 200
    assert await checked.found() == []
    await checked.execute("delete from ledger.subject_entry where disclosure_id = $1", identity)
    await checked.execute(
        "insert into ledger.subject_entry select 'ffffffff-ffff-4fff-bfff-ffffffffffff', 1, 0, gen_random_uuid(), now()"
    )
    places = [where for kind, where in await checked.found() if kind == "SUBJECT_ENTRIES"]
    assert [identity in where for identity, where in zip((str(identity), "ffffffff-ffff"), places, strict=True)] == [
        True,
        True,
    ]


ORDER = CHANGES["the order of a subject's entries"][0]


async def test_the_end_of_a_seal_excuses_the_order_of_what_it_held_up(checked: Checked) -> None:
    """What was sealed gets its numbers after later entries; entries that no seal covered stay in the log's order. The
    event of the end is looked at, whether it is in the log already or about to be."""
    log = checked.log
    held = await sealed(checked, "1 day", "null, null, '示例〔2026〕7号'")
    for case in ("示例〔2026〕7号", "示例〔2026〕8号"):
        await checked.execute(
            "insert into ledger.disclosure (id, client_id, organisation_uscc, view, matter, case_number, outcome,"
            " subject_ids, sources, withheld) values (gen_random_uuid(), 'c', '', 'RESTRICTED', 'GRANT', $1,"
            " 'ANSWERED', array[md5('7')::uuid], '{}', '{}')",
            case,
        )
        await checked.publish_again()
    assert await checked.found() == []
    assert await log.signed("UNSEAL", "select ledger.end_seal($1)", held) == 1
    late = await log.owner.fetchval(
        "select e.number - o.number from ledger.subject_entry e, ledger.subject_entry o, ledger.disclosure d,"
        " ledger.disclosure p where d.id = e.disclosure_id and d.case_number = '示例〔2026〕7号' and"
        " p.id = o.disclosure_id and p.case_number = '示例〔2026〕8号' and e.subject_id = o.subject_id"
    )
    assert late == 1
    assert await checked.found() == []
    await checked.publish_again()
    assert await checked.found() == []
    await checked.execute(ORDER)
    assert kinds(await checked.found()) == {"NUMBERS"}
    await checked.execute(ORDER)
    # Without the event nothing is excused.
    await checked.execute("update ledger.event set kind = 'ERASURE' where kind = 'UNSEAL'")
    assert kinds(await checked.found()) == {"EVENT_CHANGED", "NUMBERS", "SEAL_CHANGED"}


# The rest -------------------------------------------------------------------------------------------------------------


async def test_it_sees_one_moment(checked: Checked) -> None:
    """Disclosures go on being written, sequenced and signed meanwhile."""
    ended = asyncio.Event()

    async def write() -> None:
        while not ended.is_set():
            await checked.log.grow(20)
            await checked.log.fan_out()

    writing = asyncio.create_task(write())
    reports = [await checked.verify() for _ in range(2)]
    ended.set()
    await writing
    assert [report.findings.told for report in reports] == [[], []]
    assert reports[0].entries < reports[1].entries


async def test_a_database_that_does_not_answer() -> None:
    with pytest.raises(OperatorError):
        await Verification("postgresql://nobody@127.0.0.1:1/none", lambda origin: []).run()


async def test_it_writes_nothing(checked: Checked) -> None:
    count = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables where schemaname = 'ledger'"
    connection = await asyncpg.connect(checked.database.migrate_dsn)
    try:
        await connection.execute("select pg_stat_force_next_flush()")
        before = await connection.fetchval(count)
        await checked.verify()
        assert await connection.fetchval(count) == before
    finally:
        await connection.close()

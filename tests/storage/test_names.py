"""Promises: every name and code of every subject can be searched for as soon as it is on record, whichever way it came
in or changed; a name's endings are those of its name today and before; another folding makes all of them anew.

What the rows must be is computed here, letter by letter, from the subjects themselves.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.storage import names
from gateway.storage.database import Database, prepare
from gateway.storage.identifiers import fold_name
from gateway.storage.imports import import_file
from tests.storage.imports.test_import_organisations import code, file

ROOT = Path(__file__).resolve().parents[2]
LONG = {"有限责任公司": "有限公司", "新疆维吾尔自治区": "新疆", "博尔塔拉蒙古自治州": "博州"}


def spellings(name: str) -> set[str]:
    """The name with any of its long parts short; plain names alone, as the files below have them."""
    found = {name}
    for long, short in LONG.items():
        for one in list(found):
            found |= {one.replace(long, short), one}
    return found


@pytest.mark.parametrize(
    "mark", ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]
)
def test_marks_of_direction_hide_no_name(mark: str) -> None:
    assert fold_name(f"样{mark}例公司{mark}") == "样例公司"
    assert names.folded(f"{mark}样例") == "样例"


async def stored(owner: asyncpg.Connection[Any]) -> dict[int, set[tuple[int, str]]]:
    found: dict[int, set[tuple[int, str]]] = {}
    assert not await owner.fetchval(  # the copies of a subject's traits are what it is
        "select count(*) from core.name_part p join core.subject s on s.id = p.subject_id where (p.kind, p.region_code,"
        " p.personal) is distinct from (s.kind, s.region_code, s.class <> 'ORGANISATION')"
    )
    for row in await owner.fetch("select subject_id, tier, suffix from core.name_part"):
        assert (row["tier"], row["suffix"]) not in found.get(row["subject_id"], ())  # none twice
        found.setdefault(row["subject_id"], set()).add((row["tier"], row["suffix"]))
    return found


async def wanted(owner: asyncpg.Connection[Any]) -> dict[int, set[tuple[int, str]]]:
    found: dict[int, set[tuple[int, str]]] = {}
    for row in await owner.fetch(
        "select id, uscc, array[name] || array(select f.name from core.former_name f where f.subject_id = s.id) names,"
        " array(select value from core.identifier i where i.subject_id = s.id and scheme <> 'ROW') codes"
        " from core.subject s"
    ):
        own = found.setdefault(row["id"], set())
        for name in row["names"]:
            for form in spellings(name):
                own |= {(int(at > 0), form[at : at + 64]) for at in range(max(len(form) - 1, 1))}
        for one in (row["uscc"], (row["uscc"] or "")[8:17], *row["codes"]):
            if one:
                own.add((0, one))
    return found


async def load(database: Database, path: Path, kind: str) -> None:
    report = await import_file(
        database, path, kind, mapping=None, rejects=None, entered_by="测试", progress=None, dry_run=False
    )
    assert report.rejected == 0


async def test_imports_of_every_kind_keep_the_endings(database: Database, owner: Any, tmp_path: Path) -> None:
    assert await stored(owner) == await wanted(owner)
    await load(
        database,
        file(
            tmp_path,
            "name,uscc,former_names,subject_kind\n"
            f"示例博尔塔拉蒙古自治州建设有限责任公司,{code('91', 1)},示例老厂；示例新疆维吾尔自治区二厂,\n"
            f"示例商行,{code('92', 2)},,\n示例乙厂,91652799YL0000000X,,企业\n",
        ),
        "organisations",
    )
    assert await stored(owner) == await wanted(owner) != {}
    await load(database, file(tmp_path, f"name,uscc\n示例新名有限责任公司,{code('91', 1)}\n"), "organisations")
    after = await wanted(owner)
    assert await stored(owner) == after
    assert any((0, "示例新名有限公司") in own and (0, "示例老厂") in own for own in after.values())
    await load(  # subjects and authorities that a record makes
        database,
        file(
            tmp_path,
            "name,uscc,document_number,penalty_kinds,decided_on,authority_name\n"
            f"示例丙厂,{code('91', 3)},示例罚〔2026〕1号,警告,2026-03-01,示例机关\n",
        ),
        "penalties",
    )
    assert await stored(owner) == await wanted(owner)
    assert any((0, "示例机关") in own for own in (await wanted(owner)).values())


async def test_a_dry_run_and_a_refused_batch_leave_none(database: Database, owner: Any, tmp_path: Path) -> None:
    before = await stored(owner)
    path = file(tmp_path, f"name,uscc\n示例丁厂,{code('91', 4)}\n")
    await import_file(
        database, path, "organisations", mapping=None, rejects=None, entered_by="x", progress=None, dry_run=True
    )
    assert await stored(owner) == before


async def test_persons_are_a_part_of_their_own(database: Database, owner: Any, tmp_path: Path) -> None:
    await load(database, file(tmp_path, "name,identity_number\n示例人甲,652701199001010015\n"), "civil-servants")
    rows = await owner.fetch(
        "select distinct p.personal, s.class from core.name_part p join core.subject s on s.id = p.subject_id"
    )
    assert {(row["personal"], row["class"]) for row in rows} == {(False, "ORGANISATION"), (True, "SERVANT")}
    assert await owner.fetchval("select count(*) from core.name_part_person") == 3  # 示例人甲, 例人甲, 人甲


async def test_another_folding_makes_all_of_them_anew(
    database: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await wanted(owner)
    await owner.execute("delete from core.name_part; update core.name_folding set version = 0")
    monkeypatch.setattr(names, "_BATCH", 2)
    assert "names" in await prepare(database)
    assert await stored(owner) == whole
    assert "names" not in await prepare(database)
    # Killed half-way it begins again, and whoever writes meanwhile is neither lost nor doubled.
    await owner.execute("update core.name_folding set version = 0")
    await asyncio.gather(prepare(database), prepare(database), _again(owner, list(whole)))
    assert await stored(owner) == whole


async def _again(owner: asyncpg.Connection[Any], ids: list[int]) -> None:
    for one in ids:
        async with owner.transaction():
            await names.index_names(owner, [one])


async def test_only_one_row_of_those_that_begin_alike_is_not_repeated(owner: Any) -> None:
    rows = await owner.fetch(
        "select subject_id, left(suffix, 2) as two, count(*) filter (where not repeated) as first,"
        " bool_and(repeated = exists (select from core.name_part o where o.subject_id = p.subject_id"
        " and left(o.suffix, 2) = left(p.suffix, 2) and (o.tier, o.suffix) < (p.tier, p.suffix))) as right"
        " from core.name_part p group by 1, 2"
    )
    assert rows
    assert all(row["first"] == 1 and row["right"] for row in rows)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_what_is_typed_is_the_beginning_of_an_ending(name: str) -> None:
    """Any part of two characters or more of a name, folded or as written, is the beginning of one of its endings."""
    forms = dict(names.forms(name, (), None, ()))
    endings = {form[at:] for form, count in forms.items() for at in range(count)}
    whole = names.folded(name)
    if whole:
        assert any(ending.startswith(whole) for ending in endings)
    plain = fold_name(name)
    for at in range(len(plain) - 1):
        part = names.folded(plain[at : at + 5])
        if len(part) >= 2 and fold_name(part) == part:
            assert any(ending.startswith(part) for ending in endings)


def test_a_search_ends_after_every_name_that_begins_with_it() -> None:
    for begin in ("公司", "A", "博州"):
        assert all(begin <= begin + rest < names.end_of(begin) for rest in ("", "x", "龥龥", "\U0010fffe"))
        assert not names.end_of(begin).startswith(chr(ord(begin[0]) + 1))


async def test_names_of_any_length_and_shape(owner: Any) -> None:
    for number, name in enumerate(("单", "ﷺ" * 200, "有限责任公司" * 30, "😀" * 200, "（）", "x" * 400)):
        one = await owner.fetchval(
            "insert into core.subject (external_id, class, kind, name, name_folded)"
            " values (gen_random_uuid(), 'ORGANISATION', 'OTHER', $1, $2) returning id",
            name,
            f"{number}",
        )
        await names.index_names(owner, [one], new=True)
        own = (await stored(owner))[one]
        assert any(tier == 0 and suffix.startswith(names.folded(name)[:64]) for tier, suffix in own)


# What stands among the endings of organisations is an organisation's: public searches look no subject up for that -----

_ENDINGS = "select count(*) from core.name_part_organisation where subject_id = $1"


async def _firm(owner: Any, name: str) -> int:
    one: int = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded)"
        " values (gen_random_uuid(), 'ORGANISATION', 'OTHER', $1, $1) returning id",
        name,
    )
    await names.index_names(owner, [one], new=True)
    assert await owner.fetchval(_ENDINGS, one) > 0
    return one


_BECOMES_A_PERSON = "update core.subject set class = 'PERSON', kind = 'NATURAL_PERSON' where id = $1"


async def test_who_is_no_organisation_any_more_is_not_among_their_names(owner: Any) -> None:
    firm, other = await _firm(owner, "从前是企业"), await _firm(owner, "仍是企业")
    await owner.execute(_BECOMES_A_PERSON, firm)
    assert await owner.fetchval(_ENDINGS, firm) == 0
    assert await owner.fetchval(_ENDINGS, other) > 0
    await owner.execute("delete from core.subject where id = $1", other)
    assert await owner.fetchval(_ENDINGS, other) == 0


@pytest.mark.parametrize("table", ["core.name_part", "core.name_part_organisation"])
async def test_a_person_is_not_put_among_organisations(owner: Any, table: str) -> None:
    person = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded)"
        " values (gen_random_uuid(), 'PERSON', 'NATURAL_PERSON', '甲某', '甲某') returning id"
    )
    columns = "subject_id, tier, personal, repeated, kind, suffix"
    add = f"insert into {table} ({columns}) values ($1, 0, false, false, 'OTHER', 'x')"
    with pytest.raises(asyncpg.CheckViolationError, match="no organisation"):
        await owner.execute(add, person)
    with pytest.raises(asyncpg.CheckViolationError, match="no organisation"):
        await owner.execute(add, 2**62)  # of nobody
    firm = await _firm(owner, f"换人 {table}")
    with pytest.raises(asyncpg.CheckViolationError, match="no organisation"):
        await owner.execute(f"update {table} set subject_id = $1 where subject_id = $2", person, firm)


async def test_without_the_triggers_a_person_would_be_found(owner: Any) -> None:
    """What the triggers are for."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute("alter table core.subject disable trigger organisation_update")
        one = await _firm(owner, "曾用企业名")
        await owner.execute(_BECOMES_A_PERSON, one)
        found = "select count(*) from v_public.name_part where suffix = '曾用企业名'"
        assert await owner.fetchval(found) == 1
    finally:
        await transaction.rollback()

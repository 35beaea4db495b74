"""Promises: an identity number in a column of codes, mistyped or not, is rejected and stands nowhere afterwards: in no
table, reject, line on a terminal or search; codes that organisations have are taken as before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import names
from gateway.storage.database import Database
from gateway.storage.identifiers import uscc_check_digit, valid_uscc
from gateway.storage.imports import import_file, parse
from gateway.storage.nearly import hide_nearly, hide_said, is_code_of_organisation, masked, nearly_identity_number
from tests.storage.imports.rows_of_a_clerk import IDENTITY, csv_bytes, load, penalty

MISTYPED = [
    IDENTITY,
    IDENTITY[:-1],
    IDENTITY[1:],
    IDENTITY[:9] + IDENTITY[10:],
    IDENTITY + "5",
    IDENTITY[:3] + "4" + IDENTITY[3:],
    IDENTITY.replace("0", "O"),
    IDENTITY.replace("1", "l"),
    IDENTITY[:-1] + "8",
    f"{IDENTITY[:6]}-{IDENTITY[6:14]}-{IDENTITY[14:17]}",
    f"{IDENTITY[:6]}/{IDENTITY[6:14]}/{IDENTITY[14:17]}",
    f"{IDENTITY[:6]}＿{IDENTITY[6:14]}＼{IDENTITY[14:17]}",
    "652701900101123",
    "6527019001011234",
]


@pytest.mark.parametrize("number", MISTYPED)
def test_a_mistyped_number_is_known_and_its_middle_is_hidden(number: str) -> None:
    assert nearly_identity_number(number)
    assert number[5:10] not in hide_nearly(number)
    assert hide_nearly(f"证件{number}号", pieces=True).count("*") >= 7


@given(st.sampled_from(["91", "92", "93", "12", "51"]), st.from_regex(r"[0-9A-HJ-NP-RT-UW-Y]{9}", fullmatch=True))
def test_no_code_of_an_organisation_is_taken_for_one(prefix: str, body: str) -> None:
    first = f"{prefix}652701{body}"
    assert not nearly_identity_number(first + uscc_check_digit(first))


@pytest.mark.parametrize("code", ["91652799YL0000000X", "916527222294335252", "652701050001234", "D2143569X"])
def test_codes_that_do_not_hold_are_none(code: str) -> None:
    assert not nearly_identity_number(code)
    assert hide_nearly(code) == code


@pytest.mark.parametrize(
    "text",
    [
        "2026/11/28",
        "2022/11/28-2023/11/28",
        "2020-01-02/2021-12-31",
        "博州财审〔2026〕12号",
        "(2026)新27民初123号",
        "91652799YL0000039P/12652799YL0000047F",
        "91652799YL0000039P_2026/11/28",
    ],
)
def test_what_has_slashes_and_is_no_number_stays(text: str) -> None:
    assert masked(text) == text
    assert hide_said(text) == text


@pytest.mark.parametrize("between", ["/", "_", "\\", "／"])
def test_a_mistyped_number_beside_a_code_is_hidden(between: str) -> None:
    short, code = IDENTITY[:-1], "91652799YL0000039P"
    for text in (f"{short}{between}{code}", f"{code}{between}{short}"):
        assert hide_nearly(text, pieces=True) == text.replace(short, f"6527*********{short[-4:]}")


@pytest.mark.parametrize("unit", ["6/", "652701/", "a_", "1///", "身份证1/"])
def test_looking_for_what_is_nearly_one_takes_linear_time(unit: str) -> None:
    text = (unit * 500_000)[:500_000]
    began = time.process_time()
    hide_nearly(text, pieces=True)
    hide_said(text)
    assert time.process_time() - began < 4


def test_a_number_whose_digits_hold_as_a_code_too_is_still_one() -> None:
    passing = next(
        number for n in range(10_000) if valid_uscc(number := f"65270119900101{n:04d}")
    )  # by chance, one in 31
    assert nearly_identity_number(passing)


@given(
    st.from_regex(r"(1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5])[0-9L]{4}(19|20|L9|2L|18)[0-9L]{9}", fullmatch=True),
    st.booleans(),
)
def test_the_quick_look_at_a_code_sees_what_the_long_one_does(first: str, day: bool) -> None:
    code = (first[:10] + "0101" + first[14:]) if day else first
    code += uscc_check_digit(code)
    assert is_code_of_organisation(code) == (not nearly_identity_number(code))


@pytest.mark.parametrize(
    "behind", ["身份证号", "身份证号码：", "公民身份号码为 ", "身份证", "居民身份证号（", "证件号码:"]
)
@pytest.mark.parametrize(
    "number",
    [IDENTITY[:-1], IDENTITY[:-4], IDENTITY + "5", "１２３４５６７８９０１２３４５６７", "652701/1990/0101_12"],
)
def test_behind_the_word_for_it_whatever_is_near_is_hidden(behind: str, number: str) -> None:
    text = f"当事人样例甲（{behind}{number}），账号6217000012345678901"
    told = hide_said(text)
    assert number not in told
    assert number[4:-4] not in told
    assert told.count("*") == len(number) - 8
    assert told.endswith("，账号6217000012345678901")  # accounts are what the text is about


async def test_numbers_in_names_and_texts_stand_nowhere(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    short = IDENTITY[:-1]
    rows = [
        penalty(950_001, CF_XDR_MC=f"样例湖{short}农庄", CF_SY=f"样例事实，身份证号{short}的当事人"),
        penalty(950_002, CF_XDR_MC=f"样例湖{short}农庄", CF_JDRQ="昨天", CF_SY=f"身份证号码为{short[:-1]}"),
    ]
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes(rows))
    report = await load(database, path)
    assert (report.new, report.rejected) == (1, 1)
    assert report.rejects_path is not None
    told = await _everything(owner) + report.rejects_path.read_text(encoding="utf-8-sig") + repr(report)
    assert short[:-1] not in told
    assert "样例湖6527*********9001农庄" in told


async def _everything(owner: asyncpg.Connection[asyncpg.Record]) -> str:
    tables = await owner.fetch("select tablename from pg_tables where schemaname = 'core' order by 1")
    return "".join(
        [
            await owner.fetchval(f'select coalesce(string_agg(t::text, $1), $1) from core."{row[0]}" t', " ")
            for row in tables
        ]
    )


def _file(folder: Path, start: int) -> Path:
    rows = []
    for n, number in enumerate(MISTYPED, start):
        rows.append(penalty(n, CF_XDR_MC=f"样例人{n}", CF_XDR_LB="法人及非法人组织", CF_XDR_SHXYM=number))
        rows.append(penalty(100 + n, CF_CFJGDM=number))
        rows.append(penalty(200 + n, 行标识=number))
    path = folder / "n.csv"
    path.write_bytes(csv_bytes(rows))
    return path


async def test_they_stand_nowhere_afterwards(
    database: Database,
    owner: asyncpg.Connection[asyncpg.Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = await load(database, _file(tmp_path, 910_000))
    assert (report.read, report.rejected) == (3 * len(MISTYPED), 3 * len(MISTYPED))
    assert report.rejects_path is not None
    told = await _everything(owner) + report.rejects_path.read_text(encoding="utf-8-sig") + repr(report)
    for number in MISTYPED:
        assert number not in told
        assert number[:-1] not in told
    assert "6527*" in told  # masked, not gone
    monkeypatch.setattr(parse, "_refuse_identity_number", lambda code: None)  # without the control
    monkeypatch.setattr(parse, "nearly_identity_number", lambda code: False)
    await load(database, _file(tmp_path, 920_000), rejects=tmp_path / "other.rejects.csv")
    assert IDENTITY[:-1] in await _everything(owner)


async def test_what_came_in_before_is_not_found_by_its_number(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    subject = await owner.fetchval(
        "insert into core.subject (external_id, class, kind, name, name_folded)"
        " values (gen_random_uuid(), 'ORGANISATION', 'OTHER', '样例旧人', '样例旧人') returning id"
    )
    await owner.execute(
        "insert into core.identifier (subject_id, scheme, value) values ($1, 'USCC_INVALID', $2),"
        " ($1, 'ORGANISATION_CODE', 'G12345679')",
        subject,
        IDENTITY[:-1],
    )
    await names.index_names(owner, [subject])
    found = [row[0] for row in await owner.fetch("select suffix from core.name_part where subject_id = $1", subject)]
    assert all("旧人" in one for one in found)
    assert found


async def test_names_of_files_and_people_are_masked_in_the_journal(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    path = tmp_path / f"样例{IDENTITY}.csv"
    path.write_bytes(csv_bytes([penalty(930_000)]))
    options: dict[str, Any] = {"mapping": None, "rejects": None, "progress": None}
    await import_file(database, path, "penalties", entered_by=f"样例{IDENTITY[:-1]}", **options)
    run = await owner.fetchrow("select file_name, entered_by from core.import_run order by id desc limit 1")
    assert run is not None
    assert (run["file_name"], run["entered_by"]) == ("样例6527**********0017.csv", "样例6527*********9001")
    assert (
        await owner.fetchval("select count(*) from core.record_version where entered_by = '样例6527*********9001'") == 1
    )


async def test_of_a_column_that_means_nothing_only_the_name_is_kept(
    database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    path = tmp_path / "left.csv"
    path.write_bytes(csv_bytes([penalty(940_000, 家庭成员="样例私事")]))
    await load(database, path)
    originals = await owner.fetchval("select string_agg(original, ' ') from core.record_version")
    assert '"未采用的列":"家庭成员"' in originals
    assert "样例私事" not in originals

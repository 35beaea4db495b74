"""Promises: every kind of dirt that is met in the files of departments either comes out as what the clerk meant, or is
rejected with a reason; each row stands here as it was sent, together with what must be in the database afterwards."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import xlsxwriter

from gateway.storage.database import Database
from tests.storage.imports.rows_of_a_clerk import (
    IDENTITY,
    ORGAN,
    ORGAN_NAME,
    code,
    csv_bytes,
    load,
    penalty,
    table,
    workbook,
)

DAY = dt.date(2017, 8, 11)
ROW = "行标识"  # a column of ours that no record shows: kept with the row as received, it finds the row again
_WRITTEN = f"""
    select v.original::jsonb ->> '{ROW}' as name_of_dirt,
           s.name, s.uscc, s.kind as subject_kind, s.class, s.region_code, s.legal_representative,
           r.decided_on, r.published_from, r.published_until, r.amount, r.document_number, r.title, r.basis, r.facts,
           r.status, r.under_objection, r.severity, a.name as authority, a.uscc as authority_uscc, r.detail
    from core.record r join core.record_version v on v.record_id = r.id join core.subject s on s.id = r.subject_id
    left join core.subject a on a.id = r.authority_id
"""


@dataclass(frozen=True)
class Rejected:
    """What the rejects must say: under which heading, and a part of the reason in English and in Chinese."""

    heading: str
    en: str
    zh: str


@dataclass(frozen=True)
class Dirt:
    """One kind of dirt: the cells that differ from a clean row, and what must come out."""

    name: str
    cells: Mapping[str, Any]
    wanted: Mapping[str, Any] | Rejected
    kind: str = "penalties"
    without: tuple[str, ...] = ()
    write: Callable[[Path, dict[str, Any]], Path] | None = None
    clean: Callable[[int], dict[str, str]] = field(default=penalty)


def licence(number: int) -> dict[str, str]:
    return {
        "XK_XDR_MC": f"样例{number}有限公司",
        "XK_XDR_SHXYM": code("91", number),
        "XK_XKWS": "样例许可决定",
        "XK_WSH": f"样例许〔2026〕{number}号",
        "XK_XKLB": "普通",
        "XK_NR": "样例许可内容",
        "XK_JDRQ": "2026-03-15",
        "XK_XKJG": ORGAN_NAME,
        "XK_XKJGDM": ORGAN,
    }


def _csv(**options: Any) -> Callable[[Path, dict[str, Any]], Path]:
    def write(folder: Path, row: dict[str, Any]) -> Path:
        path = folder / "rows.csv"
        path.write_bytes(csv_bytes([row], **options))
        return path

    return write


def _sheet(folder: Path, row: dict[str, Any]) -> Path:
    return workbook(folder / "rows.xlsx", {"数据": table([row])})


def _headings(change: Callable[[str], str]) -> Callable[[Path, dict[str, Any]], Path]:
    return lambda folder, row: _csv()(folder, {name if name == ROW else change(name): row[name] for name in row})


def _sheet_with_error(folder: Path, row: dict[str, Any]) -> Path:
    path = folder / "rows.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    for position, (heading, cell) in enumerate(row.items()):
        sheet.write_string(0, position, heading)
        if heading == "CF_NR_FK":
            sheet.write_formula(1, position, "=VLOOKUP(A1,B:C,2,0)", None, "#N/A")
        else:
            sheet.write_string(1, position, cell)
    book.close()
    return path


CHINESE = {
    "CF_XDR_MC": "行政相对人名称", "CF_XDR_LB": "行政相对人类别", "CF_XDR_SHXYM": "行政相对人代码_1(统一社会信用代码)",
    "CF_WSH": "行政处罚决定书文号", "CF_WFXW": "违法行为类型", "CF_CFLB": "处罚类别", "CF_SY": "违法事实",
    "CF_JDRQ": "处罚决定日期", "CF_CFJG": "处罚机关", "CF_CFJGDM": "处罚机关统一社会信用代码",
}  # fmt: skip
FINE = {"CF_CFLB": "罚款"}


def until(name: str, text: str, day: dt.date | None = DAY) -> Dirt:
    return Dirt(
        name, {"CF_YXQ": text, "CF_JDRQ": "2017-01-01"}, {"valid_until": None if day is None else day.isoformat()}
    )


def fine(name: str, text: str, yuan: str) -> Dirt:
    return Dirt(name, {**FINE, "CF_NR_FK": text}, {"fine": yuan})


def not_fine(name: str, text: str, en: str = "not an amount", zh: str = "不是金额") -> Dirt:
    return Dirt(name, {**FINE, "CF_NR_FK": text}, Rejected("CF_NR_FK", en, zh))


def kinds(name: str, text: str, *wanted: str) -> Dirt:
    return Dirt(name, {"CF_CFLB": text, "CF_NR_FK": "1"}, {"penalty_kinds": list(wanted)})


HELD = code("91", 650_001)
TABLE = [
    # What stands for nothing
    until("null as /", "/", None),
    until("null as 无", "无", None),
    until("null as 暂无", "暂无", None),
    until("null as —— and （无）", "（无）", None),
    until("null as NULL in capitals", "NULL", None),
    until("null as a full-width slash", "／", None),
    until("null as 1900-1-1", "1900-1-1", None),
    until("null as 1900/01/01 0:00:00", "1900/01/01 0:00:00", None),
    until("null as 0000-00-00", "0000-00-00", None),
    Dirt("required and null", {"CF_WSH": "暂无"}, Rejected("CF_WSH", "required and empty", "必填项为空")),
    # Days
    until("day as 2017年08月11日", "2017年08月11日"),
    until("day as 2017年8月11日 with spaces", "2017 年 8 月 11 日"),
    until("day as 20170811", "20170811"),
    until("day as 2017/8/11", "2017/8/11"),
    until("day as 2017.8.11", "2017.8.11"),
    until("day as an Excel serial", "42958"),
    until("day as an Excel serial with a time in it", "42958.4375"),
    until("day as a number with decimals", "20170811.0"),
    until("day with a time of day", "2017-08-11 10:30:00"),
    until("day in full-width digits", "２０１７－０８－１１"),
    until("day in Chinese numerals", "二〇一七年八月十一日"),
    until("day behind an apostrophe", "'2017-08-11"),
    until("day as an instant in UTC", "2017-08-10T16:00:00.000Z"),
    until("day as milliseconds since 1970", "1502380800000"),
    until("day as Java prints it", "Fri Aug 11 00:00:00 CST 2017"),
    until("day as 长期", "长期", dt.date(2099, 12, 31)),
    Dirt("day that is none", {"CF_JDRQ": "2026-02-30"}, Rejected("CF_JDRQ", "not a date", "不是日期")),
    Dirt("day with a year of two digits", {"CF_JDRQ": "26-3-15"}, Rejected("CF_JDRQ", "not a date", "不是日期")),
    Dirt("day and month in doubt", {"CF_JDRQ": "3/5/2026"}, Rejected("CF_JDRQ", "not a date", "不是日期")),
    Dirt("month without a day", {"CF_JDRQ": "2026年3月"}, Rejected("CF_JDRQ", "not a date", "不是日期")),
    Dirt("day in the future", {"CF_JDRQ": "2026-06-03"}, Rejected("CF_JDRQ", "after it was received", "晚于接收")),
    Dirt(
        "day of an end before the decision",
        {"CF_YXQ": "2026-03-14"},
        Rejected("CF_YXQ", "it ends before", "处罚有效期早于"),
    ),
    Dirt(
        "nobody who decided", {"CF_CFJG": "", "CF_CFJGDM": "/"}, Rejected("CF_CFJG", "needs the authority", "处罚机关")
    ),
    # Money
    fine("amount in the column's 万元", "1.5", "15000.00"),
    fine("amount with unit 万元", "1.5万元", "15000.00"),
    fine("amount with unit 元 under a heading in 万元", "15000元", "15000.00"),
    fine("amount with currency and 整", "人民币1.5万元整", "15000.00"),
    fine("amount with ¥ and thousands", "¥15,000.00元", "15000.00"),
    fine("amount in full-width characters", "１．５ 万元", "15000.00"),
    fine("amount in Chinese capitals", "壹万伍仟元整", "15000.00"),
    fine("amount with six decimals", "0.123400", "1234.00"),
    fine("amount without a zero in front", ".5", "5000.00"),
    not_fine("amount as a unit alone", "万元"),
    not_fine("amount as another unit alone", "亿"),
    not_fine("amount of units without a number between", "一亿万元"),
    not_fine("fine of nothing", "0", "a fine of 0", "罚款金额为 0"),
    not_fine("amount below zero", "-1.5"),
    not_fine("amount as a range", "1-2万元"),
    not_fine("amount as a guess", "约1.5万元"),
    not_fine("amount with cents of a fen", "0.0000001", "more decimals than there are fen", "小数位过多"),
    not_fine("amount as Excel shortens it", "1.5E+12", "stored as a number", "存为数字"),
    not_fine("amount as an error of Excel", "#N/A", "error value of Excel", "Excel 的错误值"),
    # Kinds of penalty
    kinds("kinds with a semicolon", "罚款;没收违法所得", "罚款", "没收违法所得"),
    kinds("kinds with 、 inside", "没收违法所得、没收非法财物", "没收违法所得", "没收非法财物"),
    kinds("kinds with full-width marks at the end", "警告；罚款；", "警告", "罚款"),
    kinds("kinds with line breaks", "警告\n罚款", "警告", "罚款"),
    kinds("kinds with numbers in front", "1.警告2.罚款", "警告", "罚款"),
    kinds("kinds with their amounts", "警告、罚款（5000元）", "警告", "罚款"),
    kinds("kinds joined by 并处", "警告并处罚款", "警告", "罚款"),
    kinds("kind in another spelling", "吊销营业执照", "吊销许可证件"),
    kinds("kind of no other name", "其他-责令改正", "其他"),
    Dirt("kind that is none", {"CF_CFLB": "口头教育"}, Rejected("CF_CFLB", "not a kind of penalty", "不是行政处罚法")),
    Dirt("kind that is one of two", {"CF_CFLB": "暂扣或吊销许可证"}, Rejected("CF_CFLB", "say which", "两种处罚")),
    # Codes and numbers
    Dirt(
        "code in small letters with spaces", {"CF_XDR_SHXYM": f" {HELD[:8].lower()} {HELD[8:].lower()}"}, {"uscc": HELD}
    ),
    Dirt(
        "code in full-width characters",
        {"CF_XDR_SHXYM": HELD.translate({n: n + 0xFEE0 for n in range(48, 91)})},
        {"uscc": HELD},
    ),
    Dirt("code behind an apostrophe", {"CF_XDR_SHXYM": f"'{HELD}"}, {"uscc": HELD}),
    Dirt('code as ="…"', {"CF_XDR_SHXYM": f'="{HELD}"'}, {"uscc": HELD}),
    Dirt("code with a tab behind it", {"CF_XDR_SHXYM": f"{HELD}\t"}, {"uscc": HELD}),
    Dirt("code with O for 0", {"CF_XDR_SHXYM": HELD.replace("0", "O")}, {"uscc": HELD}),
    Dirt("code of zeros and an X", {"CF_XDR_SHXYM": "0" * 17 + "X"}, {"uscc": None}),
    Dirt(
        "code that fails its check digit",
        {"CF_XDR_SHXYM": HELD[:17] + ("0" if HELD[17] != "0" else "1")},
        {"uscc": None},
    ),
    Dirt(
        "code as Excel shortens it",
        {"CF_XDR_SHXYM": "9.16527E+17"},
        Rejected("CF_XDR_SHXYM", "stored as a number", "存为数字"),
    ),
    Dirt(
        "code half hidden",
        {"CF_XDR_SHXYM": HELD[:4] + "*" * 10 + HELD[14:]},
        Rejected("CF_XDR_SHXYM", "a masked number (with *)", "已脱敏"),
    ),
    Dirt(
        "two codes in a cell",
        {"CF_XDR_SHXYM": f"{HELD}/{code('91', 650_002)}"},
        Rejected("CF_XDR_SHXYM", "one in a cell", "一格只填一个"),
    ),
    Dirt(
        "identity number in the code's place",
        {"CF_XDR_SHXYM": IDENTITY},
        Rejected("CF_XDR_SHXYM", "identity number stands", "居民身份证号码"),
    ),
    Dirt(
        "organisation code in place of the code",
        {"CF_XDR_SHXYM": "", "CF_XDR_ZZJG": f"{HELD[8:16]}-{HELD[16]}"},
        {"uscc": None},
    ),
    Dirt(
        "document number in square brackets",
        {"CF_WSH": "博州财罚[2026] 12 号"},
        {"document_number": "博州财罚〔2026〕12号"},
    ),
    Dirt(
        "document number in brackets that differ",
        {"CF_WSH": "博州财罚【2026)13号"},
        {"document_number": "博州财罚〔2026〕13号"},
    ),
    Dirt(
        "document number in full-width digits",
        {"CF_WSH": "博州财罚（２０２６）１４号"},
        {"document_number": "博州财罚〔2026〕14号"},
    ),
    # Texts
    Dirt("name with a line break inside", {"CF_XDR_MC": "样例断行\n有限公司"}, {"name": "样例断行有限公司"}),
    Dirt("name with invisible characters", {"CF_XDR_MC": "\u200b样例隐形\ufeff有限公司"}, {"name": "样例隐形有限公司"}),
    Dirt("text with entities of HTML", {"CF_SY": "甲&nbsp;&amp;&nbsp;乙<br/>丙"}, {"facts": "甲 & 乙\n丙"}),
    Dirt("text with control characters", {"CF_SY": "样例\x0b事实\x1f"}, {"facts": "样例事实"}),
    Dirt(
        "text that was lost before",
        {"CF_XDR_MC": "样例锟斤拷有限公司"},
        Rejected("CF_XDR_MC", "characters were lost", "乱码"),
    ),
    Dirt("text with an identity number", {"CF_SY": f"法人{IDENTITY}违法"}, {"facts": "法人6527**********0017违法"}),
    Dirt("text too long", {"CF_WFXW": "长" * 2_001}, Rejected("CF_WFXW", "too long: 2001", "超过最大长度")),
    Dirt("text with a NUL", {"CF_SY": "a\x00b"}, Rejected("CF_SY", "NUL", "空字符")),
    # Kinds of subject, divisions
    Dirt("kind of subject in words", {"CF_XDR_LB": "个体工商户"}, {"subject_kind": "INDIVIDUAL_BUSINESS"}),
    Dirt(
        "person with an identity number",
        {"CF_XDR_LB": "自然人", "CF_XDR_SHXYM": "", "CF_XDR_ZJHM": IDENTITY.lower()},
        {"class": "PERSON", "uscc": None},
    ),
    Dirt(
        "person without one",
        {"CF_XDR_LB": "自然人", "CF_XDR_SHXYM": ""},
        Rejected("证件号码", "needs an identity number", "须有证件号码"),
    ),
    Dirt(
        "nobody's name alone",
        {"CF_XDR_LB": "", "CF_XDR_SHXYM": ""},
        Rejected("CF_XDR_LB", "say the kind of subject", "主体类别"),
    ),
    Dirt("division of twelve digits", {"行政区划代码": "652701000000"}, {"region_code": "652701"}),
    Dirt("division by its name", {"行政区划代码": "博乐市"}, {"region_code": "652701"}),
    Dirt(
        "division that is none",
        {"行政区划代码": "999999"},
        Rejected("行政区划代码", "no such division", "没有这个行政区划"),
    ),
    # Headings and files
    Dirt("headings in Chinese", {}, {"decided_on": dt.date(2026, 3, 15)}, write=_headings(CHINESE.__getitem__)),
    Dirt(
        "headings with asterisk and （必填）",
        {},
        {"title": "样例违法行为"},
        write=_headings(lambda name: f"*{CHINESE[name]}（必填）"),
    ),
    Dirt(
        "headings broken over lines",
        {},
        {"title": "样例违法行为"},
        write=_headings(lambda name: f"{CHINESE[name][:3]}\n {CHINESE[name][3:]}"),
    ),
    Dirt(
        "headings with full-width brackets and underscore",
        {},
        {"title": "样例违法行为"},
        write=_headings(lambda name: CHINESE[name].replace("(", "（").replace(")", "）").replace("_", "＿")),
    ),
    Dirt(
        "headings with small letters and hyphens",
        {},
        {"title": "样例违法行为"},
        write=_headings(lambda name: name.lower().replace("_", "-")),
    ),
    Dirt(
        "headings with numbers in front",
        {},
        {"title": "样例违法行为"},
        write=_headings(lambda name: f"3.{CHINESE[name]}"),
    ),
    Dirt(
        "a title above the header",
        {},
        {"title": "样例违法行为"},
        write=_csv(above="博州民族宗教事务局行政处罚信息表,,,,\r\n"),
    ),
    Dirt(
        "表格说明 above the header",
        {},
        {"title": "样例违法行为"},
        write=_csv(above="表格说明：本表由示例局填报,,\r\n\r\n填报日期：2026-06-01,,\r\n"),
    ),
    Dirt("GB18030", {}, {"title": "样例违法行为"}, write=_csv(encoding="gb18030")),
    Dirt("UTF-8 with a byte order mark", {}, {"title": "样例违法行为"}, write=_csv(encoding="utf-8-sig")),
    Dirt("Unicode text of Excel", {}, {"title": "样例违法行为"}, write=_csv(encoding="utf-16", delimiter="\t")),
    Dirt("semicolons between the columns", {}, {"title": "样例违法行为"}, write=_csv(delimiter=";")),
    # Workbooks
    Dirt(
        "day as a cell of a workbook",
        {"CF_JDRQ": dt.date(2026, 3, 15)},
        {"decided_on": dt.date(2026, 3, 15)},
        write=_sheet,
    ),
    Dirt("day as a number in a workbook", {"CF_JDRQ": 20260315}, {"decided_on": dt.date(2026, 3, 15)}, write=_sheet),
    Dirt("amount as a number in a workbook", {**FINE, "CF_NR_FK": 1.1}, {"fine": "11000.00"}, write=_sheet),
    Dirt(
        "code as a number in a workbook",
        {"CF_XDR_SHXYM": 916527990000000000},
        Rejected("CF_XDR_SHXYM", "stored as a number", "存为数字"),
        write=_sheet,
    ),
    Dirt(
        "error value in a workbook",
        {**FINE, "CF_NR_FK": ""},
        Rejected("CF_NR_FK", "error value of Excel", "错误值"),
        write=_sheet_with_error,
    ),
    # The older generation, and licences
    Dirt(
        "older: kinds in two columns",
        {"CF_CFLB1": "警告", "CF_CFLB2": "罚款"},
        {"penalty_kinds": ["警告", "罚款"]},
        without=("CF_CFLB",),
    ),
    Dirt(
        "older: kinds as digits",
        {"CF_CFLB1": "2", "CF_CFLB2": "/"},
        {"penalty_kinds": ["没收违法所得", "没收非法财物"]},
        without=("CF_CFLB",),
    ),
    Dirt(
        "older: a digit that is two kinds",
        {"CF_CFLB1": "4"},
        Rejected("CF_CFLB1", "say which", "两种处罚"),
        without=("CF_CFLB",),
    ),
    Dirt("older: state 2 is an objection", {"CF_ZT": "2"}, {"under_objection": True, "status": "ACTIVE"}),
    Dirt("older: state 1 needs its reason", {"CF_ZT": "1"}, Rejected("变更原因", "needs its reason", "理由")),
    Dirt(
        "older: state 1 of what is not on record",
        {"CF_ZT": "1", "BZ": "样例：经复议撤销"},
        Rejected("CF_WSH", "nothing to revoke", "没有可撤销的信息"),
    ),
    Dirt(
        "older: the case's name", {"CF_CFMC": "样例案"}, {"title": "样例案", "offence": "样例案"}, without=("CF_WFXW",)
    ),
    Dirt(
        "licence: kind with 许可 behind it",
        {"XK_XKLB": "普通许可"},
        {"licence_kind": "普通"},
        "licences",
        clean=licence,
    ),
    Dirt(
        "licence: kind of no other name",
        {"XK_XKLB": "其他-备案"},
        {"licence_kind": "其他-备案"},
        "licences",
        clean=licence,
    ),
    Dirt(
        "licence: kind that is none",
        {"XK_XKLB": "审批"},
        Rejected("XK_XKLB", "not a kind of licence", "不是许可类别"),
        "licences",
        clean=licence,
    ),
    Dirt(
        "licence: state 2", {"XK_ZT": "2"}, {"licence_state": "INVALID", "status": "ACTIVE"}, "licences", clean=licence
    ),
    Dirt(
        "licence: state 1 of the older generation",
        {"XK_ZT": "1", "XK_SPLB": "普通", "BZ": "样例：撤销"},
        Rejected("XK_WSH", "nothing to revoke", "没有可撤销的信息"),
        "licences",
        without=("XK_XKLB",),
        clean=licence,
    ),
    Dirt(
        "licence: until 2099/12/31",
        {"XK_YXQZI": "2099/12/31"},
        {"valid_until": "2099-12-31"},
        "licences",
        clean=licence,
    ),
]


@pytest.fixture(scope="module")
async def found(
    owner: asyncpg.Connection[asyncpg.Record], database: Database, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What became of every row of the table, by its name. Rows under the same headings share a file."""
    await owner.execute(
        "insert into core.region (code, name, level, parent) values ('65', '新疆维吾尔自治区', 'PROVINCE', null),"
        " ('6527', '博尔塔拉蒙古自治州', 'PREFECTURE', '65'), ('652701', '博乐市', 'COUNTY', '6527')"
    )
    made: dict[str, dict[str, Any]] = {}
    files: dict[object, list[tuple[Dirt, dict[str, Any]]]] = {}
    for number, dirt in enumerate(TABLE, 700_001):
        clean = {name: cell for name, cell in dirt.clean(number).items() if name not in dirt.without}
        row = {**clean, **dirt.cells, ROW: dirt.name}
        files.setdefault(dirt.name if dirt.write else (dirt.kind, *row), []).append((dirt, row))
    for inside in files.values():
        folder = tmp_path_factory.mktemp("dirt")
        dirt = inside[0][0]
        if dirt.write:
            path = dirt.write(folder, inside[0][1])
        else:
            path = folder / "rows.csv"
            path.write_bytes(csv_bytes([row for _, row in inside]))
        report = await load(database, path, dirt.kind)
        assert report.read == len(inside)
        if report.rejects_path is not None:
            with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
                rejects = list(csv.DictReader(file))
            assert len(rejects) == report.rejected
            made |= {reject[ROW]: {"rejected": reject} for reject in rejects}
    for row in await owner.fetch(_WRITTEN):
        made[row["name_of_dirt"]] = {**dict(row), **json.loads(row["detail"])}
    return made


def test_sixty_kinds_and_each_has_a_name_of_its_own() -> None:
    assert len({dirt.name for dirt in TABLE}) == len(TABLE) >= 60


@pytest.mark.parametrize("dirt", TABLE, ids=lambda dirt: dirt.name)
async def test_dirt(dirt: Dirt, found: dict[str, dict[str, Any]]) -> None:
    outcome = found[dirt.name]
    if isinstance(dirt.wanted, Rejected):
        reject = outcome["rejected"]
        assert dirt.wanted.heading in reject["column"].split(" | ")
        assert dirt.wanted.en in reject["reason_en"]
        assert dirt.wanted.zh in reject["reason_zh"]
        return
    assert "rejected" not in outcome
    assert {name: outcome.get(name) for name in dirt.wanted} == dict(dirt.wanted)

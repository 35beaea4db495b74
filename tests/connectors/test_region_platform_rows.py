"""Promises: rows of the regional platform become records' columns, the same as the import of files makes of them.

Values expected are worked out by hand from DOMAIN §4 and UPSTREAMS §5; the last test holds them against the import's
own reading of the same cells. No identity number leaves.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from connectors.base import FailureKind, Row
from connectors.http import UpstreamError
from connectors.region_platform_rows import natural_key, normalise
from connectors.region_platform_values import read_amount, read_kinds, valid_uscc
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.parse import parse_cell
from tests.connectors.platform_upstream import code, penalty, row

USCC, OTHER, ORGAN = code("91", 1), code("91", 2), code("11", 900001)
LICENCE = {
    "XK_XDR_MC": "样例一有限公司", "XK_XDR_SHXYM": USCC, "XK_XKWS": "/", "XK_WSH": "样例许字(2026)第7号",
    "XK_XKLB": "普通许可", "XK_XKZS": "食品经营许可证", "XK_XKBH": "JY1", "XK_NR": "食品销售", "XK_JDRQ": "46022",
    "XK_YXQZ": "2026/1/2", "XK_YXQZI": "长期", "XK_XKJG": "示例局", "XK_XKJGDM": "不详", "XK_ZT": "1",
}  # fmt: skip
HONOUR = {"title": "示例先进(单位)", "awarded_on": "2026-01-01", "authority": "示例局", "valid_to": "2027-01-01"}
LIST = {"list_name": "示例名单", "listed_on": "20260101", "basis": "依据", "authority": "示例局", "removed_on": None}
ABNORMAL = {"reason": "示例原因", "listed_on": "2026-01-01", "authority": "示例局", "removed_on": "2026-02-01"}


def wired(raw: dict[str, Any]) -> dict[str, Any]:
    """The row as it arrives: through JSON, whose fractions are decimals."""
    arrived: dict[str, Any] = json.loads(json.dumps(raw, default=float), parse_float=Decimal)
    return arrived


def read(raw: dict[str, Any]) -> Row:
    return normalise(wired(raw)).row


def broken(raw: dict[str, Any]) -> FailureKind:
    with pytest.raises(UpstreamError) as caught:
        normalise(wired(raw))
    return caught.value.failure.kind


def test_a_penalty() -> None:
    assert read(penalty(USCC)) == {
        "subject_uscc": USCC, "subject_name": "样例一有限公司", "kind": "PENALTY", "area": "GENERAL", "severity": None,
        "title": "无证经营", "document_number": "样例〔2026〕1号", "decided_on": "2026-03-15",
        "authority_name": "示例博州财政局", "authority_uscc": ORGAN, "penalty_kinds": ["罚款", "没收违法所得"],
        "offence": "无证经营", "facts": "样例事实", "basis": "样例依据", "content": "罚款", "fine": "15000.00",
        "confiscated": "2500.00", "amount": "17500.00", "licence_effect": None, "valid_until": "2099-12-31",
        "published_until": "2027-03-15", "table": "xzcf", "natural_key": f"xzcf|{USCC}|样例〔2026〕1号",
        "data_source": "示例数据中心", "updated_at": "2026-04-01T10:20:30+08:00",
    }  # fmt: skip


def test_a_licence() -> None:
    made = read(row("xzxk", USCC, LICENCE))
    assert {name: value for name, value in made.items() if value is not None} == {
        "subject_uscc": USCC, "subject_name": "样例一有限公司", "kind": "LICENCE", "area": "GENERAL",
        "title": "食品经营许可证", "document_number": "样例许字〔2026〕第7号", "decided_on": "2025-12-31",
        "authority_name": "示例局", "licence_kind": "普通", "certificate_name": "食品经营许可证",
        "certificate_number": "JY1", "content": "食品销售", "valid_from": "2026-01-02", "valid_until": "2099-12-31",
        "table": "xzxk", "natural_key": f"xzxk|{USCC}|样例许字〔2026〕第7号", "data_source": "示例数据中心",
        "updated_at": "2026-04-01T10:20:30+08:00",
    }  # fmt: skip


def test_honours_and_lists() -> None:
    honour, listed, abnormal = (
        read(row(table, USCC, entity))
        for table, entity in (("honour", HONOUR), ("serious_dishonesty", LIST), ("abnormal", ABNORMAL))
    )
    assert (honour["kind"], honour["title"], honour["valid_until"]) == ("HONOUR", "示例先进(单位)", "2027-01-01")
    assert honour["natural_key"] == f"honour|{USCC}|示例先进〔单位〕|2026-01-01"
    assert (listed["kind"], listed["severity"], listed["title"]) == ("LIST_ENTRY", "SERIOUS", "示例名单")
    assert (listed["list_name"], listed["basis"], listed["removed_on"]) == ("示例名单", "依据", None)
    assert listed["natural_key"] == f"serious_dishonesty|{USCC}|示例名单|2026-01-01"
    assert (abnormal["kind"], abnormal["severity"], abnormal["list_name"]) == ("LIST_ENTRY", None, "经营异常名录")
    assert (abnormal["grounds"], abnormal["removed_on"]) == ("示例原因", "2026-02-01")
    assert abnormal["natural_key"] == f"abnormal|{USCC}|示例原因|2026-01-01"


def test_identity_numbers_do_not_leave() -> None:
    raw = penalty(
        USCC, CF_XDR_ZJHM="652799196009290017", CF_XDR_SFZ="652799196009290017", CF_FR_SFZH="652799196009290017"
    )
    assert "652799196009290017" in json.dumps(raw)
    assert "652799196009290017" not in json.dumps(read(raw))


@pytest.mark.parametrize("key", ["CF_XDR_MC", "CF_WSH", "CF_JDRQ", "CF_CFJG", "CF_CFLB"])
def test_a_column_that_a_penalty_needs_must_be_there(key: str) -> None:
    raw = penalty(USCC)
    del raw["entity"][key]
    assert broken(raw) is FailureKind.MALFORMED


@pytest.mark.parametrize("key", ["table_name", "tyshxydm", "entity", "dataSource", "updateTime"])
def test_a_row_has_all_keys_of_the_contract(key: str) -> None:
    raw = penalty(USCC)
    del raw[key]
    assert broken(raw) is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("table", "entity"), [("honour", HONOUR), ("serious_dishonesty", LIST), ("abnormal", ABNORMAL)]
)
def test_the_other_tables_need_their_keys_too(table: str, entity: dict[str, Any]) -> None:
    for key in [*list(entity)[:2], "authority"]:
        assert broken(row(table, USCC, {name: value for name, value in entity.items() if name != key})) is (
            FailureKind.MALFORMED
        )


def test_columns_that_reports_leave_out_are_null() -> None:
    needed = ("CF_XDR_MC", "CF_WSH", "CF_JDRQ", "CF_CFJG", "CF_CFLB")
    raw = penalty(USCC)
    raw["entity"] = {key: raw["entity"][key] for key in needed}
    made = read(raw)
    assert (made["amount"], made["offence"], made["title"]) == (None, None, "样例〔2026〕1号")


@pytest.mark.parametrize(
    "changes",
    [
        {"CF_WSH": 12}, {"CF_WSH": "/"}, {"CF_WSH": "号" * 201}, {"CF_XDR_MC": "名" * 201}, {"CF_JDRQ": "1900-1-1"},
        {"CF_JDRQ": "2026-02-30"}, {"CF_JDRQ": "12345"}, {"CF_JDRQ": True}, {"CF_NR_FK": True}, {"CF_NR_FK": "很多"},
        {"CF_NR_FK": -1}, {"CF_NR_FK": "1.5美元"}, {"CF_NR_FK": Decimal("1E+30")}, {"CF_NR_FK": 10**40},
        {"CF_BZ": {"a": 1}}, {"CF_SY": ["x"]}, {"CF_XDR_LB": "自然人"},
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_is_malformed(changes: dict[str, Any]) -> None:
    assert broken(penalty(USCC, **changes)) is FailureKind.MALFORMED


@pytest.mark.parametrize(
    "kind",
    [
        "自然人\u200b", "\ufeff自然人", "自然人 ", "自 然\u3000人", "自然\u00ad人", "自\u2066然人", "自然人（公民）",
        "自然人(个体)", "1", "公民", "个人", "外国人", "法人 自然人",
    ],
)  # fmt: skip
def test_a_person_is_no_subject_however_the_kind_is_written(kind: str) -> None:
    assert broken(penalty(USCC, CF_XDR_LB=kind)) is FailureKind.MALFORMED
    licence = {"XK_XDR_MC": "样例", "XK_WSH": "许1", "XK_JDRQ": "2026-01-01", "XK_XKJG": "局", "XK_XDR_LB": kind}
    assert broken(row("xzxk", USCC, licence)) is FailureKind.MALFORMED


@pytest.mark.parametrize(
    "kind", ["法人及非法人组织", "法人及非法人组织\u200b", "个体 工商户", "个体户", "企业法人", "", "/", "无", None]
)
def test_the_kinds_of_the_contract_and_none_are_taken(kind: str | None) -> None:
    assert read(penalty(USCC, CF_XDR_LB=kind))["subject_uscc"] == USCC


def test_another_subjects_code_in_the_entity_is_foreign_and_nothing_there_is_null() -> None:
    assert broken(penalty(USCC, CF_XDR_SHXYM=OTHER)) is FailureKind.FOREIGN_ROWS
    for none in ("/", None, "无", "12345", USCC.lower()):
        assert read(penalty(USCC, CF_XDR_SHXYM=none))["subject_uscc"] == USCC


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2017年08月11日", "2017-08-11"), ("2017年8月1日", "2017-08-01"), ("20170811", "2017-08-11"),
        ("2017/8/11", "2017-08-11"), ("2017-08-11", "2017-08-11"), ("2017-08-11 12:30:00", "2017-08-11"),
        ("42958", "2017-08-11"), (42958, "2017-08-11"), (20170811, "2017-08-11"),
        ("２０１７/８/１１", "2017-08-11"),
        ("1900-1-1", None), ("1900-01-01 00:00:00", None), ("/", None), ("无", None), ("暂无", None), (None, None),
    ],
)  # fmt: skip
def test_days_as_they_are_written(written: Any, day: str | None) -> None:
    made = normalise(wired(penalty(USCC, CF_GSJZQ=written)))
    assert (made.row["published_until"], made.unreadable) == (day, 0)


@pytest.mark.parametrize(
    ("written", "yuan"),
    [
        (1, "10000.00"), (Decimal("0.000001"), "0.01"), (Decimal("12.345678"), "123456.78"), ("1.5", "15000.00"),
        ("1.5万元", "15000.00"), ("1500元", "1500.00"), ("1,500元", "1500.00"), (0, "0.00"), ("/", None), (None, None),
        (Decimal("0.30000000000000004"), "3000.00"), ("１．５ 万元", "15000.00"),
    ],
)  # fmt: skip
def test_amounts_are_in_wan_unless_they_say_yuan(written: Any, yuan: str | None) -> None:
    assert read_amount(written, "CF_NR_FK") == yuan


def test_kinds_are_split_and_said_once() -> None:
    assert read_kinds("罚款；没收违法所得、警告,罚款，其他-样例;吊销营业执照", "k") == [
        "罚款", "没收违法所得", "警告", "其他", "吊销许可证件",
    ]  # fmt: skip
    assert read(penalty(USCC, CF_CFLB="/"))["penalty_kinds"] is None


def test_the_older_generation_is_read_by_its_names() -> None:
    entity = {
        "CF_XDR_MC": "样例一有限公司", "CF_WSH": "（2010）样例字第3号", "CF_JDRQ": "2026-03-15", "CF_XZJG": "示例局",
        "CF_CFLB1": "1", "CF_CFLB2": "2", "CF_CFMC": "无证经营案", "CF_JG": "罚款二百元",
    }  # fmt: skip
    made = read(row("xzcf", USCC, entity))
    assert made["penalty_kinds"] == ["罚款", "没收违法所得", "没收非法财物"]
    assert (made["title"], made["content"], made["authority_name"]) == ("无证经营案", "罚款二百元", "示例局")
    assert made["document_number"] == "（2010）样例字第3号"


def test_what_is_long_is_cut_and_a_natural_key_stays_short() -> None:
    made = read(penalty(USCC, CF_WFXW="违" * 30_000, CF_SY="事" * 30_000, CF_CFLB=";".join(map(str, range(10, 2_000)))))
    assert [len(str(made[name])) for name in ("title", "offence", "facts")] == [500, 2_000, 20_000]
    assert len(made["penalty_kinds"] or ()) == 30  # type: ignore[arg-type]
    long = [natural_key("abnormal", USCC, "因" * 20_000 + end) for end in "甲乙"]
    assert all(len(key) <= 500 for key in long)
    assert long[0] != long[1]
    assert natural_key("xzcf", USCC, "样例[2026]（1）号") == natural_key("xzcf", USCC, "样例〔2026〕【1】号")


def test_codes_hold_as_the_standard_says() -> None:
    assert valid_uscc("91350100M000100Y43")  # the example of GB 32100-2015
    assert valid_uscc(USCC)
    assert not any(map(valid_uscc, ("", "91350100M000100Y44", "91350100m000100y43", "I" * 18, "1" * 17)))


CELLS = {
    "CF_WSH": [
        "样例[2026]1号",
        "博市监罚字（2026）第 3 号",
        "（2010）博民初字第123号",
        "(2023)新2701行初1号",
        "【2026】Ａ１",
    ],
    "CF_CFLB": ["罚款;警告", "罚款、没收违法所得", "吊销营业执照", "其他-样例"],
    "CF_NR_FK": ["1.5", "0.000001", "1500元", "1.5万元", "0"],
    "CF_JDRQ": ["2017年08月11日", "20170811", "2017/8/11", "42958", "2017-08-11 10:00:00"],
    "CF_YXQ": ["长期", "2099-12-31", "1900-1-1"],
    "CF_XDR_MC": ["样例 有限 公司", "Sample  Co", "样例(一)公司"],
    "CF_SY": ["无", "/", "暂无", "样例<br/>事实", "A&amp;B", "（无）", "无证"],
}


@pytest.mark.parametrize("key", CELLS)
def test_the_import_of_files_reads_the_same_cells_the_same(key: str) -> None:
    column = next(one for one in KINDS["penalties"].columns if key in one.headings)
    names = {"name": "subject_name"}
    for cell in CELLS[key]:
        imported = parse_cell(column, cell)
        expected: Any = imported
        if isinstance(imported, Decimal):
            expected = f"{imported:.2f}"
        elif isinstance(imported, tuple):
            expected = list(imported)
        elif imported is not None:
            expected = str(imported)
        assert read(penalty(USCC, **{key: cell}))[names.get(column.name, column.name)] == expected, cell

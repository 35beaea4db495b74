"""What the regional platform's sandbox begins with: made-up rows of its five tables, the same every time.

In: subjects (sandbox/subjects.py), or a JSON file that says exactly what is there. Out: rows as the query has them. In
penalties and licences are the spellings that are met: several signs between kinds, units in amounts, dates in four
forms, and /, 无, 暂无 or 1900-1-1 for nothing. Nothing here is about anybody.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.platform_tables import TABLES, make_platform_row
from sandbox.subjects import LATEST, Row, check_subject, draws, is_uscc, make_uscc
from sandbox.upstream import text_of

_UPDATED = "2026-07-01 08:30:00"
# Authorities that don't exist, with codes of a division that is not assigned.
_AUTHORITIES = tuple(
    (name, make_uscc("11", "652799", serial))
    for serial, name in enumerate(
        ("示例市市场监督管理局", "示例州应急管理局", "样例县自然资源局", "样例市生态环境局"), 7001
    )
)
_KINDS = ("警告", "通报批评", "罚款", "没收违法所得", "没收非法财物", "暂扣许可证件", "责令停产停业")
_NOTHING = (None, "/", "无", "暂无", "")


def given_rows(rows: Any) -> list[Row]:
    """Rows as a JSON file gives them, `[{"table_name", "tyshxydm", "entity": {…}}, …]`, `dataSource` and `updateTime`
    beside them if they matter; columns that an entity leaves out are null. ValueError where a row is none.
    """
    if not isinstance(rows, list):
        raise ValueError("a list of rows expected")
    return [_given(row) for row in rows]


def _given(row: Any) -> Row:
    table_name = text_of(row, "table_name")
    if table_name is None or table_name not in TABLES or not isinstance(row.get("entity"), dict):
        raise ValueError("a row has a table_name that the platform knows, and an entity")
    if not is_uscc(row.get("tyshxydm")):
        raise ValueError(f"{row.get('tyshxydm')!r} is not a USCC")
    source, updated = row.get("dataSource", "示例数据源"), row.get("updateTime", _UPDATED)
    return make_platform_row(table_name, row["tyshxydm"], row["entity"], source, updated)


def load_platform_rows(path: Path) -> list[Row]:
    """Read the rows of a JSON file, whose decimal numbers keep their digits; ValueError where it is no such file."""
    return given_rows(json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))


def synthetic_rows(subjects: Mapping[str, str], seed: str = "1") -> list[Row]:
    """Rows made from each subject's code: about 30 % have 1–6 penalties, 25 % 1–4 licences and 1 % 130 of them (more
    than a page), 10 % 1–2 honours, 5 % are on a list of serious dishonesty, 8 % on one of abnormal operation.
    """
    for uscc, name in subjects.items():
        check_subject(uscc, name)
    return [row for uscc, name in subjects.items() for row in _about(uscc, name, seed)]


def _about(uscc: str, name: str, seed: str) -> Iterator[Row]:
    draw = draws(seed, uscc, "platform")
    counts = {
        "xzcf": draw.randint(1, 6) if draw.random() < 0.30 else 0,
        "xzxk": draw.randint(1, 4) if draw.random() < 0.25 else 0,
        "honour": draw.randint(1, 2) if draw.random() < 0.10 else 0,
        "serious_dishonesty": 1 if draw.random() < 0.05 else 0,
        "abnormal": 1 if draw.random() < 0.08 else 0,
    }
    if draw.random() < 0.01:
        counts["xzxk"] = 130
    for table_name, count in counts.items():
        for index in range(count):
            yield platform_row(table_name, uscc, name, index, seed)


def platform_row(table_name: str, uscc: str, name: str, index: int, seed: str = "1") -> Row:
    """Row `index` of a table about a subject; the same arguments give the same row."""
    draw = draws(seed, uscc, f"{table_name} {index}")
    authority = draw.choice(_AUTHORITIES)
    entity = _MAKERS[table_name](draw, uscc, name, index, authority)
    return make_platform_row(table_name, uscc, entity, authority[0], _UPDATED)


def _penalty(draw: random.Random, uscc: str, name: str, index: int, authority: tuple[str, str]) -> dict[str, Any]:
    decided = LATEST - timedelta(days=draw.randint(0, 3 * 365))
    kinds = draw.sample(_KINDS, draw.choice((1, 1, 2, 3)))
    fine = _amount(draw) if "罚款" in kinds else draw.choice(_NOTHING)
    return {
        **_addressee("CF_", draw, uscc, name),
        "CF_WSH": _number(draw, "罚", decided, index),
        "CF_WFXW": "示例违法行为",
        "CF_SY": f"{name}的示例违法事实",
        "CF_YJ": "《示例条例》第一条",
        "CF_CFLB": draw.choice(";；、,，").join(kinds),
        "CF_NR": "示例处罚内容",
        "CF_NR_FK": fine,
        "CF_NR_WFFF": _amount(draw) if "没收违法所得" in kinds else draw.choice(_NOTHING),
        "CF_NR_ZKDX": "示例许可证" if "暂扣许可证件" in kinds else draw.choice(_NOTHING),
        "CF_JDRQ": _date(draw, decided),
        "CF_YXQ": draw.choice(("1900-1-1", None, _date(draw, decided + timedelta(days=730)))),
        "CF_GSJZQ": _date(draw, decided + timedelta(days=365)),
        "CF_CFJG": authority[0],
        "CF_CFJGDM": authority[1],
        "CF_SJLY": authority[0],
        "CF_SJLYDM": authority[1],
        "BZ": draw.choice(_NOTHING),
    }


def _licence(draw: random.Random, uscc: str, name: str, index: int, authority: tuple[str, str]) -> dict[str, Any]:
    decided = LATEST - timedelta(days=draw.randint(0, 3 * 365))
    return {
        **_addressee("XK_", draw, uscc, name),
        "XK_XKWS": "示例许可决定书",
        "XK_WSH": _number(draw, "许", decided, index),
        "XK_XKLB": draw.choice(("普通", "特许", "认可", "核准", "登记", "其他-备案")),
        "XK_XKZS": draw.choice(("示例许可证", *_NOTHING)),
        "XK_XKBH": f"示例{draw.randint(1, 9999):04d}",
        "XK_NR": "示例许可内容",
        "XK_JDRQ": _date(draw, decided),
        "XK_YXQZ": _date(draw, decided),
        "XK_YXQZI": _date(draw, decided + timedelta(days=1095)),
        "XK_XKJG": authority[0],
        "XK_XKJGDM": authority[1],
        "XK_ZT": draw.choice(("1", "1", "2")),
        "XK_LYDW": authority[0],
        "XK_LYDWDM": authority[1],
        "BZ": draw.choice(_NOTHING),
    }


def _honour(draw: random.Random, uscc: str, name: str, index: int, authority: tuple[str, str]) -> dict[str, Any]:
    day = LATEST - timedelta(days=draw.randint(30, 5 * 365))
    valid = draw.choice((None, (day + timedelta(days=1095)).isoformat()))
    title = f"示例诚信单位（{index + 1}）"
    return {"title": title, "awarded_on": day.isoformat(), "authority": authority[0], "valid_to": valid}


def _listed(draw: random.Random, uscc: str, name: str, index: int, authority: tuple[str, str]) -> dict[str, Any]:
    lists = ("拖欠农民工工资", "重大税收违法", "安全生产严重失信", "政府采购严重违法失信")
    named = draw.choice(lists)
    return {"list_name": named, **_entry(draw), "basis": "《示例办法》第二条", "authority": authority[0]}


def _abnormal(draw: random.Random, uscc: str, name: str, index: int, authority: tuple[str, str]) -> dict[str, Any]:
    reasons = ("未按规定期限公示年度报告", "通过登记的住所无法联系")
    return {"reason": draw.choice(reasons), **_entry(draw), "authority": authority[0]}


def _entry(draw: random.Random) -> dict[str, Any]:
    day = LATEST - timedelta(days=draw.randint(200, 3 * 365))
    removed = draw.choice((None, None, (day + timedelta(days=draw.randint(30, 200))).isoformat()))
    return {"listed_on": day.isoformat(), "removed_on": removed}


_MAKERS = {
    "xzcf": _penalty,
    "xzxk": _licence,
    "honour": _honour,
    "serious_dishonesty": _listed,
    "abnormal": _abnormal,
}


def _addressee(prefix: str, draw: random.Random, uscc: str, name: str) -> dict[str, Any]:
    kind = "个体工商户" if uscc.startswith("92") else "法人及非法人组织"
    others: Sequence[str] = ("XDR_GSZC", "XDR_ZZJG", "XDR_SWDJ", "XDR_SYDW", "XDR_SHZZ", "XDR_ZJLX", "XDR_ZJHM")
    return {
        f"{prefix}XDR_MC": name,
        f"{prefix}XDR_LB": kind,
        # The code of the row decides; this one may be missing.
        f"{prefix}XDR_SHXYM": draw.choice((uscc, uscc, uscc, "/")),
        f"{prefix}FRDB": f"示例人{draw.choice('甲乙丙丁')}",
        **{f"{prefix}{column}": draw.choice(_NOTHING) for column in others},
    }


def _number(draw: random.Random, kind: str, day: date, index: int) -> str:
    # The index is part of the number, so no two rows of a subject share one.
    left, right = draw.choice(("〔〕", "【】", "[]", "()", "（）"))
    return f"示{kind}字{left}{day.year}{right}{draw.randint(1, 90) * 1000 + index}号"


def _amount(draw: random.Random) -> Any:
    money = Decimal(draw.randint(1, 5_000_000)) / 10_000  # 万元
    return draw.choice((money, f"{money:f}", f"{money:f}万元", f"{money * 10_000:.2f}元"))


def _date(draw: random.Random, day: date) -> str:
    iso = day.isoformat()
    return draw.choice(
        (iso, iso, f"{day:%Y}年{day:%m}月{day:%d}日", f"{day:%Y%m%d}", f"{day.year}/{day.month}/{day.day}")
    )

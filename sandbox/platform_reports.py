"""Batches that come to the regional platform: which rows it takes, and the codes under which it rejects the others.

In: the parsed body of a report or a withdrawal, and the store. Out: the contract's result, with the store changed, or
None where the whole batch is refused. No I/O; sandbox/region_platform.py calls it once the signature holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from sandbox.platform_store import WITHDRAWN_FOR, PlatformStore
from sandbox.platform_tables import ISO_DATE, TABLES, Key, Table, folded, make_platform_row
from sandbox.subjects import Row, is_uscc
from sandbox.upstream import text_of, whole

MOST_ROWS = 500
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,6})?")  # decimal(18,6)
MESSAGES = {
    "E100": "rowNo 缺失、重复或不是正整数",
    "E101": "必填项缺失",
    "E102": "统一社会信用代码不正确",
    "E103": "日期应为 YYYY-MM-DD",
    "E104": "金额应为以万元为单位的十进制文本",
    "E201": "没有该记录",
    "E202": "撤回原因或生效日期不正确",
}


def batch_no(body: Any) -> str | None:
    """The batch's number, 1 to 64 characters; None where it has none."""
    number = text_of(body, "batchNo")
    return number if number is not None and 1 <= len(number) <= 64 else None


def report(store: PlatformStore, body: Any, default_source: str, updated: str) -> Row | None:
    """Take the rows of a report that hold. `updated` is the time as rows have it."""
    table_name, rows = text_of(body, "table_name"), batch_rows(body, "rows")
    if table_name is None or table_name not in TABLES or rows is None:
        return None
    seen: set[int] = set()
    checked = [_checked(table_name, row, seen, place) for place, row in enumerate(rows, start=1)]
    for row, (_, code, _) in zip(rows, checked, strict=True):
        if code is None:
            store.upsert(_as_row(table_name, row, default_source, updated))
    return _result(body, checked)


def withdraw(store: PlatformStore, body: Any) -> Row | None:
    """Take out the rows that a batch of withdrawals names, numbered by their position from 1."""
    items = batch_rows(body, "items")
    if items is None:
        return None
    checked = []
    for place, item in enumerate(items, start=1):
        code, where = _wrong_item(item)
        if code is None:
            key = Key(item["tyshxydm"], item["table_name"], folded(item["wsh"]))
            code = None if store.withdraw(key, item["reason"], item["effectiveOn"]) else "E201"
        checked.append((place, code, where))
    return _result(body, checked)


def batch_rows(body: Any, key: str) -> list[Row] | None:
    """The rows of a batch, 1 to 500 objects; None where it has no such."""
    items = body.get(key) if isinstance(body, dict) else None
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_ROWS:
        return None
    return items if all(isinstance(item, dict) for item in items) else None


def _result(body: Any, checked: Iterable[tuple[int, str | None, str]]) -> Row:
    rows = list(checked)
    return {
        "batchNo": body["batchNo"],
        "accepted": [number for number, code, _ in rows if code is None],
        "rejected": [
            {"rowNo": number, "code": code, "message": f"{MESSAGES[code]}：{where}" if where else MESSAGES[code]}
            for number, code, where in rows
            if code is not None
        ],
    }


def _checked(table_name: str, row: Row, seen: set[int], place: int) -> tuple[int, str | None, str]:
    """The row's number, the code under which it is rejected (or None), and the column that is the reason."""
    number = row.get("rowNo")
    if not isinstance(number, int) or not whole(number, 1, 2**31):
        return place, "E100", ""  # without a number of its own it is known by its place
    if number in seen:
        return number, "E100", ""
    seen.add(number)
    wrong = next(_wrong(TABLES[table_name], row), None)
    return (number, None, "") if wrong is None else (number, *wrong)


def _wrong(table: Table, row: Row) -> Iterator[tuple[str, str]]:
    owner = table.code or "tyshxydm"
    for column in (*table.required, owner):
        value = row.get(column)
        # `/` in the column of the code is nothing.
        missing = value in (None, "/", "") if column == owner else not isinstance(value, str) or not value
        if missing:
            yield "E101", column
    if not is_uscc(row.get(owner)):
        yield "E102", owner
    for column in table.dates:
        if row.get(column) is not None and not is_day(row[column]):
            yield "E103", column
    for column in table.amounts:
        value = row.get(column)
        if value is not None and not (isinstance(value, str) and _AMOUNT.fullmatch(value)):
            yield "E104", column


def is_day(value: Any) -> bool:
    """Whether `value` is a day as reports have it, YYYY-MM-DD."""
    if not isinstance(value, str) or not ISO_DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _wrong_item(item: Row) -> tuple[str | None, str]:
    for column in ("table_name", "wsh", "tyshxydm", "reason", "effectiveOn"):
        if item.get(column) in (None, ""):
            return "E101", column
    if not is_uscc(item["tyshxydm"]):
        return "E102", "tyshxydm"
    if item["reason"] not in WITHDRAWN_FOR:
        return "E202", "reason"
    if not is_day(item["effectiveOn"]):
        return "E202", "effectiveOn"
    known = isinstance(item["table_name"], str) and item["table_name"] in TABLES and isinstance(item["wsh"], str)
    return (None, "") if known else ("E201", "")


def _as_row(table_name: str, row: Row, default_source: str, updated: str) -> Row:
    table = TABLES[table_name]
    uscc = row[table.code or "tyshxydm"]
    entity = {column: value for column, value in row.items() if column not in ("rowNo", "tyshxydm")}
    source = entity.get(table.source) if table.source is not None else None
    return make_platform_row(table_name, uscc, entity, source or default_source, updated)

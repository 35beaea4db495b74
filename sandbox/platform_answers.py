"""The regional platform's answers: envelopes, refusals, and the ways in which an answer can be false.

In: what is true, what was asked, and the fault that the call meets. Out: the JSON value of the answer by the
platform's wire contract, no I/O. sandbox/region_platform.py calls it once the signature holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

from sandbox.faults import Fault
from sandbox.platform_data import platform_row
from sandbox.platform_tables import TABLES
from sandbox.subjects import Row, other_uscc
from sandbox.upstream import without, wrong_in

QUERY, REPORT, WITHDRAW, CHANGES, REPAIRS, REPAIR_STATE = (
    *("query", "report", "withdraw", "changes"),
    *("repairs", "repair_state"),
)
SERVICES = (QUERY, REPORT, WITHDRAW, CHANGES, REPAIRS, REPAIR_STATE)

# Refusals with HTTP 200: name → (status, message).
REFUSALS: Mapping[str, tuple[int, str]] = {
    "bad_signature": (1001, "签名不正确"),
    "clock_off": (1002, "请求时间超出允许范围"),
    "nonce_seen": (1003, "随机数已使用"),
    "bad_body": (2001, "请求内容不正确"),
    "bad_codes": (2002, "统一社会信用代码不正确或超过50个"),
    "cursor_refused": (2003, "游标无效"),
    "no_row": (2004, "没有该记录"),
    "no_commitment": (2005, "未作出信用承诺"),
    "unknown_number": (2006, "没有该申请"),
    "refused_status": (9999, "系统异常"),
}
_OF_ALL = ("bad_signature", "clock_off", "nonce_seen", "bad_body", "refused_status")


def refusal(name: str, text: str | None = None) -> Row:
    """The answer of a call that is refused, HTTP 200."""
    status, message = REFUSALS[name]
    return {"status": status, "message": text or message}


def taken(data: Row) -> Row:
    """The answer of a call that is not refused."""
    return {"status": 1, "message": "", "data": data}


def page_answer(rows: Sequence[Row], usccs: Sequence[str], page: int, size: int, fault: Fault | None) -> Row:
    """One page of the rows about some subjects; a fault of the rows or the pages makes it false."""
    name = fault.fault if fault is not None else ""
    if (paging := _PAGING.get(name)) is not None:
        return taken(paging(usccs[0], page, size))
    if name in _ROWS and not rows:
        rows = _filler(usccs[0], 0, 1)  # a false row needs a row
    first = (page - 1) * size
    data = _page(len(rows), -(-len(rows) // size), page, rows[first : first + size])
    return taken(_spoiled(data, fault, _ROWS))


def changes_answer(rows: Sequence[Row], following: str, more: bool, fault: Fault | None) -> Row:
    """A piece of the feed; a fault makes it false."""
    if fault is not None and fault.fault in _CHANGES and not rows:
        rows = [{"op": "upsert", **row} for row in _filler(other_uscc("changes"), 0, 1)]
    return taken(_spoiled({"next": following, "more": more, "list": list(rows)}, fault, _CHANGES))


def batch_answer(result: Row, fault: Fault | None) -> Row:
    """The result of a batch; a fault makes it false."""
    return taken(_spoiled(result, fault, _BATCHES))


def rejected_all(body: Row, rows: Sequence[Row], fault: Fault) -> Row:
    """The result of a batch of which no row is taken."""
    numbers = [row.get("rowNo", place) for place, row in enumerate(rows, start=1)]
    code = fault.text or "E101"
    rejected = [{"rowNo": number, "code": code, "message": "示例拒收"} for number in numbers]
    return {"batchNo": body["batchNo"], "accepted": [], "rejected": rejected}


def repair_answer(state: Row, fault: Fault | None) -> Row:
    """The state of an application for repair; a fault makes it false."""
    return taken(_spoiled(state, fault, _REPAIRS))


def _spoiled(data: Row, fault: Fault | None, faults: Mapping[str, Callable[[Row, Fault], None]]) -> Row:
    spoil = faults.get(fault.fault) if fault is not None else None
    if fault is None or spoil is None:
        return data
    false = deepcopy(data)  # what the store holds stays true
    spoil(false, fault)
    return false


def _page(total: int, pages: int, page: int, rows: Sequence[Row]) -> Row:
    return {"total": total, "totalSize": pages, "page": page, "list": list(rows)}


def _filler(uscc: str, start: int, count: int) -> list[Row]:
    return [platform_row("xzcf", uscc, "示例单位", index) for index in range(start, start + count)]


# --- faults of the paging, with made-up rows about the first subject asked for


def _repeated_page(uscc: str, page: int, size: int) -> Row:
    # Two full pages, the second of them the first again: the totals agree, only the rows tell.
    return _page(2 * size, 2, page, _filler(uscc, 0, size) if page <= 2 else [])


def _endless_pages(uscc: str, page: int, size: int) -> Row:
    # Every page is new and says that one more follows.
    return _page((page + 1) * size, page + 1, page, _filler(uscc, (page - 1) * size, size))


def _too_many_pages(uscc: str, page: int, size: int) -> Row:
    # The totals agree with each other and from page to page, and nobody can read that much.
    return _page(100_000 * size, 100_000, page, _filler(uscc, (page - 1) * size, size))


def _too_many_rows(uscc: str, page: int, size: int) -> Row:
    return _page(size + 1, 1, page, _filler(uscc, 0, size + 1))


_PAGING: Mapping[str, Callable[[str, int, int], Row]] = {
    "repeated_page": _repeated_page,
    "endless_pages": _endless_pages,
    "too_many_pages": _too_many_pages,
    "too_many_rows": _too_many_rows,
}


# --- faults of the rows and the envelopes


def _make_foreign(row: Row) -> None:
    other = other_uscc(row["tyshxydm"])
    row["tyshxydm"] = other
    if (column := TABLES[row["table_name"]].code) is not None:
        row["entity"][column] = other


def _foreign_rows(data: Row, fault: Fault) -> None:
    for row in data["list"]:
        _make_foreign(row)


def _one_foreign_row(data: Row, fault: Fault) -> None:
    for row in data["list"][-1:]:
        _make_foreign(row)


def _foreign_code_in_row(data: Row, fault: Fault) -> None:
    # The row says whose it is; inside it another is named.
    first = data["list"][0] if data["list"] else None
    if first is None:
        return
    if TABLES[first["table_name"]].code is None:
        first |= _filler(first["tyshxydm"], 0, 1)[0]
    first["entity"][TABLES[first["table_name"]].code] = other_uscc(first["tyshxydm"])


def _wrong_totals(data: Row, fault: Fault) -> None:
    data["total"] += 1


def _wrong_page(data: Row, fault: Fault) -> None:
    data["page"] += 1


def _unknown_table(data: Row, fault: Fault) -> None:
    for row in data["list"][:1]:
        row["table_name"] = fault.text or "xzjc"


def _bad_date(data: Row, fault: Fault) -> None:
    for row in data["list"]:
        row["entity"][TABLES[row["table_name"]].dates[0]] = fault.text or "2017年13月45日"


def _bad_amount(data: Row, fault: Fault) -> None:
    for row in data["list"]:
        for column in TABLES[row["table_name"]].amounts:
            row["entity"][column] = fault.text or "若干"


def _missing(default: str) -> Callable[[Row, Fault], None]:
    return lambda data, fault: without(data, fault.key or default)


def _wrong(default: str) -> Callable[[Row, Fault], None]:
    return lambda data, fault: wrong_in(data, fault.key or default)


_ROWS: Mapping[str, Callable[[Row, Fault], None]] = {
    "foreign_rows": _foreign_rows,
    "one_foreign_row": _one_foreign_row,
    "foreign_code_in_row": _foreign_code_in_row,
    "wrong_totals": _wrong_totals,
    "wrong_page": _wrong_page,
    "unknown_table": _unknown_table,
    "bad_date": _bad_date,
    "bad_amount": _bad_amount,
    "missing_key": _missing("tyshxydm"),
    "wrong_type": _wrong("entity"),
}


def _unknown_op(data: Row, fault: Fault) -> None:
    for row in data["list"][:1]:
        row["op"] = fault.text or "replace"


_CHANGES: Mapping[str, Callable[[Row, Fault], None]] = {
    "unknown_op": _unknown_op,
    "foreign_code_in_row": _foreign_code_in_row,
    "unknown_table": _unknown_table,
    "missing_key": _missing("next"),
    "wrong_type": _wrong("list"),
}


def _wrong_batch(data: Row, fault: Fault) -> None:
    data["batchNo"] += "-other"


def _missing_row(data: Row, fault: Fault) -> None:
    # One row of the batch is in neither list.
    (data["accepted"] or data["rejected"]).pop()


_BATCHES: Mapping[str, Callable[[Row, Fault], None]] = {
    "wrong_batch": _wrong_batch,
    "missing_row": _missing_row,
    "missing_key": _missing("accepted"),
    "wrong_type": _wrong("rejected"),
}


def _wrong_repair_no(data: Row, fault: Fault) -> None:
    data["repairNo"] += "-other"


def _unknown_state(data: Row, fault: Fault) -> None:
    data["state"] = fault.text or "LOST"


_REPAIRS: Mapping[str, Callable[[Row, Fault], None]] = {
    "wrong_repair_no": _wrong_repair_no,
    "unknown_state": _unknown_state,
    "missing_key": _missing("state"),
    "wrong_type": _wrong("state"),
}

REJECT_ROWS, CURSOR_STUCK, CURSOR_REFUSED, ENDLESS_CHANGES = (
    *("reject_rows", "cursor_stuck"),
    *("cursor_refused", "endless_changes"),
)


def _fitting() -> dict[str, tuple[str, ...]]:
    """Which services each of the platform's own faults makes sense for."""
    of_service: Mapping[str, Sequence[str]] = {
        QUERY: (*_OF_ALL, "bad_codes", *_PAGING, *_ROWS),
        REPORT: (*_OF_ALL, *_BATCHES, REJECT_ROWS),
        WITHDRAW: (*_OF_ALL, *_BATCHES, REJECT_ROWS),
        CHANGES: (*_OF_ALL, *_CHANGES, CURSOR_STUCK, CURSOR_REFUSED, ENDLESS_CHANGES),
        REPAIRS: (*_OF_ALL, *_REPAIRS, "no_row", "no_commitment"),
        REPAIR_STATE: (*_OF_ALL, *_REPAIRS, "unknown_number"),
    }
    names = {name for faults in of_service.values() for name in faults}
    return {name: tuple(service for service, faults in of_service.items() if name in faults) for name in names}


ANSWER_FAULTS: Mapping[str, tuple[str, ...]] = _fitting()

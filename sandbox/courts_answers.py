"""The courts' answers to a signed query: a page of rows, and the ways in which it can be false.

In: the data, the service, the subject, the page and the fault that the call meets. Out: the JSON value of the answer
by the courts' wire contract (docs/connectors.md), no I/O. sandbox/courts.py calls it once the signature holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.data import SERVICES, CourtData, make_row
from sandbox.faults import Fault
from sandbox.subjects import Row, other_uscc

PAGE_ROWS = 10
MOST_PAGES = 50  # more than this no caller follows

# Refusals with status 200: fault → (code, message).
REFUSALS: Mapping[str, tuple[int, str]] = {
    "expired_secret": (40101, "secret expired"),
    "bad_signature": (40102, "bad signature"),
    "clock_off": (40103, "request time off"),
    "no_right": (40301, "no right to the service"),
    "bad_body": (40001, "bad body"),
    "unknown_code": (59999, "系统异常"),
}
_DATES = ("regDate", "publishDate", "caseCreateTime", "orderDate", "judgedOn")
_ENVELOPE = ("totalPage", "totalSize", "currentPage", "result")
_WRONG = {"unexpected": True}  # an object, which no key of the contract is


def refusal(name: str) -> dict[str, Any]:
    """The answer of a call that is refused, status 200."""
    code, message = REFUSALS[name]
    return {"code": code, "message": message}


def page_answer(data: CourtData, service: str, uscc: str, page: int, fault: Fault | None) -> list[Any]:
    """One page about one subject; a fault of the rows makes it false."""
    rows = list(data.rows(service, uscc))
    if fault is not None and (paging := _PAGING.get(fault.fault)) is not None:
        return paging(service, uscc, page)
    if fault is not None and fault.fault in _ROWS and not rows:
        rows = _filler(service, uscc, 0, 1)  # a false row needs a row
    answer = _page(rows, page)
    if fault is not None and (spoil := _ROWS.get(fault.fault)) is not None:
        spoil(answer, service, uscc, fault)
    return [answer]


def _page(rows: Sequence[Row], page: int) -> dict[str, Any]:
    first = (page - 1) * PAGE_ROWS
    return _envelope(-(-len(rows) // PAGE_ROWS), len(rows), page, rows[first : first + PAGE_ROWS])


def _envelope(pages: int, size: int, page: int, rows: Sequence[Row]) -> dict[str, Any]:
    return {"totalPage": pages, "totalSize": size, "currentPage": page, "result": list(rows)}


def _filler(service: str, uscc: str, start: int, count: int) -> list[Row]:
    return [make_row(service, uscc, "示例单位", index) for index in range(start, start + count)]


# --- faults of the paging, with made-up rows about the subject asked for


def _repeated_page(service: str, uscc: str, page: int) -> list[Any]:
    # Two full pages, the second of them the first again: the totals agree, only the rows tell.
    rows = _filler(service, uscc, 0, PAGE_ROWS) if page <= 2 else []
    return [_envelope(2, 2 * PAGE_ROWS, page, rows)]


def _endless_pages(service: str, uscc: str, page: int) -> list[Any]:
    # Every page is new and says that one more follows.
    rows = _filler(service, uscc, (page - 1) * PAGE_ROWS, PAGE_ROWS)
    return [_envelope(page + 1, (page + 1) * PAGE_ROWS, page, rows)]


def _too_many_pages(service: str, uscc: str, page: int) -> list[Any]:
    pages = MOST_PAGES + 1
    rows = _filler(service, uscc, (page - 1) * PAGE_ROWS, PAGE_ROWS) if page <= pages else []
    return [_envelope(pages, pages * PAGE_ROWS, page, rows)]


_PAGING: Mapping[str, Callable[[str, str, int], list[Any]]] = {
    "repeated_page": _repeated_page,
    "endless_pages": _endless_pages,
    "too_many_pages": _too_many_pages,
}


# --- faults of the rows and the envelope


def _foreign(row: Row, uscc: str) -> Row:
    other = other_uscc(uscc)
    names = {"iname": "样例他人有限公司", "pname": "样例他人有限公司", "cardNum": other, "partyCardNum": other}
    return {key: names.get(key, value) for key, value in row.items()}


def _foreign_rows(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    answer["result"] = [_foreign(row, uscc) for row in answer["result"]]


def _one_foreign_row(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    answer["result"][-1:] = [_foreign(row, uscc) for row in answer["result"][-1:]]


def _wrong_totals(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    # One row more than there is, in as many pages as there are, unless the last of them is full.
    answer["totalSize"] += 1


def _missing_key(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    key = fault.key or "caseCode"
    if key in _ENVELOPE:
        del answer[key]
    else:
        answer["result"] = [{name: value for name, value in row.items() if name != key} for row in answer["result"]]


def _wrong_type(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    key = fault.key or "caseCode"
    if key in _ENVELOPE:
        answer[key] = _WRONG
    else:
        answer["result"] = [{**row, key: _WRONG} for row in answer["result"]]


def _bad_date(answer: dict[str, Any], service: str, uscc: str, fault: Fault) -> None:
    wrong = "2017年13月45日"
    answer["result"] = [
        {name: wrong if name in _DATES else value for name, value in row.items()} for row in answer["result"]
    ]


_ROWS: Mapping[str, Callable[[dict[str, Any], str, str, Fault], None]] = {
    "foreign_rows": _foreign_rows,
    "one_foreign_row": _one_foreign_row,
    "wrong_totals": _wrong_totals,
    "missing_key": _missing_key,
    "wrong_type": _wrong_type,
    "bad_date": _bad_date,
}


def spoiled_refresh(answer: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """The refresh's answer, with a key missing (default `secret`) or of a wrong type (default `secretEndTime`)."""
    data = answer["data"]
    if fault is not None and fault.fault == "missing_key":
        (answer if fault.key in answer else data).pop(fault.key or "secret", None)
    elif fault is not None and fault.fault == "wrong_type":
        key = fault.key or "secretEndTime"
        (answer if key in answer else data)[key] = _WRONG
    return answer


REFRESH = "refresh"
# Which services each of the courts' own faults makes sense for.
ANSWER_FAULTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(REFUSALS, (*SERVICES, REFRESH)),
    **dict.fromkeys(_PAGING, SERVICES),
    **dict.fromkeys(_ROWS, SERVICES),
    "missing_key": (*SERVICES, REFRESH),
    "wrong_type": (*SERVICES, REFRESH),
}

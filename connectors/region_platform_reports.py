"""Reports and withdrawals to the regional platform: canonical rows become its columns, its answer a checked result.

In: rows as the platform's own answers give them (region_platform_rows.py), or what is to be withdrawn. Out: the body of
a batch, and from its answer which rows were accepted and why others were not. Called by region_platform.py alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from connectors.base import Cell, FailureKind, Row
from connectors.http import fail, read_int, read_object, read_text
from connectors.region_platform_feed import REASONS
from connectors.region_platform_rows import TABLES
from connectors.region_platform_values import valid_uscc

MOST_ROWS: Final = 500
_BATCH_NO: Final = re.compile(r"[!-~]{1,100}")
_CODE_CAP, _MESSAGE_CAP = 40, 500  # characters
_DAYS: Final = frozenset(("decided_on", "valid_from", "valid_until", "published_until", "removed_on"))
_AMOUNTS: Final = frozenset(("fine", "confiscated"))
_KINDS_OF_SUBJECT: Final = {"INDIVIDUAL_BUSINESS": "个体工商户"}

# Columns of each table and the names of a record's columns; what isn't here is not reported.
_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "xzcf": {
        "CF_XDR_MC": "subject_name", "CF_XDR_SHXYM": "subject_uscc", "CF_WSH": "document_number",
        "CF_WFXW": "offence", "CF_SY": "facts", "CF_YJ": "basis", "CF_CFLB": "penalty_kinds", "CF_NR": "content",
        "CF_NR_FK": "fine", "CF_NR_WFFF": "confiscated", "CF_NR_ZKDX": "licence_effect", "CF_JDRQ": "decided_on",
        "CF_YXQ": "valid_until", "CF_GSJZQ": "published_until", "CF_CFJG": "authority_name",
        "CF_CFJGDM": "authority_uscc", "CF_SJLY": "data_source",
    },
    "xzxk": {
        "XK_XDR_MC": "subject_name", "XK_XDR_SHXYM": "subject_uscc", "XK_WSH": "document_number", "XK_XKWS": "title",
        "XK_XKLB": "licence_kind", "XK_XKZS": "certificate_name", "XK_XKBH": "certificate_number", "XK_NR": "content",
        "XK_JDRQ": "decided_on", "XK_YXQZ": "valid_from", "XK_YXQZI": "valid_until", "XK_GSJZQ": "published_until",
        "XK_XKJG": "authority_name", "XK_XKJGDM": "authority_uscc", "XK_LYDW": "data_source",
    },
    "honour": {
        "tyshxydm": "subject_uscc", "title": "title", "awarded_on": "decided_on", "authority": "authority_name",
        "valid_to": "valid_until",
    },
    "serious_dishonesty": {
        "tyshxydm": "subject_uscc", "list_name": "list_name", "listed_on": "decided_on", "basis": "basis",
        "authority": "authority_name", "removed_on": "removed_on",
    },
    "abnormal": {
        "tyshxydm": "subject_uscc", "reason": "grounds", "listed_on": "decided_on", "authority": "authority_name",
        "removed_on": "removed_on",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One row to be withdrawn: `wsh` its document number, or title, list name or reason + `|` + its day; `reason`
    repaired, revoked, corrected or expired; `effective_on` YYYY-MM-DD."""

    table: str
    wsh: str
    uscc: str
    reason: str
    effective_on: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken: its place from 1, the platform's code (E102 …) and its words, cut short."""

    row_no: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch; every row is in one of the two."""

    batch_no: str
    accepted: tuple[int, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch about to be sent: its number, how many rows it has, and its body."""

    number: str
    rows: int
    body: Mapping[str, object]


def report_batch(batch_no: str, table: str, rows: Sequence[Row]) -> Batch:
    """The body of a report. Raises ValueError for what the contract has no place for."""
    if table not in TABLES:
        raise ValueError(f"the platform has no table {table!r}")
    _check_size(batch_no, rows)
    sent = [{"rowNo": number, **_columns(table, row)} for number, row in enumerate(rows, 1)]
    return Batch(batch_no, len(rows), {"batchNo": batch_no, "table_name": table, "rows": sent})


def withdraw_batch(batch_no: str, items: Sequence[Withdrawal]) -> Batch:
    """The body of a withdrawal. Raises ValueError for what the contract has no place for."""
    _check_size(batch_no, items)
    for item in items:
        if item.table not in TABLES or item.reason not in REASONS or not valid_uscc(item.uscc) or not item.wsh:
            raise ValueError("a withdrawal needs a known table, a number, a valid code and a known reason")
    sent = [
        {
            "table_name": item.table,
            "wsh": item.wsh,
            "tyshxydm": item.uscc,
            "reason": item.reason,
            "effectiveOn": _day(item.effective_on),
        }
        for item in items
    ]
    return Batch(batch_no, len(items), {"batchNo": batch_no, "items": sent})


def read_result(value: object, batch: Batch) -> BatchResult:
    """Check the answer to a batch: its number, and every row in it exactly once. Raises UpstreamError(MALFORMED)."""
    data = read_object(value, "data")
    if data.get("batchNo") != batch.number:
        fail(FailureKind.MALFORMED, "another batch")
    accepted, rejected = data.get("accepted"), data.get("rejected")
    if not isinstance(accepted, list) or not isinstance(rejected, list):
        fail(FailureKind.MALFORMED, "accepted or rejected is not a list")
    taken = [read_int({"accepted": number}, "accepted") for number in accepted]
    refused = [_rejection(entry) for entry in rejected]
    if sorted([*taken, *(one.row_no for one in refused)]) != list(range(1, batch.rows + 1)):
        fail(FailureKind.MALFORMED, "the rows of the result are not those of the batch")
    return BatchResult(batch.number, tuple(sorted(taken)), tuple(sorted(refused, key=lambda one: one.row_no)))


def _rejection(value: object) -> Rejection:
    entry = read_object(value, "rejection")
    code = entry.get("code")
    if not isinstance(code, str):
        fail(FailureKind.MALFORMED, "code is not text")
    message = read_text(entry.get("message"), "message") or ""
    return Rejection(read_int(entry, "rowNo"), code[:_CODE_CAP], message[:_MESSAGE_CAP])


def _check_size(batch_no: str, rows: Sequence[object]) -> None:
    if not 1 <= len(rows) <= MOST_ROWS:
        raise ValueError(f"a batch has 1 to {MOST_ROWS} rows")
    if not _BATCH_NO.fullmatch(batch_no):
        raise ValueError("a batch number has 1 to 100 visible ASCII characters")


def _columns(table: str, row: Row) -> dict[str, object]:
    """A row in the platform's columns; nulls are left out."""
    sent: dict[str, object] = {}
    for column, name in _COLUMNS[table].items():
        value = row.get(name)
        if value is not None:
            sent[column] = _said(name, value)
    if table in ("xzcf", "xzxk"):
        kind = str(row.get("subject_kind"))
        sent[f"{'CF' if table == 'xzcf' else 'XK'}_XDR_LB"] = _KINDS_OF_SUBJECT.get(kind, "法人及非法人组织")
    return sent


def _said(name: str, value: Cell) -> str:
    if name in _DAYS:
        return _day(value)
    if name in _AMOUNTS:
        return _wan(value)
    if name == "penalty_kinds" and isinstance(value, Sequence) and not isinstance(value, str):
        return ";".join(str(kind) for kind in value)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")
    return value


def _day(value: Cell) -> str:
    """YYYY-MM-DD, whatever of ISO 8601 it was. Raises ValueError."""
    return date.fromisoformat(str(value)).isoformat()


def _wan(value: Cell) -> str:
    """万元 as plain decimal text, exactly, from yuan as decimal text. Raises ValueError."""
    try:
        wan = Decimal(str(value)) / 10_000
    except InvalidOperation:
        raise ValueError("not an amount") from None
    if not 0 <= wan < Decimal(10) ** 13:
        raise ValueError("not an amount of money")
    text = f"{wan:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

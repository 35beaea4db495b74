"""Rows of the regional platform in canonical form: columns of 双公示, lists and honours become those of a record.

In: one row as received (UPSTREAMS §3, §5). Out: a flat row named as the gateway names a record's columns, money in yuan
with two decimals, days in ISO 8601; UpstreamError where the contract is broken. Called by region_platform.py alone.
Columns with identity numbers are never read.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from connectors.base import Cell, FailureKind, Row
from connectors.http import UnreadableDateError, UpstreamError, fail, read_object, read_text
from connectors.region_platform_values import (
    LIST,
    LONG,
    NAME,
    NUMBER,
    SHORT,
    document_number_of,
    fold_brackets,
    read_amount,
    read_code,
    read_day,
    read_kinds,
    read_licence_kind,
    read_moment,
    read_name,
    read_number,
    read_until,
    text_up_to,
    valid_uscc,
)

TABLES: Final = ("xzcf", "xzxk", "honour", "serious_dishonesty", "abnormal")
ABNORMAL_LIST: Final = "经营异常名录"  # the list that a row of `abnormal` is an entry of

_KEY_PART: Final = 400  # characters of a natural key's last part: the whole must fit in a B-tree entry


@dataclass(frozen=True, slots=True)
class Normalised:
    """A row in canonical form, and how many of its optional dates could not be read."""

    row: Row
    unreadable: int


def natural_key(table: str, uscc: str, wsh: str) -> str:
    """`<table>|<uscc>|<wsh with brackets folded>`; where the last part is long, its SHA-256 stands for it."""
    folded = fold_brackets(wsh)
    if len(folded) > _KEY_PART:
        folded = hashlib.sha256(folded.encode()).hexdigest()
    return f"{table}|{uscc}|{folded}"


def table_of(raw: Mapping[str, object]) -> str:
    """The table of a row; UpstreamError(MALFORMED) for one that the contract doesn't know."""
    table = raw.get("table_name")
    if not isinstance(table, str) or table not in TABLES:
        fail(FailureKind.MALFORMED, "table_name is none of the contract")
    return table


def uscc_of(raw: Mapping[str, object]) -> str:
    """The code of a row (`tyshxydm`), which decides whose it is; UpstreamError(MALFORMED) for what is none."""
    code = raw.get("tyshxydm")
    if not isinstance(code, str) or not valid_uscc(code):
        fail(FailureKind.MALFORMED, "tyshxydm is not a code")
    return code


def normalise(raw: Mapping[str, object]) -> Normalised:
    """One row of a query or of the feed. Raises UpstreamError: FOREIGN_ROWS where the entity names another subject,
    MALFORMED for anything else that the contract doesn't allow."""
    table, uscc = table_of(raw), uscc_of(raw)
    entity = read_object(raw.get("entity"), "entity")
    _check(table, entity, uscc)
    out: dict[str, Cell] = {"subject_uscc": uscc}
    unreadable = sum(_put(field, entity, out) for field in _SHAPES[table].fields)
    number = _complete(table, entity, out)
    out["table"], out["natural_key"] = table, natural_key(table, uscc, number)
    unreadable += _envelope(raw, out)
    return Normalised(out, unreadable)


def normalise_withdrawn(raw: Mapping[str, object]) -> Normalised:
    """A row that is withdrawn: what tells it from others is read as strictly as by `normalise`, and what else can't be
    read is null, as it says nothing of what is to end. Raises UpstreamError."""
    table, uscc = table_of(raw), uscc_of(raw)
    entity = read_object(raw.get("entity"), "entity")
    _check_whose(table, entity, uscc)
    out: dict[str, Cell] = {"subject_uscc": uscc}
    unreadable = 0
    for field in _SHAPES[table].fields:
        try:
            unreadable += _put(field, entity, out)
        except UpstreamError:
            if field.name in _TOLD_BY[table]:
                raise
            out[field.name] = None
            unreadable += 1
    number = _complete(table, {key: value for key, value in entity.items() if key != "CF_CFLB2"}, out)
    out["table"], out["natural_key"] = table, natural_key(table, uscc, number)
    for name, key, read in (
        ("data_source", "dataSource", text_up_to(NAME)),
        ("updated_at", "updateTime", read_moment),
    ):
        try:
            out[name] = read(raw.get(key), key)
        except (UpstreamError, UnreadableDateError):
            out[name] = None
            unreadable += 1
    return Normalised(out, unreadable)


def _put(field: _Field, entity: Mapping[str, object], out: dict[str, Cell]) -> int:
    """Read a column into the row; returns 1 for an optional date that can't be read. Raises UpstreamError."""
    key = next((name for name in field.keys if name in entity), None)
    if key is None:
        if field.needed:
            fail(FailureKind.MALFORMED, f"missing {field.keys[0]}")
        out[field.name] = None
        return 0
    try:
        out[field.name] = value = field.read(entity[key], key)
    except UnreadableDateError:
        if field.needed == "value":
            fail(FailureKind.MALFORMED, f"{key} can't be read as a date")
        out[field.name] = None
        return 1
    if value is None and field.needed == "value":
        fail(FailureKind.MALFORMED, f"{key} is empty")
    return 0


# Shapes of the five tables --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    """A column: output name, keys (the first that is there counts; older names behind), reader. `needed`: "" may lack,
    as reports leave nulls out and come back; "key" must be there; "value" must be there and not null."""

    name: str
    keys: tuple[str, ...]
    read: Callable[[object, str], Cell]
    needed: str = ""


@dataclass(frozen=True, slots=True)
class _Shape:
    """`prefix` of the columns of 双公示, empty for the other tables."""

    kind: str
    prefix: str
    fields: tuple[_Field, ...]


_SHAPES: Final[Mapping[str, _Shape]] = {
    "xzcf": _Shape(
        "PENALTY",
        "CF",
        (
            _Field("subject_name", ("CF_XDR_MC",), read_name, "value"),
            _Field("document_number", ("CF_WSH",), read_number, "value"),
            _Field("decided_on", ("CF_JDRQ",), read_day, "value"),
            _Field("authority_name", ("CF_CFJG", "CF_XZJG"), read_name, "key"),
            _Field("authority_uscc", ("CF_CFJGDM",), read_code),
            _Field("penalty_kinds", ("CF_CFLB", "CF_CFLB1"), read_kinds, "key"),
            _Field("offence", ("CF_WFXW", "CF_CFMC"), text_up_to(LIST)),
            _Field("facts", ("CF_SY",), text_up_to(LONG)),
            _Field("basis", ("CF_YJ",), text_up_to(LONG)),
            _Field("content", ("CF_NR", "CF_JG"), text_up_to(LONG)),
            _Field("fine", ("CF_NR_FK",), read_amount),
            _Field("confiscated", ("CF_NR_WFFF",), read_amount),
            _Field("licence_effect", ("CF_NR_ZKDX",), text_up_to(SHORT)),
            _Field("valid_until", ("CF_YXQ",), read_until),
            _Field("published_until", ("CF_GSJZQ",), read_day),
        ),
    ),
    "xzxk": _Shape(
        "LICENCE",
        "XK",
        (
            _Field("subject_name", ("XK_XDR_MC", "XK_XDR"), read_name, "value"),
            _Field("document_number", ("XK_WSH",), read_number, "value"),
            _Field("decided_on", ("XK_JDRQ",), read_day, "value"),
            _Field("authority_name", ("XK_XKJG", "XK_XZJG"), read_name, "key"),
            _Field("authority_uscc", ("XK_XKJGDM",), read_code),
            _Field("title", ("XK_XKWS", "XK_XMMC"), text_up_to(SHORT)),
            _Field("licence_kind", ("XK_XKLB", "XK_SPLB"), read_licence_kind),
            _Field("certificate_name", ("XK_XKZS",), text_up_to(SHORT)),
            _Field("certificate_number", ("XK_XKBH",), text_up_to(NUMBER)),
            _Field("content", ("XK_NR",), text_up_to(LONG)),
            _Field("valid_from", ("XK_YXQZ",), read_day),
            _Field("valid_until", ("XK_YXQZI", "XK_JZQ"), read_until),
            _Field("published_until", ("XK_GSJZQ",), read_day),
        ),
    ),
    "honour": _Shape(
        "HONOUR",
        "",
        (
            _Field("title", ("title",), text_up_to(SHORT), "value"),
            _Field("decided_on", ("awarded_on",), read_day, "value"),
            _Field("authority_name", ("authority",), read_name, "key"),
            _Field("valid_until", ("valid_to",), read_until),
        ),
    ),
    "serious_dishonesty": _Shape(
        "LIST_ENTRY",
        "",
        (
            _Field("list_name", ("list_name",), read_name, "value"),
            _Field("decided_on", ("listed_on",), read_day, "value"),
            _Field("authority_name", ("authority",), read_name, "key"),
            _Field("basis", ("basis",), text_up_to(LONG)),
            _Field("removed_on", ("removed_on",), read_day),
        ),
    ),
    "abnormal": _Shape(
        "LIST_ENTRY",
        "",
        (
            _Field("grounds", ("reason",), text_up_to(LIST), "value"),
            _Field("decided_on", ("listed_on",), read_day, "value"),
            _Field("authority_name", ("authority",), read_name, "key"),
            _Field("removed_on", ("removed_on",), read_day),
        ),
    ),
}
# What every row has, null where its table doesn't say it.
_COMMON: Final = (
    "title", "document_number", "authority_name", "authority_uscc", "published_until", "basis", "amount", "facts",
    "subject_name",
)  # fmt: skip
# What tells the rows of the other tables apart beside the day, as the platform has it.
_NUMBERED_BY: Final = {"honour": "title", "serious_dishonesty": "list_name", "abnormal": "reason"}
# The columns that a row's key is made of.
_TOLD_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "xzcf": ("document_number",),
    "xzxk": ("document_number",),
    "honour": ("title", "decided_on"),
    "serious_dishonesty": ("list_name", "decided_on"),
    "abnormal": ("grounds", "decided_on"),
}
# Kinds of subject that may stand beside an organisation's code, as imported files write them, too.
_PERSON: Final = "自然人"
_NO_PERSONS: Final = frozenset(
    (
        "法人及非法人组织", "法人和非法人组织", "法人或其他组织", "法人及其他组织", "法人", "非法人组织", "其他组织",
        "个体工商户", "个体户", "企业", "企业法人", "机关法人", "机关", "事业单位", "社会组织", "群众团体",
        "农民专业合作社", "村民委员会", "居民委员会",
    )
)  # fmt: skip


def _check(table: str, entity: Mapping[str, object], uscc: str) -> None:
    """Whose row the entity says it is, and that no column holds more than a plain value."""
    prefix = _SHAPES[table].prefix
    if not prefix:
        return
    for key, value in entity.items():
        if isinstance(value, bool | list | dict) and key.startswith(f"{prefix}_"):
            fail(FailureKind.MALFORMED, "a column is neither text nor number")
    read_text(entity.get(f"{prefix}_XDR_SHXYM"), f"{prefix}_XDR_SHXYM")
    _check_whose(table, entity, uscc)
    _check_kind(entity.get(f"{prefix}_XDR_LB"), f"{prefix}_XDR_LB")


def _check_whose(table: str, entity: Mapping[str, object], uscc: str) -> None:
    """FOREIGN_ROWS where the entity names another subject."""
    code = entity.get(f"{_SHAPES[table].prefix}_XDR_SHXYM")
    if not isinstance(code, str):
        return
    code = unicodedata.normalize("NFKC", code).strip().upper()
    if code != uscc and valid_uscc(code):
        fail(FailureKind.FOREIGN_ROWS, "a row names two subjects")


def _check_kind(value: object, key: str) -> None:
    """A person is no public subject, whatever code stands there; nor is what the contract doesn't know taken for none.
    Compared without what is not seen: spaces, controls, marks without width."""
    text = text_up_to(NAME)(value, key)
    if text is None:
        return
    plain = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one)[0] not in "CZ")
    if plain.startswith(_PERSON):
        fail(FailureKind.MALFORMED, "a natural person's row under an organisation's code")
    if plain and plain not in _NO_PERSONS:
        fail(FailureKind.MALFORMED, f"{key} is no kind of subject")


def _complete(table: str, entity: Mapping[str, object], out: dict[str, Cell]) -> str:
    """Fill in what follows from the row's own columns; returns the number that tells it from others."""
    for name in _COMMON:
        out.setdefault(name, None)
    out |= {"kind": _SHAPES[table].kind, "area": "GENERAL", "severity": None}
    if table in _NUMBERED_BY:
        key = _NUMBERED_BY[table]
        number = f"{read_text(entity.get(key), key)}|{out['decided_on']}"
        if table == "abnormal":
            out["list_name"] = ABNORMAL_LIST
        if table != "honour":
            out["title"] = out["list_name"]
        if table == "serious_dishonesty":
            out["severity"] = "SERIOUS"
        return number
    number = str(out["document_number"])
    out["document_number"] = document_number_of(number)
    if table == "xzcf":
        if "CF_CFLB" not in entity and "CF_CFLB2" in entity:  # the older generation has two columns of kinds
            more = read_kinds(entity["CF_CFLB2"], "CF_CFLB2") or []
            first = out["penalty_kinds"]
            out["penalty_kinds"] = list(dict.fromkeys([*first, *more])) if isinstance(first, list) else more or None
        parts = [Decimal(str(out[name])) for name in ("fine", "confiscated") if out[name] is not None]
        out["amount"] = f"{sum(parts):.2f}" if parts else None
    names = ("offence",) if table == "xzcf" else ("title", "certificate_name", "content")
    out["title"] = next(str(out[name]) for name in (*names, "document_number") if out[name] is not None)[:SHORT]
    return number


def _envelope(raw: Mapping[str, object], out: dict[str, Cell]) -> int:
    """Where the row comes from and when it was changed (RFC 3339, +08:00); returns the number of unreadable dates."""
    for key in ("dataSource", "updateTime"):
        if key not in raw:
            fail(FailureKind.MALFORMED, f"missing {key}")
    out["data_source"] = text_up_to(NAME)(raw["dataSource"], "dataSource")
    try:
        out["updated_at"] = read_moment(raw["updateTime"], "updateTime")
    except UnreadableDateError:
        out["updated_at"] = None
        return 1
    return 0

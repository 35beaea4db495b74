"""Typed cells become what the loaders write: whose row it is, and the record with its class and term.

In: the values of a row, the reference data, the rules. Out: `SubjectSpec` and `RecordRow`, or CellError. No database.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from gateway.storage.identifiers import fold_name, kind_of_uscc, organisation_uuid, valid_organisation_code, valid_uscc
from gateway.storage.imports.definitions import ORGANISATION, FileKind
from gateway.storage.imports.parse import CellError
from gateway.storage.imports.rules import Rules, publication_until
from gateway.storage.imports.rules import add_months as months_after

Values: TypeAlias = Mapping[str, Any]
# What a subject is found by: ("USCC", code), ("PERSON", blind index), ("ORGAN", folded name),
# ("USCC_INVALID" | "ORGANISATION_CODE", code, folded name), ("ROW", source and row key or folded name).
Key: TypeAlias = tuple[str, ...]

DEFAULT_SOURCE = "LOCAL"
WITHOUT_CLASS = frozenset(("LIST_ENTRY", "HONOUR", "LICENCE"))
# Records that a person may have as well. Where nothing says whose a row is, it must say that it is not a person's.
OF_PERSONS_TOO = frozenset(("PENALTY", "LICENCE", "DISCIPLINARY_ACTION", "ACCOUNTABILITY"))
PERSON_KINDS = {"NATURAL_PERSON": "PERSON", "CIVIL_SERVANT": "SERVANT"}


@dataclass(frozen=True, slots=True)
class Reference:
    """What rows refer to, read once a run."""

    regions: frozenset[str]
    sources: frozenset[str]
    rules: Rules
    received_on: dt.date


@dataclass(frozen=True, slots=True)
class SubjectSpec:
    """A subject as a row describes it. `number`: identity number of a person, never printed."""

    key: Key
    kind: str
    kind_given: bool
    name: str
    folded: str
    uscc: str | None = None
    region_code: str | None = None
    legal_representative: str | None = None
    registered_on: dt.date | None = None
    address: str | None = None
    number: str | None = field(default=None, repr=False)

    @property
    def subject_class(self) -> str:
        """ORGANISATION, PERSON or SERVANT: what the visibility of rows goes by."""
        return PERSON_KINDS.get(self.kind, "ORGANISATION")


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record as a row describes it; ids and the natural key come when its subjects are known."""

    line: int
    subject: SubjectSpec
    authority: SubjectSpec | None
    number: str  # the row's part of the natural key
    status: str | None  # the row's own
    columns: Mapping[str, Any]  # of core.record, the row's own and the computed ones
    published_from: dt.date | None  # the row's own
    withdrawn_on: dt.date | None
    reason: str | None
    content_hash: bytes


def region_of_code(uscc: str, regions: frozenset[str]) -> str | None:
    """The division in positions 3-8 of a USCC, if it is a known one: 652701, 652700 → 6527, 650000 → 65."""
    return known_region(uscc[2:8], regions)


def known_region(code: str, regions: frozenset[str]) -> str | None:
    """The code as regions are stored, None where there is no such region."""
    for known in (code, code.removesuffix("00"), code.removesuffix("0000")):
        if known in regions:
            return known
    return None


def subject_spec(values: Values, reference: Reference, blind_index: Any) -> SubjectSpec:
    """Whose row this is. `blind_index` maps an identity number to bytes. Raises CellError."""
    kind, name = values.get("subject_kind"), values["name"]
    if kind is None and "identity_number" in values and not valid_uscc(values.get("uscc", "")):
        kind = "NATURAL_PERSON"
    elif kind == ORGANISATION:
        kind = None  # its code tells the kind more exactly
    region = _region(values, reference)
    if kind in PERSON_KINDS:
        return _person(values, kind, region, blind_index)
    code = values.get("uscc")
    folded = fold_name(name)
    if not folded:
        raise CellError("name", name, "名称只有空白或符号", "the name has nothing in it")
    common = {
        "name": name,
        "folded": folded,
        "kind_given": kind is not None,
        "legal_representative": values.get("legal_representative"),
        "registered_on": values.get("registered_on"),
        "address": values.get("address"),
    }
    if code is not None and valid_uscc(code):
        region = region or region_of_code(code, reference.regions)
        return SubjectSpec(("USCC", code), kind or kind_of_uscc(code), uscc=code, region_code=region, **common)
    if code is None:
        key: Key = ("ROW", f"{values.get('source', DEFAULT_SOURCE)}:{values.get('row_key') or folded}")
    else:
        key = ("ORGANISATION_CODE" if valid_organisation_code(code) else "USCC_INVALID", code, folded)
    return SubjectSpec(key, kind or "OTHER", region_code=region, **common)


def _check_kind_said(record_kind: str, values: Values, subject: SubjectSpec) -> None:
    """A name alone may be a person's, and organisations are public: such a row must say whose it is."""
    if record_kind in OF_PERSONS_TOO and subject.key[0] == "ROW" and values.get("subject_kind") in (None, "OTHER"):
        raise CellError(
            "subject_kind",
            values.get("subject_kind") or "",
            "既无统一社会信用代码又无证件号码，须写明主体类别：组织写“法人及非法人组织”“个体工商户”等，自然人补证件号码",
            "neither a code nor an identity number: say the kind of subject, for an organisation 法人及非法人组织,"
            " 个体工商户 or another; for a person put in the identity number",
        )


def _region(values: Values, reference: Reference) -> str | None:
    code = values.get("region_code")
    if code is None:
        return None
    region = known_region(code, reference.regions)
    if region is None:
        raise CellError(
            "region_code", code, "没有这个行政区划，请先导入区划", "no such division; import divisions first"
        )
    return region


def _person(values: Values, kind: str, region: str | None, blind_index: Any) -> SubjectSpec:
    if values.get("uscc") is not None:
        raise CellError(
            "uscc", values["uscc"], "自然人没有统一社会信用代码", "a person has no unified social credit code"
        )
    identity_type = values.get("identity_type")
    if identity_type is not None and "身份证" not in identity_type and identity_type not in ("111", "1", "01"):
        raise CellError("identity_type", identity_type, "只接受居民身份证", "only resident identity numbers are taken")
    number = values.get("identity_number")
    if number is None:
        raise CellError(
            "identity_number",
            "",
            "自然人和公务员须有证件号码，否则无法区分同名的人",
            "a person needs an identity number, names alone don't tell people apart",
        )
    name = values["name"]
    key = ("PERSON", blind_index(number).hex())
    return SubjectSpec(key, kind, True, name, fold_name(name) or name, region_code=region, number=number)


def _authority(values: Values, reference: Reference) -> SubjectSpec | None:
    """The determining organ: by its code, else by its exact folded name among organs. Raises CellError."""
    name, code = values.get("authority_name"), values.get("authority_uscc")
    if name is not None and not fold_name(name):
        raise CellError("authority_name", name, "名称只有空白或符号", "the name has nothing in it")
    if code is not None and valid_uscc(code):
        if name is None:
            raise CellError(
                "authority_name", "", "有机关代码而无机关名称", "an authority needs its name beside its code"
            )
        region = region_of_code(code, reference.regions)
        return SubjectSpec(
            ("USCC", code), kind_of_uscc(code), False, name, fold_name(name), uscc=code, region_code=region
        )
    if name is None:
        if code is not None:
            raise CellError(
                "authority_uscc", code, "机关代码无效且无机关名称", "an invalid code and no name of the authority"
            )
        return None
    return SubjectSpec(("ORGAN", fold_name(name)), "ORGAN", False, name, fold_name(name))


def record_row(line: int, kind: FileKind, values: Values, reference: Reference, blind_index: Any) -> RecordRow:
    """The record of a row, with its class and term. Raises CellError where the law has no place for it."""
    record_kind = kind.record_kind or values["kind"]
    decided_on: dt.date = values["decided_on"]
    if decided_on > reference.received_on:
        raise CellError("decided_on", str(decided_on), "决定日期晚于接收日期", "decided after it was received")
    source = values.get("source", DEFAULT_SOURCE)
    if source not in reference.sources:
        raise CellError("source", source, "没有这个来源", "no such source")
    until = values.get("published_until")
    if until is not None and until < decided_on:
        raise CellError(
            "published_until", str(until), "公示截止日期早于决定日期", "publication ends before the decision"
        )
    amount = _amount(record_kind, values)
    severity = _severity(record_kind, values, amount, reference.rules)
    term = reference.rules.term(severity, decided_on) if severity else None
    if severity and term is None:
        raise _no_rule("severity", decided_on)
    published = values.get("published")
    columns = {
        "kind": record_kind,
        "area": values.get("area", "GENERAL"),
        "severity": severity,
        "published": published if published is not None else term is None or term.published_by_default,
        "under_objection": values.get("under_objection", False),
        "source_code": source,
        "catalogue_item": _catalogue_item(record_kind, values, reference),
        "decided_on": decided_on,
        "published_until": publication_until(until, decided_on, term),
        "repairable_from": months_after(decided_on, term.shortest_months) if term else None,
        "amount": amount,
        "title": _title(record_kind, values),
        "document_number": values.get("document_number") or values.get("case_number"),
        "basis": values.get("basis"),
        "facts": values.get("facts"),
        "detail": _detail(kind, values),
    }
    authority = _authority(values, reference)
    _check_withdrawal(values, authority)
    subject = subject_spec(values, reference, blind_index)
    _check_kind_said(record_kind, values, subject)
    return RecordRow(
        line,
        subject,
        authority,
        _number(record_kind, values, columns["title"]),
        values.get("status"),
        columns,
        values.get("published_from"),
        values.get("withdrawn_on"),
        values.get("status_reason"),
        _content_hash(record_kind, kind, values),
    )


def _no_rule(column: str, day: dt.date) -> CellError:
    return CellError(
        column,
        str(day),
        f"{day} 没有可适用的等级和期限规则，请先补充规则数据",
        f"no rule on class and term is in force on {day}; add one to core.penalty_class_rule or publication_term",
    )


def _amount(kind: str, values: Values) -> Decimal | None:
    if values.get("amount") is not None:
        return Decimal(values["amount"])
    parts = [values[name] for name in ("fine", "confiscated") if values.get(name) is not None]
    return sum(parts, Decimal(0)) if parts and kind == "PENALTY" else None


def _severity(kind: str, values: Values, amount: Decimal | None, rules: Rules) -> str | None:
    if kind in WITHOUT_CLASS:
        return None
    if kind != "PENALTY":
        given: str | None = values.get("severity")
        return given
    kinds = values.get("penalty_kinds")
    if not kinds:
        raise CellError("penalty_kinds", "", "行政处罚须有处罚类别", "a penalty needs its kinds")
    severity = rules.severity(kinds, amount or Decimal(0), values["decided_on"])
    if severity is None:
        raise _no_rule("penalty_kinds", values["decided_on"])
    return severity


def _catalogue_item(kind: str, values: Values, reference: Reference) -> str:
    item = values.get("catalogue_item") or reference.rules.default_item(kind, reference.received_on)
    if item is None:
        raise CellError(
            "catalogue_item", "", "没有对应的目录项，不得记录", "no catalogue item allows this kind of record"
        )
    if not reference.rules.allows(item, reference.received_on):
        raise CellError("catalogue_item", item, "目录中没有这一项或已失效", "no such item in a catalogue in force")
    return str(item)


def _check_withdrawal(values: Values, authority: SubjectSpec | None) -> None:
    if values.get("status") != "REVOKED":
        return
    if authority is None:
        raise CellError("authority_name", "", "撤销的信息须有认定机关", "a revoked record needs its authority")
    if values.get("status_reason") is None:
        raise CellError(
            "status_reason",
            "",
            "撤销须公开说明理由（行政处罚法第四十八条）",
            "a revocation needs its reason, said publicly",
        )


def _title(kind: str, values: Values) -> str:
    title = values.get("title")
    if title is None and kind == "LIST_ENTRY":
        title = values.get("list_name")
    if title is None:
        title = values.get("offence") or values.get("document_number")
    if title is None:
        raise CellError("title", "", "没有标题", "no title")
    return str(title)[:500]


def _number(kind: str, values: Values, title: str) -> str:
    """What tells this row from others of the same subject and authority."""
    if kind == "LIST_ENTRY":
        return f"{values.get('list_name') or title}|{values['decided_on']}"
    found = values.get("document_number") or values.get("case_number") or values.get("row_key")
    if found is not None:
        return str(found)
    return f"{values['decided_on']}|{hashlib.sha256(title.encode()).hexdigest()[:32]}"


def json_value(value: object) -> object:
    """A typed value as JSON has it: money as text with two decimals, days as ISO text, lists as lists."""
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return value


def canonical(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, Chinese as it is."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=json_value)


def _detail(kind: FileKind, values: Values) -> dict[str, object]:
    return {
        column.name: json_value(values[column.name])
        for column in kind.columns
        if column.detail and values.get(column.name) is not None
    }


# The subject's own traits are not content of a record: they change on their own.
_NOT_CONTENT = frozenset(
    (
        "name",
        "uscc",
        "subject_kind",
        "region_code",
        "legal_representative",
        "identity_type",
        "identity_number",
        "row_key",
    )
)


def _content_hash(record_kind: str, kind: FileKind, values: Values) -> bytes:
    """SHA-256 of what the row itself says. Nothing computed is in it: neither the day of receipt nor a change of law
    may make the same row look changed."""
    own = {
        c.name: values[c.name] for c in kind.columns if c.name not in _NOT_CONTENT and values.get(c.name) is not None
    }
    return hashlib.sha256(canonical({**own, "kind": record_kind}).encode()).digest()


def external_id_of(key: Key) -> Any:
    """The id that a subject has by its key alone: that of its code; None where it is random."""
    return organisation_uuid(key[1]) if key[0] == "USCC" else None

"""Typed cells become the record that the loader writes, with its class and term.

In: the values of a row, the reference data, the rules. Out: `RecordRow`, or RowErrors with everything that is wrong
with the row, not only the first thing. No database.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.storage.identifiers import same_document_number
from gateway.storage.imports.columns import FileKind
from gateway.storage.imports.refused import CellError, RowErrors
from gateway.storage.imports.rules import Rules, Term, publication_until
from gateway.storage.imports.rules import add_months as months_after
from gateway.storage.imports.subject_rows import (
    DEFAULT_SOURCE,
    Reference,
    SubjectSpec,
    Values,
    authority_spec,
    check_kind_said,
    is_person,
    subject_spec,
)

WITHOUT_CLASS = frozenset(("LIST_ENTRY", "HONOUR", "LICENCE"))
OF_SERVANTS = frozenset(("DISCIPLINARY_ACTION", "ACCOUNTABILITY"))


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
    fine_unknown: bool = False


def record_row(line: int, kind: FileKind, values: Values, reference: Reference, blind_index: Any) -> RecordRow:
    """The record of a row, with its class and term. Raises RowErrors where the law has no place for it."""
    try:
        return _record_row(line, kind, values, reference, blind_index)
    except CellError:
        raise RowErrors(tuple(problems_of(kind, values, frozenset(), reference, blind_index))) from None


def _record_row(line: int, kind: FileKind, values: Values, reference: Reference, blind_index: Any) -> RecordRow:
    record_kind = kind.record_kind or values["kind"]
    _check_days(record_kind, values, reference)
    source = _source(values, reference)
    decided_on: dt.date = values["decided_on"]
    amount = _amount(record_kind, values)
    severity = _severity(record_kind, values, amount, reference.rules)
    term = _term(severity, values, reference.rules)
    published = values.get("published")
    until = publication_until(values.get("published_until"), decided_on, term)
    if record_kind == "LIST_ENTRY":
        until = _listed_until(values, until, reference.rules)
    columns = {
        "kind": record_kind,
        "area": values.get("area", "GENERAL"),
        "severity": severity,
        "published": published if published is not None else term is None or term.published_by_default,
        "under_objection": values.get("under_objection", False),
        "source_code": source,
        "catalogue_item": _catalogue_item(record_kind, values, reference),
        "decided_on": decided_on,
        "published_until": until,
        "repairable_from": months_after(decided_on, term.shortest_months) if term else None,
        "amount": amount,
        "title": _title(record_kind, values),
        "document_number": values.get("document_number") or values.get("case_number"),
        "basis": values.get("basis"),
        "facts": values.get("facts"),
        "detail": _detail(kind, values),
    }
    authority = authority_spec(values, reference)
    _check_decided_by(record_kind, values)
    _check_withdrawal(values)
    subject = _subject(record_kind, values, reference, blind_index)
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
        record_kind == "PENALTY" and fine_unknown(values),
    )


def problems_of(
    kind: FileKind, values: Values, failed: frozenset[str], reference: Reference, blind_index: Any
) -> list[CellError]:
    """Everything that is wrong with a row beside its `failed` columns: each check by itself, where it can be made."""
    record_kind = kind.record_kind or values.get("kind")
    checks: list[tuple[str, Callable[[], object]]] = [
        ("decided_on published_until valid_until removed_on", lambda: _check_days(record_kind, values, reference)),
        ("source", lambda: _source(values, reference)),
        ("authority_name authority_uscc", lambda: authority_spec(values, reference)),
        ("status old_state status_reason authority_name authority_uscc", lambda: _check_withdrawal(values)),
        (_SUBJECT, lambda: _subject(record_kind, values, reference, blind_index)),
    ]
    if record_kind is not None:
        checks += [
            ("authority_name authority_uscc", lambda: _check_decided_by(record_kind, values)),
            ("catalogue_item kind", lambda: _catalogue_item(record_kind, values, reference)),
            ("title offence document_number", lambda: _title(record_kind, values)),
            (
                "decided_on penalty_kinds kinds_1 kinds_2 fine confiscated amount severity",
                lambda: _term(
                    _severity(record_kind, values, _amount(record_kind, values), reference.rules),
                    values,
                    reference.rules,
                ),
            ),
        ]
    if record_kind == "LIST_ENTRY" and values.get("list_kind") != "OTHER":
        checks.append(("decided_on", lambda: _longest_term(values, reference.rules)))
    found: list[CellError] = []
    for needs, check in checks:
        if failed.isdisjoint(needs.split()):
            try:
                check()
            except CellError as error:
                found.append(error)
    return found


_SUBJECT = "name uscc organisation_code subject_kind region_code identity_type identity_number"


def _check_days(kind: str | None, values: Values, reference: Reference) -> None:
    decided_on, until = values["decided_on"], values.get("published_until")
    if decided_on > reference.received_on:
        raise CellError("decided_on", str(decided_on), "决定日期晚于接收日期", "decided after it was received")
    if until is not None and until < decided_on:
        raise CellError(
            "published_until", str(until), "公示截止日期早于决定日期", "publication ends before the decision"
        )
    removed = values.get("removed_on")
    if kind == "LIST_ENTRY" and removed is not None and removed < decided_on:
        raise CellError("removed_on", str(removed), "移出日期早于列入日期", "removed before it was listed")
    ends = values.get("valid_until")
    if kind == "PENALTY" and ends is not None and ends < decided_on:
        raise CellError("valid_until", str(ends), "处罚有效期早于决定日期", "it ends before the day of the decision")


def _listed_until(values: Values, own: dt.date | None, rules: Rules) -> dt.date | None:
    """The last day on which an entry of a list is published: that of its removal, its own, or the end of the longest
    term of SERIOUS, which a list has unless the row says that it is no list of serious dishonesty; the earliest."""
    ends = [day for day in (own, values.get("removed_on")) if day is not None]
    if values.get("list_kind") != "OTHER":
        ends.append(_longest_term(values, rules))
    return min(ends, default=None)


def _longest_term(values: Values, rules: Rules) -> dt.date:
    term = rules.term("SERIOUS", values["decided_on"])
    if term is None:
        raise _no_rule(values["decided_on"])
    return months_after(values["decided_on"], term.longest_months)


def _subject(kind: str | None, values: Values, reference: Reference, blind_index: Any) -> SubjectSpec:
    """Whose record it is. Disciplinary action and accountability are of those who serve: a person of such a row is
    one, whom two matters see and no others."""
    if kind in OF_SERVANTS and is_person(values):
        values = {**values, "subject_kind": "CIVIL_SERVANT"}
    subject = subject_spec(values, reference, blind_index)
    check_kind_said(values, subject)
    return subject


def _source(values: Values, reference: Reference) -> str:
    source: str = values.get("source", DEFAULT_SOURCE)
    if source not in reference.sources:
        raise CellError("source", source, "没有这个来源", "no such source")
    return source


def _term(severity: str | None, values: Values, rules: Rules) -> Term | None:
    term = rules.term(severity, values["decided_on"]) if severity else None
    if severity and term is None:
        raise _no_rule(values["decided_on"])
    return term


def _no_rule(day: dt.date) -> CellError:
    return CellError(
        "decided_on",
        str(day),
        f"决定日期 {day} 没有可适用的等级和期限规则；日期无误的，请系统管理员补充规则数据",
        f"no rule on class and term is in force on {day}, the day of the decision; if the day is right, the operator"
        " adds one to core.penalty_class_rule or publication_term",
    )


def _amount(kind: str, values: Values) -> Decimal | None:
    if values.get("amount") is not None:
        return Decimal(values["amount"])
    parts = [values[name] for name in ("fine", "confiscated") if values.get(name) is not None]
    return sum(parts, Decimal(0)) if parts and kind == "PENALTY" else None


def fine_unknown(values: Values) -> bool:
    """Is it a fine of which no amount is known? The older generation has amounts in the text of CF_JG alone."""
    known = values.get("fine") is not None or values.get("amount") is not None
    return not known and "罚款" in values.get("penalty_kinds", ())


def _severity(kind: str, values: Values, amount: Decimal | None, rules: Rules) -> str | None:
    if kind in WITHOUT_CLASS:
        return None
    if kind != "PENALTY":
        given: str | None = values.get("severity")
        return given
    kinds = values.get("penalty_kinds")
    if not kinds:
        raise CellError("penalty_kinds", "", "行政处罚须有处罚类别", "a penalty needs its kinds")
    fine = values.get("fine", values.get("amount"))
    if "罚款" in kinds and fine == 0:
        raise CellError("fine", "0", "罚款金额为 0", "a fine of 0 is none")
    severity = rules.severity(kinds, amount, values["decided_on"], fine_known=not fine_unknown(values))
    if severity is None:
        raise _no_rule(values["decided_on"])
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


def _check_decided_by(kind: str, values: Values) -> None:
    """A penalty is somebody's decision. Of a revoked one `_check_withdrawal` says it, a code alone `authority_spec`."""
    named = values.get("authority_name") or values.get("authority_uscc")
    if kind == "PENALTY" and named is None and values.get("status") != "REVOKED":
        raise CellError("authority_name", "", "行政处罚须有处罚机关", "a penalty needs the authority that decided it")


def _check_withdrawal(values: Values) -> None:
    if values.get("status") != "REVOKED":
        return
    if values.get("authority_name") is None:
        raise CellError("authority_name", "", "撤销的信息须有认定机关", "a revoked record needs its authority")
    if values.get("status_reason") is None:
        raise CellError(
            "status_reason",
            "",
            "撤销须公开说明理由（行政处罚法第四十八条）",
            "a revocation needs its reason, said publicly",
        )


# What a row without a title is called.
_TITLES = {
    "LIST_ENTRY": ("list_name",),
    "LICENCE": ("certificate_name", "content"),
    "JUDGMENT": ("cause", "case_number"),
    "DISCIPLINARY_ACTION": ("sanction",),
    "ACCOUNTABILITY": ("form",),
}


def _title(kind: str, values: Values) -> str:
    names = ("title", *_TITLES.get(kind, ()), "offence", "document_number")
    title = next((values[name] for name in names if values.get(name) is not None), None)
    if title is None:
        raise CellError("title", "", "没有标题", "no title")
    return str(title)[:500]


def _number(kind: str, values: Values, title: str) -> str:
    """What tells this row from others of the same subject and authority."""
    if kind == "LIST_ENTRY":
        return f"{values.get('list_name') or title}|{values['decided_on']}"
    for name in ("document_number", "case_number", "certificate_number", "row_key"):
        if values.get(name) is not None:
            return same_document_number(values[name]) if name == "document_number" else str(values[name])
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
        "organisation_code",
        "row_key",
        "remark",
        # Who decided is in it as the subject that was found: by name or by code, it is the same organ.
        "authority_name",
        "authority_uscc",
    )
)


def _content_hash(record_kind: str, kind: FileKind, values: Values) -> bytes:
    """SHA-256 of what the row itself says. Nothing computed is in it: neither the day of receipt nor a change of law
    may make the same row look changed."""
    own = {
        c.name: values[c.name] for c in kind.columns if c.name not in _NOT_CONTENT and values.get(c.name) is not None
    }
    if "document_number" in own:
        own["document_number"] = same_document_number(own["document_number"])  # another spelling is no correction
    return hashlib.sha256(canonical({**own, "kind": record_kind}).encode()).digest()


def with_authority(content_hash: bytes, authority: object) -> bytes:
    """The hash of a row's content together with the organ that determined it (its id, or nothing)."""
    return hashlib.sha256(content_hash + str(authority or "").encode()).digest()

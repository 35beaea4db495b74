"""Rows out of the answers of sources: functions of the view schemas, with that view's columns alone.

In: the catalogue. Out: frozen definitions, of which views.py makes SQL. Answers come to a statement as a jsonb
parameter; nobody reads them but by these functions, and below its level there is no such function (the second wall).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gateway.storage.catalogue import RECORD, RELATIONS, Column, P, R
from gateway.storage.levels import Level


@dataclass(frozen=True, slots=True)
class SourceFunction:
    """Rows of one part of a source's answers about one subject.

    Answers are {USCC: {"answer": {…}, part: [row, …]}}; where there are several sources of a kind (`by_source`: the
    function takes the source's code, too), {USCC: {source: {"answer": {…}, part: [row, …]}}}. `rows` is what its rows
    come from, x each of them: SQL over `answers`, `subject` and `source`, `{schema}` the view's own schema.
    """

    name: str
    source: str
    part: str
    columns: tuple[Column, ...]
    level: Level = P
    rows: str = ""
    by_source: bool = False

    def __post_init__(self) -> None:
        if not self.rows:
            object.__setattr__(self, "rows", f"jsonb_array_elements(answers -> subject -> '{self.part}') x")


def _row(name: str, level: Level, null: bool = True) -> Column:
    return Column(name, f"(x -> '{name}')::text", "json", level=level, null=null)


def _rows(level: Level, *names: str) -> tuple[Column, ...]:
    return tuple(_row(name, level) for name in names)


def _answer(source: str, level: Level, of: str = "x") -> tuple[Column, ...]:
    """Who answered, what status it has, when it was asked, why there is nothing newer."""
    return (
        Column("source_code", source, "key", level=level),
        # No answer about this subject: nobody was asked, which is never the same as an empty list.
        Column("status", f"coalesce(({of} -> 'status')::text, '\"NOT_CONSULTED\"')", "json", level=level),
        Column("as_of", f"({of} -> 'as_of')::text", "json", level=level, null=True),
        Column("reason", f"({of} -> 'reason')::text", "json", level=R, null=True),
    )


_ANSWER = "(select answers -> subject -> 'answer' as x) q"

# Records that a source gave -------------------------------------------------------------------------------------------


# A kept answer outlives the term of a record in it. Days are text: one that can't be cast would fail every statement.
_GIVEN_STATUS = "coalesce(x ->> 'status', 'ACTIVE')"
_STATUS = (
    f"case when {_GIVEN_STATUS} in ('ACTIVE', 'CORRECTED')"
    " and least(x ->> 'published_until', x ->> 'removed_on') < to_char(core.today(), 'YYYY-MM-DD')"
    f" then 'EXPIRED' else {_GIVEN_STATUS} end"
)
# Who may see what was revoked or repaired is its own region's to say, and it says so to nobody else.
_SHOWN = f"{_GIVEN_STATUS} not in ('REVOKED', 'REPAIRED')"


def _id_given(name: str) -> str:
    return f"x ->> '{name}'"


def _record_columns(source: str, item: str, own_id: Callable[[str], str] = _id_given) -> tuple[Column, ...]:
    """Columns of the record relation out of a row that a source gave; `source` and `item` are SQL.

    Its subject is the one that was asked about, its authority may be unknown here. Ids are made by gateway/sources,
    the same as of the stored record where the source's changes have brought it already; `own_id` may find another.
    """
    own = "(select s.{0} from {{schema}}.subject s where s.uscc = subject)"
    authority = "(select a.{0} from {{schema}}.authority a where a.uscc = x ->> 'authority_uscc')"
    told = "(select o.{0} from {{schema}}.source o where o.code = " + source + ")"
    given: Mapping[str, str] = {
        "external_id": own_id("external_id"),
        "node_id": own_id("node_id"),
        "kind": "x ->> 'kind'",
        "area": "coalesce(x ->> 'area', 'GENERAL')",
        "severity": "x ->> 'severity'",
        "catalogue_item": item,
        "title": "x ->> 'title'",
        "status": _STATUS,
        "under_objection": "coalesce(x ->> 'under_objection', 'false')",
        "version": "coalesce(x ->> 'version', '1')",
        "subject_node_id": "x ->> 'subject_node_id'",
        "subject_external_id": "x ->> 'subject_external_id'",
        "subject_on_record": "exists (select from {schema}.subject s where s.uscc = subject)::text",
        "subject_uscc": "subject",
        **{f"subject_{name}": own.format(name) for name in ("name", "kind", "region_code", "region_name")},
        "subject_region_local": own.format("region_local") + "::text",
        "authority_node_id": "x ->> 'authority_node_id'",
        "authority_external_id": "x ->> 'authority_external_id'",
        "authority_on_record": (
            "exists (select from {schema}.authority a where a.uscc = x ->> 'authority_uscc')::text"
        ),
        "authority_uscc": "x ->> 'authority_uscc'",
        "authority_name": "x ->> 'authority_name'",
        **{f"authority_{name}": authority.format(name) for name in ("kind", "region_code", "region_name")},
        "authority_region_local": authority.format("region_local") + "::text",
        "source_code": source,
        "source_name": told.format("name"),
        "source_kind": told.format("kind"),
        "source_healthy": told.format("healthy") + "::text",
    }
    typed: Mapping[str, tuple[str, str]] = {
        "id": (
            f"(select r.id from {{schema}}.record r where r.external_id = ({given['external_id']})::uuid)",
            "bigint",
        ),
        "subject_id": (own.format("id"), "bigint"),
        "authority_id": (authority.format("id"), "bigint"),
        "source_last_answer_at": (told.format("last_answer_at"), "timestamptz"),
    }
    made = []
    for column in RECORD.columns:
        level = max(column.level, R)
        if column.name in typed:
            sql, type_ = typed[column.name]
            made.append(Column(column.name, sql, column.kind, level=level, null=True, type=type_))
        elif column.name in given:
            made.append(Column(column.name, given[column.name], column.kind, level=level, null=column.null))
        else:
            made.append(Column(column.name, f"(x -> '{column.name}')::text", "json", level=level, null=True))
    return tuple(made)


_ITEM_BY_KIND = (
    "(select d.item from {schema}.catalogue_default d where d.kind = x ->> 'kind' order by d.valid_from desc limit 1)"
)

# Courts ---------------------------------------------------------------------------------------------------------------

_DISHONEST = (
    _row("case_number", P, null=False),
    _row("court", P, null=False),
    _row("filed_on", P),
    _row("published_on", P),
    Column("grounds", "coalesce((x -> 'grounds')::text, '[]')", "json", level=P),
    _row("performance", P),
    _row("basis_document", P),
    _row("duty", R),
)
_COURTS = (
    SourceFunction("courts_answer", "COURTS", "answer", _answer("'COURTS'", P), rows=_ANSWER),
    SourceFunction("courts_dishonest", "COURTS", "dishonest", _DISHONEST),
    SourceFunction(
        "courts_enforcement",
        "COURTS",
        "enforcement",
        (
            _row("case_number", R, null=False),
            _row("court", R, null=False),
            _row("filed_on", R),
            _row("state", R),
            _row("amount", R),
        ),
        R,
    ),
    SourceFunction(
        "courts_consumption",
        "COURTS",
        "consumption",
        (
            _row("case_number", R, null=False),
            _row("court", R, null=False),
            _row("ordered_on", R),
        ),
        R,
    ),
    SourceFunction(
        "courts_judgments",
        "COURTS",
        "judgments",
        (
            _row("case_number", R, null=False),
            _row("court", R, null=False),
            _row("cause", R),
            _row("judged_on", R),
            _row("result", R),
            _row("obligation", R),
            _row("performance", R),
        ),
        R,
    ),
)

# Banks: one row, or none where no bank knows the subject --------------------------------------------------------------

_SUMMARY = ("loan_balance", "overdue_balance", "overdue_days", "classification", "guarantee_balance")
_BANKS = (
    SourceFunction(
        "banks_answer",
        "BANKS",
        "summary",
        (
            *_answer("'BANKS'", R),
            *(Column(name, f"(y -> '{name}')::text", "json", level=R, null=True) for name in _SUMMARY),
        ),
        R,
        rows="(select answers -> subject -> 'answer' as x, answers -> subject -> 'summary' -> 0 as y) q",
    ),
    SourceFunction(
        "banks_events",
        "BANKS",
        "summary",
        (_row("kind", R, null=False), *_rows(R, "amount", "occurred_on", "settled_on")),
        R,
        rows="jsonb_array_elements(answers -> subject -> 'summary' -> 0 -> 'events') x",
    ),
)

# Regional platform ----------------------------------------------------------------------------------------------------

# A report of our own that came back is the record that was reported. What has ended here or there is not shown, unless
# the source says something newer of it; an own record's end is ours to say. Nor is what the source has withdrawn,
# stored or not.
_STORED = "{schema}.source_row w where w.source_code = 'REGION_PLATFORM' and w.natural_key = x ->> 'natural_key'"
_ENDED = (
    f"(exists (select from {_STORED} and w.ended"
    " and (w.linked or coalesce((x ->> 'updated_at')::timestamptz <= w.said_at, true)))"
    " or exists (select from {schema}.source_ended e where e.source_code = 'REGION_PLATFORM'"
    " and e.natural_key = x ->> 'natural_key'"
    " and coalesce((x ->> 'updated_at')::timestamptz <= e.ended_at, true)))"
)


def _id_stored(name: str) -> str:
    return f"coalesce((select w.{name}::text from {_STORED}), {_id_given(name)})"


# Where the record is stored, class, terms and status are those of the record: it must not say two things under one id.
_TERMS = ("severity", "status", "published_from", "published_until", "repairable_from", "under_objection", "version")


def _terms_of_the_record(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    record = f"{{schema}}.record r where r.external_id = ({_id_stored('external_id')})::uuid"
    made = []
    for column in columns:
        if column.name in _TERMS:
            printed = "to_json(r.{0})::text" if column.kind == "json" else "r.{0}::text"
            stored = f"(select {printed.format(column.name)} from {record})"
            # A class that the law does not give is the record's to say, too: null, not the source's.
            sql = f"case when exists (select from {record}) then {stored} else {column.sql} end"
            column = replace(column, sql=sql)
        made.append(column)
    return tuple(made)


_PLATFORM = (
    SourceFunction("platform_answer", "REGION_PLATFORM", "answer", _answer("'REGION_PLATFORM'", R), R, rows=_ANSWER),
    SourceFunction(
        "platform_records",
        "REGION_PLATFORM",
        "records",
        _terms_of_the_record(_record_columns("'REGION_PLATFORM'", _ITEM_BY_KIND, _id_stored)),
        R,
        rows=f"jsonb_array_elements(answers -> subject -> 'records') x where not {_ENDED}",
    ),
)

# Other regions: a section for each of them ----------------------------------------------------------------------------

# What a region said of the courts is no newer than what it said itself.
_PASSED_STATUS = (
    "case when x ->> 'status' in ('ANSWERED', 'CACHED') and v -> 'answer' ->> 'status' = 'STALE' then '\"STALE\"'"
    " when x ->> 'status' = 'ANSWERED' and v -> 'answer' ->> 'status' = 'CACHED' then '\"CACHED\"'"
    " else coalesce((x -> 'status')::text, '\"NOT_CONSULTED\"') end"
)
_PASSED = (
    "(select answers -> subject -> source as v, answers -> subject -> source -> 'subject' -> 0 -> 'courts' as x) q"
)


def _passed(status: str, reason: str) -> tuple[Column, ...]:
    return (
        Column("source_code", "'COURTS'", "key", level=R),
        Column("status", status, "json", level=R),
        Column("as_of", "(x -> 'as_of')::text", "json", level=R, null=True),
        Column("reason", reason, "json", level=R, null=True),
    )


_PEERS = (
    SourceFunction(
        "peers",
        "PEER_REGION",
        "subject",
        (
            Column("code", "e.code", "key", level=R),
            *_answer("e.code", R, "v -> 'answer'"),
            Column("on_record", "(v -> 'subject' -> 0 -> 'on_record')::text", "json", level=R, null=True),
            Column("region_code", "(v -> 'region' -> 'code')::text", "json", level=R),
            Column("region_name", "(v -> 'region' -> 'name')::text", "json", level=R),
            Column("region_local", "'false'", "bool", level=R),
            Column("courts", "v -> 'subject' -> 0 ->> 'courts'", "key", level=R, null=True),
        ),
        R,
        rows="jsonb_each(answers -> subject) e(code, v)",
    ),
    SourceFunction(
        "peers_records",
        "PEER_REGION",
        "subject",
        _record_columns("source", "coalesce(x ->> 'catalogue_item', '')"),
        R,
        rows=f"jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'records') x where {_SHOWN}",
        by_source=True,
    ),
    SourceFunction(
        "peers_courts",
        "PEER_REGION",
        "subject",
        _passed(_PASSED_STATUS, "null::text"),
        R,
        rows=_PASSED,
        by_source=True,
    ),
    # Asked for lists that the regions' contract does not have: nobody was asked, and that is what it says.
    SourceFunction(
        "peers_courts_unasked",
        "PEER_REGION",
        "subject",
        _passed("'\"NOT_CONSULTED\"'", "'\"NOT_PASSED_ON\"'"),
        R,
        rows=_PASSED,
        by_source=True,
    ),
    SourceFunction(
        "peers_dishonest",
        "PEER_REGION",
        "subject",
        _DISHONEST,
        R,
        rows="jsonb_array_elements(answers -> subject -> source -> 'subject' -> 0 -> 'courts' -> 'dishonest') x",
        by_source=True,
    ),
)

SOURCE_FUNCTIONS: dict[str, SourceFunction] = {
    function.name: function for function in (*_COURTS, *_BANKS, *_PLATFORM, *_PEERS)
}


def columns_of(relation: str) -> tuple[Column, ...]:
    """The columns of a view or of a source's function."""
    if relation in SOURCE_FUNCTIONS:
        return SOURCE_FUNCTIONS[relation].columns
    return RELATIONS[relation].columns


def column_of(relation: str, name: str) -> Column:
    """One of them; KeyError where there is none."""
    for column in columns_of(relation):
        if column.name == name:
            return column
    raise KeyError(f"{relation}.{name}")

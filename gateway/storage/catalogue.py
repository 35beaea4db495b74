"""The catalogue: every relation that a view offers, its columns with their levels, and which rows each view has.

In: nothing. Out: frozen definitions. `views.py` makes the SQL of the view schemas from them (the second wall); the
engine takes its identifiers and types from them and from nowhere else. Adding a column here is all that a new stored
field needs besides its place in the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.storage.levels import Level

P, R, I = Level.PUBLIC, Level.RESTRICTED, Level.INTERNAL  # noqa: E741

# How a column's value is printed as JSON (gateway/engine/sql.py): `code` needs no escaping, `json` is JSON already.
KINDS = ("key", "code", "text", "date", "timestamp", "bool", "int", "decimal", "json")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view: expression over the base tables, lowest level, and masked forms for lower levels."""

    name: str
    sql: str
    kind: str = "text"
    level: Level = field(kw_only=True)
    null: bool = False
    masked: Mapping[Level, str] = field(default_factory=dict)
    empty: str = "null"  # the JSON that stands for a missing row (a code that is not on record)
    type: str = "text"  # where a function returns it

    def at(self, level: Level) -> str | None:
        """The expression that a view of `level` has, None where it lacks the column."""
        if level < self.level:
            return None
        return self.masked.get(level, self.sql)


@dataclass(frozen=True, slots=True)
class Reference:
    """A to-one object that stands under a prefix in many rows and is one of few: an authority, a source.

    `key`: the column of the row at hand that says which it is. `relation` has it as a row of its own, under `own` (of
    SQL type `type`), with these `columns`: those that seldom change, and then change core.reference_version.
    """

    key: str
    relation: str
    own: str
    type: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Relation:
    """A view: base tables with to-one joins on unique keys (they vanish unselected), columns, row conditions.

    `rows` has a condition by access name (`public`, `restricted`, `internal`, `self`); a missing one means all rows.
    `subject` is the base column with the subject that narrowing goes by, `s.id` where core.subject stands there as `s`;
    None where narrowing doesn't apply.
    `orders`: name of an order → its ORDER BY; each becomes a view of its own: a barrier keeps a sort outside.
    `by_key`: its orders' indices have what it is mostly filtered by, so that a page's keys are found in them alone.
    `scoped`: rows depend on who asks in every view, so that an access without a scope has no such relation.
    `plain`: base tables for an access without a scope whose rows need no more of them than these.
    `references`: by prefix, what may be filled in from outside of the rows.
    """

    name: str
    base: str
    columns: tuple[Column, ...]
    level: Level = P
    rows: Mapping[str, str] = field(default_factory=dict)
    subject: str | None = None
    orders: Mapping[str, str] = field(default_factory=dict)
    by_key: bool = False
    group_by: str = ""
    shows: str = ""  # column with the UUID of the subject whose information a row is
    scoped: bool = False
    plain: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name}.{name}")


def _detail(name: str, level: Level) -> Column:
    """A field of one kind of record, kept in record.detail under its name; jsonb prints itself as JSON."""
    return Column(name, f"(r.detail -> '{name}')::text", "json", level=level, null=True)


def _subject_inline(prefix: str, alias: str, region: str) -> tuple[Column, ...]:
    """A subject's identity, standing in the row that refers to it: to-one joins inside the view cost least."""
    return (
        Column(f"{prefix}_node_id", f"{alias}.node_id", "code", level=P, null=True),
        Column(f"{prefix}_external_id", f"{alias}.external_id", "key", level=P, null=True),
        Column(f"{prefix}_on_record", "true", "bool", level=P),
        Column(f"{prefix}_uscc", f"{alias}.uscc", "code", level=P, null=True),
        Column(f"{prefix}_name", f"{alias}.name", "text", level=P, null=True),
        Column(f"{prefix}_kind", f"{alias}.kind", "code", level=P, null=True),
        Column(f"{prefix}_region_code", f"{alias}.region_code", "code", level=P, null=True),
        Column(f"{prefix}_region_name", f"{region}.name", "text", level=P, null=True),
        Column(f"{prefix}_region_local", f"{region}.local", "bool", level=P, null=True),
    )


def _source_inline(alias: str, health: str, prefix: str = "source_", own: str = "") -> tuple[Column, ...]:
    """`own`: what has its code without a join."""
    return (
        Column(f"{prefix}code", own or f"{alias}.code", "code", level=P),
        Column(f"{prefix}name", f"{alias}.name", "text", level=P),
        Column(f"{prefix}kind", f"{alias}.kind", "code", level=P),
        Column(f"{prefix}healthy", f"coalesce({health}.healthy, true)", "bool", level=P),
        Column(f"{prefix}last_answer_at", f"{health}.last_answer_at", "timestamp", level=R, null=True),
    )


def _published_below_restricted(column: str) -> dict[Level, str]:
    """basis, amount, facts: of disciplinary action and accountability null in the public view."""
    return {P: f"case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.{column} end"}


# Conditions on rows (DESIGN: who sees which rows) ---------------------------------------------------------------------

SCOPE = "(select current_setting('gateway.scope')::jsonb)"
_MATTER = "(select coalesce((select m.{flag} from auth.matter m where m.code = " + SCOPE + " ->> 'matter'), false))"
SHOWS_SERVANTS = _MATTER.format(flag="shows_servants")
SHOWS_WITHDRAWN = _MATTER.format(flag="shows_withdrawn")
IDENTIFIES_PERSONS = _MATTER.format(flag="identifies_persons")
REVEALS_IDENTITY = _MATTER.format(flag="reveals_identity")
SCOPE_ORGANISATION = f"(select ({SCOPE} ->> 'organisation')::bigint)"
SCOPE_SUBJECT = f"(select ({SCOPE} ->> 'subject')::bigint)"
SCOPE_USCC = f"(select {SCOPE} ->> 'uscc')"  # of the asker's organisation

_IN_FORCE = "r.status in ('ACTIVE', 'CORRECTED')"
_WITHIN_TERM = "r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())"


def _servants(subject: str) -> str:
    return (
        f"{SHOWS_SERVANTS} or exists (select from core.publication_order o where o.subject_id = {subject}"
        " and core.today() between o.valid_from and o.valid_until)"
    )


RECORD_ROWS = {
    "public": f"r.subject_class = 'ORGANISATION' and {_IN_FORCE} and r.published and {_WITHIN_TERM}",
    "restricted": f"r.subject_class = 'ORGANISATION' and {_IN_FORCE}",
    "self": f"r.subject_id = {SCOPE_SUBJECT}",
    "internal": (
        f"(r.subject_class <> 'SERVANT' or {_servants('r.subject_id')})"
        f" and ({_IN_FORCE} or r.authority_id = {SCOPE_ORGANISATION} or {SHOWS_WITHDRAWN})"
    ),
}
SUBJECT_ROWS = {
    "public": "s.class = 'ORGANISATION'",
    "restricted": "s.class = 'ORGANISATION'",
    "self": f"s.id = {SCOPE_SUBJECT}",
    "internal": f"(s.class <> 'SERVANT' or {_servants('s.id')})",
}
STATUS = (
    "case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED'"
    " else r.status end"
)

_ROLE_AT_PRESENT = (
    "(o.valid_from is null or o.valid_from <= core.today()) and (o.valid_to is null or o.valid_to >= core.today())"
)

# Relations ------------------------------------------------------------------------------------------------------------


def _region(prefix: str) -> dict[str, Reference]:
    columns = frozenset(("code", "name", "local"))
    return {f"{prefix}region_": Reference(f"{prefix}region_code", "region", "code", "text", columns)}


SUBJECT = Relation(
    "subject",
    "core.subject s left join core.region g on g.code = s.region_code"
    " left join core.person_identity pi on pi.subject_id = s.id",
    (
        Column("id", "s.id", "key", level=P),
        Column("external_id", "s.external_id", "key", level=P),
        Column("node_id", "s.node_id", "code", level=P),
        Column("uscc", "s.uscc", "code", level=P, null=True),
        Column("on_record", "true", "bool", level=P, empty="false"),
        Column("name", "s.name", "text", level=P),
        Column("kind", "s.kind", "code", level=P),
        Column("registered_on", "s.registered_on", "date", level=P, null=True),
        Column("region_code", "s.region_code", "code", level=P, null=True),
        Column("region_name", "g.name", "text", level=P, null=True),
        Column("region_local", "g.local", "bool", level=P, null=True),
        Column(
            "legal_representative",
            "s.legal_representative",
            "text",
            level=P,
            null=True,
            masked=dict.fromkeys(
                (P, R),
                "case when s.kind = 'INDIVIDUAL_BUSINESS' then left(s.legal_representative, 1) || '**'"
                " else s.legal_representative end",
            ),
        ),
        Column(
            "former_names",
            "(select coalesce(json_agg(f.name order by f.used_until, f.name), '[]')::text"
            " from core.former_name f where f.subject_id = s.id)",
            "json",
            level=P,
            empty="[]",
        ),
        Column(
            "roles",
            "(select coalesce(json_agg(o.role order by o.role), '[]')::text from core.subject_role o"
            f" where o.subject_id = s.id and {_ROLE_AT_PRESENT})",
            "json",
            level=P,
            empty="[]",
        ),
        Column("identity_number", "pi.masked", "code", level=I, null=True),
    ),
    rows=SUBJECT_ROWS,
    subject="s.id",
    shows="external_id",
    references=_region(""),
)

_RECORD_BASE = (
    "core.record r left join core.subject s on s.id = r.subject_id left join core.region sg on sg.code = s.region_code"
    " left join core.subject a on a.id = r.authority_id and a.class = 'ORGANISATION'"
    " left join core.region ag on ag.code = a.region_code"
    " left join core.source o on o.code = r.source_code left join core.source_health h on h.source_code = r.source_code"
)

RECORD = Relation(
    "record",
    _RECORD_BASE,
    (
        Column("id", "r.id", "key", level=P),
        Column("external_id", "r.external_id", "key", level=P),
        Column("node_id", "r.node_id", "code", level=P),
        Column("subject_id", "r.subject_id", "key", level=P),
        Column("authority_id", "r.authority_id", "key", level=P, null=True),
        Column("kind", "r.kind", "code", level=P),
        Column("area", "r.area", "code", level=P),
        Column("severity", "r.severity", "code", level=P, null=True),
        Column("catalogue_item", "r.catalogue_item", "text", level=P),
        Column("title", "r.title", "text", level=P),
        Column("document_number", "r.document_number", "text", level=P, null=True),
        Column("decided_on", "r.decided_on", "date", level=P),
        Column("published_from", "r.published_from", "date", level=P, null=True),
        Column("published_until", "r.published_until", "date", level=P, null=True),
        Column("status", STATUS, "code", level=P, masked={P: "r.status"}),
        Column("under_objection", "r.under_objection", "bool", level=P),
        Column("repairable_from", "r.repairable_from", "date", level=P, null=True),
        Column("basis", "r.basis", "text", level=P, null=True, masked=_published_below_restricted("basis")),
        Column("amount", "r.amount", "decimal", level=P, null=True, masked=_published_below_restricted("amount")),
        Column("facts", "r.facts", "text", level=P, null=True, masked=_published_below_restricted("facts")),
        Column("version", "r.version", "int", level=R),
        *_subject_inline("subject", "s", "sg"),
        *_subject_inline("authority", "a", "ag"),
        *_source_inline("o", "h", own="r.source_code"),
        # The nine kinds' own fields
        _detail("penalty_kinds", P),
        _detail("offence", P),
        _detail("content", P),
        _detail("fine", P),
        _detail("confiscated", P),
        _detail("licence_effect", P),
        _detail("valid_from", P),
        _detail("valid_until", P),
        _detail("licence_kind", P),
        _detail("certificate_name", P),
        _detail("certificate_number", P),
        _detail("case_number", P),
        _detail("court", P),
        _detail("cause", P),
        _detail("result", P),
        _detail("obligation", R),
        _detail("performance", P),
        _detail("sanction", R),
        _detail("effective_until", R),
        _detail("form", R),
        _detail("breach", P),
        _detail("contract", P),
        _detail("counterparty", R),
        _detail("promise", P),
        _detail("due_on", P),
        _detail("rectified_on", P),
        _detail("honour_level", P),
        _detail("list_name", P),
        _detail("removed_on", P),
        _detail("grounds", P),
    ),
    rows=RECORD_ROWS,
    subject="r.subject_id",
    orders={
        "decided_desc": "r.decided_on desc, r.external_id desc",
        "decided_asc": "r.decided_on, r.external_id",
        "published_desc": "r.published_from desc, r.external_id desc",
        "published_asc": "r.published_from, r.external_id",
    },
    by_key=True,
    shows="subject_external_id",
    references={
        "authority_": Reference(
            "authority_id",
            "authority",
            "id",
            "bigint",
            frozenset(("node_id", "on_record", "uscc", "name", "kind", "region_code", "region_name", "region_local")),
        ),
        "source_": Reference("source_code", "source", "code", "text", frozenset(("code", "name", "kind"))),
        **_region("subject_"),
    },
)

RECORD_COUNT = Relation(
    "record_count",
    "core.record r",
    (
        Column("subject_id", "r.subject_id", "key", level=P),
        Column("area", "r.area", "code", level=P),
        Column("kind", "r.kind", "code", level=P),
        Column("count", "count(*)", "int", level=P),
    ),
    rows=RECORD_ROWS,
    subject="r.subject_id",
    group_by="r.subject_id, r.area, r.kind",
)

RECORD_VERSION = Relation(
    "record_version",
    "core.record_version v join core.record r on r.id = v.record_id",
    (
        Column("record_id", "v.record_id", "key", level=I),
        Column("version", "v.version", "int", level=I),
        Column("known_from", "v.known_at", "timestamp", level=I),
        Column(
            "known_until",
            "(select n.known_at from core.record_version n where n.record_id = v.record_id"
            " and n.version = v.version + 1)",
            "timestamp",
            level=I,
            null=True,
        ),
        Column("status", "v.status", "code", level=I),
        Column("reason", "v.reason", "text", level=I, null=True),
        Column("entered_by", "v.entered_by", "text", level=I, null=True),
        Column("received_at", "v.received_at", "timestamp", level=I),
        Column("original", "v.original", "text", level=I, null=True),
    ),
    level=I,
    rows={"internal": RECORD_ROWS["internal"]},
    subject="r.subject_id",
)


def _linked(name: str, here: str, there: str) -> Relation:
    """Subjects at the other end of a succession, with all of a subject's columns."""
    return Relation(
        name,
        f"core.succession c join {SUBJECT.base.replace('core.subject s', f'core.subject s on s.id = c.{there}', 1)}",
        (Column(here, f"c.{here}", "key", level=P), *SUBJECT.columns),
        rows=SUBJECT_ROWS,
        subject="s.id",
        shows="external_id",
    )


# Endings of names and codes (gateway/storage/names.py): what a search goes through. The asker's own rows alone, counts
# too; persons' are a partition of their own, which public searches never read, neither by result nor by time. What is
# in the other partition is an organisation's: triggers of migration 0035 hold that, so nobody looks its subject up.
NAME_PART = Relation(
    "name_part",
    "core.name_part p join core.subject s on s.id = p.subject_id",
    (
        Column("subject_id", "p.subject_id", "key", level=P),
        Column("tier", "p.tier", "key", level=P),
        Column("suffix", "p.suffix", "key", level=P),
        Column("repeated", "p.repeated", "key", level=P),
        Column("kind", "p.kind", "code", level=P),
        Column("region_code", "p.region_code", "code", level=P, null=True),
    ),
    rows={**SUBJECT_ROWS, "public": "not p.personal", "restricted": "not p.personal"},
    plain=dict.fromkeys(("public", "restricted"), "core.name_part p"),
    subject="s.id",
    orders={
        "ranked_asc": "p.tier, p.suffix, p.subject_id",
        "ranked_desc": "p.tier desc, p.suffix desc, p.subject_id desc",
    },
)
SUBJECT_ROLE = Relation(
    "subject_role",
    "core.subject_role o join core.subject s on s.id = o.subject_id",
    (Column("subject_id", "o.subject_id", "key", level=P), Column("role", "o.role", "code", level=P)),
    rows={name: f"{_ROLE_AT_PRESENT} and ({condition})" for name, condition in SUBJECT_ROWS.items()},
    subject="s.id",
)

# Who determined a record or withdrew it is part of that row: narrowing does not apply, and an organisation is public.
AUTHORITY = Relation(
    "authority",
    SUBJECT.base,
    SUBJECT.columns,
    rows=dict.fromkeys(("public", "restricted", "self", "internal"), "s.class = 'ORGANISATION'"),
    shows="external_id",
)

PREDECESSOR = _linked("predecessor", "successor_id", "predecessor_id")
SUCCESSOR = _linked("successor", "predecessor_id", "successor_id")

WITHDRAWAL = Relation(
    "withdrawal",
    "core.withdrawal w join core.subject s on s.id = w.subject_id"
    " join core.subject a on a.id = w.authority_id and a.class = 'ORGANISATION'"
    " left join core.region ag on ag.code = a.region_code",
    (
        Column("subject_id", "w.subject_id", "key", level=P),
        Column("authority_id", "w.authority_id", "key", level=P),
        Column("withdrawn_on", "w.withdrawn_on", "date", level=P),
        Column("reason", "w.reason", "text", level=P),
        *_subject_inline("authority", "a", "ag"),
    ),
    rows=SUBJECT_ROWS,
    subject="s.id",
)

# Changes (migration 0014): an event is there for a view that has the record now and had it after the change, or that
# lost it by the change; the latter without content. What an event is follows from what this view saw, and from nothing
# else: the publication of a record that was kept back before is the public's first word of it.
_SAME_SUBJECT = "r.subject_id = c.subject_id"
_LOST = "c.was_in_force and not c.is_in_force"
_LOST_TO_THE_PUBLIC = "c.was_public and not c.is_public"
CHANGE_ROWS = {
    "public": (
        f"c.subject_class = 'ORGANISATION' and ((c.is_public and {_SAME_SUBJECT} and {RECORD_ROWS['public']})"
        f" or ({_LOST_TO_THE_PUBLIC}))"
    ),
    "restricted": (
        f"c.subject_class = 'ORGANISATION' and ((c.is_in_force and {_SAME_SUBJECT} and {RECORD_ROWS['restricted']})"
        f" or ({_LOST}))"
    ),
    "self": f"c.subject_id = {SCOPE_SUBJECT}",
    "internal": (
        f"(c.subject_class <> 'SERVANT' or {_servants('c.subject_id')}) and (({_LOST}) or ({_SAME_SUBJECT}"
        f" and ((c.is_in_force and {_IN_FORCE}) or r.authority_id = {SCOPE_ORGANISATION} or {SHOWS_WITHDRAWN})))"
    ),
}
_LOST_AS = "when c.moved then 'MOVED' when c.status in ('REPAIRED', 'REVOKED') then c.status"
RECORD_CHANGE = Relation(
    "record_change",
    "core.record_change c join core.record r on r.id = c.record_id join core.subject s on s.id = c.subject_id"
    " left join core.region sg on sg.code = s.region_code",
    (
        Column("position", "c.position", "key", level=P),
        Column("subject_id", "c.subject_id", "key", level=P),
        Column("area", "c.area", "code", level=P),
        Column(
            "kind",
            f"case when {_LOST} then 'WITHDRAWN' when c.is_in_force and not c.was_in_force then 'ADDED'"
            " else 'CHANGED' end",
            "code",
            level=P,
            masked={P: "case when not c.is_public then 'WITHDRAWN' when c.was_public then 'CHANGED' else 'ADDED' end"},
        ),
        Column(
            "cause",
            f"case when {_LOST} then case {_LOST_AS} end end",
            "code",
            level=P,
            null=True,
            masked={
                P: f"case when not c.is_public then case {_LOST_AS} when c.expired then 'EXPIRED'"
                " else 'UNPUBLISHED' end end"
            },
        ),
        Column("at", "c.at", "timestamp", level=P),
        # The notice of a revoked publication is public (行政处罚法第四十八条).
        Column(
            "reason",
            f"case when {_LOST} and not c.moved and c.status = 'REVOKED' then (select w.reason from core.withdrawal w"
            " where w.record_id = c.record_id order by w.withdrawn_on desc limit 1) end",
            "text",
            level=P,
            null=True,
        ),
        Column("record_node_id", "r.node_id", "code", level=P),
        # Of the record as it is now; what this change has taken away has none.
        Column(
            "present_id",
            f"case when {_SAME_SUBJECT} and not ({_LOST}) then c.record_id end",
            "key",
            level=P,
            null=True,
            masked={P: f"case when {_SAME_SUBJECT} and c.is_public then c.record_id end"},
        ),
        *_subject_inline("subject", "s", "sg"),
    ),
    rows=CHANGE_ROWS,
    subject="s.id",
    orders={"position": "c.position"},
    shows="subject_external_id",
)

SOURCE = Relation(
    "source",
    "core.source o left join core.source_health h on h.source_code = o.code",
    (Column("position", "o.position", "key", level=P), *_source_inline("o", "h", "")),
)

REGION = Relation(
    "region",
    "core.region g",
    (
        Column("code", "g.code", "code", level=P),
        Column("name", "g.name", "text", level=P),
        Column("local", "g.local", "bool", level=P),
    ),
)

REGION_CLOSURE = Relation(
    "region_closure",
    "core.region_closure c",
    (Column("ancestor", "c.ancestor", "key", level=P), Column("code", "c.code", "key", level=P)),
)

CODE_LABEL = Relation(
    "code_label",
    "core.code_label l",
    (
        Column("list", "l.list", "key", level=P),
        Column("position", "l.position", "key", level=P),
        Column("code", "l.code", "text", level=P),
        Column("zh", "l.zh", "text", level=P),
        Column("en", "l.en", "text", level=P),
        Column("valid_from", "l.valid_from", "date", level=P, null=True),
        Column("valid_to", "l.valid_to", "date", level=P, null=True),
    ),
    rows={
        "public": "l.level = 'PUBLIC'",
        "restricted": "l.level in ('PUBLIC', 'RESTRICTED')",
        "self": "l.level in ('PUBLIC', 'RESTRICTED') or l.list in ('RecordStatus', 'SubjectKind')",
    },
)

MATTER = Relation(
    "matter",
    "auth.matter m",
    (
        Column("code", "m.code", "code", level=R),
        Column("name", "m.name", "text", level=R),
        Column("legal_basis", "m.legal_basis", "text", level=R),
    ),
    level=R,
    rows=dict.fromkeys(
        ("restricted", "self", "internal"),
        "m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today())",
    ),
)

# Item that allows a kind of record where its source names none.
CATALOGUE_DEFAULT = Relation(
    "catalogue_default",
    "core.catalogue_default d",
    (
        Column("kind", "d.kind", "key", level=R),
        Column("item", "d.item", "text", level=R),
        Column("valid_from", "d.valid_from", "key", level=R),
    ),
    level=R,
    rows=dict.fromkeys(
        ("restricted", "self", "internal"),
        "d.valid_from <= core.today() and (d.valid_to is null or d.valid_to >= core.today())",
    ),
)

# What a live row of a source is here: the stored record's id, or that it has ended (repaired, revoked), which holds
# everywhere and so for what the source still says, or said before. The id of what has ended is nobody's to read.
SOURCE_ROW = Relation(
    "source_row",
    "core.source_row w join core.record r on r.id = w.record_id",
    (
        Column("source_code", "w.source_code", "key", level=R),
        Column("natural_key", "w.natural_key", "key", level=R),
        Column("ended", "r.status in ('REPAIRED', 'REVOKED')", "key", level=R),
        Column("linked", "w.linked", "key", level=R),
        Column("said_at", "w.said_at", "key", level=R, null=True),
        Column(
            "external_id",
            "case when r.status not in ('REPAIRED', 'REVOKED') then r.external_id end",
            "key",
            level=R,
            null=True,
        ),
        Column(
            "node_id", "case when r.status not in ('REPAIRED', 'REVOKED') then r.node_id end", "key", level=R, null=True
        ),
    ),
    level=R,
)

# Rows that a source has withdrawn, also where nothing of them is stored here.
SOURCE_ENDED = Relation(
    "source_ended",
    "core.source_ended e",
    (
        Column("source_code", "e.source_code", "key", level=R),
        Column("natural_key", "e.natural_key", "key", level=R),
        Column("ended_at", "e.ended_at", "key", level=R),
    ),
    level=R,
)

REQUIRED_SOURCE = Relation(
    "required_source",
    "auth.matter m cross join lateral unnest(m.sources_required) u(source_code)"
    " join core.source o on o.code = u.source_code left join core.source_health h on h.source_code = o.code",
    (
        Column("matter_code", "m.code", "key", level=R),
        Column("position", "o.position", "key", level=R),
        *_source_inline("o", "h", ""),
    ),
    level=R,
)

# A consent exists for the organisation that may ask under it, and for its subject: in no view without a scope.
_OF_GRANTEE = f"c.grantee_uscc = {SCOPE_USCC}"
# A value, not a join: the index then gives the order, too.
_OF_SUBJECT = f"c.subject_uscc = (select o.uscc from core.subject o where o.id = {SCOPE_SUBJECT})"
CONSENT = Relation(
    "consent",
    "core.consent c left join core.consent_revocation w on w.consent_id = c.id"
    " left join core.subject s on s.uscc = c.subject_uscc",
    (
        Column("external_id", "c.external_id", "key", level=R),
        Column("node_id", "c.node_id", "code", level=R),
        Column("subject_external_id", "s.external_id", "key", level=R, null=True),
        Column("uscc", "c.subject_uscc", "code", level=R),
        Column("grantee_uscc", "c.grantee_uscc", "code", level=R),
        Column("matter", "c.matter", "code", level=R),
        Column("scope", "to_json(c.scope)::text", "json", level=R),
        Column("valid_from", "c.valid_from", "date", level=R),
        Column("valid_to", "c.valid_to", "date", level=R),
        Column("document_sha256", "c.document_sha256", "code", level=R),
        Column("method", "c.method", "code", level=R),
        Column("recorded_on", "c.recorded_on", "key", level=R),
        Column("recorded_at", "c.recorded_at", "timestamp", level=R),
        Column("revoked_at", "w.revoked_at", "timestamp", level=R, null=True),
        Column("revoked_by", "w.revoked_by", "code", level=R, null=True),
        Column("revocation_reason", "w.reason", "text", level=R, null=True),
    ),
    level=R,
    rows={"restricted": _OF_GRANTEE, "internal": _OF_GRANTEE, "self": _OF_SUBJECT},
    subject="s.id",
    orders={
        "recorded_desc": "c.recorded_on desc, c.external_id desc",
        "recorded_asc": "c.recorded_on, c.external_id",
    },
    shows="subject_external_id",
    scoped=True,
)

# The account, as its subjects may see it: one entry for each disclosure that showed them. The row is found by its leaf;
# once its time is over only number, time and place are left. Nothing of a row that is another subject's is here.
_UNTIL_ENDED = "q.ended_at is null and q.valid_until >= core.today()"
_REQUESTED = (
    f"exists (select from ledger.access_request q where q.subject_id = {{subject}} and {_UNTIL_ENDED}"
    f" and q.organisation_uscc = {SCOPE_USCC} and q.case_number = (select {SCOPE} ->> 'case'))"
)
_OWN_ENTRIES = f"e.subject_id = (select o.external_id from core.subject o where o.id = {SCOPE_SUBJECT})"
_ENTRY_ROWS = {
    "self": _OWN_ENTRIES,
    "restricted": _REQUESTED.format(subject="e.subject_id"),
    "internal": _REQUESTED.format(subject="e.subject_id"),
}
_ENTRY_BASE = (
    "ledger.subject_entry e join core.subject s on s.external_id = e.subject_id"
    " left join ledger.leaf l on l.index = e.leaf_index"
    " left join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id"
)


# As ledger.entry_receipt makes it, which view roles may not call: they could name others' entries.
_ENTRY_RECEIPT = (
    "(select rtrim(translate(encode(uuid_send(e.subject_id) || int8send(e.number)"
    " || substr(sha256(k.key || uuid_send(e.subject_id) || int8send(e.number)), 1, 16), 'base64'),"
    " e'+/\\n', '-_'), '=') from ledger.access_key k)"
)


def _fields_of(level: str) -> Column:
    found = f"coalesce((f.text::jsonb -> '{level}')::text, '[]')"
    return Column(f"{level.lower()}_fields", found, "json", level=R)


# Whose entries the asker may read: its own, or those of a recorded request under its case number.
ACCESSIBLE = Relation(
    "accessible",
    "core.subject s",
    (Column("external_id", "s.external_id", "key", level=R),),
    level=R,
    rows={
        "self": f"s.id = {SCOPE_SUBJECT}",
        "restricted": _REQUESTED.format(subject="s.external_id"),
        "internal": _REQUESTED.format(subject="s.external_id"),
    },
    subject="s.id",
    scoped=True,
)
DISCLOSURE = Relation(
    "disclosure",
    f"{_ENTRY_BASE} left join ledger.told f on f.hash = d.fields_hash left join ledger.told b on b.hash = d.basis_hash",
    (
        Column("external_id", "e.subject_id", "key", level=R),  # whose entry it is
        Column("node_id", "s.node_id", "code", level=R),
        Column("number", "e.number", "int", level=R),
        Column("at", "e.at", "timestamp", level=R),
        Column("organisation_uscc", "d.organisation_uscc", "text", level=R, null=True),
        Column("on_behalf_of", "d.on_behalf_of", "text", level=R, null=True),
        Column("view", "d.view", "code", level=R, null=True),
        Column("matter", "d.matter", "text", level=R, null=True),
        Column("legal_basis", "b.text::jsonb ->> 'legal_basis'", "text", level=R, null=True),
        Column("case_number", "d.case_number", "text", level=R, null=True),
        _fields_of("PUBLIC"),
        _fields_of("RESTRICTED"),
        _fields_of("INTERNAL"),
        Column("log_index", "e.leaf_index", "int", level=R),
        Column("receipt_id", _ENTRY_RECEIPT, "code", level=R),
    ),
    level=R,
    rows=_ENTRY_ROWS,
    subject="s.id",
    orders={"number_desc": "e.number desc, e.subject_id desc", "number_asc": "e.number, e.subject_id"},
    shows="external_id",
    scoped=True,
)
# What sources said of this subject in that request; "*" stands for everybody who was asked about.
DISCLOSED_SOURCE = Relation(
    "disclosed_source",
    f"{_ENTRY_BASE} cross join lateral jsonb_each(ledger.as_object(d.sources)) x(code, told)"
    " cross join lateral (select coalesce(x.told -> s.uscc, x.told -> '*') as own) o",
    (
        Column("external_id", "e.subject_id", "key", level=R),
        Column("number", "e.number", "int", level=R),
        Column("code", "x.code", "text", level=R),
        Column("status", "o.own ->> 'status'", "text", level=R),
        Column("as_of", "ledger.as_moment(o.own ->> 'asOf')", "timestamp", level=R, null=True),
    ),
    level=R,
    rows={
        name: f"jsonb_typeof(o.own -> 'status') = 'string' and {condition}" for name, condition in _ENTRY_ROWS.items()
    },
    subject="s.id",
    scoped=True,
)

RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        SUBJECT,
        RECORD,
        RECORD_COUNT,
        RECORD_VERSION,
        AUTHORITY,
        PREDECESSOR,
        NAME_PART,
        SUBJECT_ROLE,
        SUCCESSOR,
        WITHDRAWAL,
        RECORD_CHANGE,
        SOURCE,
        REGION,
        REGION_CLOSURE,
        CODE_LABEL,
        MATTER,
        CATALOGUE_DEFAULT,
        SOURCE_ROW,
        SOURCE_ENDED,
        REQUIRED_SOURCE,
        CONSENT,
        ACCESSIBLE,
        DISCLOSURE,
        DISCLOSED_SOURCE,
    )
}

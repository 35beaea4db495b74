"""The SQL of a plan's fields: JSON as text, with what is joined to each row. A pure function, no I/O.

In: fields of a plan, the row at hand, how the database is read. Out: expressions, laterals and parameters, of which
sql.py makes statements. Identifiers come from the catalogue, values are always parameters. JSON is text put together by
PostgreSQL: `||` costs least there (decision 0002).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from gateway.engine import plan as p
from gateway.engine.bindings import AT, GAP, Condition, Rows, SubjectKeys
from gateway.engine.fragments import Row, Text, below, json_value, quoted, under_scope
from gateway.engine.reading import Reading
from gateway.engine.references import BETWEEN_KEYS, KINDS, MARK, Part, Printed
from gateway.engine.values import Fed, FromPrincipal, Value
from gateway.errors import Forbidden
from gateway.storage.catalogue import RELATIONS

# Evaluated only for a code that is not on record: the UUIDv5 of its hash (RFC 9562 §5.5), and as core.node_id, which
# view roles may not call.
_UUID = (
    "(substr({hash}, 1, 12) || '5' || substr({hash}, 14, 3)"
    " || translate(substr({hash}, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr({hash}, 18, 15))::uuid"
)
EXTERNAL_ID = "coalesce({row}, " + _UUID + ")"
_NODE_ID = (
    "coalesce({row}, rtrim(translate(encode('\\x53'::bytea || uuid_send(" + _UUID + "), 'base64'), '+/', '-_'), '='))"
)


class Fields:
    """What all statements of a plan share: aliases, parameters, and the SQL of each kind of field."""

    def __init__(self, how: Reading, mode: str, feed: str = "") -> None:
        self._how = how
        self._schema = how.access.schema
        self._accounts = how.accounts and mode == "shown"
        self._first = 1 + self._accounts  # number of the first parameter that is not the account's
        self._mode = mode  # shown: UUIDs for the disclosure; refresh, keys: USCCs at sections
        self._feed = feed
        self._parameters: dict[Value, int] = {}
        self._apiece: dict[int, Value] = {}  # by number: what each of several requests has of its own
        self._together = False  # several requests may share the statement
        self._aliases = 0
        self._places: dict[p.Connection, str] = {}  # where a feed's page begins (pages.py)
        self._denied: list[tuple[str, str]] = []
        self._references: dict[Printed, str] = {}  # what is left to be filled in, with its letter

    def _alias(self, letter: str) -> str:
        self._aliases += 1
        return f"{letter}{self._aliases}"

    def _parameter(self, value: Value) -> str:
        if self._together and value.varies:
            return self._own(value)
        number = self._parameters.setdefault(value, self._first + len(self._parameters))
        return f"${number}::{value.type}"

    def _own(self, value: Value) -> str:
        """A parameter that each of the requests of the statement has for itself."""
        number = self._parameters.setdefault(value.apiece, self._first + len(self._parameters))
        self._apiece[number] = value
        return f"root.c{number}"

    def _under_scope(self, sql: str) -> str:
        """`sql` of the row that everything which reads a scoped view is joined to: a nested loop reads it first. Were
        it otherwise, the view would raise an error: nothing but the statement sets a scope, which ends with it.
        """
        if not self._how.access.scoped:
            return sql
        return under_scope(sql, self._parameter(Value(FromPrincipal("scope"))))

    # Objects ---------------------------------------------------------------------------------------------------------

    def _object(self, fields: Iterable[p.Field], row: Row) -> Text:
        text = Text().literal("{")
        listed = tuple(fields)
        number = 0
        while number < len(listed):
            text.literal(_before(number, listed[number]))
            neighbours = self._references_from(listed[number:], row)
            left = self._left_out(neighbours, row) if neighbours else None
            text.extend(left or self._field(listed[number], row))
            number += len(neighbours) if left else 1
        return text.literal("}")

    def _references_from(self, fields: Sequence[p.Field], row: Row) -> list[p.Same]:
        """The fields at the beginning that may be left out of the row together."""
        found: list[p.Same] = []
        for field in fields if self._how.refers else ():
            if not isinstance(field, p.Same) or not field.reference:
                break
            found.append(field)
        return found

    def _left_out(self, fields: Sequence[p.Same], row: Row) -> Text | None:
        """Which of few some neighbours are, between two marks: references.py has what they say. None where the
        statement has too many kinds of them."""
        parts, keys = [], Text()
        for number, field in enumerate(fields):
            reference = RELATIONS[row.relation].references[field.reference]
            text = self._body(field.body, Row("v", reference.relation, field.reference)).render()
            ahead = _before(number, field) if number else ""
            parts.append(Part(reference.relation, reference.own, reference.type, text, ahead))
            key = row.column(reference.key)
            key = key if reference.type == "text" else f"{key}::text"
            if row.definition(reference.key).null or row.optional:
                key = f"coalesce({key}, '')"
            keys.literal(BETWEEN_KEYS if number else "").sql(key)
        printed = Printed(tuple(parts))
        if printed not in self._references:
            if len(self._references) == len(KINDS):
                return None
            self._references[printed] = KINDS[len(self._references)]
        return Text().literal(MARK + self._references[printed]).extend(keys).literal(MARK)

    def _version(self) -> list[str]:
        """The column by which it is known whether what is filled in is as new as the rows."""
        if not self._references:
            return []
        return [f"(select v.version from {self._schema}.reference_version v) as version"]

    def _body(self, body: p.Body, row: Row) -> Text:
        if len(body.variants) == 1 and body.variants[0].values is None:
            return self._object(body.variants[0].fields, row)
        cases = []
        for variant in body.variants:
            fields = self._object(variant.fields, row).render()
            values = ", ".join(quoted(value) for value in variant.values or ())
            cases.append(f"when {row.column(body.discriminator)} in ({values}) then {fields}")
        return Text().sql(f"case {' '.join(cases)} end")

    def _field(self, field: p.Field, row: Row) -> Text:
        match field:
            case p.Leaf(column=column):
                definition = row.definition(column)
                empty = definition.empty if row.optional else "null"
                null = definition.null or (row.optional and column not in row.overrides)
                return json_value(self._schema, definition.kind, row.column(column), null=null, empty=empty)
            case p.Place(column=column):
                cursor = f"{self._schema}.change_cursor({row.column(column)})"
                return Text().literal('"').sql(cursor).literal('"')
            case p.TypeName(name=name):
                return Text().literal(json.dumps(name))
            case p.TypeNameOf(column=column, types=types):
                cases = " ".join(f"when {quoted(value)} then {quoted(name)}" for value, name in types)
                return Text().literal('"').sql(f"case {row.column(column)} {cases} end").literal('"')
            case p.Given(value=value, kind=kind, null=null):
                return json_value(self._schema, kind, self._parameter(value), null=null)
            case p.Same(body=body, presence=presence):
                return self._same(body, presence, row)
            case p.Whole(body=body):
                return self._wrapped(self._body(body, row), row)
            case p.One():
                return self._one(field, row)
            case p.OneOf(alternatives=alternatives):
                found = ", ".join(self._lateral_one(one, row) for one in alternatives)
                return Text().sql(f"coalesce({found}, 'null')")
            case p.Many():
                return self._many(field, row)
            case p.Connection():
                return self._connection(field, row)
            case p.Section():
                return self._section(field, row)
            case p.Passed():
                return self._passed(field, row)
            case p.SectionAnswer(fields=fields):
                return self._object(fields, row)
            case p.PartRows():
                return self._part(field, row)
            case p.EmptyList():
                return Text().literal("[]")

    def _same(self, body: p.Body, presence: str | None, row: Row) -> Text:
        if presence is None:
            return self._body(body, row)
        rendered = self._body(body, row).render()
        return Text().sql(f"case when {row.column(presence)} is null then 'null' else {rendered} end")

    def _wrapped(self, text: Text, row: Row) -> Text:
        """An object of a keyed row: null where the code is not there and the view has it so."""
        if row.optional and self._how.absent_is_null:
            return Text().sql(f"case when {row.column('id')} is null then 'null' else {text.render()} end")
        return text

    # One row ---------------------------------------------------------------------------------------------------------

    def _one(self, field: p.One, row: Row) -> Text:
        if field.rows.keys is not None:
            alias, inner = self._keyed(field, field.rows.keys, row)
            row.joins.append(f"left join lateral ({inner}) {alias} on true")
            return Text().sql(f"coalesce({alias}.j, 'null')")
        return Text().sql(f"coalesce({self._lateral_one(field, row)}, 'null')")

    def _lateral_one(self, field: p.One, row: Row) -> str:
        own = Row(self._alias("t"), field.rows.relation)
        text = self._body(field.body, own)
        where = self._where(field.rows, own, row)
        alias = self._alias("x")
        columns = self._columns(text.render(), own, field.shown)
        row.joins.append(
            f"left join lateral (select {columns} from {self._from(field.rows, own)}{where} limit 1) {alias} on true"
        )
        self._pass_on(own, alias, row)
        return f"{alias}.j"

    def _columns(self, text: str, own: Row, shown: bool, body: str = "j", ids: str = "i") -> str:
        """The select list of a lateral: `j` the JSON, `i` the ids of the subjects shown below."""
        self._show(own, shown)
        columns = []
        if self._mode != "keys":
            columns.append(f"{text} as {body}")
        if own.shown:
            columns.append(f"{joined(own.shown)} as {ids}")
        return ", ".join(columns) or f"1 as {body}"

    def _show(self, own: Row, shown: bool) -> None:
        if self._mode == "shown" and shown and own.relation in RELATIONS and RELATIONS[own.relation].shows:
            own.shown.append(own.column(RELATIONS[own.relation].shows))

    @staticmethod
    def _pass_on(own: Row, alias: str, row: Row) -> None:
        if own.shown:
            row.shown.append(f"{alias}.i")
            row.several = True

    def _from(self, rows: Rows, own: Row) -> str:
        """The view with exactly the columns used, and what is joined to each of its rows."""
        name = f"{rows.relation}_{rows.order}" if rows.order else rows.relation
        return f"{self._schema}.{name} {own.alias}" + "".join(f" {join}" for join in own.joins)

    def _where(self, rows: Rows, own: Row, row: Row, more: Iterable[str] = ()) -> str:
        self._check_scope(rows, row)
        found = [f"{own.column(there)} = {row.column(here)}" for here, there in rows.match]
        found += [self._condition(condition, own) for condition in rows.where]
        if rows.following is not None and self._mode != "next":
            found.append(f"{own.column(rows.following.column)} = {self._parameter(AT)}")
        found += more
        return f" where {' and '.join(found)}" if found else ""

    def _check_scope(self, rows: Rows, row: Row) -> None:
        """Under a narrowing an authority is known by name; its own records are not in scope, and an empty list of them
        would say that it has none. Raises Forbidden."""
        if self._how.reports_denied and row.relation == "authority" and RELATIONS[rows.relation].subject is not None:
            raise Forbidden(
                "under this client's narrowing the records of an authority are asked for by its own code",
                "在本客户端的授权范围内，机关自身的记录须按其代码单独查询",
            )

    def _condition(self, condition: Condition, own: Row) -> str:
        values = [self._parameter(value) for value in condition.values]
        column = own.column(condition.column)
        match condition.operator:
            case "=" | ">=" | "<=":
                return f"{column} {condition.operator} {values[0]}"
            case "any":
                return f"{column} = any ({values[0]})"
            case "below":
                return below(self._schema, column, values[0])
            case "person":
                # Found before the view is read, by a function that itself shows nobody whom the view does not.
                return f"{column} = (select {self._schema}.person({', '.join(values)}))"
            case _:
                raise ValueError(condition.operator)

    # Subjects by key -------------------------------------------------------------------------------------------------

    def _keyed(
        self,
        field: p.One | p.Many,
        keys: SubjectKeys,
        row: Row,
        *,
        rows: bool = False,
    ) -> tuple[str, str]:
        """One row for each code asked for, on record or not. `rows`: they are the statement's own; then the codes are
        always a list, which several requests may share."""
        body, ids, denied = ("body", "shown", "denied") if rows else ("j", "i", "d")
        many = keys.many or rows
        own = Row(self._alias("s"), field.rows.relation)
        own.optional = True
        k = self._alias("k")
        gap = GAP if keys.gaps else None
        uscc = self._key(keys.texts, many=many, gap=gap)
        own.overrides = {"uscc": f"{k}.uscc"}
        columns_of_keys, given = "uscc", [self._under_scope(uscc) if rows else uscc]
        if not self._how.absent_is_null:
            given.append(self._key(keys.hashes, many=many, gap=gap))
            columns_of_keys += ", hash"
            for name, sql in (("external_id", EXTERNAL_ID), ("node_id", _NODE_ID)):
                own.overrides[name] = sql.format(row=own.column(name), hash=f"{k}.hash")
        text = self._body(field.body, own)
        if not keys.joint or self._how.reports_denied:
            text = self._wrapped(text, own)
        if keys.gaps:
            text = Text().sql(f"case when {k}.uscc is null then 'null' else {text.render()} end")
        columns = self._columns(text.render(), own, field.shown, body, ids)
        if self._how.reports_denied and self._mode != "keys":
            gap = f" and {k}.uscc is not null" if keys.gaps else ""
            columns += f", case when {own.column('id')} is null{gap} then {k}.n::text end as {denied}"
        own.used.setdefault("id")
        used = ", ".join(f"v.{name}" for name in own.used)
        source = (
            f"unnest({', '.join(given)}) with ordinality {k}({columns_of_keys}, n)"
            if many
            else f"(values ({', '.join(given)}, 1)) {k}({columns_of_keys}, n)"
        )
        joins = "".join(f" {join}" for join in own.joins)
        key = f", {k}.uscc as key" if rows and not keys.many else ""
        inner = (
            f"select {columns}, {k}.n{key} from {source} left join lateral (select {used} from"
            f" {self._schema}.{field.rows.relation} v where v.uscc = {k}.uscc limit 1) {own.alias} on true{joins}"
        )
        alias = self._alias("x")
        if self._how.reports_denied and self._mode != "keys":
            self._denied.append((field.key, f"{alias}.d"))
        self._pass_on(own, alias, row)
        row.several = own.several or len(own.shown) > 1
        return alias, inner

    def _key(self, value: Value, *, many: bool, gap: str | None) -> str:
        text = self._parameter(value)
        null = "" if gap is None else f", {quoted(gap)}"
        return f"string_to_array({text}, ','{null})" if many else text

    # Lists -----------------------------------------------------------------------------------------------------------

    def _many(self, field: p.Many, row: Row) -> Text:
        if field.rows.keys is not None:
            alias, inner = self._keyed(field, field.rows.keys, row)
            order = " order by q.n"
            denied = "string_agg(q.d, ',' order by q.n) as d" if self._how.reports_denied else ""
        else:
            own = Row(self._alias("t"), field.rows.relation)
            text = self._body(field.body, own)
            where = self._where(field.rows, own, row)
            sort = f" order by {', '.join(own.column(name) for name in field.rows.sort)}" if field.rows.sort else ""
            columns = self._columns(text.render(), own, field.shown)
            inner = f"select {columns} from {self._from(field.rows, own)}{where}{sort}"
            alias, order, denied = self._alias("x"), "", ""
            self._pass_on(own, alias, row)
        listed = [] if self._mode == "keys" else [f"string_agg(q.j, ','{order}) as j"]
        if row.shown and row.shown[-1] == f"{alias}.i":
            listed.append("string_agg(q.i::text, ',') as i")
        if denied and self._mode != "keys":
            listed.append(denied)
        row.joins.append(f"left join lateral (select {', '.join(listed) or '1'} from ({inner}) q) {alias} on true")
        return aggregated(f"{alias}.j")

    def _connection(self, field: p.Connection, row: Row) -> Text:
        """A page of rows: pages.py."""
        raise NotImplementedError

    # Sources ---------------------------------------------------------------------------------------------------------

    def _section(self, field: p.Section, row: Row) -> Text:
        uscc = row.column("uscc")
        if self._mode == "keys":
            if field.feed == self._feed:
                row.shown.append(self._reachable(row, uscc))
            return Text().literal("null")
        if self._mode == "refresh":
            row.shown.append(self._reachable(row, uscc))
        answers = self._parameter(Value(Fed(f"answers:{field.feed}"), "jsonb"))
        own = Row(self._alias("a"), field.answer)
        own.answers, own.uscc = answers, uscc
        called = f"{self._schema}.{field.answer}({answers}, {uscc}) {own.alias}"
        if field.several:
            own.source = f"{own.alias}.code"
            text = self._object(field.fields, own)
            alias = self._alias("x")
            joins = "".join(f" {join}" for join in own.joins)
            # In the order of the answers, which is that of the sources.
            listed = f"string_agg({text.render()}, ',')"
            row.joins.append(f"left join lateral (select {listed} as j from {called}{joins}) {alias} on true")
            return aggregated(f"{alias}.j")
        own.optional = True
        text = self._object(field.fields, own)
        row.joins.append(f"left join lateral {called} on true")
        row.joins.extend(own.joins)
        return text

    def _passed(self, field: p.Passed, row: Row) -> Text:
        """An object of what the source at hand passed on of another."""
        own = Row(self._alias("a"), field.answer)
        own.answers, own.uscc, own.source = row.answers, row.uscc, row.source
        text = self._object(field.fields, own)
        row.joins.append(f"left join lateral {self._schema}.{field.answer}({_of_source(own)}) {own.alias} on true")
        row.joins.extend(own.joins)
        return Text().sql(f"case when {row.column(field.presence)} is null then 'null' else {text.render()} end")

    def _reachable(self, row: Row, uscc: str) -> str:
        """The code at a section, if a source may be asked about it: not for rows that the asker doesn't have.

        Nor, under a narrowing, for those that it does not apply to (authorities): they are seen, not asked about.
        """
        if self._how.reports_denied and RELATIONS[row.relation].subject is None:
            return "null::text"
        if row.optional and self._how.absent_is_null:
            return f"case when {row.column('id')} is not null then {uscc} end"
        return uscc

    def _part(self, field: p.PartRows, row: Row) -> Text:
        own = Row(self._alias("f"), field.function)
        text = self._body(field.body, own)
        alias = self._alias("x")
        joins = "".join(f" {join}" for join in own.joins)
        row.joins.append(
            f"left join lateral (select string_agg({text.render()}, ',') as j"
            f" from {self._schema}.{field.function}({_of_source(row)}) {own.alias}{joins}) {alias} on true"
        )
        return aggregated(f"{alias}.j")


def _before(number: int, field: p.Field) -> str:
    """What stands before an object's member."""
    return f"{',' if number else ''}{json.dumps(field.key)}:"


def _of_source(row: Row) -> str:
    """What a function of a source's answers takes: them, the subject, and the source where there are several."""
    return ", ".join(part for part in (row.answers, row.uscc, row.source) if part)


def aggregated(items: str) -> Text:
    """A list whose items are aggregated below. The brackets join the literals around them: each || copies the list."""
    return Text().literal("[").sql(f"coalesce({items}, '')").literal("]")


def joined(expressions: list[str]) -> str:
    """Ids, comma separated, null where there are none; of one expression its own value, of whatever type."""
    if not expressions:
        return "''::text"
    # Nothing is not an empty text: among the ids of other rows that would be an id without characters.
    return expressions[0] if len(expressions) == 1 else f"nullif(concat_ws(',', {', '.join(expressions)}), '')"

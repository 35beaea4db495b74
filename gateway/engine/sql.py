"""From a plan to one SQL statement: a pure function, no I/O.

In: a plan and how the database is read. Out: the statement's text, its parameters as values to resolve. Identifiers
come from the catalogue, values are always parameters. JSON is text put together by PostgreSQL: `||` costs least there
(decision 0002).

Columns of the body statement: `body` (the response as JSON; empty where it would show more subjects than the token
allows), `denied` (JSON: response key → places, from 1, of codes that the asker's scope does not have). Above the public
view it writes the disclosure of its answer, too, and returns as `disclosed` how many it wrote (decision 0011); for an
account that takes it by itself it returns `shown` (UUIDs of the subjects shown, comma separated) and `snapshot`
(pg_current_snapshot) instead. In the public view `shown` has the USCCs whose sources could be refreshed. Where the body
leaves something to be filled in, `version` says how new that must be (references.py).

Where the only root field is `subject`, or all of them are lists and searches, the row may have the answers of several
requests: `body` one after the other, `lengths` for each, comma separated, `keys` (what was asked, as it was given), the
rest separated by semicolons (together.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.engine import plan as p
from gateway.engine.bindings import BEYOND, UNTIL, SubjectKeys
from gateway.engine.fields import joined
from gateway.engine.fragments import Row, Text
from gateway.engine.pages import Pages
from gateway.engine.prune import towards
from gateway.engine.reading import Reading
from gateway.engine.references import NO_GAPS, Gaps
from gateway.engine.values import FromPrincipal, Value
from gateway.storage.views import NOT_SHOWN


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters in order.

    `around`: what stands before and after the column `body`. Each || in PostgreSQL would copy a long list once more
    (decision 0009).
    """

    text: str
    parameters: tuple[Value, ...]
    around: tuple[bytes, bytes] | None = None
    keyed: bool = False  # one root field, asked for by code: `denied` has places of its key list, comma separated
    keys: tuple[int, ...] = ()  # places of the parameters that take codes, where several requests may share it
    apiece: tuple[int, ...] = ()  # the same of those that take a text of each request, whatever it asks
    accounts: bool = False  # takes the cells of its disclosure (account.py) before its parameters, and writes it
    gaps: Gaps = NO_GAPS  # what the body leaves to be filled in (references.py)


def body_statement(plan: p.Plan, how: Reading, *, together: bool = False) -> Statement:
    """The one statement that answers a plan. `together`: requests of this plan may share it, if it is of that kind."""
    builder = _Builder(how, "shown" if how.access.disclosed else "refresh")
    return builder.body(plan.fields, together=together and _shareable(plan))


def _shareable(plan: p.Plan) -> bool:
    """Whether the plan is of lists and searches alone: a page of each, read in the order of an index. Not of a feed,
    whose bookmarks may fail."""
    lists = [field for field in plan.fields if not isinstance(field, p.TypeName)]
    walked = p.walk(plan.fields)
    return (
        bool(lists)
        and not plan.sources
        and all(isinstance(field, p.Connection) for field in lists)
        and not any(isinstance(field, p.Connection) and field.page.sealed is not None for field in walked)
    )


def keys_statement(plan: p.Plan, how: Reading, feed: str) -> Statement:
    """The statement that walks a plan only to the subjects at which `feed` has a section: column `shown`, USCCs."""
    return _Builder(how, "keys", feed).body(towards(plan.fields, feed))


def next_statement(plan: p.Plan, how: Reading) -> Statement:
    """The statement that finds the next row of a subscription, beyond one place and up to another: column `place`."""
    return _Builder(how, "next").next(plan.fields[0])


def disclosed(schema: str, function: str, ids: str, snapshot: str) -> str:
    """The column that writes a disclosure and tells how many: its cells are the statement's first parameter."""
    return f"{schema}.{function}($1::text, {ids}, {snapshot}) as disclosed"


class _Builder(Pages):
    """Statements made of fields."""

    # The statement ---------------------------------------------------------------------------------------------------

    def body(self, fields: tuple[p.Field, ...], *, together: bool = False) -> Statement:
        self._together = together
        if self._mode != "keys" and len(fields) == 1:
            only = fields[0]
            if isinstance(only, p.One | p.Many) and only.rows.keys is not None:
                return self._rows(only, only.rows.keys)
        root = Row("root", "")
        text = self._object(fields, root)
        whole = Text().literal('{"data":').extend(text).literal("}")
        columns = [] if self._mode == "keys" else [f"{whole.render()} as body"]
        ids = joined(root.shown)
        ids = _uuids(ids) if self._mode == "shown" and not self._apiece else f"coalesce({ids}, '')"
        columns.append(f"{ids} as shown")
        if self._how.reports_denied and self._mode != "keys":
            denied = Text().literal("{")
            for number, (key, expression) in enumerate(self._denied):
                denied.literal(("," if number else "") + json.dumps(key) + ":[").sql(f"coalesce({expression}, '')")
                denied.literal("]")
            columns.append(f"{denied.literal('}').render()} as denied")
        joins = "".join(f"\n{join}" for join in root.joins)
        if self._apiece:
            columns += ["root.n", "root.key"]
            inner = f"select {', '.join(columns)}\nfrom {self._requests()}{joins}"
            return self._shared("q", inner, None, shown=bool(root.shown), apiece=tuple(self._apiece))
        return self._alone(columns, f"(values ({self._under_scope('0')})) root(root){joins}", ",\n  ")

    def next(self, field: p.Field) -> Statement:
        assert isinstance(field, p.One)
        assert field.rows.following is not None
        own = Row("t", field.rows.relation)
        column = own.column(field.rows.following.column)
        between = [f"{column} > {self._parameter(BEYOND)}", f"{column} <= {self._parameter(UNTIL)}"]
        where = self._where(field.rows, own, Row("root", ""), between)
        found = f"select {column}::text as place from {self._from(field.rows, own)}{where} limit 1"
        root = f"(values ({self._under_scope('0')})) root(root)"
        text = f"select x.place\nfrom {root} cross join lateral ({found}) x"
        return Statement(text, tuple(self._parameters))

    def _rows(self, field: p.One | p.Many, keys: SubjectKeys) -> Statement:
        """The statement of one root field that asks by code: all codes in one row, nothing above them.

        PostgreSQL sends what is ready, 8 KB at a time, and each piece wakes the process up (decision 0009). Of
        `subjects` the row is one answer; of `subject` it has the answers of several requests one after the other.
        """
        begin, end = f'{{"data":{{{json.dumps(field.key)}:', "}}"
        root = Row("root", "")
        alias, inner = self._keyed(field, keys, root, rows=True)
        if not keys.many:
            taken = (keys.texts, keys.hashes)
            places = tuple(number for value, number in self._parameters.items() if value in taken)
            around = begin.encode(), end.encode()
            return self._shared(alias, inner, around, shown=bool(root.shown), keys=places)
        columns = [f"string_agg({alias}.body, ',' order by {alias}.n) as body"]
        if self._mode == "shown":
            columns.append(f"{self._all_shown(alias, root)} as shown")
        elif root.shown:
            columns.append(f"string_agg({alias}.shown, ',' order by {alias}.n) as shown")
        if self._how.reports_denied:
            columns.append(f"string_agg({alias}.denied, ',' order by {alias}.n) as denied")
        around = f"{begin}[".encode(), f"]{end}".encode()
        return self._alone(columns, f"({inner}) {alias}", ", ", around, keyed=True)

    def _alone(
        self,
        columns: list[str],
        source: str,
        comma: str,
        around: tuple[bytes, bytes] | None = None,
        *,
        keyed: bool = False,
    ) -> Statement:
        """The statement whose row is one answer; where its subjects are shown, with its account around it."""
        shows = self._mode == "shown"
        found = f"select {comma.join(columns if shows else [*columns, *self._version()])}\nfrom {source}"
        return self._statement(self._one_answer(found) if shows else found, around, keyed)

    def _statement(
        self,
        text: str,
        around: tuple[bytes, bytes] | None = None,
        keyed: bool = False,
        keys: tuple[int, ...] = (),
        apiece: tuple[int, ...] = (),
    ) -> Statement:
        parameters, gaps = tuple(self._parameters), Gaps.of(self._references)
        return Statement(text, parameters, around, keyed, keys, apiece, self._accounts, gaps)

    def _requests(self) -> str:
        """What each of several requests has of its own, a row for each. Not pulled up: a condition on an array would
        make it anew out of its text for every row it is asked about."""
        given = ", ".join(f"${number}::text[]" for number in self._apiece)
        names = ", ".join(f"p{number}" for number in self._apiece)
        columns = [f"k.p{n}{'' if v.type == 'text' else f'::{v.type}'} as c{n}" for n, v in self._apiece.items()]
        key = " || e'\\x1f' || ".join(f"coalesce(k.p{number}, e'\\x1e')" for number in self._apiece)
        columns += [f"{self._under_scope('k.n')} as n", f"{key} as key"]
        return f"(select {', '.join(columns)} from unnest({given}) with ordinality k({names}, n) offset 0) root"

    def _shared(
        self,
        alias: str,
        inner: str,
        around: tuple[bytes, bytes] | None,
        *,
        shown: bool,
        keys: tuple[int, ...] = (),
        apiece: tuple[int, ...] = (),
    ) -> Statement:
        """The statement whose row may have the answers of several requests: of `subject`, or of lists and searches.
        `keys` and `apiece`: the numbers of what they have of their own.

        Of `subject` names of operations and the root's own key are not in it: documents that differ in these have one
        statement, planned once."""
        ids = f"coalesce({alias}.shown::text, '')" if shown else "''"
        inner, body = self._permitted(inner, alias, f"string_to_array({ids}, ',')")
        columns = [f"string_agg({body}, '' order by {alias}.n) as body"]
        if self._how.reports_denied:
            columns.append(f"string_agg(coalesce({alias}.denied, ''), ';' order by {alias}.n) as denied")
        columns.append(f"string_agg(octet_length({body})::text, ',' order by {alias}.n) as lengths")
        between = "','" if keys else "e'\\x1d'"
        columns.append(f"string_agg({alias}.key, {between} order by {alias}.n) as keys")
        if self._how.limited:
            ids = f"case when {alias}.permitted then {ids} else '{NOT_SHOWN}' end"
        ids = f"string_agg({ids}, ';' order by {alias}.n)"
        if self._mode == "shown":
            columns += self._account("disclose", ids, ids)
        elif shown:
            columns.append(f"{ids} as shown")
        columns += self._version()
        text = f"select {', '.join(columns)}\nfrom ({inner}) {alias}"
        keyed, own = (tuple(number - 1 for number in numbers) for numbers in (keys, apiece))
        return self._statement(text, around, bool(keys), keyed, own)

    # The account -----------------------------------------------------------------------------------------------------

    def _one_answer(self, found: str) -> str:
        """The columns of one answer, with its account."""
        found, body = self._permitted(found, "q", "q.shown")
        columns = [f"{body} as body", *(["q.denied"] if self._how.reports_denied else [])]
        ids = "case when q.permitted then q.shown end" if self._how.limited else "q.shown"
        columns += self._account("disclose_one", ids, "array_to_string(q.shown, ',')") + self._version()
        return f"select {', '.join(columns)}\nfrom ({found}) q"

    @staticmethod
    def _all_shown(alias: str, root: Row) -> str:
        """The ids of all rows as an array; each row has its own, as a UUID, or several as text."""
        if not root.shown:
            return "'{}'::uuid[]"
        if root.several:
            return _uuids(f"string_agg({alias}.shown, ',')")
        return f"coalesce(array_agg({alias}.shown) filter (where {alias}.shown is not null), '{{}}')"

    def _account(self, function: str, ids: str, text: str) -> list[str]:
        """What tells of the answer: the disclosure, written by a function that this role may call and that returns how
        many it wrote; or what an account needs that takes it by itself, ids as text."""
        snapshot = "pg_current_snapshot()::text"
        if not self._accounts:
            return [f"{text} as shown", f"{snapshot} as snapshot"]
        return [disclosed(self._schema, function, ids, snapshot)]

    def _permitted(self, found: str, alias: str, ids: str) -> tuple[str, str]:
        """`found`, and what its body is. Whether a token allows so many subjects is decided here, once: neither the
        body of one that is not allowed comes out, nor is it disclosed."""
        if not self._how.limited:
            return found, f"{alias}.body"
        most = self._parameter(Value(FromPrincipal("max_subjects"), "int"))
        count = f"(select count(distinct i) from unnest({ids}) i)"
        found = f"select {alias}.*, {count} <= {most} as permitted\nfrom ({found}) {alias}"
        return found, f"case when {alias}.permitted then {alias}.body else '' end"


def _uuids(text: str) -> str:
    return f"string_to_array(coalesce(({text})::text, ''), ',')::uuid[]"

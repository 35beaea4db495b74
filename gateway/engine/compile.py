"""One operation, compiled: its plan, the body statement, and how the subjects of its sources are found. No I/O.

In: a document's operation, the shape of its variables, who asks. Out: `Compiled`, which any request of that shape uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine import plan as p
from gateway.engine import sql
from gateway.engine.account import Told, told
from gateway.engine.cost import check_shape, counts_all, lists_all, scanned, sizes, subjects
from gateway.engine.dependence import Dependence
from gateway.engine.documents import Document, Operation
from gateway.engine.planner import Planner
from gateway.engine.reading import Reading, reading
from gateway.engine.released import released
from gateway.engine.selection import Document as Collected
from gateway.engine.under_scope import without_scope
from gateway.engine.values import Fed, Value
from gateway.errors import BadUserInput, Refused
from gateway.storage.levels import RESTRICTED

MOST_ERRORS = 5  # told at once


@dataclass(slots=True)
class Compiled:
    """A plan with what was made from it."""

    plan: p.Plan
    body: sql.Statement | None  # None: no row is needed
    sizes: tuple[tuple[Value, bool], ...]
    keys: Mapping[str, Keys]
    subjects: int  # asked for by a single code each
    checks: tuple[Value, ...]  # values that no statement takes, checked all the same
    next: sql.Statement | None = None  # of a subscription: where its next row is
    within: tuple[Value, ...] = ()  # lists of codes that rows are filtered by
    scoped: bool = False  # it can be answered under a scope alone, and was compiled for nobody
    scoped_if: tuple[Value, ...] = ()  # under a scope where one of them is there (under_scope.py)
    costs: dict[tuple[int, ...], int] = field(default_factory=dict)
    permits: tuple[tuple[str, Value], ...] = ()  # what must be looked up before: relation and id (permits.py)
    scanned: int = 0  # units for what may read all records (cost.py)
    lists_all: bool = False  # any of them may be read for a page
    counts_all: bool = False  # they are
    depends: tuple[Dependence | None] | None = None  # None until it is first asked for (dependence.py)
    released: Told | None = None  # the fields of the answer, where it is disclosed

    @property
    def characters(self) -> int:
        """How long its statements are together: what it takes to keep it."""
        statements = (self.body, *(keys.statement for keys in self.keys.values()))
        return sum(len(made.text) + made.gaps.characters for made in statements if made is not None)


@dataclass(frozen=True, slots=True)
class Planned:
    """A request as it is answered: what is asked, and by whom (under a scope, where it can't be answered otherwise)."""

    document: Document
    operation: Operation
    variables: Mapping[str, Any]  # coerced
    compiled: Compiled
    principal: Principal


@dataclass(frozen=True, slots=True)
class Keys:
    """What a feed's source is asked, and about whom: subjects from the arguments (`given`), else by a statement."""

    source: str
    consent: Value | None
    given: tuple[tuple[Value, bool, tuple[str, ...]], ...]  # codes, whether a list, parts
    statement: sql.Statement | None
    parts: tuple[str, ...]


def compile_operation(
    document: Document,
    operation: Operation,
    variables: Mapping[str, Any],
    principal: Principal,
    *,
    accounts: bool = True,
) -> Compiled:
    """Plan and SQL of one operation for one shape of its variables. No I/O. `accounts`: see account.Account."""
    collected = Collected(document.schema, document.fragments, variables)
    made = Planner(collected, variables).plan(operation.node)
    check_shape(made)
    compiled = _compile(made, principal, accounts=accounts)
    if principal.access.disclosed:
        compiled.released = told(released(collected, operation.node))
    return compiled


def _compile(made: p.Plan, principal: Principal, *, accounts: bool) -> Compiled:
    if principal.access is not RESTRICTED:  # it alone can be asked both ways
        return compile_plan(made, principal, accounts=accounts, together=True)
    unscoped = without_scope(made)
    if unscoped is None:
        return Compiled(made, None, (), {}, 0, (), scoped=True)
    whole, (made, scoped_if) = made, unscoped
    compiled = compile_plan(made, principal, accounts=accounts, together=True)
    compiled.scoped_if = scoped_if
    if made is not whole:  # what is left out is selected all the same: its values are refused like all others
        compiled.checks = tuple(
            dict.fromkeys((*compiled.checks, *p.values(whole), *(value for value, _ in sizes(whole))))
        )
    return compiled


def compile_plan(made: p.Plan, principal: Principal, *, accounts: bool, together: bool = False) -> Compiled:
    """The SQL of a plan, and what its request is checked for. `together`: it is a query's, which may share a statement
    with others (sql.body_statement) and is completed by references.py."""
    how = reading(principal, accounts=accounts, refers=together)
    keys = {feed: _keys(made, how, feed) for feed in made.sources}
    needs_rows = any(not isinstance(f, p.TypeName) and f.key not in made.introspection for f in made.fields)
    body = sql.body_statement(made, how, together=together) if needs_rows else None
    taken = [value.own for value in body.parameters] if body is not None else ()
    checks = tuple(value for value in p.values(made) if value not in taken)
    follows = any(isinstance(f, p.One) and f.rows.following is not None for f in made.fields)
    following = sql.next_statement(made, how) if follows else None
    own = Compiled(made, body, sizes(made), keys, subjects(made), checks, following, _within(made))
    own.permits = _permits(made)
    own.scanned, own.lists_all, own.counts_all = scanned(made), lists_all(made), counts_all(made)
    return own


def _permits(made: p.Plan) -> tuple[tuple[str, Value], ...]:
    found = (f for f in p.walk(made.fields) if isinstance(f, p.One | p.Many | p.Connection) and f.rows.permitted)
    return tuple(dict.fromkeys((f.rows.permitted, f.rows.where[0].values[0]) for f in found))


def _within(made: p.Plan) -> tuple[Value, ...]:
    return tuple(
        value
        for found in p.walk(made.fields)
        if isinstance(found, p.One | p.Many | p.Connection)
        for condition in found.rows.where
        if condition.column == "subject_uscc"
        for value in condition.values
    )


def _keys(made: p.Plan, how: Reading, feed: str) -> Keys:
    """From the arguments where every section stands directly at a subject asked for by code; else by a statement.

    Under a narrowing always by a statement: a code passes the scope before any source is asked about it.
    """
    sections = [f for f in p.walk(made.fields) if isinstance(f, p.Section) and f.feed == feed]
    parts = tuple(dict.fromkeys(part for section in sections for part in section.parts))
    given = []
    direct = 0
    for root in made.fields:
        if isinstance(root, p.One | p.Many) and root.rows.keys is not None:
            own = [f for f in _of_its_row(root) if isinstance(f, p.Section) and f.feed == feed]
            direct += len(own)
            if own:
                asked = tuple(dict.fromkeys(part for section in own for part in section.parts))
                given.append((root.rows.keys.usccs, root.rows.keys.many, asked))
    if direct == len(sections) and not how.reports_denied:
        return Keys(sections[0].source, sections[0].consent, tuple(given), None, parts)
    return Keys(sections[0].source, sections[0].consent, (), sql.keys_statement(made, how, feed), parts)


def _of_its_row(field: p.Field) -> Iterator[p.Field]:
    """The fields that stand in a root field's own row."""
    for child in p.children(field):
        yield child
        if isinstance(child, p.Same | p.Whole):
            yield from _of_its_row(child)


def refuse_bad_values(compiled: Compiled, variables: Mapping[str, Any], principal: Principal) -> None:
    """Raises BadUserInput where a value of the plan can't be taken: what only the statement would find out later."""
    for value in compiled.body.parameters if compiled.body is not None else ():
        if not isinstance(value.origin, Fed):
            value.resolve(variables, principal, {})


def bad_values(compiled: Compiled, variables: Mapping[str, Any], principal: Principal, first: BadUserInput) -> Refused:
    """All values of the plan that can't be taken, each with its places, up to a bound; else the error that was met."""
    found: dict[tuple[str, tuple[tuple[int, int], ...]], BadUserInput] = {}
    values = (*p.values(compiled.plan), *(value for value, _ in compiled.sizes))
    for value in values:
        if not isinstance(value.origin, Fed):
            try:
                value.resolve(variables, principal, {})
            except BadUserInput as error:
                found.setdefault((error.en, tuple(error.locations)), error)
    return Refused([*found.values()][:MOST_ERRORS] or [first])

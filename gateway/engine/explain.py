"""A plan as text that a person can read, and snapshots can keep.

In: a plan. Out: one line a field, children indented. Nothing here is on a request's path.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.engine import plan as p
from gateway.engine.bindings import Condition, Page, Rows, Search
from gateway.engine.mutate import Step
from gateway.engine.references import KINDS
from gateway.engine.sql import Statement
from gateway.engine.values import Constant, Fed, FromPrincipal, FromVariable, ListOf, Value
from gateway.storage.levels import Access
from gateway.storage.views import CELLS
from gateway.storage.writes import WRITES


def describe(plan: p.Plan) -> str:
    """The plan as text."""
    lines = [f"operation {plan.operation or '(anonymous)'}"]
    lines += _fields(plan.fields, 1)
    return "\n".join(lines) + "\n"


def describe_step(step: Step, access: Access) -> tuple[str, str]:
    """One root field of a mutation: what it changes and the plan of its payload; and the SQL of both."""
    if step.change is None or step.payload is None or step.payload.body is None:
        return f"{step.key}: type {step.typename}\n", ""
    write = WRITES[step.change.write]
    named = [f"{name} = {value(given)}" for (name, _), given in zip(write.parameters, step.change.values, strict=True)]
    own = [f"{value(each.value)} is principal.{each.attribute}" for each in step.change.own]
    plan = [f"{step.key}: changes by {write.name}", *(f"  {line}" for line in (*named, *own))]
    plan += _fields(step.payload.plan.fields, 0)
    sql = [write.call(access), step.payload.body.text, *parameters(step.payload.body)]
    return "\n".join(plan) + "\n", "\n".join(sql) + "\n"


def parameters(statement: Statement) -> Iterator[str]:
    """A line for each parameter of a statement, those of the disclosure in one; and for what is filled in."""
    if statement.accounts:
        yield f"-- $1 of the disclosure: {', '.join(CELLS)}"
    for number, parameter in enumerate(statement.parameters, 1 + statement.accounts):
        yield f"-- ${number} {value(parameter)}"
    for letter, printed in zip(KINDS, statement.gaps.kinds, strict=False):
        for part in printed.parts:
            yield f"-- \\x01{letter} {part.relation} by {part.own}: {part.text}"


def value(found: Value) -> str:
    """Where a parameter's value comes from, and its type."""
    match found.origin:
        case FromVariable(name, path):
            origin = ".".join((f"${name}", *path))
        case Constant(constant):
            origin = repr(constant)
        case ListOf(items):
            origin = f"list of {len(items)}"
        case FromPrincipal(attribute):
            origin = f"principal.{attribute}"
        case Fed(name):
            origin = f"fed {name}"
    return f"{origin}::{found.type}"


def _rows(rows: Rows) -> str:
    parts = [rows.relation + (f"_{rows.order}" if rows.order else "")]
    parts += [f"{there} = parent.{here}" for here, there in rows.match]
    parts += [_condition(condition) for condition in rows.where]
    if rows.keys is not None:
        parts.append(f"uscc {'of each of' if rows.keys.many else '='} {value(rows.keys.usccs)}")
    if rows.search is not None:
        parts.append(_search(rows.search))
    if rows.following is not None:
        behind = rows.following.behind
        parts.append(f"following {rows.following.column}, {'now' if behind is None else value(behind)}")
    if rows.page is not None:
        parts += _page(rows.page)
    return ", ".join(parts)


def _page(page: Page) -> Iterator[str]:
    if page.sealed is not None:
        yield f"behind {value(page.sealed)}"
    for word, place in (("after", page.after), ("before", page.before)):
        if place is not None:
            yield f"{word} ({', '.join(value(v) for v in place)})"
    yield f"{'last' if page.backward else 'first'} {value(page.size)}"


def _search(search: Search) -> str:
    named = {"kinds": search.kinds, "roles": search.roles, "region": search.region}
    filters = [f"{name} {value(given)}" for name, given in named.items() if given is not None]
    places = [
        f"{word} {value(place.suffix)}"
        for word, place in (("after", search.after), ("before", search.before))
        if place is not None
    ]
    return ", ".join([f"named {value(search.begin)}", *filters, *places])


def _condition(condition: Condition) -> str:
    return f"{condition.column} {condition.operator} ({', '.join(value(v) for v in condition.values)})"


def _body(body: p.Body, depth: int) -> Iterator[str]:
    for variant in body.variants:
        if variant.values is not None:
            yield f"{'  ' * depth}when {body.discriminator} in ({', '.join(variant.values)})"
            yield from _fields(variant.fields, depth + 1)
        else:
            yield from _fields(variant.fields, depth)


def _fields(fields: tuple[p.Field, ...], depth: int) -> Iterator[str]:
    for field in fields:
        yield from _field(field, depth)


def _field(field: p.Field, depth: int) -> Iterator[str]:
    indent = "  " * depth
    match field:
        case p.Place(key=key, column=column):
            yield f"{indent}{key}: cursor of {column}"
        case p.Leaf(key=key, column=column):
            yield f"{indent}{key}: column {column}"
        case p.TypeName(key=key, name=name):
            yield f"{indent}{key}: type {name}"
        case p.TypeNameOf(key=key, column=column):
            yield f"{indent}{key}: type by {column}"
        case p.Given(key=key, value=given):
            yield f"{indent}{key}: {value(given)}"
        case p.Same(key=key, body=body, presence=presence):
            yield f"{indent}{key}: same row" + (f", null without {presence}" if presence else "")
            yield from _body(body, depth + 1)
        case p.Whole(key=key, body=body):
            yield f"{indent}{key}: same row, null where it is not there"
            yield from _body(body, depth + 1)
        case p.One(key=key, rows=rows, body=body) | p.Many(key=key, rows=rows, body=body):
            shown = ", shown" if field.shown else ""
            yield f"{indent}{key}: {'one' if isinstance(field, p.One) else 'list'} of {_rows(rows)}{shown}"
            yield from _body(body, depth + 1)
        case p.OneOf(key=key, alternatives=alternatives):
            yield f"{indent}{key}: the first that has a row"
            yield from _fields(alternatives, depth + 1)
        case p.Connection():
            yield from _connection(field, depth)
        case p.Section(key=key, source=source, parts=parts, fields=fields):
            sections = "sections of each" if field.several else "section of"
            under = f", under the consent {value(field.consent)}" if field.consent is not None else ""
            yield f"{indent}{key}: {sections} {source}, asks {', '.join(parts)}{under}"
            yield from _fields(fields, depth + 1)
        case p.Passed(key=key, answer=answer, fields=fields):
            yield f"{indent}{key}: passed on, {answer}"
            yield from _fields(fields, depth + 1)
        case p.SectionAnswer(key=key, fields=fields):
            yield f"{indent}{key}: the answer's status"
            yield from _fields(fields, depth + 1)
        case p.EmptyList(key=key):
            yield f"{indent}{key}: nothing, since nobody was asked for it"
        case p.PartRows(key=key, function=function, body=body):
            yield f"{indent}{key}: rows of {function}"
            yield from _body(body, depth + 1)


def _connection(field: p.Connection, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{field.key}: page of {_rows(field.rows)}{', shown' if field.shown else ''}"
    for item in field.items:
        match item:
            case p.Edges(key=key, items=items):
                yield f"{indent}  {key}: edges"
                for edge in items:
                    if isinstance(edge, p.EdgeNode):
                        yield f"{indent}    {edge.key}: node"
                        yield from _body(edge.body, depth + 3)
                    else:
                        yield f"{indent}    {edge.key}: {type(edge).__name__.lower()}"
            case p.PageInfo(key=key, items=names):
                yield f"{indent}  {key}: page info ({', '.join(name for _, name in names)})"
            case p.TotalCount(key=key):
                yield f"{indent}  {key}: count"
            case p.TotalIsExact(key=key):
                yield f"{indent}  {key}: whether the count is exact"
            case p.TypeName(key=key, name=name):
                yield f"{indent}  {key}: type {name}"

"""Introspection: what an asker's own contract says of itself. graphql-core resolves each field; which fields, and how
often, is walked here, since its executor takes ten times as long and has no bound.

In: a root field (__schema, __type, _service) of a validated document, the coerced variables. Out: its value as JSON
text. A few hundred bytes can ask for millions of values (types of fields of types …): they are counted as they are
found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    SchemaMetaFieldDef,
    TypeMetaFieldDef,
    get_named_type,
)

from gateway.auth.principal import ANONYMOUS
from gateway.engine.arguments import read_arguments
from gateway.engine.documents import Document, Operation
from gateway.engine.selection import Document as Collected
from gateway.engine.selection import collect
from gateway.engine.values import Value
from gateway.errors import QueryTooCostly

MOST_INTROSPECTED = 10_000  # values; all of the largest contract are 7,500
MOST_SDL = 5  # fields of _service: each may be a text of 40 KB
_AS_IT_IS = (str, bool)  # in JSON
_ROOTS = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(frozen=True, slots=True)
class _Info:
    """What resolvers of introspection look at."""

    schema: GraphQLSchema


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """How the value of a selected field is found, and what of it is selected, by response key. `typename` is a value
    known before. Fields of which the same is asked are one step."""

    field: GraphQLField | None
    arguments: Mapping[str, Any]
    leaf: GraphQLScalarType | GraphQLEnumType | None
    below: _Steps = ()
    typename: str = ""


_Steps: TypeAlias = tuple[tuple[str, _Step], ...]


def introspect(document: Document, operation: Operation, key: str, variables: Mapping[str, Any]) -> str:
    """The value of a root field as JSON text. Raises BadUserInput, QueryTooCostly."""
    root = document.schema.query_type
    assert root is not None
    conditions = operation.coerce(variables)[0]
    collected = Collected(document.schema, document.fragments, conditions)
    nodes = collect(collected, root, [operation.node.selection_set])[key]
    walk = _Walk(collected, conditions)
    name = nodes[0].name.value
    step = walk.step(_ROOTS.get(name) or root.fields[name], nodes)
    if name not in _ROOTS and len(step.below) > MOST_SDL:
        raise QueryTooCostly(
            f"{name} has {len(step.below)} fields, {MOST_SDL} are allowed; ask for sdl once",
            f"{name} 包含 {len(step.below)} 个字段，上限为 {MOST_SDL} 个，请只查询一次 sdl",
        )
    found = walk.values(((key, step),), None)
    return json.dumps(found[key], ensure_ascii=False)


class _Walk:
    """Steps of a selection, and the values that they find."""

    def __init__(self, document: Collected, variables: Mapping[str, Any]) -> None:
        self._document = document
        self._variables = variables
        self._info = _Info(document.schema)
        self._found = 0
        self._steps: dict[tuple[object, ...], _Step] = {}
        self._known: dict[tuple[int, int], tuple[Any, int]] = {}

    def step(self, field: GraphQLField, nodes: list[FieldNode]) -> _Step:
        """What is selected of one field."""
        given = read_arguments(field, nodes[0], self._variables)
        arguments = {
            name: value.resolve(self._variables, ANONYMOUS, {})
            for name, value in given.items()
            if isinstance(value, Value)
        }
        named = get_named_type(field.type)
        if isinstance(named, GraphQLScalarType | GraphQLEnumType):
            return self._once(_Step(field, arguments, named))
        assert isinstance(named, GraphQLObjectType)  # introspection has no interface
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        below = [
            (own, self._once(_Step(None, {}, None, typename=named.name)))
            if inner[0].name.value == "__typename"
            else (own, self.step(named.fields[inner[0].name.value], inner))
            for own, inner in collect(self._document, named, sets).items()
        ]
        return self._once(_Step(field, arguments, None, tuple(below)))

    def _once(self, step: _Step) -> _Step:
        """The step that asks for the same as this one. Those below it are so already."""
        return self._steps.setdefault((id(step.field), *step.arguments.items(), step.typename, step.below), step)

    def values(self, steps: _Steps, source: Any) -> dict[str, Any]:
        """What is selected of one object. What is asked of a type again is not looked up again, and counts again."""
        self._count(len(steps))
        is_type = isinstance(source, GraphQLNamedType)  # which the schema holds, so that nothing else has its identity
        made = {}
        for key, step in steps:
            if step.field is None:
                made[key] = step.typename
                continue
            if not is_type or step.leaf is not None:
                made[key] = self._value(step, step.field, source)
                continue
            known = self._known.get((id(step), id(source)))
            if known is None:
                before = self._found
                made[key] = self._value(step, step.field, source)
                self._known[id(step), id(source)] = made[key], self._found - before
            else:
                made[key], count = known
                self._count(count)
        return made

    def _count(self, values: int) -> None:
        self._found += values
        if self._found > MOST_INTROSPECTED:
            raise QueryTooCostly(
                f"the introspection asks for more than {MOST_INTROSPECTED} values; ask for fewer, or read"
                " /schema/{view}.graphql",
                f"内省查询的取值超过 {MOST_INTROSPECTED} 个，请减少，或直接读取 /schema/{{view}}.graphql",
            )

    def _value(self, step: _Step, field: GraphQLField, source: Any) -> Any:
        """What a step finds of an object."""
        resolve = field.resolve
        assert resolve is not None  # each of introspection has one
        found = resolve(source, self._info, **step.arguments)
        if found is None or type(found) in _AS_IT_IS:
            return found
        return [self._one(step, one) for one in found] if isinstance(found, Iterable) else self._one(step, found)

    def _one(self, step: _Step, found: Any) -> Any:
        return self.values(step.below, found) if step.leaf is None else step.leaf.serialize(found)

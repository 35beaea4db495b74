"""Documents that reach every coordinate of the schema by every kind of path, and their misspelt twins.

The structure (which field returns what) comes from the annotated schema; which coordinates a contract has comes from
expected_levels alone. A template marks each name with its coordinate, so that a twin can misspell exactly those names
which a contract should not have: same length, same place, so that errors can be compared whole.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from expected_levels import LEVELS, TYPES, P
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_introspection_type,
)

from gateway.storage.identifiers import node_id, organisation_uuid, uscc_check_digit

CODE = "9165270130000000A"
CODE += uscc_check_digit(CODE)
ID = node_id("S", organisation_uuid(CODE))
LITERALS = {"Uscc": f'"{CODE}"', "ID": f'"{ID}"', "Int": "1", "Float": "1", "Boolean": "true", "Date": '"2026-01-01"'}
LITERALS["_Any"] = f'{{__typename: "Subject", uscc: "{CODE}"}}'
IDENTITY = "$identity"  # an identity number stands in no document
_MARK = re.compile(r"«([^|»]+)\|([^»]+)»")
HOLE = "⟪⟫"
AT_THE_ROOT = f"{{ {HOLE} }}"
AT_ROOT = 8  # leaves of a document: each may be two fields, and a document has 20 root fields at most
ROOTS = ("Query", "Mutation", "Subscription")
Composite = GraphQLObjectType | GraphQLInterfaceType


@dataclass(frozen=True, slots=True)
class Case:
    """One document for one coordinate; `kind`: by which kind of path; `outer` is the way, `leaf` stands at its end."""

    coordinate: str
    kind: str
    outer: str
    leaf: str = ""

    @property
    def template(self) -> str:
        text = self.outer.replace(HOLE, self.leaf)
        if IDENTITY not in text:
            return text
        if text.startswith("{"):
            return f"query ({IDENTITY}: String!) {text}"
        return text.replace("(", f"({IDENTITY}: String!, ", 1)

    @property
    def text(self) -> str:
        return _MARK.sub(lambda match: match[2], self.template)

    @property
    def coordinates(self) -> set[str]:
        """All coordinates that the document names, ways included."""
        return {match[1] for match in _MARK.finditer(self.template)}

    def twin(self, hidden: Callable[[str], bool]) -> tuple[str, dict[str, str]]:
        """The document with every hidden name misspelt, and misspelt → right."""
        renamed: dict[str, str] = {}

        def misspelt(match: re.Match[str]) -> str:
            if not hidden(match[1]):
                return match[2]
            wrong = match[2][:-1] + ("Q" if match[2][-1] != "Q" else "Z")
            renamed[wrong] = match[2]
            return wrong

        return _MARK.sub(misspelt, self.template), renamed


def mark(coordinate: str, name: str) -> str:
    """A name with its coordinate."""
    return f"«{coordinate}|{name}»"


def composites(schema: GraphQLSchema) -> list[Composite]:
    """Objects and interfaces, introspection apart."""
    return [
        named for named in schema.type_map.values() if isinstance(named, Composite) and not is_introspection_type(named)
    ]


def coordinates(schema: GraphQLSchema) -> set[str]:
    """Types, fields, input fields and enum values of a schema."""
    found = set()
    for named in schema.type_map.values():
        if is_introspection_type(named) or isinstance(named, GraphQLScalarType):
            continue
        found.add(named.name)
        members = named.values if isinstance(named, GraphQLEnumType) else getattr(named, "fields", {})
        found.update(f"{named.name}.{name}" for name in members)
    return found


def _level(owner: str, name: str) -> int:
    return max(LEVELS.get(f"{owner}.{name}", P), TYPES.get(owner, P))


Step = tuple[str, str]  # ("Query", "subject"): a field; ("...", "Penalty"): a type condition


class Ways:
    """Shortest ways through a schema, lowest levels first."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._types = {named.name: named for named in composites(schema)}

    def from_root(self) -> dict[str, tuple[Step, ...]]:
        """Type → way from Query, `node` apart; else from Mutation."""
        return self._ways("Mutation", ()) | self._ways("Query", (), without="node")

    def from_node(self) -> dict[str, tuple[Step, ...]]:
        """Type → way from node(id)."""
        found: dict[str, tuple[Step, ...]] = {"Node": (("Query", "node"),)}
        for start in ("Subject", "CreditRecord", "Consent"):
            for name, way in self._ways(start, (("Query", "node"), ("...", start))).items():
                if name not in found or len(way) < len(found[name]):
                    found[name] = way
        for named in self._types.values():
            if isinstance(named, GraphQLObjectType) and any(i.name == "CreditRecord" for i in named.interfaces):
                found[named.name] = (("Query", "node"), ("...", named.name))
        return found

    def from_entities(self) -> dict[str, tuple[Step, ...]]:
        """Type → way from _entities(representations)."""
        start: tuple[Step, ...] = (("Query", "_entities"), ("...", "Subject"))
        return {"_Entity": start[:1]} | self._ways("Subject", start)

    def _ways(self, start: str, before: tuple[Step, ...], without: str = "") -> dict[str, tuple[Step, ...]]:
        found: dict[str, tuple[Step, ...]] = {}
        queue: list[tuple[int, int, str, tuple[Step, ...]]] = [(0, 0, start, before)]
        while queue:
            level, length, name, way = heapq.heappop(queue)
            if name in found:
                continue
            found[name] = way
            named = self._types[name]
            for field_name, field in named.fields.items():
                target = get_named_type(field.type)
                if isinstance(target, Composite) and (name, field_name) != ("Query", without):
                    step = (level if level > _level(name, field_name) else _level(name, field_name), length + 1)
                    heapq.heappush(queue, (*step, target.name, (*way, (name, field_name))))
            if isinstance(named, GraphQLInterfaceType):
                for target in self._schema.get_possible_types(named):
                    heapq.heappush(queue, (level, length + 1, target.name, (*way, ("...", target.name))))
        return found


def literal(type_: object) -> str:
    """A value of an input type, as a literal that any contract takes."""
    if isinstance(type_, GraphQLNonNull):
        return literal(type_.of_type)
    if isinstance(type_, GraphQLList):
        return f"[{literal(type_.of_type)}]"
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        return "{" + ", ".join(f"{n}: {literal(f.type)}" for n, f in type_.fields.items() if _required(f)) + "}"
    assert isinstance(type_, GraphQLScalarType), type_
    return LITERALS.get(type_.name, '"Area"')


def given(name: str, argument: GraphQLArgument) -> str:
    """A value of an argument, as any contract takes it."""
    return IDENTITY if name == "identityNumber" else literal(argument.type)


def _required(taken: GraphQLArgument | GraphQLInputField) -> bool:
    return isinstance(taken.type, GraphQLNonNull) and taken.default_value is Undefined


def _others(named: object, name: str) -> str:
    """The required fields of an input object beside one of them, with a comma after each."""
    assert isinstance(named, GraphQLInputObjectType)
    return "".join(f"{n}: {literal(f.type)}, " for n, f in named.fields.items() if _required(f) and n != name)


class Generator:
    """All cases of a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        ways = Ways(schema)
        self._root = ways.from_root()
        self._node = ways.from_node()
        self._entities = ways.from_entities()

    def cases(self) -> Iterator[Case]:
        """Every coordinate by every kind of path."""
        for named in composites(self._schema):
            for name, field in named.fields.items():
                yield from self._field_cases(named, name)
                for argument in field.args:
                    yield from self._argument_cases(named, name, field, argument)
            yield from self._type_cases(named)

    # Fields ----------------------------------------------------------------------------------------------------------

    def _field_cases(self, owner: Composite, name: str) -> Iterator[Case]:
        where = f"{owner.name}.{name}"
        leaf = self._leaf(owner, name)
        on = mark(owner.name, owner.name)
        root = owner.name if owner.name in ROOTS else ""
        if root:
            ways = {"root": ()}
        else:
            ways = {"nested": self._root[owner.name]} if owner.name in self._root else {}
            if owner.name in self._node:
                ways["node(id)"] = self._node[owner.name]
            if owner.name in self._entities:
                ways["_entities"] = self._entities[owner.name]
        for kind, way in ways.items():
            if isinstance(owner, GraphQLInterfaceType) and kind == "nested":
                kind = "interface"
            yield Case(where, kind, self._document(way, HOLE, root), leaf)
            if kind in ("node(id)", "_entities"):
                continue
            if root == "Subscription":  # one field, and no other beside it
                fragment = f" fragment F on {on} {{ {HOLE} }}"
                yield Case(where, "named fragment", self._document(way, "...F", root) + fragment, leaf)
                continue
            yield Case(where, "alias", self._document(way, HOLE, root), f"a_{name}: {leaf} b_{name}: {leaf}")
            yield Case(where, "inline fragment", self._document(way, f"... on {on} {{ {HOLE} }}", root), leaf)
            yield Case(where, "bare fragment", self._document(way, f"... @include(if: true) {{ {HOLE} }}", root), leaf)
            fragment = f" fragment F on {on} {{ {HOLE} }}"
            yield Case(where, "named fragment", self._document(way, "...F", root) + fragment, leaf)
            skipped = self._leaf(owner, name, directive=" @skip(if: true)")
            yield Case(where, "skipped", self._document(way, f"__typename {HOLE}", root), skipped)
            if ("Query", "subject") in way:
                listed = tuple(("Query", "subjects") if step == ("Query", "subject") else step for step in way)
                yield Case(where, "list", self._document(listed, HOLE), leaf)

    def _leaf(
        self, owner: Composite, name: str, arguments: str | None = None, directive: str = "", below: str = ""
    ) -> str:
        field: GraphQLField = owner.fields[name]
        if arguments is None:
            arguments = ", ".join(
                f"{mark(f'{owner.name}.{name}({n}:)', n)}: {given(n, a)}" for n, a in field.args.items() if _required(a)
            )
        text = mark(f"{owner.name}.{name}", name) + (f"({arguments})" if arguments else "") + directive
        if isinstance(get_named_type(field.type), Composite | GraphQLUnionType):
            text += f" {{ {below or '__typename'} }}"
        return text

    def _document(self, way: tuple[Step, ...], inner: str, root: str = "", variables: str = "") -> str:
        root = way[0][0] if way else root
        for owner, name in reversed(way):
            if owner == "...":
                inner = f"... on {mark(name, name)} {{ {inner} }}"
            else:
                named = self._schema.type_map[owner]
                assert isinstance(named, Composite)
                inner = self._leaf(named, name, below=inner)
        operation = f"{root.lower()} " if root in ROOTS[1:] else "query " if variables else ""
        return f"{operation}{variables}{{ {inner} }}"

    def _type_cases(self, named: Composite) -> Iterator[Case]:
        if named.name in self._root and named.name not in ROOTS:
            spread = f"... on {mark(named.name, named.name)} {{ __typename }}"
            yield Case(named.name, "type condition", self._document(self._root[named.name], spread))
        if named.name in self._entities:
            spread = f"... on {mark(named.name, named.name)} {{ __typename }}"
            yield Case(named.name, "type condition, _entities", self._document(self._entities[named.name], spread))
        fragment = f"{{ ...F }} fragment F on {mark(named.name, named.name)} {{ __typename }}"
        if named.name == "Query":
            yield Case(named.name, "type condition", fragment)

    # Arguments -------------------------------------------------------------------------------------------------------

    def _argument_cases(self, owner: Composite, name: str, field: GraphQLField, argument: str) -> Iterator[Case]:
        where = f"{owner.name}.{name}({argument}:)"
        root = owner.name if owner.name in ROOTS else ""
        way = () if root else self._root.get(owner.name)
        if way is None:
            return
        others = ", ".join(f"{n}: {given(n, a)}" for n, a in field.args.items() if _required(a) and n != argument)
        before = f"{others}, " if others else ""
        taken = field.args[argument]
        named = get_named_type(taken.type)
        value_of = "null" if argument == "after" else given(argument, taken)

        def document(value: str, below: str = "", variables: str = "") -> str:
            leaf = self._leaf(owner, name, f"{before}{mark(where, argument)}: {value}", below=below)
            return self._document(way, leaf, root, variables)

        yield Case(where, "argument", document(value_of))
        type_name = str(taken.type).replace(named.name, mark(named.name, named.name))
        yield Case(where, "variable", document("$v", variables=f"($v: {type_name}) "))
        for inner_name, inner in getattr(named, "fields", {}).items():
            leaf_type = get_named_type(inner.type)
            header = f"($v: {str(inner.type).replace(leaf_type.name, mark(leaf_type.name, leaf_type.name))}) "
            value = f"{{{_others(named, inner_name)}{mark(f'{named.name}.{inner_name}', inner_name)}: $v}}"
            yield Case(f"{named.name}.{inner_name}", "variable in an input", document(value, variables=header))
        for coordinate, kind, value in self._values(
            named, isinstance(getattr(taken.type, "of_type", None), GraphQLList)
        ):
            yield Case(coordinate, kind, document(value))
            connection = get_named_type(field.type)
            if isinstance(connection, GraphQLObjectType) and "totalCount" in connection.fields:
                yield Case(coordinate, f"{kind}, count", document(value, "totalCount"))
                page = "edges { cursor node { __typename } } pageInfo { endCursor }"
                yield Case(coordinate, f"{kind}, page", document(value, page))
            header = f"($v: {type_name} = {value}) "
            yield Case(coordinate, f"{kind}, default of a variable", document("$v", variables=header))

    def _values(self, named: object, listed: bool = False) -> Iterator[tuple[str, str, str]]:
        """(coordinate, kind, literal) for what an argument's type has inside."""
        if isinstance(named, GraphQLEnumType):
            for value in named.values:
                where = f"{named.name}.{value}"
                yield where, "enum value", f"[{mark(where, value)}]" if listed else mark(where, value)
        elif isinstance(named, GraphQLInputObjectType):
            for name, field in named.fields.items():
                where = f"{named.name}.{name}"
                inner = get_named_type(field.type)
                listed = "[" in str(field.type)
                value = '"6527"' if name == "regionCode" else literal(field.type)  # not any text is a region
                others = _others(named, name)
                yield where, "input field", f"{{{others}{mark(where, name)}: {value}}}"
                if isinstance(inner, GraphQLEnumType):
                    for coordinate, kind, value in self._values(inner, listed):
                        yield coordinate, f"{kind} in {named.name}", f"{{{others}{name}: {value}}}"


def together(cases: Iterable[Case]) -> list[str]:
    """The documents of many cases in as few: what stands at the end of the same way stands there at once."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for case in cases:
        found.setdefault((case.kind, case.outer), {})[case.leaf] = None
    return [
        Case("", kind, outer, " ".join(leaves)).text
        for (kind, outer), every in found.items()
        for leaves in batched(every, AT_ROOT if outer == AT_THE_ROOT else len(every))
    ]


def batched(leaves: Iterable[str], most: int) -> Iterator[list[str]]:
    """The leaves, so many at a time."""
    listed = list(leaves)
    for begin in range(0, len(listed), most):
        yield listed[begin : begin + most]

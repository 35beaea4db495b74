"""Operations: their shape by hypothesis-graphql, their values out of the world most of the time.

In: a contract, a world, a seed. Out: operations as small trees that are printed as documents: arguments as literals or
variables, aliases, fragments, @skip and @include, the same field twice, __typename, introspection. The same seed makes
the same operation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from graphql import (
    FieldNode,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    build_schema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    print_schema,
)
from hypothesis import strategies as st
from hypothesis.control import BuildContext
from hypothesis.errors import StopTest
from hypothesis.internal.conjecture.data import ConjectureData
from hypothesis_graphql import Mode, nodes, queries

from tests.differential.operation import ABSENT, Node, Operation, Variable, walk
from tests.differential.refusals import IDENTITY
from tests.differential.values import Values

# Shapes --------------------------------------------------------------------------------------------------------------

_ROOTS = ("subject", "subject", "subjects", "records", "records", "searchSubjects", "node", "node", "viewer")
# Tested on their own: the outbox's cursors are others each time, entities answer as `subject` does, and an identity
# number stands in no document (tests/engine/test_persons.py); disclosures are of what was asked before.
NOT_COMPARED = frozenset({"recordChanges", "_entities", "_service", "person", "disclosures"})
_WITHOUT_VALUES = {
    name: st.just(nodes.Null) for name in ("Uscc", "Date", "DateTime", "Decimal", "ID", "String", "Int", "_Any")
}


def _without_account(schema: GraphQLSchema) -> GraphQLSchema:
    """The schema without Viewer.disclosures, whose rows are what was asked before (tests/e2e/test_access_e2e.py)."""
    drawn = build_schema(print_schema(schema))
    viewer = drawn.type_map["Viewer"]
    assert isinstance(viewer, GraphQLObjectType)
    viewer.fields.pop("disclosures", None)  # PUBLIC has none
    return drawn


class Shapes:
    """Selections as hypothesis-graphql draws them, one by one, each by its seed; their arguments are thrown away."""

    def __init__(self, schema: GraphQLSchema) -> None:
        schema = _without_account(schema)
        assert schema.query_type is not None
        roots = [name for name in schema.query_type.fields if name not in NOT_COMPARED]
        made = {"": queries(schema, custom_scalars=_WITHOUT_VALUES, fields=roots, print_ast=lambda document: document)}
        for name in roots:
            made[name] = queries(
                schema, custom_scalars=_WITHOUT_VALUES, fields=(name,), print_ast=lambda document: document
            )
        self._strategies = made
        self._roots = [name for name in _ROOTS if name in roots] + ["", *roots]

    def draw(self, seed: str) -> list[Node]:
        """The selections of an operation."""
        dice = random.Random(f"shape {seed}")
        document = drawn(self._strategies[dice.choice(self._roots)], dice)
        return [_node(node) for node in document.definitions[0].selection_set.selections]


def drawn(strategy: st.SearchStrategy[Any], dice: random.Random) -> Any:
    """One example of a strategy, decided by the dice alone: `example()` and @given take a hundred times as long."""
    while True:
        data = ConjectureData(random=dice)
        try:
            with BuildContext(data, is_final=False, wrapped_test=None):  # type: ignore[arg-type]
                return data.draw(strategy)
        except StopTest:
            continue


def _node(node: Any) -> Node:
    children = None if node.selection_set is None else [_node(inner) for inner in node.selection_set.selections]
    if isinstance(node, InlineFragmentNode):
        return Node(type=node.type_condition.name.value if node.type_condition else "", children=children)
    assert isinstance(node, FieldNode)
    return Node(node.name.value, node.alias.value if node.alias else "", children=children)


# Operations ----------------------------------------------------------------------------------------------------------

_LISTS = ("dishonestListings", "enforcementCases", "consumptionOrders", "judgments")


class Maker:
    """Makes operations of one contract."""

    def __init__(self, schema: GraphQLSchema, values: Values) -> None:
        self.schema = schema
        self._shapes = Shapes(schema)
        self._values = values
        self._kept: tuple[str, list[Node]] = ("", [])
        assert schema.query_type is not None
        roots = [name for name in schema.query_type.fields if name != "person"]
        self._invalid = queries(
            _without_account(schema), custom_scalars=_WITHOUT_VALUES, fields=roots, mode=Mode.NEGATIVE
        )

    def make(self, seed: str, shape: str) -> Operation:
        """The operation of a seed, on the shape of another."""
        if self._kept[0] != shape:
            self._kept = (shape, self._shapes.draw(shape))
        dice = random.Random(f"operation {seed}")
        if dice.random() < 0.02:
            return Operation(seed, [], raw=(drawn(self._invalid, dice), {}))
        operation = Operation(seed, deepcopy(self._kept[1]))
        _Dress(self.schema, self._values, dice, operation).all()
        return operation


# Shares of objects that are put in, by the type that has them; and what pages are asked for by most.
_DEEPER = {"Query": 0.0, "Viewer": 0.5, "CourtSection": 0.4, "RegionPlatformSection": 0.8, "Subject": 0.15}
_USUAL = {
    "connection": (("edges", 0.8), ("pageInfo", 0.4), ("totalCount", 0.3)),
    "edge": (("node", 0.9), ("cursor", 0.4)),
}


class _Dress:
    """Puts values, aliases, fragments and directives on a shape."""

    def __init__(self, schema: GraphQLSchema, values: Values, dice: random.Random, operation: Operation) -> None:
        self._schema = schema
        self._values = values
        self._dice = dice
        self._operation = operation
        self._count = 0
        self._budget = 45  # fields that are put in
        self._live = False  # within a section that gives records

    def all(self) -> None:
        operation, dice = self._operation, self._dice
        root: Any = self._schema.query_type
        if dice.random() < 0.05:
            operation.selections.append(self._introspection())
        self._selections(root, operation.selections, 0)
        self._equal_lists()
        if dice.random() < 0.3:
            operation.name = dice.choice(["Standing", "q", "_1"])
            operation.other = dice.random() < 0.3
        if dice.random() < 0.02:
            self._spoil()

    def _name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    # Selections ------------------------------------------------------------------------------------------------------

    def _selections(self, parent: Any, selections: list[Node], depth: int) -> None:
        """Dress the selections of an object of type `parent`, in place."""
        if depth < 7:
            self._enrich(parent, selections, depth)
        if self._live and parent.name == "Subject" and self._chance(0.95):
            # Of a record that a source gave there is the identity alone: all else is refused.
            selections[:] = [node for node in selections if not node.name or node.name in IDENTITY] or [Node("name")]
        for node in list(selections):
            self._selection(parent, node, depth)
        if self._chance(0.08):
            selections.insert(
                self._dice.randrange(len(selections) + 1), Node("__typename", self._name("t") * self._chance(0.3))
            )
        self._twice(parent, selections)
        self._fragments(parent, selections)

    def _selection(self, parent: Any, node: Node, depth: int) -> None:
        if node.type is not None:
            self._selections(self._schema.type_map[node.type] if node.type else parent, node.children or [], depth)
        elif not node.name.startswith("__"):
            definition = parent.fields[node.name]
            node.arguments = self._arguments(parent, node.name, definition)
            if node.children is not None:
                live, self._live = self._live, self._live or parent.name in ("RegionPlatformSection", "PeerSection")
                self._selections(get_named_type(definition.type), node.children, depth + 1)
                self._live = live
            if not node.alias and self._chance(0.12):
                node.alias = self._name("a")
        if self._chance(0.06):
            node.directives.append((self._dice.choice(["skip", "include"]), self._condition()))

    def _enrich(self, parent: Any, selections: list[Node], depth: int) -> None:
        """Hypothesis goes deep seldom: put in what reaches rows, where the shape stops early."""
        names = {node.name for node in selections}
        usual = _USUAL.get("connection" if "edges" in parent.fields else "edge" if parent.name.endswith("Edge") else "")
        if usual is not None:
            put_in = [name for name, share in usual if name in parent.fields and self._chance(share)]
            selections += [self._field(parent, name) for name in put_in if name not in names]
            return
        if is_abstract_type(parent) and self._chance(0.35):
            possible = self._schema.get_possible_types(parent)
            for named in self._dice.sample(possible, min(2, len(possible))):
                selections.append(Node(type=named.name, children=[self._leaf(named) for _ in range(3)]))
        for name, definition in parent.fields.items():
            if name in names or any(node.alias == name for node in selections) or name in NOT_COMPARED:
                continue
            leaf = is_leaf_type(get_named_type(definition.type))
            share = 0.15 if leaf else _DEEPER.get(parent.name, 0.12) if depth < 4 else 0.0
            if self._budget > 0 and self._chance(share):
                selections.append(self._field(parent, name))

    def _field(self, parent: Any, name: str) -> Node:
        self._budget -= 1
        named: Any = get_named_type(parent.fields[name].type)
        return Node(name, children=None if is_leaf_type(named) else [self._leaf(named)])

    def _leaf(self, named: Any) -> Node:
        leaves = [name for name, f in named.fields.items() if is_leaf_type(get_named_type(f.type)) and not f.args]
        return Node(self._dice.choice(leaves) if leaves else "__typename")

    def _twice(self, parent: Any, selections: list[Node]) -> None:
        """The same response key twice, which merge; or the same field with other arguments under another name."""
        fields = [node for node in selections if node.name in parent.fields and node.children and not node.directives]
        if fields and self._chance(0.08):
            node = self._dice.choice(fields)
            named: Any = get_named_type(parent.fields[node.name].type)
            other = Node(node.name, node.alias, node.arguments, children=[self._leaf(named)])
            selections.append(other)
        if fields and self._chance(0.08):
            node = deepcopy(self._dice.choice(fields))
            node.alias = self._name("b")
            node.arguments = self._arguments(parent, node.name, parent.fields[node.name])
            selections.append(node)

    def _fragments(self, parent: Any, selections: list[Node]) -> None:
        """Some of the selections within a fragment, named or not, in their place."""
        if (parent is self._schema.query_type and not self._chance(0.3)) or not self._chance(0.15):
            return
        begin = self._dice.randrange(len(selections))
        end = self._dice.randrange(begin, len(selections)) + 1
        inner = selections[begin:end]
        condition = self._dice.choice(
            [parent.name, *(i.name for i in getattr(parent, "interfaces", ()) if self._fits(i, inner))]
        )
        if self._chance(0.5):
            selections[begin:end] = [Node(type=condition if self._chance(0.7) else "", children=inner)]
            if not selections[begin].type and condition != parent.name:
                selections[begin].type = condition
            return
        name = self._name("F")
        self._operation.fragments[name] = (condition, inner)
        selections[begin:end] = [Node(spread=name)] * self._dice.choice([1, 1, 1, 2])

    def _fits(self, interface: Any, inner: list[Node]) -> bool:
        return all(node.name in interface.fields or node.name == "__typename" for node in inner)

    def _introspection(self) -> Node:
        fields = Node("fields", children=[Node("name"), Node("type", children=[Node("name"), Node("kind")])])
        if self._chance(0.5):
            name = self._dice.choice([*self._schema.type_map, "NoSuchType"])
            found = Node("__type", self._name("i"), children=[Node("name"), Node("description"), fields])
            found.arguments = {
                "name": self._variable("String!", name, lambda d: d.choice([*self._schema.type_map]))
                if self._chance(0.4)
                else name
            }
            return found
        types = Node("types", children=[Node("name"), Node("enumValues", children=[Node("name")])])
        return Node("__schema", self._name("i"), children=[Node("queryType", children=[Node("name")]), types])

    def _equal_lists(self) -> None:
        """Each section of the courts selects the same lists: an answer is told for all that one operation asks for."""
        everywhere = [self._operation.selections, *(s for _, s in self._operation.fragments.values())]
        every = [node for selections in everywhere for node in walk(selections)]
        lists = sorted({node.name for node in every if node.name in _LISTS})
        for node in every:
            if node.name == "courts" and node.children is not None:
                node.children += [Node(name, f"z_{name}", children=[Node("caseNumber")]) for name in lists]

    def _spoil(self) -> None:
        """Something that the contract does not have."""
        every = [node for node in walk(self._operation.selections) if node.name and not node.name.startswith("__")]
        if not every:
            return
        node = self._dice.choice(every)
        match self._dice.randrange(4):
            case 0:
                node.name = self._dice.choice(["noSuchField", "identityNumber", "history", "duty"])
            case 1:
                node.arguments["noSuchArgument"] = 1
            case 2:
                node.arguments["first"] = "20"
            case _:
                node.children = None if node.children else [Node("name")]

    # Values ----------------------------------------------------------------------------------------------------------

    def _condition(self) -> Any:
        value = self._chance(0.5)
        if self._chance(0.5):
            return value
        variable = self._variable("Boolean!", value, lambda dice: dice.random() < 0.5)
        if self._chance(0.3):
            variable.type, variable.has_default, variable.default = "Boolean", True, not value
            variable.value = self._dice.choice([value, ABSENT, None if self._chance(0.2) else value])
        return variable

    def _variable(self, type_: str, value: Any, fresh: Callable[[random.Random], Any] | None = None) -> Variable:
        return Variable(self._name("v"), type_, value, fresh=fresh)

    def _arguments(self, parent: Any, name: str, definition: Any) -> dict[str, Any]:
        """Some of a field's arguments, the required ones always."""
        found: dict[str, Any] = {}
        given = self._values.of(parent.name, name, self._dice)
        for argument, one in definition.args.items():
            required = isinstance(one.type, GraphQLNonNull)
            if argument not in given and required:
                raise KeyError(f"{parent.name}.{name}({argument})")
            if argument in given:
                again = None
                if argument not in ("query", "after", "before", "orderBy", "last"):
                    again = lambda dice, a=argument: self._values.of(parent.name, name, dice).get(a)  # noqa: E731
                found[argument] = self._placed(one.type, given[argument], again)
        return found

    def _placed(self, type_: Any, value: Any, fresh: Callable[[random.Random], Any] | None = None) -> Any:
        """A value as a literal, as a variable, or with variables in it."""
        bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if self._chance(0.4):
            return self._as_variable(type_, bare, value, fresh)
        if isinstance(value, dict) and isinstance(bare, GraphQLInputObjectType):
            return {name: self._placed(bare.fields[name].type, inner) for name, inner in value.items()}
        if isinstance(value, list) and isinstance(bare, GraphQLList):
            return [self._placed(bare.of_type, inner) for inner in value]
        return value

    def _as_variable(self, type_: Any, bare: Any, value: Any, fresh: Callable[[random.Random], Any] | None) -> Variable:
        dice = self._dice
        made = self._variable(str(type_), value)
        if fresh is not None:

            def again(dice: random.Random) -> Any:
                found = fresh(dice)
                return value if found is None else found

            made.fresh = again
        kind = dice.random()
        if kind < 0.2 and value is not None:
            made.type = f"{bare}!"
        elif kind < 0.45 and value is not None:
            # A default where the request gives nothing, or another where it gives something.
            made.type, made.has_default, made.default = str(bare), True, value
            made.value = dice.choice([ABSENT, value])
            if dice.random() < 0.05:
                made.value = None
        elif kind < 0.55 and not isinstance(type_, GraphQLNonNull):
            made.value = dice.choice([ABSENT, None])
            made.fresh = None
        if (
            isinstance(made.value, list)
            and len(made.value) == 1
            and dice.random() < 0.2
            and isinstance(bare, GraphQLList)
        ):
            made.value = made.value[0]  # a list of one may be given as that one
            made.fresh = None
        return made

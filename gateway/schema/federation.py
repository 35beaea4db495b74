"""Apollo Federation 2: what makes a contract a subgraph.

In: a contract. Out: its entities, the scalar of representations, and the SDL that `_service` answers. Alone, a gateway
owns `Subject`. Under a name of its own among several prefectures (GATEWAY_FEDERATION_NAME) the entity is RegionSubject:
each prefecture adds one field to it, so that no router takes one prefecture's answer for another's
(docs/federation.md, decision 0026).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, NewType, cast

import strawberry
from graphql import (
    ConstDirectiveNode,
    FieldDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    Undefined,
    parse,
    print_ast,
    print_schema,
)
from strawberry.types.scalar import ScalarDefinition

from gateway.engine import bindings as b
from gateway.errors import BadUserInput
from gateway.schema.fields import P, by_engine, of_schema
from gateway.schema.scalars import parse_uscc
from gateway.schema.subjects import Subject
from gateway.storage.levels import Level
from gateway.storage.nearly import masked

JOINT = "RegionSubject"
ANSWER = "PrefectureAnswer"
KEY = "uscc"
SPECIFICATION = "https://specs.apollo.dev/federation/v2.9"
_IMPORTED = ("@key", "@shareable", "@tag", "@authenticated", "@requiresScopes")
# Whose tokens have the fields of a level. The view comes from the scope; an account has what RESTRICTED has.
SCOPES = {
    Level.RESTRICTED: (("view:restricted",), ("view:internal",), ("subject:self",)),
    Level.INTERNAL: (("view:internal",),),
}
_MACHINERY = frozenset({"_Any", "_Entity", "_Service"})
_LOOKED_AT = 200  # characters of a wrong type: what is told of them, and an identity number that begins there
_OF_RELAY = frozenset({"PageInfo"})  # means the same in every subgraph that has it

Representation = NewType("Representation", str)


def _as_given(value: Any) -> Any:
    return value  # a contract has its own (representations)


SCALARS: dict[object, ScalarDefinition] = {
    Representation: strawberry.scalar(
        name="_Any",
        description="A representation of an entity: an object of __typename and its key (Apollo Federation)",
        parse_value=_as_given,
    )
}
Entity = Annotated[Subject, strawberry.union("_Entity", description="What other subgraphs can add fields to")]


@strawberry.type(name="_Service", description="This subgraph, as a composer reads it (Apollo Federation)")
class Service:
    sdl: str = of_schema("The asker's own contract, with the directives of the federation", P)


def entities(
    representations: Annotated[
        list[Representation],
        strawberry.argument(description="Keys with their types, at most 1,000; in the public view 20"),
    ],
) -> list[Entity | None]:
    """The signature of Query._entities."""
    by_engine()


# Representations -----------------------------------------------------------------------------------------------------


def representations(entity: str) -> Callable[[Any], str | None]:
    """How a representation becomes the code that it has; None where its code is null, which no entity has.

    Raises BadUserInput. A type that exists nowhere and one that is no entity of this contract are refused alike. Other
    fields are what a router knows besides, and ignored.
    """

    def read(value: Any) -> str | None:
        if not isinstance(value, dict):
            raise BadUserInput(
                f'a representation is an object; give {{"__typename": "{entity}", "{KEY}": …}}',
                f'实体表示必须是对象，请给出 {{"__typename": "{entity}", "{KEY}": …}}',
            )
        name = value.get("__typename")
        if not isinstance(name, str) or not name:
            raise BadUserInput(
                f"a representation has its type in __typename; give {entity}",
                f"实体表示必须以 __typename 说明类型，请给出 {entity}",
            )
        if name != entity:
            said = masked(name[:_LOOKED_AT])[:80]
            raise BadUserInput(
                f"__typename {said!r} is no entity in your view; it must be {entity}",
                f"您的视图中没有实体 {said!r}，__typename 应为 {entity}",
            )
        code = value.get(KEY, Undefined)
        if code is Undefined:
            raise BadUserInput(
                f"a representation of {entity} has the key {KEY}, as a value and not as a variable; give it",
                f"{entity} 的实体表示必须含有键 {KEY}，且不能是变量，请给出",
            )
        return None if code is None else parse_uscc(code)

    return read


# Several prefectures -------------------------------------------------------------------------------------------------


def joint_entity(name: str, subject: GraphQLObjectType, uscc: GraphQLNamedType) -> GraphQLObjectType:
    """A subject as a whole region knows it: its code, and the answer of the prefecture `name`.

    The answer is an object, so that none (the prefecture is down, or refuses) is not taken for "not on record".
    """
    ours = _public(subject, "The subject, as by the prefecture's own subject(uscc:); null where that is", b.Whole())
    answer = GraphQLObjectType(ANSWER, {"subject": ours}, description="What one prefecture says of a subject")
    code = _public(GraphQLNonNull(cast("Any", uscc)), "统一社会信用代码", b.Column("uscc"))
    named = _public(answer, f"What {name} says of it; null: nothing, since it was not reached, or refused", b.Empty())
    return GraphQLObjectType(
        JOINT,
        {KEY: code, name: named},
        description="A subject in a region of several prefectures, each of which has a field of its own here",
    )


def _public(type_: GraphQLOutputType, description: str, binding: b.Binding) -> GraphQLField:
    return GraphQLField(type_, description=description, extensions={"binding": binding, "level": P})


# SDL -----------------------------------------------------------------------------------------------------------------


def subgraph_sdl(contract: GraphQLSchema) -> str:
    """What `_service` answers: the contract without the federation's own machinery, with its directives."""
    joint = contract.type_map.get(JOINT)
    if isinstance(joint, GraphQLObjectType):
        records = cast("GraphQLInterfaceType", contract.type_map["CreditRecord"])
        # Roots of several prefectures would be one root: what is asked here is asked by RegionSubject.
        contract = GraphQLSchema(types=[joint, *contract.get_possible_types(records)])
    made = []
    for node in parse(print_schema(contract), no_location=True).definitions:
        name = getattr(getattr(node, "name", None), "value", "")
        if not name or name in _MACHINERY:
            continue  # the description of the schema, too
        if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            node = _marked(node, cast("Any", contract.type_map[name]), joint=joint is not None)
        made.append(print_ast(node))
    text = "\n\n".join(made) + "\n"
    # No more than is used: a router that does not know what a link is for refuses the whole.
    used = ", ".join(f'"{name}"' for name in _IMPORTED if re.search(rf" {name}\b", text))
    return f'extend schema @link(url: "{SPECIFICATION}", import: [{used}])\n\n{text}'


def _marked(
    node: ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode,
    named: GraphQLObjectType | GraphQLInterfaceType,
    *,
    joint: bool,
) -> ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode:
    fields = tuple(
        _marked_field(field, named)
        for field in node.fields or ()
        if named.name != "Query" or not field.name.value.startswith("_")
    )
    if isinstance(node, InterfaceTypeDefinitionNode):
        return replace(node, fields=fields)
    directives = ""
    if named.name == (JOINT if joint else "Subject"):
        directives = f'@key(fields: "{KEY}")'
    elif named.name in _OF_RELAY or joint:
        # Without a key a router can't go from one prefecture's value to another's: it stays where it came from.
        directives = "@shareable"
    return replace(node, fields=fields, directives=_directives(directives))


def _marked_field(field: FieldDefinitionNode, named: GraphQLObjectType | GraphQLInterfaceType) -> FieldDefinitionNode:
    """Who has a field above PUBLIC. An interface's are tagged alone: composers refuse more, its types have it."""
    level = named.fields[field.name.value].extensions["level"] or Level.PUBLIC
    if level is Level.PUBLIC:
        return field
    text = f'@tag(name: "{level.name.lower()}")'
    if isinstance(named, GraphQLObjectType):
        text += f" @authenticated @requiresScopes(scopes: {_listed(SCOPES[level])})"
    return replace(field, directives=_directives(text))


def _listed(scopes: Iterable[Iterable[str]]) -> str:
    alternatives = ", ".join("[" + ", ".join(f'"{scope}"' for scope in all_of) + "]" for all_of in scopes)
    return f"[{alternatives}]"


@cache
def _directives(text: str) -> tuple[ConstDirectiveNode, ...]:
    node = parse(f"scalar S {text}", no_location=True).definitions[0]
    return tuple(cast("Any", node).directives or ())

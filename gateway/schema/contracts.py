"""Contracts: one annotated schema, filtered when it is built. What lies above a contract does not exist in it.

In: the Strawberry schema. Out: a graphql-core schema for each contract, whose fields carry `binding` and `level` in
their extensions. Raises SchemaError where a field has no level or anything has no description: the build fails.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLType,
    GraphQLUnionType,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
    print_schema,
    specified_directives,
)
from strawberry.schema.config import StrawberryConfig

from gateway.engine.bindings import Discriminator, Related
from gateway.resolvers.entities import by_representations
from gateway.schema import federation
from gateway.schema.changes import Subscription
from gateway.schema.enums import HIDDEN, STEERING
from gateway.schema.mutation import Mutation
from gateway.schema.query import Query
from gateway.schema.scalars import SCALARS
from gateway.schema.subjects import RECORD_TYPES
from gateway.storage.levels import CONTRACTS, Level

_LEVEL = {"PUBLIC": Level.PUBLIC, "RESTRICTED": Level.RESTRICTED, "INTERNAL": Level.INTERNAL, "SELF": Level.RESTRICTED}
# A subject's own account sees all of its own rows: their statuses and kinds are in its contract.
_OWN_ROWS = frozenset({"RecordStatus", "SubjectKind"})
DISCRIMINATORS = {
    "CreditRecord": Discriminator("kind", tuple((code, type_.__name__) for code, type_ in RECORD_TYPES)),
}


class SchemaError(Exception):
    """The schema is not fit to be served: a level, a binding or a description is missing."""


def annotated_schema() -> GraphQLSchema:
    """Everything, as Strawberry makes it."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[type_ for _, type_ in RECORD_TYPES],
        config=StrawberryConfig(scalar_map={**SCALARS, **federation.SCALARS}),
    )
    return schema._schema


def build_contracts(source: GraphQLSchema | None = None, *, federation_name: str = "") -> dict[str, GraphQLSchema]:
    """All contracts by name. `federation_name`: of this gateway among several prefectures (schema/federation.py)."""
    source = source or annotated_schema()
    try:
        return {name: _Contract(source, name, federation_name).build() for name in CONTRACTS}
    except TypeError as error:
        # graphql-core wraps what a thunk raises; the reason is what the developer must read.
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, SchemaError):
            reason = reason.__cause__
        raise reason or error from None


def sdl(schema: GraphQLSchema) -> str:
    """The contract as text (SDL)."""
    return print_schema(schema) + "\n"


class _Contract:
    def __init__(self, source: GraphQLSchema, name: str, federation_name: str) -> None:
        self._source = source
        self._name = name
        self._federation_name = federation_name
        self._level = _LEVEL[name]
        self._made: dict[str, GraphQLNamedType] = {}

    def build(self) -> GraphQLSchema:
        query = self._named(self._source.query_type)
        reachable = [
            self._named(named)
            for named in self._source.type_map.values()
            if isinstance(named, GraphQLObjectType)
            and named.name in {t for d in DISCRIMINATORS.values() for _, t in d.types}
        ]
        assert isinstance(query, GraphQLObjectType)
        made = GraphQLSchema(
            query=query,
            mutation=self._optional(self._source.mutation_type),
            subscription=self._optional(self._source.subscription_type),
            types=reachable,
            directives=specified_directives,
            description=f"Credit gateway, contract {self._name}",
        )
        service = query.fields.get("_service")
        if service is not None:
            text = cache(lambda: federation.subgraph_sdl(made))  # made when it is first asked for
            described = self._made["_Service"]
            assert isinstance(described, GraphQLObjectType)
            service.resolve = lambda *_: made
            described.fields["sdl"].resolve = lambda *_: text()
        return made

    def _optional(self, made: GraphQLObjectType | None) -> GraphQLObjectType | None:
        """The type of mutations or subscriptions; none where the contract has no field of it."""
        if made is None or not self._fields(made):
            return None
        named = self._named(made)
        assert isinstance(named, GraphQLObjectType)
        return named

    def _named(self, named: Any) -> GraphQLNamedType:
        if is_specified_scalar_type(named) or is_introspection_type(named):
            return named  # type: ignore[no-any-return]
        if named.name not in self._made:
            self._made[named.name] = self._make(named)
        return self._made[named.name]

    def _type(self, type_: GraphQLType) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return GraphQLNonNull(self._type(type_.of_type))
        if isinstance(type_, GraphQLList):
            return GraphQLList(self._type(type_.of_type))
        return self._named(type_)

    def _make(self, named: GraphQLNamedType) -> GraphQLNamedType:
        _described(named.description, named.name)
        match named:
            case GraphQLScalarType():
                return GraphQLScalarType(
                    named.name,
                    parse_value=self._representations() if named.name == "_Any" else named.parse_value,
                    description=named.description,
                    specified_by_url=named.specified_by_url,
                )
            case GraphQLEnumType():
                return self._enum(named)
            case GraphQLInputObjectType():
                return GraphQLInputObjectType(
                    named.name, lambda: self._inputs(named), description=named.description, out_type=None
                )
            case GraphQLInterfaceType():
                return GraphQLInterfaceType(
                    named.name,
                    lambda: self._fields(named),
                    interfaces=lambda: self._interfaces(named),
                    description=named.description,
                    extensions={"discriminator": DISCRIMINATORS.get(named.name)},
                )
            case GraphQLObjectType():
                return GraphQLObjectType(
                    named.name,
                    lambda: self._fields(named),
                    interfaces=lambda: self._interfaces(named),
                    description=named.description,
                )
            case GraphQLUnionType():
                return GraphQLUnionType(named.name, self._entities, description=named.description)
            case _:
                raise SchemaError(f"{named.name}: a type of this kind has no place in a contract yet")

    # Federation ------------------------------------------------------------------------------------------------------

    def _representations(self) -> Callable[[Any], str | None]:
        return federation.representations(federation.JOINT if self._federation_name else "Subject")

    def _entities(self) -> list[GraphQLObjectType]:
        """The members of _Entity: one, whatever the form."""
        subject = self._named(self._source.type_map["Subject"])
        assert isinstance(subject, GraphQLObjectType)
        if not self._federation_name:
            return [subject]
        return [federation.joint_entity(self._federation_name, subject, self._named(self._source.type_map["Uscc"]))]

    def _binding(self, name: str, binding: Any) -> Any:
        if name == "_entities" and self._federation_name:
            return Related(by_representations(joint=True))
        return binding

    # Types and fields ------------------------------------------------------------------------------------------------

    def _interfaces(self, named: GraphQLObjectType | GraphQLInterfaceType) -> list[GraphQLInterfaceType]:
        made = [self._named(interface) for interface in named.interfaces]
        return [interface for interface in made if isinstance(interface, GraphQLInterfaceType)]

    def _enum(self, named: GraphQLEnumType) -> GraphQLEnumType:
        hidden = HIDDEN.get(named.name, {})
        own = self._name == "SELF" and named.name in _OWN_ROWS
        values = {}
        for name, value in named.values.items():
            _described(value.description, f"{named.name}.{name}")
            if own or hidden.get(name, Level.PUBLIC) <= self._level:
                kwargs = value.to_kwargs()
                values[name] = type(value)(name, description=kwargs["description"])
        return GraphQLEnumType(
            named.name, values, description=named.description, extensions={"steers": named.name in STEERING}
        )

    def _fields(self, named: GraphQLObjectType | GraphQLInterfaceType) -> dict[str, GraphQLField]:
        made = {}
        for name, field in named.fields.items():
            where = f"{named.name}.{name}"
            _described(field.description, where)
            metadata = field.extensions["strawberry-definition"].metadata
            if metadata.get("inherits"):
                level = None
            elif metadata.get("level") is not None and "binding" in metadata:
                level = metadata["level"]
            else:
                raise SchemaError(f"{where} has no view level")
            if level is None or level <= self._level:
                made[name] = GraphQLField(
                    self._type(field.type),
                    {
                        argument: self._argument(definition, f"{where}({argument})")
                        for argument, definition in field.args.items()
                    },
                    description=field.description,
                    extensions={"binding": self._binding(name, metadata.get("binding")), "level": level},
                )
        return made

    def _argument(self, argument: GraphQLArgument, where: str) -> GraphQLArgument:
        _described(argument.description, where)
        return GraphQLArgument(
            self._type(argument.type), default_value=argument.default_value, description=argument.description
        )

    def _inputs(self, named: GraphQLInputObjectType) -> dict[str, GraphQLInputField]:
        made = {}
        for name, field in named.fields.items():
            _described(field.description, f"{named.name}.{name}")
            default = field.default_value
            made[name] = GraphQLInputField(
                self._type(field.type),
                default_value=getattr(default, "value", default),
                description=field.description,
            )
        return made


def _described(description: str | None, where: str) -> None:
    if not description:
        raise SchemaError(f"{where} has no description")


def reachable_types(schema: GraphQLSchema) -> set[str]:
    """Names of the types that a contract has, introspection and built-in scalars apart."""
    return {
        name
        for name, named in schema.type_map.items()
        if not is_introspection_type(named) and not is_specified_scalar_type(get_named_type(named))
    }

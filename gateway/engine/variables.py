"""Coercers of variables, made once with the document: a client's JSON becomes values, or BadUserInput.

In: the operation's variable definitions. Out: for a request, the coerced variables and their shape (part of the plan's
key: what is absent or null, and the values that steer). Follows "Coercing Variable Values" of the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    get_named_type,
    is_input_type,
    type_from_ast,
    value_from_ast,
)

from gateway.engine.arguments import steers
from gateway.errors import BadUserInput

Coerce: TypeAlias = Callable[[Any, str], Any]
Shape: TypeAlias = Callable[[Any], Any]
MOST_ITEMS = 1_000  # of a list: refused before each of them is looked at
_MISSING = 0
_NULL = 1
_PRESENT = 2


class Coercer:
    """The variables of one operation."""

    __slots__ = ("_definitions", "names", "texts")

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._definitions: list[tuple[str, Coerce, Shape, Any, bool]] = []
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            type_ = type_from_ast(schema, definition.type)
            assert is_input_type(type_)  # the document is valid
            default = Undefined
            if definition.default_value is not None:
                default = value_from_ast(definition.default_value, type_)
            required = isinstance(type_, GraphQLNonNull) and default is Undefined
            self._definitions.append((name, coercer(type_), shaper(type_), default, required))
        self.names = frozenset(name for name, *_ in self._definitions)
        # Variables that may hold free text, which the account keeps masked.
        self.texts = any(has_text(type_from_ast(schema, d.type)) for d in operation.variable_definitions or ())

    def __call__(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """(coerced variables, shape). Variables that the operation does not define are ignored (the standard)."""
        coerced: dict[str, Any] = {}
        shape = []
        for name, coerce, shaped, default, required in self._definitions:
            if name in given:
                value = coerce(given[name], f"${name}")
            elif default is not Undefined:
                value = default
            elif required:
                raise bad(f"${name}", "is required", "必须给出")
            else:
                shape.append(_MISSING)
                continue
            coerced[name] = value
            shape.append(shaped(value))
        return coerced, tuple(shape)

    def assumed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Variables for planning alone: what is required and not given counts as there, whatever its value."""
        coerced: dict[str, Any] = {}
        for name, coerce, _, default, required in self._definitions:
            if name in given:
                coerced[name] = coerce(given[name], f"${name}")
            elif default is not Undefined:
                coerced[name] = default
            elif required:
                coerced[name] = True
        return coerced


def has_text(type_: Any) -> bool:
    """Whether a value of an input type may hold free text."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return any(has_text(field.type) for field in named.fields.values())
    return isinstance(named, GraphQLScalarType) and named.name in ("String", "ID")


def bad(where: str, en: str, zh: str) -> BadUserInput:
    """The request error for a value that can't be taken."""
    return BadUserInput(f"{where} {en}", f"{where} {zh}")


def coercer(type_: GraphQLInputType) -> Coerce:
    """How a JSON value becomes a value of `type_`."""
    if isinstance(type_, GraphQLNonNull):
        if isinstance(type_.of_type, GraphQLScalarType | GraphQLEnumType):
            return _leaf(type_.of_type, null=False)
        inner = coercer(type_.of_type)

        def non_null(value: Any, where: str) -> Any:
            if value is None:
                raise bad(where, "must not be null", "不能为空")
            return inner(value, where)

        return non_null
    if isinstance(type_, GraphQLList):
        return _list(coercer(type_.of_type))
    if isinstance(type_, GraphQLInputObjectType):
        return _object(type_)
    assert isinstance(type_, GraphQLScalarType | GraphQLEnumType)
    return _leaf(type_, null=True)


def _leaf(type_: GraphQLScalarType | GraphQLEnumType, *, null: bool) -> Coerce:
    parse = type_.parse_value
    name = type_.name

    def leaf(value: Any, where: str) -> Any:
        if value is None:
            if null:
                return None
            raise bad(where, "must not be null", "不能为空")
        try:
            return parse(value)
        except BadUserInput as error:
            raise BadUserInput(f"{where}: {error.en}", f"{where}：{error.zh}") from None
        except (GraphQLError, ValueError, TypeError, OverflowError):
            raise bad(where, f"is not a value of type {name}", f"不是 {name} 类型的值") from None

    return leaf


def _list(inner: Coerce) -> Coerce:
    def coerce(value: Any, where: str) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            if len(value) > MOST_ITEMS:
                raise bad(where, f"may have {MOST_ITEMS} items", f"最多 {MOST_ITEMS} 项")
            try:
                return [inner(item, where) for item in value]
            except BadUserInput:
                # Told again with its place; nobody pays for places that are never told.
                return [inner(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return [inner(value, where)]

    return coerce


def _object(type_: GraphQLInputObjectType) -> Coerce:
    fields = {
        name: (coercer(field.type), field.default_value, isinstance(field.type, GraphQLNonNull))
        for name, field in type_.fields.items()
    }

    def coerce(value: Any, where: str) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise bad(where, f"must be an object of type {type_.name}", f"必须是 {type_.name} 类型的对象")
        for name in value:
            if name not in fields:
                raise bad(where, f"has no field {name[:80]}", f"没有字段 {name[:80]}")
        made = {}
        for name, (inner, default, required) in fields.items():
            if name in value:
                made[name] = inner(value[name], f"{where}.{name}")
            elif default is not Undefined:
                made[name] = default
            elif required:
                raise bad(f"{where}.{name}", "is required", "必须给出")
        return made

    return coerce


def shaper(type_: GraphQLInputType) -> Shape:
    """What of a coerced value steers the plan."""
    bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if isinstance(bare, GraphQLInputObjectType):
        fields = [(name, shaper(field.type)) for name, field in bare.fields.items()]

        def shape(value: Any) -> Any:
            if value is None:
                return _NULL
            return tuple(inner(value[name]) if name in value else _MISSING for name, inner in fields)

        return shape
    if steers(bare):
        return lambda value: _NULL if value is None else str(value)
    return lambda value: _NULL if value is None else _PRESENT

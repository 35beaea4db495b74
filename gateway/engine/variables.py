"""Coercers of variables, made once with the document: a client's JSON becomes values, or BadUserInput.

In: the operation's variable definitions. Out: for a request, the coerced variables and their shape (part of the plan's
key: what is absent or null, and the values that steer). Follows "Coercing Variable Values" of the specification. What
is wrong in several places is told at once: where the first value is refused, all are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final, TypeAlias

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

from gateway.engine import wording
from gateway.engine.arguments import place_of, steers
from gateway.errors import BadUserInput, Refused
from gateway.storage.nearly import masked

Coerce: TypeAlias = Callable[[Any, str], Any]
Shape: TypeAlias = Callable[[Any], Any]
MOST_ITEMS = 1_000  # of a list: refused before each of them is looked at
MOST_TEXT = 4_096  # characters of a text, told before it is looked at: the longest that anything takes has a tenth
MOST_ERRORS = 5  # told at once
_MISSING = 0
_NULL = 1
_PRESENT = 2


class Coercer:
    """The variables of one operation."""

    __slots__ = ("_definitions", "_places", "names", "representations", "texts")

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
        self._places = [place_of(definition) for definition in operation.variable_definitions or ()]
        types = {d.variable.name.value: type_from_ast(schema, d.type) for d in operation.variable_definitions or ()}
        self.representations = frozenset(n for n, type_ in types.items() if str(get_named_type(type_)) == "_Any")
        # Variables that may hold free text, which the account keeps masked.
        self.texts = frozenset(name for name, type_ in types.items() if has_text(type_))

    def __call__(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """(coerced variables, shape). Variables that the operation does not define are ignored (the standard).

        Raises Refused with what is wrong in each of them, up to MOST_ERRORS, at the places of their definitions.
        """
        coerced: dict[str, Any] = {}
        shape = []
        for name, coerce, shaped, default, required in self._definitions:
            if name in given:
                try:
                    value = coerce(given[name], f"${name}")
                except (BadUserInput, Refused):
                    raise self._refused(given) from None
            elif default is not Undefined:
                value = default
            elif required:
                raise self._refused(given)
            else:
                shape.append(_MISSING)
                continue
            coerced[name] = value
            shape.append(shaped(value))
        return coerced, tuple(shape)

    def _refused(self, given: Mapping[str, Any]) -> Refused:
        errors: list[BadUserInput] = []
        for (name, coerce, _, default, required), place in zip(self._definitions, self._places, strict=True):
            if name in given:
                found = _errors_of(partial(coerce, given[name], f"${name}"))
            else:
                missing = required and default is Undefined
                found = (
                    [bad(f"${name}", "is required; give it in variables", "必须在 variables 中给出")] if missing else []
                )
            for error in found:
                error.locations = place
            errors += found
            if len(errors) >= MOST_ERRORS:
                break
        return Refused(errors[:MOST_ERRORS])

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


_FREE: Final = frozenset(("String", "ID", "Decimal", "Float", "_Any"))


def has_text(type_: Any) -> bool:
    """Whether a value of an input type may hold free text, or as many digits as one likes."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return any(has_text(field.type) for field in named.fields.values())
    return isinstance(named, GraphQLScalarType) and named.name in _FREE


def bad(where: str, en: str, zh: str) -> BadUserInput:
    """The request error for a value that can't be taken."""
    return BadUserInput(masked(f"{where} {en}"), masked(f"{where} {zh}"))  # names of fields are the client's words


def _errors_of(part: Callable[[], Any]) -> list[BadUserInput]:
    try:
        part()
    except BadUserInput as error:
        return [error]
    except Refused as refused:
        return [error for error in refused.errors if isinstance(error, BadUserInput)]
    return []


def _all_errors(parts: Iterable[Callable[[], Any]]) -> Refused:
    """What is wrong with the parts of a value, up to MOST_ERRORS. At least one is refused."""
    errors: list[BadUserInput] = []
    for part in parts:
        errors += _errors_of(part)
        if len(errors) >= MOST_ERRORS:
            break
    return Refused(errors[:MOST_ERRORS])


def coercer(type_: GraphQLInputType) -> Coerce:
    """How a JSON value becomes a value of `type_`. It raises BadUserInput, or Refused where several parts are wrong."""
    if isinstance(type_, GraphQLNonNull):
        if isinstance(type_.of_type, GraphQLScalarType | GraphQLEnumType):
            return _leaf(type_.of_type, null=False)
        inner = coercer(type_.of_type)

        def non_null(value: Any, where: str) -> Any:
            if value is None:
                raise _null(where)
            return inner(value, where)

        return non_null
    if isinstance(type_, GraphQLList):
        return _list(coercer(type_.of_type))
    if isinstance(type_, GraphQLInputObjectType):
        return _object(type_)
    assert isinstance(type_, GraphQLScalarType | GraphQLEnumType)
    return _leaf(type_, null=True)


def _null(where: str) -> BadUserInput:
    return bad(where, "must not be null; give a value", "不能为 null，请给出取值")


def _leaf(type_: GraphQLScalarType | GraphQLEnumType, *, null: bool) -> Coerce:
    parse = type_.parse_value

    def leaf(value: Any, where: str) -> Any:
        if value is None:
            if null:
                return None
            raise _null(where)
        if isinstance(value, str) and len(value) > MOST_TEXT:
            raise bad(where, f"may have at most {MOST_TEXT} characters; shorten it", f"最多 {MOST_TEXT} 个字符，请缩短")
        try:
            return parse(value)
        except BadUserInput as error:
            raise BadUserInput(f"{masked(where)}: {error.en}", f"{masked(where)}：{error.zh}") from None
        except (GraphQLError, ValueError, TypeError, OverflowError):
            en, zh = wording.shape(type_, type_.name)
            raise bad(where, f"is no value of {type_.name}; give {en}", f"不是 {type_.name} 的取值，应为{zh}") from None

    return leaf


def _list(inner: Coerce) -> Coerce:
    def coerce(value: Any, where: str) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            if len(value) > MOST_ITEMS:
                raise bad(
                    where,
                    f"may have at most {MOST_ITEMS} items; ask in several requests",
                    f"最多 {MOST_ITEMS} 项，请分多次查询",
                )
            try:
                return [inner(item, where) for item in value]
            except (BadUserInput, Refused):
                # Told again with their places; nobody pays for places that are never told.
                parts = (partial(inner, item, f"{where}[{index}]") for index, item in enumerate(value))
                raise _all_errors(parts) from None
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
            listed = ", ".join(fields)
            raise bad(
                where,
                f"is no {type_.name}; give a JSON object of {listed}",
                f"不是 {type_.name}，应为含有以下字段的 JSON 对象：{listed}",
            )
        try:
            return checked(value, where)
        except (BadUserInput, Refused):
            parts = [
                partial(inner, value[name], f"{where}.{name}") for name, (inner, *_) in fields.items() if name in value
            ]
            wrong = [error for part in parts for error in _errors_of(part)]
            raise Refused([*names(value, where), *wrong][:MOST_ERRORS]) from None

    def checked(value: Mapping[str, Any], where: str) -> dict[str, Any]:
        made = {}
        for name, (inner, default, required) in fields.items():
            if name in value:
                made[name] = inner(value[name], where)
            elif default is not Undefined:
                made[name] = default
            elif required:
                raise bad(where, "is not whole", "不完整")  # told by `names`
        if not value.keys() <= fields.keys():
            raise bad(where, "has more than it may", "含有多余内容")  # told by `names`
        return made

    def names(value: Mapping[str, Any], where: str) -> list[BadUserInput]:
        """Fields that are too many, or missing."""
        listed = ", ".join(fields)
        unknown = [
            bad(where, f"has no field {name[:80]}; it may have {listed}", f"没有字段 {name[:80]}，可用字段：{listed}")
            for name in islice((name for name in value if name not in fields), MOST_ERRORS)
        ]
        missing = [
            bad(f"{where}.{name}", "is required; give it", "必须给出")
            for name, (_, default, required) in fields.items()
            if required and default is Undefined and name not in value
        ]
        return unknown + missing

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

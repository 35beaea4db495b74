"""Values of arguments as a plan sees them: known where they steer the plan, else a reference that a request resolves.

In: literals and variables of a document. Out: frozen `Value` leaves that become parameters of the statement, each with
the conversion that turns a client's text into what PostgreSQL takes, or raises BadUserInput before any SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.auth.principal import Principal
from gateway.errors import BadUserInput

Variables: TypeAlias = Mapping[str, Any]
Convert: TypeAlias = Callable[[Any], Any]
Places: TypeAlias = tuple[tuple[int, int], ...]  # (line, column) in the document


@dataclass(frozen=True, slots=True)
class FromVariable:
    """The value of a variable, or what stands in it under `path` (keys of input objects)."""

    name: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal, or an argument's default. Lists are tuples."""

    value: Any


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list literal with variables in it."""

    items: tuple[FromVariable | Constant, ...]


@dataclass(frozen=True, slots=True)
class FromPrincipal:
    """An attribute of who asks."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Fed:
    """What the executor itself feeds in: answers of a source, the result of an introspection field."""

    name: str


Origin: TypeAlias = FromVariable | Constant | ListOf | FromPrincipal | Fed


@dataclass(frozen=True, slots=True)
class Value:
    """One parameter of the statement: where it comes from, its type in PostgreSQL, what to do with it on the way.

    `places` is where the document has it, for errors alone: equal values are one parameter, wherever they stand.
    """

    origin: Origin
    type: str = "text"
    convert: Convert | None = None
    places: Places = field(default=(), compare=False)

    def typed(self, type: str, convert: Convert | None = None) -> Value:
        """The same value as another type, converted."""
        return Value(self.origin, type, convert, self.places)

    @property
    def varies(self) -> bool:
        """Whether two requests of one plan, by the same asker, may have it differently."""
        if isinstance(self.origin, ListOf):
            return any(isinstance(item, FromVariable) for item in self.origin.items)
        return isinstance(self.origin, FromVariable)

    @property
    def apiece(self) -> Value:
        """The same as a parameter of a statement that answers several requests: a text for each."""
        return self.typed("text[]", Apiece(self.type, self.convert))

    @property
    def own(self) -> Value:
        """The value of one request, where this has one for each."""
        if isinstance(self.convert, Apiece):
            return self.typed(self.convert.type, self.convert.convert)
        return self

    def resolve(self, variables: Variables, principal: Principal, fed: Mapping[str, Any]) -> Any:
        """What the statement gets. Raises BadUserInput where the conversion refuses it."""
        return resolved((self,), variables, principal, fed)[0]


def resolved(values: Iterable[Value], variables: Variables, principal: Principal, fed: Mapping[str, Any]) -> list[Any]:
    """What a statement gets. Raises BadUserInput where a conversion refuses it."""
    made: list[Any] = []
    for value in values:
        origin, convert = value.origin, value.convert
        if isinstance(origin, Fed):
            made.append(fed[origin.name])
            continue
        found = _origin(origin, variables, principal)
        if isinstance(found, str) and not _storable(found):
            raise _bad_text(value.places)
        if convert is not None:
            try:
                found = convert(found)
            except BadUserInput as error:
                error.locations = error.locations or value.places
                raise
        made.append(found)
    return made


@dataclass(frozen=True, slots=True)
class Apiece:
    """The conversion of a parameter that has a text for each of several requests: of one alone, a list of one. The
    statement makes `type` of each, after `convert`."""

    type: str
    convert: Convert | None

    def __call__(self, found: Any) -> list[str | None]:
        if isinstance(self.convert, Absent):
            return [self.convert.text]
        text = _as_text(found if self.convert is None else self.convert(found))
        if text is not None and not _storable(text):
            raise _bad_text()  # it would fail on its way, and all that share the statement with it
        return [text]


@dataclass(frozen=True, slots=True)
class Absent:
    """The conversion of a parameter that stands for what was not given: a text that changes nothing. `name` tells it
    from others of that text."""

    name: str
    text: str | None = None

    def __call__(self, _: Any) -> str | None:
        return self.text


def absent(name: str, type: str, text: str | None = None) -> Value:
    """A parameter for what was not given."""
    return Value(Constant(None), type, Absent(name, text))


def _as_text(found: Any) -> str | None:
    """A value as PostgreSQL reads it out of text, in any setting of its own."""
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, list | tuple):
        return "{" + ",".join(["NULL" if each is None else _quoted(_as_text(each)) for each in found]) + "}"
    return str(found)  # numbers, dates (ISO 8601), UUIDs


def _quoted(text: str | None) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _origin(
    origin: FromVariable | Constant | ListOf | FromPrincipal, variables: Variables, principal: Principal
) -> Any:
    if isinstance(origin, FromVariable):  # nearly all of them
        found: Any = variables.get(origin.name)
        for key in origin.path:
            found = found[key]
        return found
    match origin:
        case Constant(value):
            return list(value) if isinstance(value, tuple) else value
        case ListOf(items):
            return [_origin(item, variables, principal) for item in items]
        case FromPrincipal(attribute):
            return getattr(principal, attribute)


def _bad_text(places: Places = ()) -> BadUserInput:
    return BadUserInput(
        "text must not have NUL or half of a surrogate pair; take it out",
        "文本不得含有 NUL 或孤立代理字符，请去掉",
        locations=places,
    )


def _storable(text: str) -> bool:
    """Whether PostgreSQL's text can hold it: no NUL, valid UTF-8."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


@dataclass(frozen=True, slots=True)
class Known:
    """A value that steers the plan (an order, a direction): part of the plan's key, never a parameter."""

    value: Any


Argument: TypeAlias = "Value | Known | None | Mapping[str, Argument]"


class Arguments(Mapping[str, Argument]):
    """The arguments of one field. Absent ones are missing, null ones are None, input objects are mappings.

    `defaults` names those that were not given, and have the default of the schema.
    """

    __slots__ = ("_defaults", "_given")

    def __init__(self, given: Mapping[str, Argument], defaults: frozenset[str] = frozenset()) -> None:
        self._given = given
        self._defaults = defaults

    def __getitem__(self, name: str) -> Argument:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def value(self, name: str) -> Value | None:
        """The argument as a parameter; None where it is absent or null."""
        found = self._given.get(name)
        if isinstance(found, Known):
            return Value(Constant(found.value))
        if found is None or isinstance(found, Value):
            return found
        raise TypeError(f"argument {name} is an input object")

    def given(self, name: str) -> Value | None:
        """The argument as a parameter; None where it is absent or null, or where the default of the schema stands."""
        return None if name in self._defaults else self.value(name)

    def known(self, name: str, default: Any) -> Any:
        """The argument's value at planning time, for enums that steer the plan."""
        found = self._given.get(name)
        if isinstance(found, Known):
            return found.value
        return default

    def object(self, name: str) -> Arguments:
        """An input object's own fields; empty where absent or null."""
        found = self._given.get(name)
        return Arguments(found) if isinstance(found, Mapping) else Arguments({})

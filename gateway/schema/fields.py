"""How a field is written: description, level, binding. Nothing has a level by default, and a field without one fails
the build (contracts.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import strawberry

from gateway.engine import bindings as b
from gateway.engine.changes import Change, Changes
from gateway.engine.values import Arguments, FromPrincipal, Value
from gateway.storage.levels import Level

P, R, I = Level.PUBLIC, Level.RESTRICTED, Level.INTERNAL  # noqa: E741


def _field(
    description: str,
    level: Level | None,
    binding: b.Binding,
    resolver: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Any:
    metadata = {"level": level, "binding": binding}
    if resolver is not None:
        return strawberry.field(resolver=resolver, name=name, description=description, metadata=metadata)
    return strawberry.field(name=name, description=description, metadata=metadata)


def column(name: str, description: str, level: Level | None = None) -> Any:
    """A column of the row at hand."""
    return _field(description, level, b.Column(name))


def place(name: str, description: str, level: Level | None = None) -> Any:
    """The cursor of the row at hand; `name`: column with its place."""
    return _field(description, level, b.Place(name))


def inline(
    prefix: str,
    description: str,
    level: Level | None = None,
    *,
    presence: str | None = None,
    otherwise: b.Resolve | None = None,
) -> Any:
    """A to-one object whose columns stand in the row at hand; `otherwise` fetches what does not."""
    return _field(description, level, b.Inline(prefix, presence, otherwise, shown=True))


def related(
    resolve: b.Resolve,
    description: str,
    level: Level | None = None,
    *,
    shown: bool = True,
    arguments: Callable[..., Any] | None = None,
    name: str | None = None,
    secret: tuple[str, str] | None = None,
) -> Any:
    """Rows as a resolver says. `arguments` is a function whose signature gives the field's arguments and type; `secret`
    names those with a person's identity number and name."""
    return _field(description, level, b.Related(resolve, shown, secret), arguments, name)


def section(
    source: str,
    answer: str,
    basic: str,
    description: str,
    level: Level | None = None,
    *,
    several: bool = False,
    arguments: Callable[..., Any] | None = None,
    consent: tuple[str, Callable[[Any], Any]] | None = None,
) -> Any:
    """A source's section of a subject, or the sections of `several` of a kind; `basic` is the part to ask where no list
    is selected. `consent`: the argument that names the consent to ask under, and what makes a UUID of it."""
    name, read = consent or ("", None)
    return _field(description, level, b.Section(source, answer, basic, several, name, read), arguments)


def passed_on(
    functions: dict[str, str], answer: str, unasked: str, presence: str, description: str, level: Level | None = None
) -> Any:
    """What a source passed on of another; see bindings.Passed."""
    return _field(description, level, b.Passed(tuple(functions.items()), answer, unasked, presence))


def section_answer(description: str, level: Level | None = None) -> Any:
    """What the source said, in its section."""
    return _field(description, level, b.SectionAnswer())


def part(function: str, description: str, level: Level | None = None) -> Any:
    """A list of a section."""
    return _field(description, level, b.Part(function))


def of_principal(
    attribute: str, description: str, level: Level | None = None, *, kind: str = "text", null: bool = True
) -> Any:
    """A value of who asks."""
    return _field(description, level, b.FromRequest(Value(FromPrincipal(attribute)), kind, null))


def empty(description: str, level: Level | None = None) -> Any:
    """An object that has no row of its own."""
    return _field(description, level, b.Empty())


def of_schema(description: str, level: Level | None = None, *, name: str | None = None) -> Any:
    """What the contract says of itself."""
    return _field(description, level, b.OfSchema(), name=name)


def of_change(value: Value, description: str, level: Level | None = None) -> Any:
    """A value that the function of a mutation has returned."""
    return _field(description, level, b.FromRequest(value, "code", null=False))


def changes(
    resolve: Callable[[Arguments], Change], description: str, level: Level | None, *, arguments: Callable[..., Any]
) -> Any:
    """A field of a mutation: what it changes, as a resolver says."""
    return _field(description, level, Changes(resolve), arguments)


def inherits(description: str) -> Any:
    """A field of a connection, an edge or PageInfo: it has the level of the field that returns it."""
    return strawberry.field(description=description, metadata={"inherits": True})


def by_engine() -> NoReturn:
    """The body of functions that only give a signature."""
    raise NotImplementedError("resolved by the engine")

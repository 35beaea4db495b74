"""Operations as small trees: what can be taken apart, changed and printed as documents.

In: selections, variables at their places. Out: the document's text and its variables as JSON.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.differential.values import Enum

ABSENT: Any = ...  # a singleton, whatever copies it


@dataclass
class Variable:
    """A variable at one place: its type and default as text, its value for this request. ABSENT: not given."""

    name: str
    type: str
    value: Any
    default: Any = None
    has_default: bool = False
    fresh: Callable[[random.Random], Any] | None = None


@dataclass
class Node:
    """A selection: a field, an inline fragment (`type` may be empty) or the spread of a fragment."""

    name: str = ""
    alias: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    type: str | None = None  # of an inline fragment
    spread: str = ""
    directives: list[tuple[str, Any]] = field(default_factory=list)
    children: list[Node] | None = None


@dataclass
class Operation:
    """One operation with its fragments."""

    seed: str
    selections: list[Node]
    fragments: dict[str, tuple[str, list[Node]]] = field(default_factory=dict)
    name: str | None = None
    other: bool = False  # the document has another operation, too
    raw: tuple[str, dict[str, Any]] | None = None  # a document that is not made of nodes: invalid ones

    def text(self) -> str:
        """The document."""
        if self.raw is not None:
            return self.raw[0]
        body = _set(self.selections)
        used = [name for name in self.fragments if f"...{name} " in self._everything()]
        found = {variable.name: variable for variable in self.variables_used()}
        defined = ", ".join(
            f"${v.name}: {v.type}{' = ' + literal(v.default) if v.has_default else ''}" for v in found.values()
        )
        head = f"query {self.name or ''}{'(' + defined + ')' if defined else ''}" if self.name or defined else ""
        parts = [f"{head} {body}".strip()]
        parts += [f"fragment {name} on {self.fragments[name][0]} {_set(self.fragments[name][1])}" for name in used]
        if self.other:
            parts.append("query Other { __typename }")
        return "\n".join(parts)

    def _everything(self) -> str:
        """All selections that are reached, fragments put behind each other."""
        text, todo, seen = "", [self.selections], set[str]()
        while todo:
            for node in walk(todo.pop()):
                if node.spread:
                    text += f"...{node.spread} "
                    if node.spread not in seen:
                        seen.add(node.spread)
                        todo.append(self.fragments[node.spread][1])
        return text

    def variables_used(self) -> Iterator[Variable]:
        """Variables at every place that is reached."""
        reached = self._everything()
        sets = [self.selections, *(s for n, (_, s) in self.fragments.items() if f"...{n} " in reached)]
        for selections in sets:
            for node in walk(selections):
                for value in (*node.arguments.values(), *(value for _, value in node.directives)):
                    yield from _variables(value)

    def variables(self) -> dict[str, Any]:
        """The request's variables as JSON."""
        if self.raw is not None:
            return self.raw[1]
        return {v.name: plain(v.value) for v in self.variables_used() if v.value is not ABSENT}

    def refresh(self, dice: random.Random) -> Operation:
        """The same document with other values of its variables."""
        made = deepcopy(self)
        for variable in made.variables_used():
            if variable.fresh is not None and variable.value is not ABSENT and variable.value is not None:
                variable.value = variable.fresh(dice)
        return made


def walk(selections: list[Node]) -> Iterator[Node]:
    """Every node, from the outside to the inside."""
    for node in selections:
        yield node
        if node.children:
            yield from walk(node.children)


def _variables(value: Any) -> Iterator[Variable]:
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _variables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _variables(inner)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def literal(value: Any) -> str:
    """A value as a document has it."""
    match value:
        case Variable(name=name):
            return f"${name}"
        case Enum(name=name):
            return name
        case dict():
            return "{" + ", ".join(f"{name}: {literal(inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case _:
            return json.dumps(value)


def _set(selections: list[Node]) -> str:
    return "{ " + " ".join(map(_text, selections)) + " }"


def _text(node: Node) -> str:
    directives = "".join(f" @{name}(if: {literal(value)})" for name, value in node.directives)
    if node.spread:
        return f"...{node.spread}{directives} "
    inner = "" if node.children is None else " " + _set(node.children)
    if node.type is not None:
        return f"...{' on ' + node.type if node.type else ''}{directives}{inner}"
    arguments = ", ".join(f"{name}: {literal(value)}" for name, value in node.arguments.items())
    alias = f"{node.alias}: " if node.alias else ""
    return f"{alias}{node.name}{'(' + arguments + ')' if arguments else ''}{directives}{inner}"

"""What a field of a mutation changes, as its resolver says it; how it is done is mutate.py's.

In: the arguments of the field. Out: a `Change`: a function of the view's schema (storage/writes.py) with its values.
Set by schema/, made by resolvers/, read by mutate.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gateway.engine.values import Arguments, Fed, Value
from gateway.errors import ClientError

Refusal: TypeAlias = Callable[[], ClientError]


@dataclass(frozen=True, slots=True)
class Own:
    """A value of the input that must be the asker's own: an attribute of the principal. Else the request is refused."""

    value: Value
    attribute: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the function's name, the values of its parameters, in their order.

    `own` is checked before anything is asked of the database. `refusals`: what each code stands for that the function
    may refuse with; `elsewhere` refuses an access that has no such function. `reveals`: the answer has the identity
    number of the person that the function returns as `subject`, for this reason; REVEALED is where.
    """

    write: str
    values: tuple[Value, ...]
    refusals: Mapping[str, Refusal]
    elsewhere: Refusal
    own: tuple[Own, ...] = ()
    reveals: Value | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The binding of a field of a mutation. Its payload is an object without a row of its own: what the function
    returned is fed to it, by `written`."""

    resolve: Callable[[Arguments], Change]


REVEALED = "revealed"  # what is fed in place of an identity number, of which no statement has a character


def written(name: str, type: str = "text") -> Value:
    """What the function of the field at hand has returned under that name."""
    return Value(Fed(f"written:{name}"), type)

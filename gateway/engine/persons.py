"""Persons asked for by identity number and name: what stands in the number's place from the variables on.

In: a document's arguments that are marked as secret (bindings.Secret), the coerced variables of a request. Out: the
same variables with the blind index where the number was, and what the account keeps of number and name. A number comes
in the variables of a POST alone, in a variable of its own: so nothing behind this module has ever seen it, neither a
plan nor a parameter, an error or a disclosure (decision 0031).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    Node,
    StringValueNode,
    TokenKind,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from gateway.engine.bindings import Related
from gateway.errors import BadUserInput, RateLimited, Refused
from gateway.storage.identifiers import fold_name, holds_identity_number, mask_identity_numbers, normal_resident_id
from gateway.storage.persons import IdentityKeys

MOST_ERRORS = 5  # told at once
MOST_NAMES: Final = 5  # names that a client may try with one number within the window
WINDOW: Final = 900.0  # s
MOST_NUMBERS: Final = 10_000  # numbers of one client that are looked after within the window, in each process


@dataclass(frozen=True, slots=True)
class Pair:
    """A number's variable, and the name that is asked with it: in a variable, or as it stands in the document."""

    number: str
    variable: str | None
    literal: str = ""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Variables that have identity numbers, with their places, and the names that are asked with them."""

    numbers: Mapping[str, tuple[tuple[int, int], ...]]
    pairs: tuple[Pair, ...]

    @property
    def variables(self) -> set[str]:
        """Those of numbers and of names: what stands in them is not kept."""
        return {*self.numbers, *(pair.variable for pair in self.pairs if pair.variable is not None)}

    def of(self, declared: frozenset[str]) -> Secrets:
        """Those of the operation that declares these variables."""
        numbers = {name: places for name, places in self.numbers.items() if name in declared}
        return Secrets(numbers, tuple(pair for pair in self.pairs if pair.number in declared)) if numbers else NONE


NONE: Final = Secrets({}, ())


@dataclass(frozen=True, slots=True)
class Hidden:
    """Variables without numbers; `kept`: what the account has in place of numbers and names; `asked`: pairs of a blind
    index and the hash of a name."""

    variables: dict[str, Any]
    kept: Mapping[str, str]
    asked: tuple[tuple[str, str], ...] = ()


def secrets_of(schema: GraphQLSchema, document: DocumentNode, text: str) -> Secrets:
    """The secret variables of a valid document. Raises Refused where a number stands in it, or shares its variable."""
    marked = _marked(schema)
    if not any(name in text for name in marked):
        return NONE
    info = TypeInfo(schema)
    visitor = _Visitor(info)
    visit(document, TypeInfoVisitor(info, visitor))
    errors = [_literal(node) for node in visitor.literals]
    errors += [_literal(node) for node in visitor.defaults if node.variable.name.value in visitor.numbers]
    errors += [_shared(node) for node in visitor.others if node.name.value in visitor.numbers]
    if errors:
        raise Refused(errors[:MOST_ERRORS])
    return Secrets({name: _place(node) for name, node in visitor.numbers.items()}, tuple(visitor.pairs))


def refuse_numbers(text: str, document: DocumentNode) -> None:
    """Raises Refused where an identity number stands anywhere in a document: its hash is in the account, and there are
    few enough numbers to try them all (decision 0031). `document`: as it was parsed, its tokens still linked."""
    found = holds_identity_number(text)
    if not found and "\\" in text:  # escapes may hide one
        token = document.loc.start_token if document.loc else None
        while token is not None and not found:
            found = token.kind in _STRINGS and holds_identity_number(token.value or "")
            token = token.next
    if found:
        raise Refused(
            [
                BadUserInput(
                    "the document holds what reads as a resident identity number; leave numbers out of documents, names"
                    " and comments, and give them in variables",
                    "文档中含有（或形似）居民身份证号码；文档、名称和注释中不得含证件号码，请改用变量传递",
                )
            ]
        )


_STRINGS: Final = (TokenKind.STRING, TokenKind.BLOCK_STRING)


def _marked(schema: GraphQLSchema) -> list[str]:
    """The root fields with secret arguments: nobody else has any (a test walks the schema)."""
    assert schema.query_type is not None
    return [name for name, field in schema.query_type.fields.items() if _secret(field) is not None]


def _secret(field: Any) -> tuple[str, str] | None:
    binding = None if field is None else field.extensions.get("binding")
    return binding.secret if isinstance(binding, Related) else None


class _Visitor(Visitor):
    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self._info = info
        self._own: set[int] = set()  # variables that stand where a number may
        self.numbers: dict[str, VariableNode] = {}
        self.pairs: dict[Pair, None] = {}
        self.literals: list[Node] = []
        self.defaults: list[VariableDefinitionNode] = []
        self.others: list[VariableNode] = []

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self._own.add(id(node.variable))
        if node.default_value is not None:
            self.defaults.append(node)

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        secret = _secret(self._info.get_field_def())
        if secret is None:
            return
        values = {argument.name.value: argument.value for argument in node.arguments or ()}
        number, name = values[secret[0]], values[secret[1]]  # both required by the schema
        if not isinstance(number, VariableNode):
            self.literals.append(number)
            return
        self._own.add(id(number))
        self.numbers[number.name.value] = number
        if isinstance(name, VariableNode):
            self.pairs[Pair(number.name.value, name.name.value)] = None
        elif isinstance(name, StringValueNode):
            self.pairs[Pair(number.name.value, None, name.value)] = None

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        if id(node) not in self._own:
            self.others.append(node)


def _place(node: Node) -> tuple[tuple[int, int], ...]:
    token = node.loc.start_token if node.loc else None
    return ((token.line, token.column),) if token is not None else ()


def _literal(node: Node) -> BadUserInput:
    return BadUserInput(
        "an identity number must not stand in the document; declare a variable without a default, and send the number"
        " in variables",
        "证件号码不得写在查询文档中，请声明不带默认值的变量，并在 variables 中发送号码",
        locations=_place(node),
    )


def _shared(node: VariableNode) -> BadUserInput:
    return BadUserInput(
        "a variable that has an identity number must not be used for anything else; declare one more",
        "存放证件号码的变量不得用于其他参数，请另行声明变量",
        locations=_place(node),
    )


def not_posted() -> BadUserInput:
    """The refusal of a number that came by GET or over a socket."""
    return BadUserInput(
        "an identity number is taken in the variables of a POST alone; send it so",
        "证件号码只接受以 POST 方式在 variables 中提交，请改用 POST",
    )


def hide(secrets: Secrets, variables: Mapping[str, Any], keys: IdentityKeys) -> Hidden:
    """The coerced variables with blind indices (hex) in the place of numbers. Raises Refused for what is no number."""
    numbers: dict[str, str] = {}
    errors: list[BadUserInput] = []
    for name, places in secrets.numbers.items():
        try:
            numbers[name] = normal_resident_id(variables[name])
        except (ValueError, TypeError):
            errors.append(_no_number(places))
    if errors:
        raise Refused(errors[:MOST_ERRORS])
    blind = {name: keys.blind_index(number).hex() for name, number in numbers.items()}
    bound: dict[str, list[str]] = {}  # a name's variable → numbers that it is asked with
    asked = []
    for pair in secrets.pairs:
        given = pair.literal if pair.variable is None else variables.get(pair.variable)
        if isinstance(given, str):
            asked.append((blind[pair.number], _hashed(keys, given, [numbers[pair.number]])))
            if pair.variable is not None:
                bound.setdefault(pair.variable, []).append(numbers[pair.number])
    kept = blind | {name: _hashed(keys, variables[name], found) for name, found in bound.items()}
    return Hidden({**variables, **blind}, {name: f"hmac-sha256:{found}" for name, found in kept.items()}, tuple(asked))


def _hashed(keys: IdentityKeys, name: str, numbers: Sequence[str]) -> str:
    return keys.blind_name(folded(name), numbers).hex()


def folded(name: str) -> str:
    """A person's name as it is compared; as it is where nothing would be left of it. A number is no name, and goes to
    no statement."""
    name = mask_identity_numbers(name)
    return fold_name(name) or name


def _no_number(places: Sequence[tuple[int, int]]) -> BadUserInput:
    return BadUserInput(
        "identityNumber is no resident identity number; correct it: 18 characters of GB 11643 with a check digit that"
        " holds",
        "identityNumber 不是有效的居民身份证号码，请核对：应为 18 位且校验码正确（GB 11643）",
        locations=places,
    )


class Tries:
    """Names that clients try with one number, counted in each process: guessing the name of a number becomes slow.

    A right name counts like a wrong one, a number that nobody has like one on record: a refusal tells nothing of them.
    Nothing is forgotten before its time: a client with too many numbers waits, so that none makes room for its guesses.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By client and number, in the order of the last new name: when each name was tried.
        self._kept: dict[str, OrderedDict[str, dict[str, float]]] = {}

    def count(self, client_id: str, hidden: Hidden) -> None:
        """Count what is asked. Raises RateLimited where it is one name, or one number, too many."""
        now = self._clock()
        numbers = self._kept.setdefault(client_id, OrderedDict())
        for number, name in hidden.asked:
            while numbers and now - _oldest(numbers) >= WINDOW:
                numbers.popitem(last=False)
            tried = {one: at for one, at in numbers.get(number, {}).items() if now - at < WINDOW}
            if name in tried:
                continue
            if len(tried) >= MOST_NAMES:
                wait = int(WINDOW - (now - min(tried.values()))) + 1
                raise RateLimited(
                    f"one identity number was asked with {MOST_NAMES} names; wait {wait} s",
                    f"同一证件号码已用 {MOST_NAMES} 个姓名查询，请等待 {wait} 秒",
                    retry_after=wait,
                )
            if number not in numbers and len(numbers) >= MOST_NUMBERS:
                wait = int(WINDOW - (now - _oldest(numbers))) + 1
                raise RateLimited(
                    f"{MOST_NUMBERS} identity numbers were asked within a quarter of an hour; wait {wait} s",
                    f"一刻钟内已查询 {MOST_NUMBERS} 个证件号码，请等待 {wait} 秒",
                    retry_after=wait,
                )
            numbers[number] = {**tried, name: now}
            numbers.move_to_end(number)


def _oldest(numbers: Mapping[str, Mapping[str, float]]) -> float:
    """When the number was tried last that is first to be forgotten."""
    return max(next(iter(numbers.values())).values())

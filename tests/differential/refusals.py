"""What must be refused before anything is read: by the contract, by values that can't be taken, by a narrowing.

In: a contract, a document, variables, who asks. Out: the operation with its variables, or `Refuse` with a code.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    parse,
    validate,
    value_from_ast,
)
from graphql.execution.values import get_argument_values, get_directive_values, get_variable_values

from gateway.errors import BadUserInput
from gateway.storage.identifiers import parse_node_id, valid_organisation_code
from gateway.storage.names import folded
from tests.differential.visible import Asker

BAD, FORBIDDEN, INVALID, PARSE = "BAD_USER_INPUT", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"
# Of an authority, under a narrowing: its own rows are not in scope, and an empty list would say that it has none.
OWN_ROWS = frozenset({"records", "recordCounts", "withdrawals", "predecessors", "successors"})
# A record that a source gave has of subject and authority what stands in it.
IDENTITY = frozenset({"id", "onRecord", "uscc", "name", "kind", "region", "__typename"})
AUTHORITIES = frozenset(
    {("Viewer", "organisation"), ("WithdrawalNotice", "authority"), ("Consent", "grantee")}
)  # and `authority` of every record


class Refuse(Exception):
    """The whole operation is refused, by these codes; `any_of`: several things are wrong, and which of them is told is
    not said anywhere."""

    def __init__(self, *codes: str, any_of: bool = False) -> None:
        super().__init__(*codes)
        self.codes = codes
        self.any_of = any_of


class Documents:
    """Documents of a contract. Some are kept: they are asked with other variables, and by others."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept: dict[str, DocumentNode | Refuse] = {}

    def get(self, text: str, *, answered: bool = False) -> DocumentNode:
        """The document, valid. Raises Refuse. One in four of those that the engine `answered` is validated: both do so
        by the rules of graphql-core, which take most of the time."""
        if text not in self._kept:
            if len(self._kept) > 200:
                self._kept.clear()
            trusted = answered and zlib.crc32(text.encode()) % 4 > 0
            self._kept[text] = parse(text) if trusted else self._prepared(text)
        found = self._kept[text]
        if isinstance(found, Refuse):
            raise found
        return found

    def _prepared(self, text: str) -> DocumentNode | Refuse:
        try:
            document = parse(text)
        except GraphQLError:
            return Refuse(PARSE)
        errors = validate(self._schema, document, max_errors=5)
        if errors:
            return Refuse(*(BAD if isinstance(e.original_error, BadUserInput) else INVALID for e in errors))
        return document


def check(
    schema: GraphQLSchema, document: DocumentNode, name: str | None, given: Mapping[str, Any], asker: Asker
) -> None:
    """Whether the operation of that name can be executed with these variables by this asker. Raises Refuse."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    chosen = [node for node in operations if (node.name.value if node.name else None) == name]
    if name is None and len(operations) == 1:
        chosen = operations
    if len(chosen) != 1:
        raise Refuse(BAD)
    found = get_variable_values(schema, chosen[0].variable_definitions or (), dict(given))
    if isinstance(found, list) or any(isinstance(value, list) and len(value) > 1000 for value in given.values()):
        raise Refuse(BAD)
    _Walk(schema, document, found, asker).all(chosen[0])


class _Walk:
    """Every field that is selected, whether a row will be there for it or not."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: Any, asker: Asker) -> None:
        self._schema = schema
        self._variables = variables
        self._asker = asker
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._wrongs: list[str] = []  # what is wrong with the operation's shape
        self._forbidden = False
        self._bad = False
        self._subjects: dict[str, int] = {}

    def all(self, operation: OperationDefinitionNode) -> None:
        """Raises Refuse: what is wrong with its shape first, then what is out of scope, then values."""
        self._set(self._schema.query_type, operation.selection_set, "", root=True)
        most = 20 if self._asker.view == "public" else 1_000
        if self._wrongs:
            raise Refuse(*self._wrongs, any_of=True)
        if self._forbidden:
            raise Refuse(FORBIDDEN)
        if self._bad or sum(self._subjects.values()) > most:
            raise Refuse(BAD)

    def _given(self, field: Any, node: FieldNode, name: str) -> Any:
        """An argument as the client gave it, without its default."""
        for argument in node.arguments or ():
            if argument.name.value == name:
                if isinstance(argument.value, VariableNode):
                    return self._variables.coerced.get(argument.value.name.value)
                return value_from_ast(argument.value, field.args[name].type)
        return None

    def _wrong(self, code: str) -> None:
        self._wrongs.append(code)

    def _included(self, node: Any) -> bool:
        try:
            skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
            include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        except GraphQLError:
            self._wrong(BAD)
            return False
        return not (_of(skip).get("if") is True or _of(include).get("if") is False)

    def _fields(self, parent: Any, selections: SelectionSetNode) -> Iterator[tuple[Any, FieldNode]]:
        for node in selections.selections:
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                yield parent, node
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                named = self._schema.type_map[condition.name.value] if condition else parent
                yield from self._fields(named, node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                yield from self._fields(
                    self._schema.type_map[fragment.type_condition.name.value], fragment.selection_set
                )

    def _set(self, parent: Any, selections: SelectionSetNode, place: str, *, root: bool = False) -> None:
        """`place`: authority, live (a record that a source gave), identity (its subject or authority), or nothing."""
        for owner, node in self._fields(parent, selections):
            name = node.name.value
            if place == "identity" and name not in IDENTITY:
                self._wrong(INVALID)
            if name.startswith("__"):
                continue
            field = owner.fields[name]
            if place == "authority" and self._asker.narrowed and name in OWN_ROWS:
                self._forbidden = True
            try:
                arguments = _of(get_argument_values(field, node, self._variables))
            except GraphQLError:
                self._wrong(BAD)
                continue
            if self._given(field, node, "first") is not None and self._given(field, node, "last") is not None:
                self._wrong(BAD)  # two pages at once
            self._bad |= not takes(owner.name, name, arguments)
            if root and name in ("subject", "subjects"):
                key = node.alias.value if node.alias else name
                self._subjects[key] = 1 if name == "subject" else len(arguments["usccs"])
            if node.selection_set is not None:
                self._set(get_named_type(field.type), node.selection_set, _place(owner.name, name, place))


def _of(values: Any) -> Mapping[str, Any]:
    """Coerced values by name, however graphql-core hands them over."""
    return values or {}


def _place(parent: str, name: str, place: str) -> str:
    record = parent not in ("Subject", "Viewer", "WithdrawalNotice", "Consent", "SourceAnswer")
    if parent in ("RegionPlatformSection", "PeerSection") and name == "records":
        return "live"
    if record and name in ("subject", "authority") and place == "live":
        return "identity"
    if (parent, name) in AUTHORITIES or (record and name == "authority"):
        return "authority"
    return ""


# Values --------------------------------------------------------------------------------------------------------------


def takes(parent: str, name: str, given: Mapping[str, Any]) -> bool:
    """Whether a field takes these arguments: ids, cursors, sizes and codes."""
    if any(isinstance(value, str) and not storable(value) for value in given.values()):
        return False
    sizes = [given.get("first"), given.get("last")]
    if any(size is not None and not 1 <= size <= 100 for size in sizes):
        return False
    region = (given.get("filter") or {}).get("regionCode")
    if region is not None and not region_code(region):
        return False
    cursors = [given[name] for name in ("after", "before") if given.get(name) is not None]
    match parent, name:
        case "Query", "node":
            return letter_of(given["id"]) in ("S", "R", "C")
        case "Query", "subjects":
            return 1 <= len(given["usccs"]) <= 1_000
        case "Query", "searchSubjects":
            begin = searched(given["query"])
            return begin is not None and all(search_cursor(one, begin) is not None for one in cursors)
        case "Query" | "Subject", "records":
            letter = "p" if order_of(given)[0] == "PUBLISHED_FROM" else "d"
            return all(cursor(one, letter, "R") is not None for one in cursors)
        case "Viewer", "consents":
            return all(cursor(one, "c", "C") is not None for one in cursors)
        case "Subject", "bank":
            return letter_of(given["consentId"]) is not None
    return True


def storable(text: str) -> bool:
    """No NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def letter_of(text: str) -> str | None:
    """The letter in a node id, None where it is none."""
    try:
        return parse_node_id(text)[0]
    except ValueError:
        return None


def region_code(text: str) -> bool:
    """Two digits, then up to ten digits or capital letters."""
    return (
        2 <= len(text) <= 12
        and all(c in "0123456789" for c in text[:2])
        and all(c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" for c in text)
    )


def order_of(given: Mapping[str, Any]) -> tuple[str, str]:
    """What records are ordered by, in which direction: newest decision first unless said."""
    order = given.get("orderBy") or {}
    return order.get("field", "DECIDED_ON"), order.get("direction", "DESC")


def cursor(text: str, letter: str, kind: str) -> tuple[dt.date, uuid.UUID] | None:
    """Day and id of a cursor: a letter for the order, a day, a node id."""
    if text[:1] != letter or not text.isascii():
        return None
    try:
        day = dt.date.fromisoformat(text[1:11])
        found, external = parse_node_id(text[11:])
    except ValueError:
        return None
    return (day, external) if found == kind and day.isoformat() == text[1:11] else None


def searched(query: str) -> str | None:
    """What names are looked for by, None where nothing can be."""
    if len(query) > 500:
        return None
    begin = folded(query)
    if valid_organisation_code(begin.replace("-", "")):
        begin = begin.replace("-", "")
    return begin if len(begin) >= 2 else None


def search_cursor(text: str, begin: str) -> tuple[int, str, uuid.UUID] | None:
    """Tier, ending and id of a cursor of that search."""
    if text[:2] not in ("n0", "n1"):
        return None
    encoded = text[2:-23]
    try:
        suffix = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
        kind, external = parse_node_id(text[-23:])
    except (ValueError, binascii.Error):
        return None
    if kind != "S" or not suffix.startswith(begin) or len(suffix) > 64 or "\0" in suffix:
        return None
    return int(text[1]), suffix, external


def codes_of(errors: Sequence[Any]) -> tuple[str, ...]:
    """The codes of a refusal."""
    return tuple(error.code for error in errors)

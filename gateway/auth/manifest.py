"""Manifests of persisted documents, as build tools write them.

In: a file's bytes. Out: its entries, each with the line where it stands; what is wrong with one of them is told and the
others go on. Three forms: Apollo's (`{"format": "apollo-persisted-query-manifest", "version": 1, "operations":
[{"id", "name", "type", "body"}]}`), Relay's (`{"<md5, sha1 or sha256>": "<text>"}`), and one document alone (.graphql).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.auth.documents import DOCUMENT_ID
from gateway.errors import OperatorError
from gateway.storage.identifiers import holds_identity_number

MOST_BYTES: Final = 16 * 2**20  # of a file
APOLLO: Final = "apollo-persisted-query-manifest"
# What an id of so many hex digits is, where the form promises a digest. MD5 and SHA-1 only find the text: that it is
# the right one, the operator says by registering it.
_DIGESTS: Final = {32: "md5", 40: "sha1", 64: "sha256"}
_HEX: Final = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One document: the line of the file where it stands, its id, its operation's name (may be empty), its text."""

    line: int
    id: str
    name: str
    body: str

    def row(self) -> dict[str, str]:
        """As StoredDocuments.add takes it."""
        return {"id": self.id, "sha256": _digest("sha256", self.body), "name": self.name, "body": self.body}


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry that can't be taken, and why."""

    line: int
    id: str
    reason: str


def read(path: Path) -> tuple[list[Entry], list[Fault]]:
    """The entries of a file. Raises OperatorError where it is none of the three forms."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise OperatorError(f"{path} has more than {MOST_BYTES // 2**20} MiB; a manifest is smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperatorError(f"{path} is not UTF-8 at byte {error.start + 1}") from None
    if path.suffix in (".graphql", ".gql"):
        id_ = _digest("sha256", text)
        reason = _wrong(id_, text, _DIGESTS)
        return ([], [Fault(1, id_, reason)]) if reason else ([Entry(1, id_, path.stem, text)], [])
    return _of_json(path, text)


def _of_json(path: Path, text: str) -> tuple[list[Entry], list[Fault]]:
    twice: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                twice.append(name)
            made[name] = value
        return made

    try:
        found = json.loads(text, object_pairs_hook=members)
    except RecursionError:
        raise OperatorError(f"{path} is nested too deeply; it is no manifest") from None
    except ValueError as error:
        place = f" from line {error.lineno} on" if isinstance(error, json.JSONDecodeError) else ""
        raise OperatorError(f"{path} is not JSON{place}") from None
    if twice:
        raise OperatorError(f"{path} has {twice[0][:80]} twice in one object; leave one")
    if isinstance(found, dict) and found.get("format") == APOLLO:
        if found.get("version") != 1 or not isinstance(found.get("operations"), list):
            raise OperatorError(f"{path}: of {APOLLO} version 1 is known, with a list of operations")
        given = [_apollo(entry) for entry in found["operations"]]
        return _checked(text, given, digests={64: "sha256"})
    if isinstance(found, dict) and found and all(isinstance(body, str) for body in found.values()):
        return _checked(text, [(id_, "", body) for id_, body in found.items()], digests=_DIGESTS)
    raise OperatorError(f"{path} is neither an {APOLLO} nor Relay's map of hashes to texts")


def _apollo(entry: object) -> tuple[object, str, object]:
    given = entry if isinstance(entry, dict) else {}
    name = given.get("name")
    return given.get("id"), name if isinstance(name, str) else "", given.get("body")


def _checked(
    text: str, given: list[tuple[object, str, object]], *, digests: dict[int, str]
) -> tuple[list[Entry], list[Fault]]:
    entries: dict[str, Entry] = {}
    faults: list[Fault] = []
    at, line = 0, 1
    for id_, name, body in given:
        shown = id_ if isinstance(id_, str) else ""
        place = text.find(json.dumps(shown, ensure_ascii=False), at) if shown else -1
        if place >= 0:  # entries come in the file's order
            line, at = line + text.count("\n", at, place), place
        bare = shown.removeprefix("sha256:")
        if (reason := _wrong(bare, body, digests)) or bare in entries:
            faults.append(Fault(line, shown[:80], reason or "this id stands twice; leave one"))
        else:
            entries[bare] = Entry(line, bare, name[:200] if name.isprintable() else "", str(body))
    return [*entries.values()], faults


def _wrong(id_: str, body: object, digests: dict[int, str]) -> str:
    if not DOCUMENT_ID.fullmatch(id_):
        return "the id must have 1 to 200 letters, digits, dots, underscores, hyphens and tildes"
    if not isinstance(body, str) or not body.strip() or "\0" in body or not _storable(body):
        return "there is no text of a document"
    if holds_identity_number(body):
        return "the text holds what reads as a resident identity number; numbers are given in variables"
    kind = digests.get(len(id_)) if _HEX.fullmatch(id_) else None
    if kind is not None and _digest(kind, body) != id_:
        return f"the id is not the {kind.upper()} of the text; make the manifest anew"
    return ""


def _storable(text: str) -> bool:
    """Whether it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(kind: str, text: str) -> str:
    return hashlib.new(kind, text.encode(), usedforsecurity=False).hexdigest()

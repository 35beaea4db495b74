"""Promises: manifests are read in Apollo's and in Relay's form, whatever else stands beside; an entry that is wrong is
told with its line and its reason, and the others are taken. What is no manifest is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.manifest import MOST_BYTES, read
from gateway.errors import OperatorError

TEXTS = ["query A { viewer { view } }", "query B {\n  viewer { clientId } # 博州\n}\n"]
SHA = [hashlib.sha256(text.encode()).hexdigest() for text in TEXTS]
MD5 = [hashlib.md5(text.encode()).hexdigest() for text in TEXTS]


def apollo(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": [*entries], **more}


def entry(id_: Any, body: Any, **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": "N", "type": "query", "body": body, **more}


def written(folder: Path, found: Any, name: str = "manifest.json") -> Path:
    path = folder / name
    text = found if isinstance(found, str) else json.dumps(found, indent=1, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def test_apollo(tmp_path: Path) -> None:
    found, faults = read(written(tmp_path, apollo(entry(SHA[0], TEXTS[0]), entry("Custom.B", TEXTS[1]), more=1)))
    assert [(e.id, e.name, e.body) for e in found] == [(SHA[0], "N", TEXTS[0]), ("Custom.B", "N", TEXTS[1])]
    assert [e.row()["sha256"] for e in found] == SHA
    assert faults == []


@pytest.mark.parametrize("ids", [SHA, MD5, [hashlib.sha1(text.encode()).hexdigest() for text in TEXTS], ["a", "b"]])
def test_relay(tmp_path: Path, ids: list[str]) -> None:
    found, faults = read(written(tmp_path, dict(zip(ids, TEXTS, strict=True))))
    assert [(e.line, e.id, e.body) for e in found] == [(2, ids[0], TEXTS[0]), (3, ids[1], TEXTS[1])]
    assert faults == []


def test_one_document(tmp_path: Path) -> None:
    (found,), faults = read(written(tmp_path, TEXTS[1], "GetB.graphql"))
    assert (found.id, found.name, found.body, faults) == (SHA[1], "GetB", TEXTS[1], [])


def test_one_document_with_an_identity_number(tmp_path: Path) -> None:
    found, (fault,) = read(written(tmp_path, "{ a } # 659999197001010019", "GetB.graphql"))
    assert (found, "a resident identity number" in fault.reason) == ([], True)


WRONG: dict[str, tuple[Any, str]] = {
    "another text's hash": (entry(SHA[1], TEXTS[0]), "not the SHA256 of the text"),
    "no id": ({"name": "N", "body": TEXTS[0]}, "the id must have"),
    "an id of another kind": (entry(7, TEXTS[0]), "the id must have"),
    "an id with a space": (entry("a b", TEXTS[0]), "the id must have"),
    "a long id": (entry("x" * 201, TEXTS[0]), "the id must have"),
    "no text": (entry("x", None), "no text of a document"),
    "an empty text": (entry("x", " "), "no text of a document"),
    "NUL": (entry("x", "{ a }\0"), "no text of a document"),
    "half a pair": (entry("x", "{ a } # \ud800"), "no text of a document"),
    "an identity number": (entry("x", "{ a } # 659999197001010019"), "a resident identity number"),
    "not an object": ("text", "the id must have"),
    "twice": (entry("good", TEXTS[1]), "stands twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_entry_leaves_the_others(tmp_path: Path, name: str) -> None:
    bad, reason = WRONG[name]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(apollo(entry("good", TEXTS[0]), bad, entry("after", TEXTS[1])), indent=1))
    found, faults = read(path)
    assert [e.id for e in found] == ["good", "after"]
    (fault,) = faults
    assert reason in fault.reason
    lines = path.read_text().splitlines()
    if fault.id:
        assert f'"id": "{fault.id}' in lines[fault.line - 1]


@pytest.mark.parametrize(
    "found",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"a": 1}',
        '{"format": "other", "version": 1, "operations": []}',
        '{"format": "apollo-persisted-query-manifest", "version": 2, "operations": []}',
        '{"format": "apollo-persisted-query-manifest", "version": 1, "operations": {}}',
        '{"a": "{ a }", "a": "{ b }"}',
        "[" * 100_000,
        '{"a": "{ a }"',
    ],
)
def test_what_is_no_manifest(tmp_path: Path, found: str) -> None:
    with pytest.raises(OperatorError):
        read(written(tmp_path, found))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot read"):
        read(tmp_path / "missing.json")
    (tmp_path / "gb.json").write_bytes('{"a": "{ a } # 博州"}'.encode("gb18030"))
    with pytest.raises(OperatorError, match="not UTF-8"):
        read(tmp_path / "gb.json")
    (tmp_path / "large.json").write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(OperatorError, match="MiB"):
        read(tmp_path / "large.json")

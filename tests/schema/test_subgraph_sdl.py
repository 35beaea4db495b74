"""The SDL of a subgraph: what composers are told, in each form. That each contract shows itself alone, and that the
directives say each field's level: tests/walls/test_first_wall.py. That composers take it: tests/e2e/test_federation.py.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSchema, parse, print_ast
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import SettingsError
from gateway.schema.contracts import build_contracts
from gateway.schema.federation import subgraph_sdl
from gateway.settings import is_field_name, load

CONTRACTS = build_contracts()
NAMED = build_contracts(federation_name="bortala")


def read(schema: GraphQLSchema) -> DocumentNode:
    return parse(subgraph_sdl(schema))


def types(document: DocumentNode) -> dict[str, Any]:
    """Definitions by name."""
    found: list[Any] = [d for d in document.definitions if getattr(d, "name", None) is not None]
    return {definition.name.value: definition for definition in found}


def marks(node: Any) -> list[str]:
    """The directives of a definition, as written."""
    return [print_ast(directive) for directive in node.directives or ()]


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("schemas", [CONTRACTS, NAMED], ids=["alone", "named"])
def test_it_links_a_version_that_every_composer_takes(schemas: dict[str, GraphQLSchema], contract: str) -> None:
    document = read(schemas[contract])
    link = print_ast(document.definitions[0])
    assert 'url: "https://specs.apollo.dev/federation/v2.9"' in link
    used = {mark.partition("(")[0] for node in types(document).values() for mark in marks(node)}
    used |= {m.partition("(")[0] for n in types(document).values() for f in getattr(n, "fields", ()) for m in marks(f)}
    used -= {"@specifiedBy"}
    assert set(re.findall(r'"(@\w+)"', link)) == used  # what is for security only where something is
    assert ("@requiresScopes" in used) == (contract != "PUBLIC")
    assert not {"_Any", "_Entity", "_Service"} & set(types(document))


def test_alone_the_entity_is_the_subject_by_its_code() -> None:
    """Not by its id: that of one which is not on record tells no code, and null would read as nobody of that id."""
    for schema in CONTRACTS.values():
        found = types(read(schema))
        keyed = {name: marks(node) for name, node in found.items() if any("@key" in mark for mark in marks(node))}
        assert keyed == {"Subject": ['@key(fields: "uscc")']}
        shared = [name for name, node in found.items() if "@shareable" in marks(node)]
        assert shared == ["PageInfo"]
        assert not {"_entities", "_service"} & {field.name.value for field in found["Query"].fields}


@pytest.mark.parametrize("contract", NAMED)
def test_under_a_name_only_the_joint_entity_can_be_entered(contract: str) -> None:
    """Everything else has no key and is reached through our field alone: a router can't take another's value for it."""
    found = types(read(NAMED[contract]))
    assert not {"Query", "Mutation"} & set(found)
    for name, node in found.items():
        if node.kind == "object_type_definition":
            assert marks(node) == (['@key(fields: "uscc")'] if name == "RegionSubject" else ["@shareable"]), name
    returning = [
        f"{name}.{field.name.value}"
        for name, node in found.items()
        for field in getattr(node, "fields", ())
        if print_ast(field.type).strip("[]!") in ("RegionSubject", "PrefectureAnswer")
    ]
    assert returning == ["RegionSubject.bortala"]
    assert {"Penalty", "ListEntry", "CreditRecord", "CourtSection"} <= set(found)  # fragments need every kind


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_name_changes_nothing_else(contract: str) -> None:
    alone, named = CONTRACTS[contract].type_map, NAMED[contract].type_map
    assert set(named) - set(alone) == {"RegionSubject", "PrefectureAnswer"}
    for name in alone:
        assert set(getattr(alone[name], "fields", ())) == set(getattr(named[name], "fields", ()))


@pytest.mark.parametrize(
    ("name", "fine"),
    [("bortala", True), ("boertala2", True), ("uscc", False), ("Bortala", False), ("a-b", False), ("__x", False),
     ("a" * 41, False), ("博州", False), ("a\n", False), ("", False)],
)  # fmt: skip
def test_names_that_a_field_can_have(name: str, fine: bool) -> None:
    assert is_field_name(name) == fine


def test_the_command_line_prints_what_service_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["schema", "--subgraph", "--view", "restricted"]
    assert CliRunner().invoke(app, command).stdout == subgraph_sdl(CONTRACTS["RESTRICTED"])
    monkeypatch.setenv("GATEWAY_FEDERATION_NAME", "bortala")
    assert CliRunner().invoke(app, command).stdout == subgraph_sdl(NAMED["RESTRICTED"])
    assert load().federation_name == "bortala"
    monkeypatch.setenv("GATEWAY_FEDERATION_NAME", "a b")
    assert CliRunner().invoke(app, command).exit_code == 1
    with pytest.raises(SettingsError, match="beginning with a small letter"):
        load()

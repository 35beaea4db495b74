"""Promises: registered documents are found by the SHA-256 of their bytes and are those that peers know, byte for byte;
they are valid in the RESTRICTED contract and stand in the repository as they will stay."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.engine.documents import prepare
from gateway.engine.execute import Request
from gateway.engine.persisted import Registered, shipped
from gateway.errors import DocumentNotFound, Refused
from gateway.schema.contracts import build_contracts
from tests.engine import small_world
from tests.engine.conftest import World

SHARED = Path(__file__).resolve().parents[3] / "shared" / "contract"
FOLDER = files("gateway").joinpath("documents")
# A document that was once shipped is never changed and never removed: peers ask by its hash.
HASHES = {
    "peer.graphql": "df7fd231285e52756e1e15834b7fea9b9ae8386f6008aeb5ac5a8631abbff76d",
    "peer-page.graphql": "9ea2ee88305cb241c8e6f2a431e3d7bd1fd62dc16accfb368ba1685cf8c7deb2",
}


@pytest.mark.parametrize("name", HASHES)
def test_a_shipped_document(name: str) -> None:
    text = shipped().find(HASHES[name])
    assert hashlib.sha256(text.encode()).hexdigest() == HASHES[name]
    for contract in ("RESTRICTED", "INTERNAL"):
        prepare(contract, build_contracts()[contract], text)
    with pytest.raises(Refused):
        prepare("PUBLIC", build_contracts()["PUBLIC"], text)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
@pytest.mark.parametrize("name", HASHES)
def test_it_is_the_contracts(name: str) -> None:
    assert FOLDER.joinpath(name).read_bytes() == (SHARED / name).read_bytes()


def test_nothing_else_is_found() -> None:
    registered = Registered()
    with pytest.raises(DocumentNotFound):
        registered.find(HASHES["peer.graphql"])
    found = registered.add("{ viewer { view } } # 博州".encode())
    assert registered.find(found).endswith("博州")
    assert {path.name for path in FOLDER.iterdir() if path.name.endswith(".graphql")} == set(HASHES)


async def test_the_peers_document_is_answered(world: World) -> None:
    registered = world.engine._registered
    hash_ = registered.add(shipped().find(HASHES["peer.graphql"]).encode())
    variables = {"usccs": [small_world.FIRM, small_world.STRANGER]}
    body = await world.engine.answer(world.principal("restricted"), Request("", None, variables, persisted=hash_))
    whole = Request(registered.find(hash_), None, variables)
    assert body == await world.engine.answer(world.principal("restricted"), whole)
    assert small_world.FIRM.encode() in body

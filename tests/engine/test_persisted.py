"""Promises: documents that are shipped are those that peers know, byte for byte, and stand as they will stay. What a
client has sent with its hash is found by this client in this contract alone, within bounds; who may send registered
documents alone gets no other, however it is sent; without a token nothing is kept. For each control, what would happen
without it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.documents import PUBLIC_OWNER
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine import persisted
from gateway.engine.documents import prepare
from gateway.engine.execute import Request
from gateway.engine.persisted import Automatic, Persisted, Registered, shipped
from gateway.errors import Refused
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
VIEW = "{ viewer { view } }"
MATTERS = "{ matters { code } }"  # not in the PUBLIC contract


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class FakeStored:
    """Registered documents by owner and id, and what was asked for."""

    texts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    asked: list[tuple[str, int | None, str]] = field(default_factory=list)
    public: int | None = 1

    async def find(self, owner: str, version: int | None, id_: str) -> str | None:
        self.asked.append((owner, version, id_))
        return None if version is None else self.texts.get((owner, id_))

    async def public_version(self) -> int | None:
        return self.public


@pytest.fixture
def stored(world: World) -> FakeStored:
    """The engine with nothing kept; tests register what they need."""
    made = FakeStored()
    world.engine._persisted = Persisted(shipped(), made)
    return made


async def code_of(world: World, principal: Principal, request: Request) -> tuple[str, str]:
    """Code and message of a refusal."""
    with pytest.raises(Refused) as refused:
        await world.engine.answer(principal, request)
    return refused.value.code, refused.value.errors[0].en


async def view_of(world: World, principal: Principal, request: Request) -> str:
    """The view in which `{ viewer { view } }` was answered."""
    view: str = json.loads(await world.engine.answer(principal, request))["data"]["viewer"]["view"]
    return view


# Shipped -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HASHES)
def test_a_shipped_document(name: str) -> None:
    text = shipped().find(HASHES[name])
    assert text is not None
    assert hash_of(text) == HASHES[name]
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
    assert registered.find(HASHES["peer.graphql"]) is None
    found = registered.add("{ viewer { view } } # 博州".encode())
    assert (registered.find(found) or "").endswith("博州")
    assert {path.name for path in FOLDER.iterdir() if path.name.endswith(".graphql")} == set(HASHES)


async def test_the_peers_document_is_answered(world: World, stored: FakeStored) -> None:
    variables = {"usccs": [small_world.FIRM, small_world.STRANGER]}
    named = Request("", None, variables, persisted=HASHES["peer.graphql"])
    body = await world.engine.answer(world.principal("restricted"), named)
    whole = Request(shipped().find(HASHES["peer.graphql"]) or "", None, variables)
    assert body == await world.engine.answer(world.principal("restricted"), whole)
    assert small_world.FIRM.encode() in body
    assert world.account.disclosures[-1].document_hash == world.account.disclosures[-2].document_hash
    assert stored.asked == []


# Automatic -----------------------------------------------------------------------------------------------------------


def automatic(text: str, *, whole: bool = False) -> Request:
    """As automatic persisted queries name it; `whole`: with the text."""
    return Request(text if whole else "", persisted=hash_of(text), automatic=True)


async def test_a_client_names_what_it_has_sent(world: World, stored: FakeStored) -> None:
    one = world.principal("restricted")
    # The message is what clients of this protocol compare with, in whatever language they ask.
    assert await code_of(world, one, automatic(VIEW)) == ("PERSISTED_DOCUMENT_NOT_FOUND", "PersistedQueryNotFound")
    assert world.account.disclosures[-1].outcome == "PERSISTED_DOCUMENT_NOT_FOUND"
    assert await view_of(world, one, automatic(VIEW, whole=True)) == "RESTRICTED"
    asked = len(stored.asked)
    assert await view_of(world, one, automatic(VIEW)) == "RESTRICTED"
    assert len(stored.asked) == asked  # nobody was asked about it
    assert world.account.disclosures[-1].document_hash == bytes.fromhex(hash_of(VIEW))


async def test_nobody_else_names_it(world: World, stored: FakeStored, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world.principal("restricted")
    others = [replace(one, client_id="other"), world.principal("internal"), ANONYMOUS]
    await world.engine.answer(one, automatic(MATTERS, whole=True))
    for other in others:
        assert (await code_of(world, other, automatic(MATTERS)))[0] == "PERSISTED_DOCUMENT_NOT_FOUND"
    # Without the key of client and contract the hash alone would do. The contract would still decide what it may ask.
    found = Automatic.find
    monkeypatch.setattr(Automatic, "find", lambda self, *_: found(self, "client", "RESTRICTED", hash_of(MATTERS)))
    for other in others[:2]:
        assert b"GRANT" in await world.engine.answer(other, automatic(MATTERS))


async def test_the_same_client_in_another_contract_does_not_name_it_either(world: World, stored: FakeStored) -> None:
    one = world.principal("restricted")
    await world.engine.answer(one, automatic(VIEW, whole=True))
    above = replace(world.principal("internal"), client_id=one.client_id)
    assert (await code_of(world, above, automatic(VIEW)))[0] == "PERSISTED_DOCUMENT_NOT_FOUND"


async def test_without_a_token_nothing_is_kept(world: World, stored: FakeStored) -> None:
    assert await view_of(world, ANONYMOUS, automatic(VIEW, whole=True)) == "PUBLIC"  # answered like any text
    assert (await code_of(world, ANONYMOUS, automatic(VIEW)))[0] == "PERSISTED_DOCUMENT_NOT_FOUND"
    assert not world.engine._persisted._automatic._kept


@pytest.mark.parametrize(("public", "word"), [(1, "PersistedQueryNotFound"), (None, "PersistedQueryNotSupported")])
async def test_without_a_token_clients_learn_whether_to_try_again(
    world: World, stored: FakeStored, public: int | None, word: str
) -> None:
    stored.public = public
    assert await code_of(world, ANONYMOUS, automatic(VIEW)) == ("PERSISTED_DOCUMENT_NOT_FOUND", word)


async def test_what_is_not_valid_is_not_kept(world: World, stored: FakeStored) -> None:
    one = world.principal("restricted")
    assert (await code_of(world, one, automatic("{ nonsense }", whole=True)))[0] == "GRAPHQL_VALIDATION_FAILED"
    assert (await code_of(world, one, automatic("{ nonsense }")))[0] == "PERSISTED_DOCUMENT_NOT_FOUND"


def test_a_flood_pushes_out_only_its_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Automatic()
    kept.add("quiet", "RESTRICTED", "a" * 64, VIEW)
    for number in range(3 * persisted.MOST_AUTOMATIC):
        kept.add("loud", "RESTRICTED", f"{number:064x}", "x" * (persisted.MOST_CHARACTERS // 500))
    assert kept.find("quiet", "RESTRICTED", "a" * 64) == VIEW
    assert kept.find("loud", "RESTRICTED", f"{0:064x}") is None
    own = kept._kept["loud", "RESTRICTED"]
    assert len(own.texts) == persisted.MOST_AUTOMATIC
    kept.add("loud", "RESTRICTED", "b" * 64, "x" * (persisted.MOST_CHARACTERS + 1))  # larger than all that is allowed
    assert own.size == 0
    monkeypatch.setattr(persisted, "MOST_CHARACTERS_OF_ALL", 1_000)
    for number in range(100):
        kept.add(f"client-{number}", "RESTRICTED", "c" * 64, "x" * 100)
    assert kept._size == sum(len(text) for one in kept._kept.values() for text in one.texts.values()) == 1_000


# Registered ----------------------------------------------------------------------------------------------------------


def only(principal: Principal, version: int | None = 1) -> Principal:
    """The same, who may send registered documents alone."""
    return replace(principal, only_registered=True, documents=version)


async def test_registered_ones_are_found_under_their_owner(world: World, stored: FakeStored) -> None:
    one = replace(world.principal("restricted"), documents=3)
    stored.texts = {("client", "Matters"): MATTERS}
    assert b"GRANT" in await world.engine.answer(one, Request("", persisted="Matters"))
    assert stored.asked == [("client", 3, "Matters")]
    found = await code_of(world, replace(one, client_id="other"), Request("", persisted="Matters"))
    assert found[0] == "PERSISTED_DOCUMENT_NOT_FOUND"
    assert "send the document's text" in found[1]
    found = await code_of(world, replace(one, documents=None), Request("", persisted="Matters"))
    assert found[0] == "PERSISTED_DOCUMENT_NOT_FOUND"


async def test_a_registered_document_is_held_against_the_contract_at_each_use(world: World, stored: FakeStored) -> None:
    stored.texts = {(PUBLIC_OWNER, "Matters"): MATTERS}
    assert (await code_of(world, ANONYMOUS, Request("", persisted="Matters")))[0] == "GRAPHQL_VALIDATION_FAILED"


ATTEMPTS: dict[str, Request] = {
    "text": Request(MATTERS),
    "automatic": automatic(MATTERS),
    "automatic with the text": automatic(MATTERS, whole=True),
    "documentId": Request("", persisted=hash_of(MATTERS)),
    "by GET": replace(automatic(MATTERS, whole=True), reads_only=True),
    "shipped": Request("", None, {"usccs": [small_world.FIRM]}, persisted=HASHES["peer.graphql"]),
    "nothing": Request(""),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_only_registered_ones(world: World, stored: FakeStored, attempt: str) -> None:
    stored.texts = {("client", hash_of(VIEW)): VIEW}
    one, request = world.principal("restricted"), replace(ATTEMPTS[attempt], arrived=time.monotonic())
    await world.engine.answer(one, automatic(MATTERS, whole=True))  # before it was told to
    code, message = await code_of(world, only(one), request)
    assert code == "PERSISTED_DOCUMENT_NOT_FOUND"
    assert "only registered documents" in message  # no client of the protocol sends the text next
    assert world.account.disclosures[-1].outcome == "PERSISTED_DOCUMENT_NOT_FOUND"
    if attempt != "nothing":  # what the policy is there for: without it each of them is answered
        assert b'"data"' in await world.engine.answer(replace(only(one), only_registered=False), request)


async def test_a_registered_one_may_be_sent_as_text(world: World, stored: FakeStored) -> None:
    stored.texts = {("client", hash_of(VIEW)): VIEW}
    one = only(world.principal("restricted"))
    for request in (Request(VIEW), automatic(VIEW, whole=True), Request("", persisted=hash_of(VIEW))):
        assert await view_of(world, one, request) == "RESTRICTED"
    assert not world.engine._persisted._automatic._kept


async def test_the_public_view_with_registered_ones_alone(world: World, stored: FakeStored) -> None:
    stored.texts = {(PUBLIC_OWNER, hash_of(VIEW)): VIEW}
    portal: Any = replace(ANONYMOUS, only_registered=True)
    assert await view_of(world, portal, Request("", persisted=hash_of(VIEW))) == "PUBLIC"
    other = Request("{ __typename }")
    assert (await code_of(world, portal, other))[0] == "PERSISTED_DOCUMENT_NOT_FOUND"
    assert b'"data"' in await world.engine.answer(ANONYMOUS, other)

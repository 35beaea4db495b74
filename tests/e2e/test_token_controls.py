"""Promise: what refuses each attack on tokens is its control and nothing else: with it the attack is refused over HTTP,
with the control taken away the same attack succeeds. A test that passes without the control would prove nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from e2e_stack import GRAPHQL, Account, Gateway, assertion, make_client, rows_of, serving
from joserfc.jwk import ECKey
from token_attacks import certificate, forgeries, form_of, long_assertion, part, post, proof, segment, server_key

from gateway.auth import assertion as assertions
from gateway.auth import jose, possession, server, tokens
from gateway.auth.clients import ClientStore
from gateway.auth.keys import KeyStore
from gateway.auth.registration import Registration, register
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.pool import Pool
from gateway.web.client_cert import ClientCertificates
from tests import machine

QUESTION = "query Q($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
Patch = pytest.MonkeyPatch
ATTACKER = ECKey.generate_key("P-256")


@dataclass
class Here:
    """A gateway in this process, so that its controls can be taken away, asked over HTTP."""

    gateway: Gateway
    database: Database
    keys: KeyStore
    uscc: str
    organ: str
    account: Account
    clients: int = 0

    @property
    def base(self) -> str:
        return self.gateway.base

    async def client(self, **more: Any) -> Account:
        """One more client with a key."""
        self.clients += 1
        name = f"control-{self.clients}"
        return await make_client(self.database, name, "view:restricted", "GRANT", organisation=self.organ, **more)

    async def ask(self, authorization: str, **headers: str) -> bool:
        """Whether the question is answered."""
        sent = {"accept": GRAPHQL, "content-type": "application/json", "authorization": authorization}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = json.dumps({"query": QUESTION, "variables": {"uscc": self.uscc}}).encode()
        reply = await self.gateway.send("POST", body, sent)
        assert reply.status in (200, 400, 401), reply.body
        return reply.status == 200

    async def fetch(self, form: list[tuple[str, str]], headers: dict[str, str] | None = None) -> str | None:
        """A token, None where it is refused."""
        _, body = await post(self.gateway.session, self.base, form, headers)
        return body.get("access_token")

    async def form(self) -> list[tuple[str, str]]:
        return form_of(self.account, assertion(self.account, self.base))

    async def bound(self, key: ECKey) -> str:
        """A token that is bound to `key`."""
        made = await self.fetch(await self.form(), {"DPoP": proof(key, f"{self.base}/oauth/token")})
        assert made is not None
        return made


@pytest.fixture(scope="module")
async def here(
    world: Database, seeded: tuple[Database, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Here]:
    folder = tmp_path_factory.mktemp("controls")
    codes = [row["uscc"] for row in rows_of(seeded[1] / "organisations.csv") if row["uscc"]]
    settings = Settings(data_dir=folder)
    async with serving(settings, world) as base, aiohttp.ClientSession() as session:
        account = await make_client(world, "controlled", "view:restricted", "GRANT", organisation=codes[0])
        gateway = Gateway(base, session)
        yield Here(gateway, world, KeyStore(folder / "keys"), codes[-1], codes[0], account)


# Attacks: whether each succeeds ---------------------------------------------------------------------------------------


def forged(name: str) -> Callable[[Here], Awaitable[bool]]:
    async def attack(here: Here) -> bool:
        good = await here.gateway.fetch_token(here.account)
        return await here.ask(f"Bearer {forgeries(good, server_key(here.keys), ATTACKER)[name]}")

    return attack


async def after_disabling(here: Here) -> bool:
    account = await here.client()
    token = await here.gateway.fetch_token(account)
    assert await here.ask(f"Bearer {token}")
    pool = Pool(here.database.dsn("service"), size=1)
    assert await ClientStore(pool).disable(account.id)
    await pool.close()
    deadline = machine.seconds() + 2
    while machine.seconds() < deadline:
        if not await here.ask(f"Bearer {token}"):
            return False
    return True


async def assertion_twice(here: Here) -> bool:
    form = await here.form()
    assert await here.fetch(form)
    return await here.fetch(form) is not None


async def assertion_for_an_hour(here: Here) -> bool:
    return await here.fetch(form_of(here.account, long_assertion(here.account, here.base, 3_600))) is not None


async def two_methods(here: Here) -> bool:
    return await here.fetch(await here.form(), {"authorization": "Basic eDp5"}) is not None


async def parameter_twice(here: Here) -> bool:
    return await here.fetch([*await here.form(), ("scope", "view:restricted")]) is not None


async def proof_replayed(here: Here) -> bool:
    key = ECKey.generate_key("P-256")
    token = await here.bound(key)
    once = proof(key, f"{here.base}/graphql", token=token)
    assert await here.ask(f"DPoP {token}", dpop=once)
    return await here.ask(f"DPoP {token}", dpop=once)


def proof_with(**changes: Any) -> Callable[[Here], Awaitable[bool]]:
    async def attack(here: Here) -> bool:
        key = ECKey.generate_key("P-256")
        token = await here.bound(key)
        return await here.ask(f"DPoP {token}", dpop=proof(key, f"{here.base}/graphql", token=token, **changes))

    return attack


async def proof_of_another_key(here: Here) -> bool:
    token = await here.bound(ECKey.generate_key("P-256"))
    made = proof(ECKey.generate_key("P-256"), f"{here.base}/graphql", token=token)
    return await here.ask(f"DPoP {token}", dpop=made)


async def bound_as_bearer(here: Here) -> bool:
    return await here.ask(f"Bearer {await here.bound(ECKey.generate_key('P-256'))}")


async def forged_certificate(here: Here) -> bool:
    header, thumbprint = certificate()
    here.clients += 1
    name = f"control-{here.clients}"
    pool = Pool(here.database.dsn("service"), size=1)
    wanted = Registration(name, name, here.organ, ("view:restricted",), ("GRANT",), certificates=(thumbprint,))
    await register(ClientStore(pool), wanted)
    await pool.close()
    form = [(key, value) for key, value in await here.form() if not key.startswith("client_assertion")]
    token = await here.fetch([*form, ("client_id", name)], {"client-cert": header})
    return token is not None and await here.ask(f"Bearer {token}", client_cert=header)


async def guessing(here: Here) -> bool:
    """Whether 20 secrets can be tried in a row."""
    form = [("grant_type", "client_credentials"), ("client_id", "controlled"), ("client_secret", "guess")]
    return all([(await post(here.gateway.session, here.base, form))[0] == 401 for _ in range(20)])


# Controls: how each is taken away -------------------------------------------------------------------------------------


# What a kid finds where it is a file's name or part of a statement: a key that the attacker knows.
KIDS = {"/dev/null": ATTACKER}


def check_es256(text: str, key: Any) -> None:
    """Raises unless `key` signed `text`."""
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.public_key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))


def careless_reader(patch: Patch) -> None:
    """A verifier that believes the header: what it names as algorithm, and the key that it brings."""

    def read(self: Any, text: str, now: float) -> Any:
        header, claims = part(text, 0), part(text, 1)
        own = self._keys.current("tokens").key
        signed, _, signature = text.rpartition(".")
        if header["alg"] == "HS256":
            mac = hmac.digest(own.as_pem(private=False), signed.encode(), hashlib.sha256)
            assert segment(mac) == signature
        elif header["alg"] != "none":
            key = jose.import_key(header["jwk"]) if "jwk" in header else KIDS.get(header["kid"], own)
            check_es256(text, key)
        return self._check(claims, now)

    patch.setattr(tokens.Tokens, "_read", read)


def returning(value: Any) -> Any:
    async def answer(*_: Any, **__: Any) -> Any:
        return value

    return answer


def believing(name: str, value: Callable[[str], Any]) -> Callable[[Patch], None]:
    """read_proof that takes what it should compare with from the proof itself."""

    def remove(patch: Patch) -> None:
        real = possession.read_proof

        def read(headers: Any, **given: Any) -> Any:
            return real(headers, **(given | {name: value(headers[0])}))

        patch.setattr(possession, "read_proof", read)

    return remove


def any_key(patch: Patch) -> None:
    async def check(self: Any, jkt: str, shown: Any, text: str, now: float) -> None:
        possession.read_proof(shown.proofs, method=shown.method, url=shown.url, now=now, token=text)

    patch.setattr(possession.Possession, "_proof", check)


def first_method_wins(patch: Patch) -> None:
    async def authenticate(self: Any, form: Any, caller: Any, certificate: Any, now: float) -> Any:
        return await self._by_assertion(form, now)

    patch.setattr(server.AuthorizationServer, "_authenticate", authenticate)


def last_parameter_wins(patch: Patch) -> None:
    real = server.parse_qsl
    patch.setattr(server, "parse_qsl", lambda *given, **more: list(dict(real(*given, **more)).items()))


def everybody_is_a_proxy(patch: Patch) -> None:
    def header(_: Any, scope: Any) -> str | None:
        return next((value.decode() for name, value in scope["headers"] if name == b"client-cert"), None)

    patch.setattr(ClientCertificates, "header", header)


def any_issuer(patch: Patch) -> None:
    real = tokens.Tokens._check

    def check(self: Any, claims: dict[str, Any], now: float) -> Any:
        return real(self, claims | {"iss": self._issuer}, now)

    patch.setattr(tokens.Tokens, "_check", check)


CASES: dict[str, tuple[Callable[[Here], Awaitable[bool]], Callable[[Patch], None]]] = {
    "alg none": (forged("alg none"), careless_reader),
    "HS256 with the public key": (forged("HS256 with the public key"), careless_reader),
    "jwk injection": (forged("another's key by jwk"), careless_reader),
    "kid injection": (forged("kid /dev/null"), careless_reader),
    "expired": (
        forged("expired"),
        lambda patch: patch.setattr(tokens, "check_times", lambda claims, now, _: now + 60),
    ),
    "not valid yet": (
        forged("not valid yet"),
        lambda patch: patch.setattr(tokens, "check_times", lambda claims, now, _: now + 60),
    ),
    "living too long": (forged("living too long"), lambda patch: patch.setattr(tokens, "MAX_SECONDS", 10**6)),
    "another audience": (
        forged("another audience"),
        lambda patch: patch.setattr(jose, "audience_is", lambda *_: True),
    ),
    "another issuer": (forged("another issuer"), any_issuer),
    "type of an ID token": (forged("type of an ID token"), lambda patch: patch.setattr(tokens, "TYP", "JWT")),
    "bound in a way unknown here": (
        forged("bound in a way unknown here"),
        lambda patch: patch.setattr(tokens, "confirmation", lambda _: (None, None)),
    ),
    "a disabled client": (
        after_disabling,
        lambda patch: patch.setattr(ClientStore, "fresh", lambda *_: True),
    ),
    "an assertion twice": (
        assertion_twice,
        lambda patch: patch.setattr(assertions.UsedAssertions, "use", returning(True)),
    ),
    "an assertion for an hour": (
        assertion_for_an_hour,
        lambda patch: patch.setattr(assertions, "MAX_SECONDS", 86_400),
    ),
    "two methods": (two_methods, first_method_wins),
    "a parameter twice": (parameter_twice, last_parameter_wins),
    "a proof replayed": (
        proof_replayed,
        lambda patch: patch.setattr(possession.UsedProofs, "use", returning(True)),
    ),
    "a proof for another URL": (
        proof_with(htu="https://elsewhere.example/graphql"),
        believing("url", lambda text: part(text, 1)["htu"]),
    ),
    "a proof for another method": (proof_with(htm="GET"), believing("method", lambda text: part(text, 1)["htm"])),
    "a proof for another token": (proof_with(ath="x" * 43), believing("token", lambda _: None)),
    "an old proof": (
        proof_with(iat=int(time.time()) - 600),
        believing("now", lambda text: part(text, 1)["iat"]),
    ),
    "a proof of another key": (proof_of_another_key, any_key),
    "a bound token as Bearer": (
        bound_as_bearer,
        lambda patch: patch.setattr(possession.Possession, "check", returning(None)),
    ),
    "a forged Client-Cert": (
        forged_certificate,
        everybody_is_a_proxy,
    ),
    "guessing": (
        guessing,
        lambda patch: patch.setattr(server.Guesses, "wrong", returning(0)),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_control_refuses_and_without_it_the_attack_succeeds(
    here: Here, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    attack, remove = CASES[name]
    assert not await attack(here)
    remove(monkeypatch)
    assert await attack(here)

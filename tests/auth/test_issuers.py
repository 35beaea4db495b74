"""Promise: a token of another issuer is believed if this issuer made it, for us, for a client that is registered with
it; its keys are fetched within limits, kept for a bounded time, and never mixed with another's. The issuers are real
servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from auth_support import HEADER, NOW, ORGAN, PURPOSE, Setting, raw_sign
from joserfc.jwk import ECKey
from pydantic import ValidationError

from gateway.auth import issuers
from gateway.auth.authenticate import Authenticator
from gateway.auth.dpop import UsedProofs
from gateway.auth.issuers import FRESH_SECONDS, STALE_SECONDS, UNKNOWN_SECONDS, ExternalIssuers
from gateway.auth.possession import Possession
from gateway.auth.principal import Principal
from gateway.auth.registration import Registration, register
from gateway.errors import Unauthenticated
from gateway.settings import SettingsError, TrustedIssuer, load
from gateway.storage.levels import PUBLIC, RESTRICTED
from tests.storage.eventually import eventually

AUD = "https://gateway.test/api"


@dataclass
class Elsewhere:
    """An issuer as a server: what it publishes, and how often it was asked."""

    issuer: str
    url: str = ""
    keys: list[Any] = field(default_factory=list)
    answer: Callable[[], web.StreamResponse] | None = None  # in place of the keys
    asked: int = 0

    async def jwks(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        return web.json_response({"keys": self.keys}) if self.answer is None else self.answer()

    def settings(self, **more: Any) -> TrustedIssuer:
        return TrustedIssuer(issuer=self.issuer, jwks_uri=self.url, audience=AUD, **more)


@dataclass
class World:
    setting: Setting
    one: Elsewhere
    two: Elsewhere
    key: ECKey
    theirs: ECKey
    issuers: ExternalIssuers
    door: Authenticator

    async def client(self, client_id: str, issuer: Elsewhere | None, **more: Any) -> None:
        given: dict[str, Any] = {"scopes": ("view:restricted",), "matters": ("GRANT",)}
        wanted = Registration(
            client_id, client_id, ORGAN, **(given | more), token_issuer=None if issuer is None else issuer.issuer
        )
        await register(self.setting.store, wanted)
        self.setting.registered[client_id] = self.key

    async def use(self, token: str, purpose: str | None = None) -> Principal:
        return await self.door.authenticate(f"Bearer {token}", purpose)

    async def refused(self, token: str) -> None:
        with pytest.raises(Unauthenticated):
            await self.use(token)


@pytest_asyncio.fixture(loop_scope="module")
async def world(setting: Setting) -> AsyncIterator[World]:
    async def moved(_: web.Request) -> web.Response:
        return web.json_response({"keys": one.keys})

    app = web.Application()
    one, two = Elsewhere("https://one.test"), Elsewhere("https://two.test")
    app.router.add_get("/one", one.jwks)
    app.router.add_get("/two", two.jwks)
    app.router.add_get("/keys", moved)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    one.url, two.url = f"{base}/one", f"{base}/two"
    key, theirs = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    one.keys, two.keys = [public(key, "k")], [public(theirs, "k")]  # the same kid, as an attacker would choose it
    made = ExternalIssuers([one.settings(), two.settings()], clock=lambda: setting.monotonic)
    used = Possession(UsedProofs(setting.store._pool))
    door = Authenticator(setting.tokens, setting.store, used, issuers=made, clock=lambda: setting.now)
    yield World(setting, one, two, key, theirs, made, door)
    await made.close()
    await runner.cleanup()


def public(key: ECKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, **more}


def token(issuer: Elsewhere, key: ECKey, name: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token of the issuer's that holds, but for what is given."""
    own: dict[str, Any] = {
        "iss": issuer.issuer,
        "aud": AUD,
        "sub": "somebody",
        "client_id": name,
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "1",
        "scope": "view:restricted openid",
        "authorization_details": PURPOSE,
    }
    found = {name: value for name, value in (own | claims).items() if value is not ...}
    return raw_sign({"alg": "ES256", "typ": "at+jwt", "kid": "k"} | (header or {}), found, key)


async def test_a_token_of_a_trusted_issuer(world: World) -> None:
    await world.client("ext", world.one)
    found = await world.use(token(world.one, world.key, "ext"))
    assert (found.access, found.client_id, found.matter) == (RESTRICTED, "ext", "GRANT")
    other = [{"type": "payment", "amount": 1}, PURPOSE[0]]
    assert (await world.use(token(world.one, world.key, "ext", authorization_details=other))).matter == "GRANT"
    bare = token(world.one, world.key, "ext", authorization_details=...)
    assert (await world.use(bare, HEADER)).case_number == "2026-11"
    assert (await world.use(token(world.one, world.key, "ext", scope="openid"))).access is PUBLIC
    assert world.one.asked == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://two.test"},
        {"iss": "https://one.test/"},
        {"iss": "https://nobody.test"},
        {"aud": "https://elsewhere.test"},
        {"aud": [AUD, "https://elsewhere.test"]},
        {"exp": int(NOW)},
        {"exp": ...},
        {"iat": ...},
        {"exp": int(NOW) + 901},
        {"nbf": int(NOW) + 60},
        {"iat": int(NOW) + 60},
        {"client_id": "nobody"},
        {"client_id": ...},
        {"client_id": ["claims"]},
        {"scope": ["view:restricted"]},
        {"scope": "view:internal"},
        {"jti": ...},
        {"cnf": {"kid": "1"}},
        {"cnf": {"x5t#S256": "A" * 43}},
        {"authorization_details": {}},
    ],
    ids=repr,
)
async def test_tokens_that_do_not_fit(world: World, claims: dict[str, Any]) -> None:
    await world.client("claims", world.one)
    assert await world.use(token(world.one, world.key, "claims"))
    await world.refused(token(world.one, world.key, "claims", **claims))


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"alg": "none"}, {"alg": "RS256"}, {"kid": "x"}, {"jku": "x"}])
async def test_headers_that_do_not_fit(world: World, header: dict[str, Any]) -> None:
    await world.client("header", world.one)
    await world.refused(token(world.one, world.key, "header", header))


async def test_keys_of_one_issuer_verify_nothing_of_another(world: World) -> None:
    """Both publish a key with the same kid; each may speak for its own clients alone."""
    await world.client("of-one", world.one)
    assert await world.use(token(world.one, world.key, "of-one"))
    await world.refused(token(world.one, world.theirs, "of-one"))  # signed by two, says it is from one
    await world.refused(token(world.two, world.key, "of-one"))
    await world.refused(token(world.two, world.theirs, "of-one"))  # truly from two, about a client of one
    ours = world.setting.keys.current("tokens")
    await world.refused(token(world.one, ours.key, "of-one", {"kid": ours.kid}))


async def test_our_own_clients_are_not_theirs_and_theirs_not_ours(world: World) -> None:
    await world.setting.client("home")
    await world.client("abroad", world.one)
    assert await world.use(await world.setting.token("home"))
    await world.refused(token(world.one, world.key, "home"))
    found = await world.setting.store.get("abroad")
    assert found is not None
    await world.refused(world.setting.tokens.issue(found, frozenset({"view:restricted"}), None, now=NOW))
    # A key of theirs in a token that says it is ours.
    theirs = token(world.one, world.key, "home", iss="https://gateway.test", aud="credit-gateway", ver=1)
    await world.refused(theirs)


async def test_without_the_check_of_the_registration_they_could_speak_for_our_clients(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.setting.client("home-2")
    attack = token(world.one, world.key, "home-2")
    await world.refused(attack)
    get = world.setting.store.get

    async def as_theirs(client_id: str) -> Any:
        client = await get(client_id)
        object.__setattr__(client, "token_issuer", world.one.issuer)
        return client

    monkeypatch.setattr(world.setting.store, "get", as_theirs)
    assert (await world.use(attack)).client_id == "home-2"


async def test_a_disabled_client_is_refused_whatever_its_issuer_says(world: World) -> None:
    await world.client("gone", world.one)
    good = token(world.one, world.key, "gone")
    assert await world.use(good)
    await world.setting.store.disable("gone")
    await world.refused(good)


async def test_a_rotated_key_is_fetched_but_not_at_everybodys_word(world: World) -> None:
    await world.client("rotate", world.one)
    assert await world.use(token(world.one, world.key, "rotate"))
    new = ECKey.generate_key("P-256")
    world.one.keys = [public(new, "k2")]
    world.setting.monotonic += UNKNOWN_SECONDS + 1
    for number in range(20):  # kids that nobody has: one look a minute
        await world.refused(token(world.one, new, "rotate", {"kid": f"x{number}"}))
    assert world.one.asked == 2
    assert await world.use(token(world.one, new, "rotate", {"kid": "k2"}))
    await world.refused(token(world.one, world.key, "rotate", jti="2"))  # the old key is gone
    assert world.one.asked == 2


async def test_many_at_once_ask_once(world: World) -> None:
    await world.client("many", world.one)
    tokens = [token(world.one, world.key, "many", jti=str(number)) for number in range(20)]
    assert len(await asyncio.gather(*(world.use(text) for text in tokens))) == 20
    assert world.one.asked == 1


async def test_keys_outlive_a_silent_issuer_for_a_bounded_time(world: World) -> None:
    await world.client("stale", world.one)
    assert await world.use(token(world.one, world.key, "stale"))
    world.one.answer = lambda: web.Response(status=503)
    world.setting.monotonic += FRESH_SECONDS + 1
    assert await world.use(token(world.one, world.key, "stale", jti="2"))
    assert await eventually(lambda: world.one.asked == 2)  # the keys are fetched behind the request
    world.setting.monotonic += STALE_SECONDS
    await world.refused(token(world.one, world.key, "stale", jti="3"))
    # And what one cannot answer is nothing to the other.
    await world.client("stale-two", world.two)
    assert await world.use(token(world.two, world.theirs, "stale-two"))


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=302, headers={"location": "/keys"}),
        lambda: web.Response(status=404),
        lambda: web.Response(body=b" " * 70_000 + b"{}"),
        lambda: web.Response(body=b"[" * 60_000),
        lambda: web.Response(body=b"\xff"),
        lambda: web.Response(text="[]"),
        lambda: web.json_response({"keys": "x"}),
        lambda: web.json_response({"keys": [{"kty": "EC"}] * 51}),
        lambda: web.Response(body=b"x", headers={"content-encoding": "gzip"}),
    ],
)
async def test_answers_that_are_no_keys(world: World, answer: Any) -> None:
    await world.client("no-keys", world.one)
    world.one.answer = answer
    await world.refused(token(world.one, world.key, "no-keys"))
    assert world.one.asked == 1


async def test_keys_that_are_not_taken(world: World) -> None:
    await world.client("odd", world.one)
    private = {**world.key.as_dict(private=True), "kid": "k"}
    usable = public(world.key, "k")
    for keys in (
        [private],
        [public(world.key, "k", use="enc")],
        [public(world.key, "k", alg="RS256")],
        [usable, public(world.theirs, "k")],
        [world.key.as_dict(private=False)],
        [5, None, "x", {"kid": "k", "kty": "oct", "k": "AAAA"}],
    ):
        world.one.keys = keys
        world.setting.monotonic += STALE_SECONDS + 1
        await world.refused(token(world.one, world.key, "odd"))
    world.one.keys = [5, usable]
    world.setting.monotonic += STALE_SECONDS + 1
    assert await world.use(token(world.one, world.key, "odd"))


async def test_an_issuer_that_does_not_answer_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.client("slow", world.one)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    monkeypatch.setattr(issuers, "_TIMEOUT", issuers.aiohttp.ClientTimeout(total=0.2))
    monkeypatch.setattr(world.one, "jwks", drip)
    app = web.Application()
    app.router.add_get("/slow", drip)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    slow = Elsewhere("https://one.test", f"http://127.0.0.1:{runner.addresses[0][1]}/slow")
    made = ExternalIssuers([slow.settings()])
    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(made.verify(slow.issuer, token(slow, world.key, "slow"), now=NOW), 30)
    await made.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    "uri",
    [
        "http://issuer.example/keys",
        "ftp://issuer.example/keys",
        "https://",
        "https://user@issuer.example/keys",
        "file:///etc/passwd",
        "http://127.0.0.1.issuer.example/keys",
    ],
)
def test_where_keys_are_not_fetched_from(uri: str) -> None:
    with pytest.raises(ValidationError):
        TrustedIssuer(issuer="https://issuer.example", jwks_uri=uri, audience=AUD)


def test_they_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"issuer": "https://idp.example", "jwks_uri": "https://idp.example/keys", "audience": AUD}
    monkeypatch.setenv("GATEWAY_TRUSTED_ISSUERS", json.dumps([given]))
    assert load().trusted_issuers == (TrustedIssuer(**given),)
    monkeypatch.setenv("GATEWAY_TRUSTED_ISSUERS", json.dumps([given | {"jwks_uri": "http://idp.example/keys"}]))
    with pytest.raises(SettingsError, match="must be https"):
        load()

"""The sandbox keeps the peers' contract of tokens: assertions, their keys, purposes; what is not granted is refused."""

from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from courts_sandbox_client import Clock
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey
from peer_sandbox_client import (
    PeerClient,
    sign_p256,
)

from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_PRIVATE_JWK, DEV_PEER_PUBLIC_JWK
from sandbox.peer_tokens import public_keys
from sandbox.server import start_peer_region


async def test_token(peer_client: PeerClient) -> None:
    reply = await peer_client.fetch_token()
    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "Bearer", 300)
    assert (reply.json["scope"], reply.json["authorization_details"][0]["matter"]) == ("view:restricted", "GRANT")
    assert reply.headers["Cache-Control"] == "no-store"


async def test_audience_as_a_list_of_one(peer_client: PeerClient) -> None:
    assert (await peer_client.fetch_token(claims={"aud": [peer_client.base]})).status == 200


async def test_es256(session: aiohttp.ClientSession, clock: Clock) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = ECKey.import_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    keys = {DEV_PEER_CLIENT_ID: public_keys({"keys": [public.as_dict(private=False), dict(DEV_PEER_PUBLIC_JWK)]})}
    async with await start_peer_region(keys=keys, clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        sign = partial(sign_p256, private)
        assert (await caller.fetch_token(client_assertion=caller.assertion(sign, "ES256"))).status == 200
        assert (await caller.fetch_token(client_assertion=caller.assertion(sign, "EdDSA"))).status == 401
        assert (await caller.fetch_token()).status == 200  # the other key of the set
        for kid, status in (("dev-peer-1", 200), ("other", 401)):
            assert (await caller.fetch_token(client_assertion=caller.assertion(kid=kid))).status == status


WRONG_CLAIMS: dict[str, Callable[[int], Any]] = {
    "iss": lambda now: "other",
    "sub": lambda now: "other",
    "aud": lambda now: "https://other.example",
    "jti": lambda now: None,
    "iat": lambda now: None,
    "exp": lambda now: None,
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
async def test_a_wrong_claim(peer_client: PeerClient, name: str) -> None:
    reply = await peer_client.fetch_token(claims={name: WRONG_CLAIMS[name](0)})
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")


async def test_wrong_times_and_audiences(peer_client: PeerClient, clock: Clock) -> None:
    now, base = int(clock.now), peer_client.base
    for claims in (
        {"exp": now + 301},
        {"exp": now},
        {"exp": str(now + 60)},
        {"exp": True},
        {"iat": now + 120},
        {"aud": [base, base]},
        {"aud": [base, "https://other.example"]},
        {"aud": []},
        {"aud": base + "/"},
        {"aud": base + "/oauth/token"},
    ):
        assert (await peer_client.fetch_token(claims=claims)).status == 401, claims
    assert (await peer_client.fetch_token(claims={"exp": now + 300})).status == 200


async def test_an_assertion_is_used_once(peer_client: PeerClient, clock: Clock) -> None:
    assertion = peer_client.assertion(jti="one")
    assert (await peer_client.fetch_token(client_assertion=assertion)).status == 200
    clock.now += 200
    assert (await peer_client.fetch_token(client_assertion=assertion)).status == 401
    assert (await peer_client.fetch_token(claims={"jti": "one"})).status == 401
    assert (await peer_client.fetch_token(claims={"jti": "two"})).status == 200


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "断言.断言.断言", "..", "e30.e30." + "A" * 20_000])
async def test_what_is_no_assertion(peer_client: PeerClient, assertion: str) -> None:
    form = peer_client.form() | {"client_assertion": assertion}
    reply = await peer_client.send("POST", "/oauth/token", data=form)
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")


async def test_signatures_that_do_not_hold(peer_client: PeerClient) -> None:
    assert (await peer_client.fetch_token(client_assertion=peer_client.assertion()[:-8] + "AAAAAAAA")).status == 401
    for alg in ("none", "HS256", "Ed25519", "RS256"):
        assertion = peer_client.assertion(alg=alg)
        assert (await peer_client.fetch_token(client_assertion=assertion)).status == 401, alg
    unsigned = peer_client.assertion(lambda _: b"", "none")
    assert (await peer_client.fetch_token(client_assertion=unsigned)).status == 401


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 400, "invalid_request"),
        ({"scope": None}, 400, "invalid_scope"),
        ({"scope": "view:internal"}, 400, "invalid_scope"),
        ({"scope": "view:restricted view:internal"}, 400, "invalid_scope"),
        ({"authorization_details": None}, 400, "invalid_authorization_details"),
        ({"authorization_details": "x"}, 400, "invalid_authorization_details"),
        ({"details": []}, 400, "invalid_authorization_details"),
        ({"details": [{"type": "payment"}]}, 400, "invalid_authorization_details"),
        ({"detail": {"matter": "APPOINTMENT"}}, 400, "invalid_authorization_details"),
        ({"detail": {"matter": ["GRANT"]}}, 400, "invalid_authorization_details"),
        ({"detail": {"case_number": ""}}, 400, "invalid_authorization_details"),
        ({"detail": {"on_behalf_of": "x"}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": 51}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": 0}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": "50"}}, 400, "invalid_authorization_details"),
    ],
)
async def test_forms_that_are_refused(
    peer_client: PeerClient, changes: dict[str, Any], status: int, error: str
) -> None:
    reply = await peer_client.fetch_token(**changes)
    assert (reply.status, reply.json["error"]) == (status, error)


async def test_a_parameter_twice_is_refused(peer_client: PeerClient) -> None:
    pairs = [*peer_client.form().items(), ("scope", "view:restricted")]
    data = aiohttp.FormData(pairs)
    assert (await peer_client.send("POST", "/oauth/token", data=data)).json["error"] == "invalid_request"


async def test_deny_by_default(session: aiohttp.ClientSession, clock: Clock) -> None:
    async with await start_peer_region(matters=(), clock=clock) as running:
        reply = await PeerClient(running.url, session, clock).fetch_token()
        assert reply.json["error"] == "invalid_authorization_details"
    async with await start_peer_region(keys={}, clock=clock) as running:
        assert (await PeerClient(running.url, session, clock).fetch_token()).status == 401
    async with await start_peer_region(issuer="https://peer.example", clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        assert (await caller.fetch_token()).status == 401
        assert (await caller.fetch_token(claims={"aud": "https://peer.example"})).status == 200


async def test_a_key_registered_without_a_kid_fits_any(session: aiohttp.ClientSession, clock: Clock) -> None:
    jwk = {name: value for name, value in DEV_PEER_PUBLIC_JWK.items() if name != "kid"}
    async with await start_peer_region(keys={DEV_PEER_CLIENT_ID: public_keys(jwk)}, clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        assert (await caller.fetch_token(client_assertion=caller.assertion(kid="k1"))).status == 200


@pytest.mark.parametrize("jwk", [{}, {"kty": "OKP", "crv": "Ed448"}, {"kty": "RSA"}, dict(DEV_PEER_PRIVATE_JWK), [], 1])
def test_keys_that_are_none(jwk: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|private|read"):
        public_keys(jwk)

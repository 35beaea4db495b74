"""Promise: a token that is bound to a key is worth nothing without a proof made with this key for this very request,
which holds once; and nothing but a proof makes anybody believe a key out of a header."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest
from auth_support import ISSUER, NOW, Setting, error_of, header_of, payload, prove, segment
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.auth import jose
from gateway.auth.dpop import LEEWAY, SECONDS, InvalidProofError, comparable, read_proof, token_hash
from gateway.auth.possession import Possession, Shown
from gateway.auth.principal import Principal
from gateway.errors import Unauthenticated
from gateway.storage.levels import RESTRICTED

KEY = ECKey.generate_key("P-256")
URL = comparable(f"{ISSUER}/graphql")
TOKEN_URL = f"{ISSUER}/oauth/token"


def read(*proofs: str, method: str = "POST", url: str = URL, now: float = NOW, token: str | None = None) -> Any:
    return read_proof(proofs, method=method, url=url, now=now, token=token)


def refused(*proofs: str, **changes: Any) -> str:
    with pytest.raises(InvalidProofError) as caught:
        read(*proofs, **changes)
    assert str(caught.value).isascii()
    return str(caught.value)


# The proof alone ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, OKPKey.generate_key("Ed25519")], ids=["ES256", "EdDSA"])
def test_a_proof_holds_for_its_request(key: Any) -> None:
    found = read(prove(key, NOW, ath=token_hash("a.b.c")), token="a.b.c")
    assert (found.jkt, found.expires_at) == (key.thumbprint(), NOW + SECONDS)


def test_the_thumbprint_and_the_hash_are_those_of_the_standard() -> None:
    """The example of RFC 9449 §4.1 (key), §6.1 (its jkt) and §7.1 (token and ath)."""
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    assert jose.import_key(jwk).thumbprint() == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    assert token_hash(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"},
        {"htm": "post"},
        {"htm": ...},
        {"htm": ["POST"]},
        {"htu": f"{ISSUER}/oauth/token"},
        {"htu": f"{ISSUER}/graphql/"},
        {"htu": f"{ISSUER}/graphql/../graphql"},
        {"htu": f"{ISSUER}//graphql"},
        {"htu": "http://gateway.test/graphql"},
        {"htu": "https://gateway.test:444/graphql"},
        {"htu": "https://elsewhere.test/graphql"},
        {"htu": "https://gateway.test@elsewhere.test/graphql"},
        {"htu": "https://elsewhere.test/#https://gateway.test/graphql"},
        {"htu": "https://user@gateway.test/graphql"},
        {"htu": "https://gateway.test./graphql"},
        {"htu": "https://gateway.\ttest/graphql"},
        {"htu": "/graphql"},
        {"htu": "https://[::1/graphql"},
        {"htu": "https://gateway.test:x/graphql"},
        {"htu": ...},
        {"htu": 5},
        {"iat": int(NOW - SECONDS) - 1},
        {"iat": int(NOW + LEEWAY) + 1},
        {"iat": ...},
        {"iat": "now"},
        {"iat": True},
        {"iat": float("nan")},
        {"exp": int(NOW) - 1},
        {"nbf": int(NOW) + 60},
        {"jti": ...},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 201},
    ],
    ids=repr,
)
def test_proofs_for_something_else(claims: dict[str, Any]) -> None:
    refused(prove(KEY, NOW, **claims))


@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://GATEWAY.TEST/graphql",
        "https://gateway.test:443/graphql",
        f"{ISSUER}/graphql?a=1",
        f"{ISSUER}/graphql#x",
    ],
)
def test_the_same_url_in_another_spelling(htu: str) -> None:
    assert read(prove(KEY, NOW, htu=htu))


def test_the_hash_of_the_token() -> None:
    for ath in (..., "", token_hash("another"), 5, token_hash("a.b.c") + "=", "é", "\ud800"):
        refused(prove(KEY, NOW, ath=ath), token="a.b.c")


def test_exactly_one_header() -> None:
    proof = prove(KEY, NOW)
    refused()
    refused(proof, proof)
    refused(f"{proof}, {proof}")
    refused(f"{proof},")


def private(key: Any) -> dict[str, Any]:
    found: dict[str, Any] = key.as_dict(private=True)
    return found


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": ...},
        {"typ": "at+jwt"},
        {"typ": "DPOP+JWT"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "EdDSA"},
        {"alg": ...},
        {"alg": ["ES256"]},
        {"jwk": ...},
        {"jwk": "x"},
        {"jwk": {}},
        {"jwk": {"kty": ["EC"]}},
        {"jwk": private(KEY)},
        {"jwk": ECKey.generate_key("P-256").as_dict(private=False)},
        {"jwk": ECKey.generate_key("P-384").as_dict(private=False)},
        {"jwk": OKPKey.generate_key("Ed25519").as_dict(private=False)},
        {"jwk": OctKey.generate_key(256).as_dict(private=True)},
        {"jwk": KEY.as_dict(private=False) | {"x": "AAAA"}},
        {"jwk": KEY.as_dict(private=False) | {"y": 5}},
        {"kid": "k1"},
        {"jku": "https://attacker.test"},
        {"x5c": ["MIIB"]},
        {"crit": ["jwk"]},
        {"b64": False},
    ],
    ids=",".join,
)
def test_headers_that_are_no_proofs(header: dict[str, Any]) -> None:
    assert private(KEY)["d"] not in refused(prove(KEY, NOW, header=header))


def test_rsa_is_not_taken_since_its_sender_would_choose_what_the_check_costs() -> None:
    key = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    refused(prove(KEY, NOW, header=header))


def test_hs256_with_the_public_key() -> None:
    jwk = KEY.as_dict(private=False)
    signed = f"{segment({'alg': 'HS256', 'typ': 'dpop+jwt', 'jwk': jwk})}.{segment(payload(prove(KEY, NOW)))}"
    refused(f"{signed}.{segment(hmac.digest(KEY.as_pem(private=False), signed.encode(), hashlib.sha256))}")


def test_a_signature_over_something_else() -> None:
    header, _, signature = prove(KEY, NOW).split(".")
    other = segment(payload(prove(KEY, NOW)))
    refused(f"{header}.{other}.{signature}")


def test_harmless_members_of_a_key_are_ignored() -> None:
    more = {"use": "sig", "key_ops": ["verify"], "ext": True, "kid": "x", "alg": "ES256"}
    assert read(prove(KEY, NOW, header={"jwk": KEY.as_dict(private=False) | more})).jkt == KEY.thumbprint()


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}")))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    refused(text)


@settings(max_examples=300, deadline=None)
@given(jwk=st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "alg"]), st.text() | st.integers() | st.none()))
def test_any_key_is_refused_and_nothing_else_happens(jwk: dict[str, Any]) -> None:
    refused(prove(KEY, NOW, header={"jwk": jwk}))


@settings(max_examples=500, deadline=None)
@given(url=st.text() | st.from_regex(r"https?://[\x20-\x7e]{0,30}"))
def test_any_url_is_comparable_or_none(url: str) -> None:
    try:
        found = comparable(url)
    except ValueError:
        return
    assert comparable(found) == found


# The token endpoint ---------------------------------------------------------------------------------------------------


async def ask(setting: Setting, client_id: str, *proofs: str) -> Any:
    return await setting.ask(setting.form(client_id) | {"scope": "view:restricted"}, proofs=proofs)


async def test_a_proof_binds_the_token(setting: Setting) -> None:
    await setting.client("bind")
    body = json.loads((await ask(setting, "bind", prove(KEY, NOW, htu=TOKEN_URL))).body)
    assert body["token_type"] == "DPoP"
    assert payload(body["access_token"])["cnf"] == {"jkt": KEY.thumbprint()}
    body = json.loads((await ask(setting, "bind")).body)
    assert body["token_type"] == "Bearer"
    assert "cnf" not in payload(body["access_token"])


async def test_a_bad_proof_gets_no_token_not_even_a_bearer_token(setting: Setting) -> None:
    await setting.client("bad-proof")
    good = prove(KEY, NOW, htu=TOKEN_URL)
    for proofs in (["x"], [""], [good, good], [prove(KEY, NOW)], [prove(KEY, NOW, htu=TOKEN_URL, htm="GET")]):
        assert error_of(await ask(setting, "bad-proof", *proofs)) == (400, "invalid_dpop_proof")


async def test_a_proof_gets_one_token(setting: Setting) -> None:
    await setting.client("one-token")
    proof = prove(KEY, NOW, htu=TOKEN_URL)
    answers = await asyncio.gather(*(ask(setting, "one-token", proof) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    assert {error_of(answer)[1] for answer in answers if answer.status == 400} == {"invalid_dpop_proof"}


async def test_nobodys_client_uses_up_no_proof(setting: Setting) -> None:
    await setting.client("owner")
    proof = prove(KEY, NOW, htu=TOKEN_URL)
    thief = setting.form("owner") | {"client_assertion": setting.form("owner")["client_assertion"][:-8] + "AAAAAAAA"}
    assert error_of(await setting.ask(thief, proofs=[proof])) == (401, "invalid_client")
    assert (await ask(setting, "owner", proof)).status == 200


async def test_a_client_whose_tokens_must_be_bound(setting: Setting) -> None:
    await setting.client("must", bound="DPOP")
    assert error_of(await ask(setting, "must")) == (400, "invalid_dpop_proof")
    assert (await ask(setting, "must", prove(KEY, NOW, htu=TOKEN_URL))).status == 200
    # One that was issued before, or by a bug, is refused at the door as well.
    found = await setting.store.get("must")
    assert found is not None
    bearer = setting.tokens.issue(found, frozenset({"view:restricted"}), None, now=NOW)
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(f"Bearer {bearer}", None)


async def test_an_operator_who_wants_all_tokens_bound(setting: Setting) -> None:
    await setting.client("all")
    bearer = await setting.token("all")
    setting.server._bound_only = True
    assert error_of(await ask(setting, "all")) == (400, "invalid_dpop_proof")
    token = await setting.bound_token("all", KEY)
    strict = Possession(setting.authenticator._possession._used, required=True)
    setting.authenticator._possession = strict
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(f"Bearer {bearer}", None)
    assert (await use(setting, token)).access is RESTRICTED


def test_the_metadata_tells_it(setting: Setting) -> None:
    told = setting.server.metadata()
    assert told["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    assert told["tls_client_certificate_bound_access_tokens"] is True
    assert "self_signed_tls_client_auth" in told["token_endpoint_auth_methods_supported"]


# The door -------------------------------------------------------------------------------------------------------------


async def use(setting: Setting, token: str, *proofs: str, scheme: str = "DPoP", method: str = "POST") -> Principal:
    proofs = proofs or (prove(KEY, setting.now, ath=token_hash(token)),)
    shown = Shown(method, URL, proofs)
    return await setting.authenticator.authenticate(f"{scheme} {token}", None, shown)


async def turned_away(setting: Setting, token: str, *proofs: str, **more: Any) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await use(setting, token, *proofs, **more)
    return caught.value


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
async def test_a_bound_token_with_its_proof(setting: Setting, scheme: str) -> None:
    await setting.client("door")
    token = await setting.bound_token("door", KEY)
    for _ in range(3):  # each request brings a new one
        assert (await use(setting, token, scheme=scheme)).client_id == "door"
    assert setting.authenticator.cached(f"{scheme} {token}", None) is None


async def test_a_stolen_token_is_worth_nothing(setting: Setting) -> None:
    await setting.client("stolen")
    token = await setting.bound_token("stolen", KEY)
    thief = ECKey.generate_key("P-256")
    ath = token_hash(token)
    for proof in (
        prove(thief, NOW, ath=ath),
        prove(thief, NOW, ath=ath, header={"jwk": KEY.as_dict(private=False)}),
        prove(KEY, NOW),
        prove(KEY, NOW, ath=token_hash("another")),
        prove(KEY, NOW, ath=ath, htm="GET"),
        prove(KEY, NOW, ath=ath, htu=TOKEN_URL),
        prove(KEY, NOW, ath=ath, iat=int(NOW) - 120),
        "x",
    ):
        error = await turned_away(setting, token, proof)
        assert error.challenges == ('DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"',)
    shown = Shown("POST", URL, ())
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(f"DPoP {token}", None, shown)


async def test_a_kept_verdict_asks_for_a_proof_all_the_same(setting: Setting) -> None:
    await setting.client("kept")
    token = await setting.bound_token("kept", KEY)
    assert await use(setting, token)
    assert (f"DPoP {token}", None) in setting.authenticator._bound
    await turned_away(setting, token, prove(KEY, NOW))
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(f"DPoP {token}", None)


async def test_a_bound_token_as_bearer(setting: Setting) -> None:
    await setting.client("down")
    token = await setting.bound_token("down", KEY)
    for _ in range(2):
        error = await turned_away(setting, token, scheme="Bearer")
        assert error.challenges == ('Bearer error="invalid_token"', 'DPoP algs="ES256 EdDSA"')
        assert await use(setting, token)  # and a verdict that is kept changes nothing


async def test_a_token_bound_to_nothing_as_dpop(setting: Setting) -> None:
    await setting.client("up")
    token = await setting.token("up")
    assert (await setting.authenticator.authenticate(f"Bearer {token}", None)).client_id == "up"
    error = await turned_away(setting, token)
    assert error.challenges == ('DPoP error="invalid_token", algs="ES256 EdDSA"',)


async def test_a_proof_is_used_once_by_however_many_at_once(setting: Setting) -> None:
    await setting.client("replay")
    token = await setting.bound_token("replay", KEY)
    proof = prove(KEY, NOW, ath=token_hash(token))
    results = await asyncio.gather(*(use(setting, token, proof) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, Principal) for result in results) == 1
    assert sum(isinstance(result, Unauthenticated) for result in results) == 19
    # At another URL the same proof does not hold, and another key may use the same jti.
    other = ECKey.generate_key("P-256")
    theirs = await setting.bound_token("replay", other)
    again = prove(other, NOW, ath=token_hash(theirs), jti=payload(proof)["jti"])
    assert await use(setting, theirs, again)


async def test_who_cannot_use_the_token_uses_up_no_jti(setting: Setting) -> None:
    await setting.client("spoil")
    token = await setting.bound_token("spoil", KEY)
    proof = prove(KEY, NOW, ath=token_hash(token))
    with pytest.raises(Unauthenticated):  # seen on the way, sent with another token
        await use(setting, await setting.bound_token("spoil", KEY), proof)
    assert await use(setting, token, proof)


async def test_a_used_proof_is_kept_for_as_long_as_it_holds(setting: Setting) -> None:
    await setting.client("long")
    token = await setting.bound_token("long", KEY)
    proof = prove(KEY, NOW, ath=token_hash(token), iat=int(NOW + LEEWAY))
    assert await use(setting, token, proof)
    setting.authenticator._possession._used._sweeper._swept_at = -1e9  # the next use sweeps
    for now in (NOW, NOW + SECONDS, NOW + SECONDS + LEEWAY):
        setting.now = now
        await turned_away(setting, token, proof)


async def test_expired_proofs_are_swept_away(setting: Setting) -> None:
    used = setting.authenticator._possession._used
    pool = setting.store._pool
    await pool.execute("insert into auth.used_proof values ('old', now() - interval '1 hour'), ('new', now())")
    used._sweeper._swept_at = -1e9
    await setting.client("sweep")
    assert await use(setting, await setting.bound_token("sweep", KEY))
    left = {bytes(row["hash"]) for row in await pool.fetch("select hash from auth.used_proof", ())}
    assert b"old" not in left
    assert b"new" in left


def test_a_key_in_the_header_is_believed_in_proofs_alone() -> None:
    proof = prove(KEY, NOW)
    assert "jwk" in header_of(proof)
    with pytest.raises(jose.JwtError):
        jose.read_header(proof)
    with pytest.raises(jose.JwtError):
        jose.verify(proof, KEY, "ES256")

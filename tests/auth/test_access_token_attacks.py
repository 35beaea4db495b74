"""Promise: no forged, borrowed, expired or premature access token is anybody, and none of them is anonymous."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from auth_support import AUDIENCE, ISSUER, NOW, PURPOSE, header_of, in_memory_client, payload, raw_sign, segment
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from gateway.auth.keys import KeyStore
from gateway.auth.purpose import parse_details
from gateway.auth.tokens import LEEWAY, MAX_SECONDS, Tokens, bad_token
from gateway.errors import Unauthenticated

SCOPES = frozenset({"view:restricted"})


@pytest.fixture
def good(tokens: Tokens) -> str:
    return tokens.issue(in_memory_client(), SCOPES, parse_details(PURPOSE), now=NOW)


def refused(tokens: Tokens, token: str, now: float = NOW) -> None:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token, now=now)
    assert str(caught.value) == bad_token().en  # the same for all, and nothing of the token in it


def resigned(keys: KeyStore, token: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """The same token with other claims, signed with our own key: what must be refused for its content alone."""
    changed = {name: value for name, value in (payload(token) | claims).items() if value is not ...}
    return raw_sign(header_of(token) | (header or {}), changed, keys.current("tokens").key)


def test_a_good_token_says_what_it_was_issued_for(tokens: Tokens, good: str) -> None:
    token = tokens.verify(good, now=NOW)
    assert (token.client_id, token.version, token.scopes) == ("memory", 1, SCOPES)
    assert token.purpose == parse_details(PURPOSE)
    assert header_of(good)["typ"] == "at+jwt"
    assert {"iss", "sub", "aud", "client_id", "iat", "nbf", "exp", "jti", "scope", "ver"} <= set(payload(good))


def test_signing_again_makes_a_good_token(tokens: Tokens, keys: KeyStore, good: str) -> None:
    assert tokens.verify(resigned(keys, good), now=NOW).client_id == "memory"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
def test_alg_none(tokens: Tokens, good: str, name: str) -> None:
    header, body, signature = good.split(".")
    refused(tokens, f"{segment(header_of(good) | {'alg': name})}.{body}.")
    refused(tokens, f"{segment(header_of(good) | {'alg': name})}.{body}.{signature}")
    refused(tokens, f"{header}.{body}.")


def test_hs256_with_the_public_key(tokens: Tokens, keys: KeyStore, good: str) -> None:
    public = keys.current("tokens").key
    for secret in (public.as_pem(private=False), public.as_der(private=False)):
        signed = f"{segment(header_of(good) | {'alg': 'HS256'})}.{segment(payload(good))}"
        refused(tokens, f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}")


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "PS256", "ES384", "ES256K", "Ed25519"])
def test_another_algorithm_than_the_keys(tokens: Tokens, keys: KeyStore, good: str, algorithm: str) -> None:
    refused(tokens, resigned(keys, good, {"alg": algorithm}))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.test"},
        {"iss": ...},
        {"iss": [ISSUER]},
        {"aud": "elsewhere"},
        {"aud": ...},
        {"aud": [AUDIENCE, "elsewhere"]},
        {"aud": {}},
        {"exp": int(NOW) - 1},
        {"exp": int(NOW)},
        {"exp": ...},
        {"exp": str(int(NOW) + 60)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"exp": int(NOW) + MAX_SECONDS + 1},
        {"nbf": int(NOW) + 60},
        {"nbf": "soon"},
        {"iat": int(NOW) + 60},
        {"iat": ...},
        {"sub": "somebody"},
        {"sub": ...},
        {"client_id": "somebody"},
        {"client_id": "a b", "sub": "a b"},
        {"ver": ...},
        {"ver": "1"},
        {"ver": True},
        {"scope": ["view:internal"]},
        {"jti": ...},
        {"cnf": {"jkt": "x"}},
        {"cnf": {}},
        {"cnf": None},
        {"cnf": "x"},
        {"cnf": {"kid": "1"}},
        {"cnf": {"jkt": "A" * 43, "kid": "1"}},
        {"cnf": {"x5t#S256": ["A" * 43]}},
        {"authorization_details": [{"type": "other"}]},
        {"authorization_details": {}},
    ],
    ids=str,
)
def test_claims_that_do_not_fit(tokens: Tokens, keys: KeyStore, good: str, claims: dict[str, Any]) -> None:
    refused(tokens, resigned(keys, good, **claims))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+JWT+x", "", "secevent+jwt", "credit-receipt+jws"])
def test_another_type(tokens: Tokens, keys: KeyStore, good: str, typ: str) -> None:
    refused(tokens, resigned(keys, good, {"typ": typ}))


def test_no_type(tokens: Tokens, keys: KeyStore, good: str) -> None:
    header = {name: value for name, value in header_of(good).items() if name != "typ"}
    refused(tokens, raw_sign(header, payload(good), keys.current("tokens").key))


def test_keys_in_the_header(tokens: Tokens, good: str) -> None:
    attacker = ECKey.generate_key("P-256")
    public = attacker.as_dict(private=False)
    own = {"alg": "ES256", "typ": "at+jwt"}
    for header in (
        own | {"jwk": public},
        own | {"jwk": public, "kid": header_of(good)["kid"]},
        own | {"jku": "https://attacker.test/jwks", "kid": "x"},
        own | {"x5u": "https://attacker.test/cert", "kid": "x"},
        own | {"x5c": ["MIIB"], "kid": "x"},
    ):
        refused(tokens, raw_sign(header, payload(good), attacker))


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' or 1=1 --", "", "x" * 400, 7, None, ["a"], {"a": 1}, "\x00", "tokens"], ids=repr
)
def test_kid_injection(tokens: Tokens, good: str, kid: object) -> None:
    attacker = ECKey.generate_key("P-256")
    refused(tokens, raw_sign(header_of(good) | {"kid": kid}, payload(good), attacker))


def test_header_members_that_change_what_is_signed(tokens: Tokens, keys: KeyStore, good: str) -> None:
    refused(tokens, resigned(keys, good, {"crit": ["exp"]}))
    refused(tokens, resigned(keys, good, {"b64": False, "crit": ["b64"]}))
    refused(tokens, resigned(keys, good, {"zip": "DEF"}))


def test_a_key_of_another_job(tokens: Tokens, keys: KeyStore, good: str) -> None:
    other = keys.current("receipts")
    refused(tokens, resigned(keys, good, {"kid": other.kid, "alg": other.algorithm}))


def test_another_gateways_token(tokens: Tokens, tmp_path: Any) -> None:
    theirs = Tokens(KeyStore(tmp_path / "theirs"), issuer=ISSUER, audience=AUDIENCE)
    refused(tokens, theirs.issue(in_memory_client(), SCOPES, None, now=NOW))


def test_a_claim_twice(tokens: Tokens, keys: KeyStore, good: str) -> None:
    key = keys.current("tokens")
    twice = b'{"client_id":"a",' + json.dumps(payload(good)).encode()[1:]
    refused(tokens, raw_sign(header_of(good), twice, key.key))


def test_expiry_ends_a_token_that_was_verified_before(tokens: Tokens, good: str) -> None:
    assert tokens.verify(good, now=NOW)
    assert tokens.verify(good, now=NOW + 299)
    refused(tokens, good, NOW + 300)


def test_a_retired_key_verifies_for_the_longest_life_of_a_token_and_no_longer(tokens: Tokens, keys: KeyStore) -> None:
    now = time.time()
    token = tokens.issue(in_memory_client(), SCOPES, None, now=now)
    signing = keys.current("tokens")
    keys.rotate("tokens")
    retired = keys.find("tokens", signing.kid)
    assert retired is not None
    assert retired.retired_at is not None
    assert not retired.key.is_private
    assert tokens.verify(token, now=now)
    after = retired.retired_at + MAX_SECONDS + 1  # what somebody could still sign who stole the key
    times = {"iat": int(after), "nbf": int(after), "exp": int(after) + 300}
    refused(tokens, raw_sign(header_of(token), payload(token) | times, signing.key), after)


def test_a_retired_key_verifies_nothing_that_it_signed_after_it_was_retired(tokens: Tokens, keys: KeyStore) -> None:
    now = time.time()
    token = tokens.issue(in_memory_client(), SCOPES, None, now=now)
    signing = keys.current("tokens")
    keys.rotate("tokens")
    for later, holds in ((LEEWAY - 1, True), (LEEWAY + 2, False), (60, False)):
        times = {"iat": int(now + later), "nbf": int(now), "exp": int(now + later) + 300, "jti": str(later)}
        stolen = raw_sign(header_of(token), payload(token) | times, signing.key)
        if holds:  # the clocks of our own machines may differ so much
            assert tokens.verify(stolen, now=now + later)
        else:
            refused(tokens, stolen, now + later)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}")))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    refused(_SHARED, text)


@settings(max_examples=300, deadline=None)
@given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["alg", "typ", "kid", "b64", "crit", "jwk", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    body=st.binary(min_size=1, max_size=50),
)
def test_any_header_is_refused_and_nothing_else_happens(header: Any, body: bytes) -> None:
    refused(_SHARED, f"{segment(header)}.{segment(body)}.{segment(b'signature')}")


class _NoKeys:
    def find(self, job: str, kid: str) -> None:
        return None


_SHARED = Tokens(_NoKeys(), issuer=ISSUER, audience=AUDIENCE)  # type: ignore[arg-type]

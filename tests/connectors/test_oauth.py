"""Promises: clients say who they are as RFC 6749 and RFC 7523 have it, tokens are shared, renewed and dropped; no
secret, key or token shows in a repr or an error."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hostile import HTML, PATIENCE, SOON, Handler, K, returns, serving, silent
from joserfc.jwk import ECKey, OKPKey

from connectors.base import FailureKind
from connectors.http import HttpClient, HttpLimits, UpstreamError, fail
from connectors.oauth import ASSERTION_TYPE, ClientSecretBasic, PrivateKeyJwt, Token, Tokens, read_signing_key
from tests.storage.eventually import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


# ---- client authentication


def test_a_secret_goes_into_the_basic_header() -> None:
    """The example of RFC 6749 §2.3.1, and what must be form-encoded before it is joined."""
    headers, form = ClientSecretBasic("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw").authenticate(NOW)
    assert (headers, form) == ({"Authorization": "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"}, {})
    headers, _ = ClientSecretBasic("gw:博州 1", "a+b/c%:&=").authenticate(NOW)
    pair = base64.b64decode(headers["Authorization"].removeprefix("Basic "))
    assert pair == b"gw%3A%E5%8D%9A%E5%B7%9E+1:a%2Bb%2Fc%25%3A%26%3D"


@pytest.mark.parametrize(("key", "algorithm"), [(ED25519, "EdDSA"), (P256, "ES256")])
def test_an_assertion_is_by_rfc_7523(key: Any, algorithm: str) -> None:
    scheme = PrivateKeyJwt("gw-bortala", "https://peer.example", read_signing_key(pem(key), "key-1"))
    headers, form = scheme.authenticate(NOW + timedelta(milliseconds=900))
    assert (headers, form["client_assertion_type"], len(form)) == ({}, ASSERTION_TYPE, 2)
    head, body, signature = form["client_assertion"].split(".")
    assert json.loads(decoded(head)) == {"alg": algorithm, "typ": "JWT", "kid": "key-1"}
    claims = json.loads(decoded(body))
    second = json.loads(decoded(scheme.assertion(NOW).split(".")[1]))
    assert claims.pop("jti") != second.pop("jti")
    issued = int(NOW.timestamp())
    expected = {"iss": "gw-bortala", "sub": "gw-bortala", "aud": "https://peer.example", "iat": issued}
    assert claims == second == {**expected, "exp": issued + 60}
    signed, raw = f"{head}.{body}".encode(), decoded(signature)
    if algorithm == "EdDSA":
        key.public_key().verify(raw, signed)
    else:
        r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        key.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("lifetime", [0, 301])
def test_an_assertion_lives_five_minutes_at_most(lifetime: int) -> None:
    key = read_signing_key(pem(P256))
    PrivateKeyJwt("gw", "https://peer.example", key, lifetime=300)
    with pytest.raises(ValueError, match="1 to 300 seconds"):
        PrivateKeyJwt("gw", "https://peer.example", key, lifetime=lifetime)


@pytest.mark.parametrize("key", [OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")])
def test_keys_come_as_jwk_too(key: OKPKey | ECKey) -> None:
    jwk = {**key.as_dict(private=True), "kid": "a"}
    assert read_signing_key(json.dumps(jwk)).thumbprint() == key.thumbprint()
    assert (read_signing_key(json.dumps(jwk)).kid, read_signing_key(json.dumps(jwk), "b").kid) == ("a", "b")


def test_a_jwk_may_name_its_algorithm_by_either_name() -> None:
    jwk = OKPKey.generate_key("Ed25519").as_dict(private=True)
    for name in ("EdDSA", "Ed25519"):
        key = read_signing_key(json.dumps({**jwk, "alg": name}))
        assert PrivateKeyJwt("gw", "https://peer.example", key).assertion(NOW)


PRIVATE = str(ECKey.generate_key("P-256").as_dict(private=True)["d"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"kty":["EC"]}',
        json.dumps({"kty": "EC", "crv": "P-256", "x": PRIVATE, "y": PRIVATE, "d": PRIVATE}),
        json.dumps({"kty": "oct", "k": PRIVATE}),
        json.dumps({**OKPKey.generate_key("Ed25519").as_dict(private=True), "alg": "ES256", "d": PRIVATE}),
        json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
        f"-----BEGIN PRIVATE KEY-----\n{PRIVATE}\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP384R1())),
        json.dumps(OKPKey.generate_key("X25519").as_dict(private=True)),
    ],
    ids=["empty", "list", "deep", "kty", "no point", "oct", "alg", "public", "no PEM", "P-384", "X25519"],
)
def test_other_keys_are_refused_without_a_word_of_them(text: str) -> None:
    with pytest.raises(ValueError, match="signing key") as caught:
        read_signing_key(text)
    assert PRIVATE not in str(caught.value)
    assert caught.value.__context__ is None


def test_public_keys_do_not_sign() -> None:
    public = ECKey.import_key(ECKey.generate_key("P-256").as_dict(private=False))
    with pytest.raises(ValueError, match="no private part"):
        PrivateKeyJwt("gw", "https://peer.example", public)


def test_nothing_secret_in_a_repr() -> None:
    scheme = PrivateKeyJwt("gw", "https://peer.example", read_signing_key(pem(P256)))
    shown = repr([scheme, ClientSecretBasic("gw", "s3cret"), Token("t0ken")])
    assert shown.count("gw") == 2
    for secret in ("s3cret", "t0ken", "ECKey", "PRIVATE"):
        assert secret not in shown


# ---- tokens


class Issuer:
    """A token endpoint. Gives token-<n>, for 300 s unless told otherwise; `forms` are what was asked."""

    def __init__(self) -> None:
        self.now = NOW
        self.reply: Handler | None = None
        self.forms: list[dict[str, str]] = []
        self.url = ""
        self.lasts = 300

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/x-www-form-urlencoded"
        assert request.query_string == ""
        self.forms.append(dict(parse_qsl(await request.text(), strict_parsing=True)))
        if self.reply:
            return await self.reply(request, {})
        await asyncio.sleep(0.02)
        return web.json_response(self.answer())

    def answer(self, **changes: Any) -> dict[str, Any]:
        made = {"access_token": f"token-{len(self.forms)}", "token_type": "Bearer", "expires_in": self.lasts}
        return {**made, **changes}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    async with serving(made.handle) as made.url:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(HttpLimits(requests_per_second=0))
    yield client
    await client.close()


def source(issuer: Issuer, http: HttpClient, max_kept: int = 1_000) -> Tokens[str]:
    return Tokens(
        http,
        f"{issuer.url}/token",
        ClientSecretBasic("gw", "s3cret"),
        clock=lambda: issuer.now,
        budget=PATIENCE,
        parameters=lambda key: {"scope": key},
        max_kept=max_kept,
    )


async def shown(token: Token) -> str:
    return token.headers["Authorization"]


async def call(tokens: Tokens[str], key: str = "a", send: Callable[[Token], Awaitable[str]] = shown) -> str:
    return await tokens.call(key, asyncio.get_running_loop().time() + PATIENCE, send)


async def test_concurrent_calls_share_one_token_for_each_key(issuer: Issuer, http: HttpClient) -> None:
    tokens = source(issuer, http)
    assert await asyncio.gather(*(call(tokens) for _ in range(20))) == ["Bearer token-1"] * 20
    assert await asyncio.gather(*(call(tokens, "b&=") for _ in range(5))) == ["Bearer token-2"] * 5
    assert await call(tokens) == "Bearer token-1"
    expected = {"grant_type": "client_credentials"}
    assert issuer.forms == [{**expected, "scope": "a"}, {**expected, "scope": "b&="}]


async def test_a_token_is_renewed_before_it_ends(issuer: Issuer, http: HttpClient) -> None:
    tokens = source(issuer, http)
    for seconds, fetched in [(0, 1), (269, 1), (2, 2)]:
        issuer.now += timedelta(seconds=seconds)
        assert await call(tokens) == f"Bearer token-{fetched}"
    issuer.lasts = 10  # half of it serves
    issuer.now += timedelta(seconds=300)
    for seconds, fetched in [(0, 3), (4, 3), (2, 4)]:
        issuer.now += timedelta(seconds=seconds)
        assert await call(tokens) == f"Bearer token-{fetched}"


async def test_a_refused_token_is_replaced_once(issuer: Issuer, http: HttpClient) -> None:
    tokens, used = source(issuer, http), []

    async def send(token: Token) -> str:
        used.append(token.value)
        if token.value == "token-1":
            fail(FailureKind.CREDENTIALS, "status 401")
        return token.value

    assert await call(tokens, send=send) == "token-2"
    assert used == ["token-1", "token-2"]

    async def refuse(token: Token) -> str:
        used.append(token.value)
        fail(FailureKind.CREDENTIALS, "status 401")

    with pytest.raises(UpstreamError) as caught:
        await call(tokens, send=refuse)
    assert caught.value.failure.kind is K.CREDENTIALS
    assert used[2:] == ["token-2", "token-3"]
    assert await call(tokens) == "Bearer token-4"  # neither of the refused ones is kept


async def test_only_a_refused_token_makes_a_second_call(issuer: Issuer, http: HttpClient) -> None:
    used = []

    async def send(token: Token) -> str:
        used.append(token.value)
        fail(FailureKind.FORBIDDEN, "status 403")

    with pytest.raises(UpstreamError):
        await call(source(issuer, http), send=send)
    assert used == ["token-1"]


@pytest.mark.parametrize(("scope", "fits"), [("a", True), ("b a", True), ("b", False), ("", False), (None, True)])
async def test_a_token_of_a_lesser_scope_is_none(
    issuer: Issuer, http: HttpClient, scope: str | None, fits: bool
) -> None:
    issuer.reply = returns(issuer.answer(**({} if scope is None else {"scope": scope})))
    if fits:
        assert await call(source(issuer, http)) == "Bearer token-0"
        return
    with pytest.raises(UpstreamError) as caught:
        await call(source(issuer, http))
    assert caught.value.failure.kind is K.FORBIDDEN


async def test_the_least_used_tokens_go_first(issuer: Issuer, http: HttpClient) -> None:
    tokens = source(issuer, http, max_kept=2)
    for key in ("a", "b", "a", "c", "a", "b"):
        await call(tokens, key)
    assert [form["scope"] for form in issuer.forms] == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"token_type": "bearer"}, True),
        ({"token_type": "DPoP"}, False),
        ({"token_type": "mac"}, False),
        ({"token_type": None}, False),
        ({"access_token": ""}, False),
        ({"access_token": "a b"}, False),
        ({"access_token": "a\r\nX-Evil: 1"}, False),
        ({"access_token": "é"}, False),
        ({"access_token": "a" * 20_000}, False),
        ({"access_token": 7}, False),
        ({"expires_in": "300"}, False),
        ({"expires_in": True}, False),
        ({"expires_in": -1}, False),
        ({"expires_in": 10**30}, False),
        ({"expires_in": None}, False),
    ],
)
async def test_only_bearer_tokens_with_an_end_are_taken(
    issuer: Issuer, http: HttpClient, changes: dict[str, Any], good: bool
) -> None:
    issuer.reply = returns({"access_token": "t", "token_type": "Bearer", "expires_in": 300, **changes})
    if good:
        assert await call(source(issuer, http)) == "Bearer t"
        return
    with pytest.raises(UpstreamError) as caught:
        await call(source(issuer, http))
    assert caught.value.failure.kind is K.MALFORMED


@pytest.mark.parametrize(
    ("reply", "kind", "wait"),
    [
        (returns({"error": "invalid_client"}, status=401), K.CREDENTIALS, None),
        (returns({"error": "invalid_client"}, status=400), K.CREDENTIALS, None),
        (returns({"error": "unauthorized_client"}, status=400), K.FORBIDDEN, None),
        (returns({"error": "invalid_scope"}, status=400), K.FORBIDDEN, None),
        (returns({"error": "invalid_authorization_details"}, status=400), K.FORBIDDEN, None),
        (returns({"error": "invalid_request"}, status=400), K.REJECTED, None),
        (returns({"error": "s3cret"}, status=400), K.REJECTED, None),
        (returns({"error": ["invalid_client"]}, status=400), K.REJECTED, None),
        (returns("<html>", status=401), K.CREDENTIALS, None),
        (returns("<html>", status=403), K.FORBIDDEN, None),
        (returns("", status=302, headers={"Location": "/token2"}), K.THROTTLED, None),
        (returns({"error": "invalid_client"}, status=429, headers=SOON), K.THROTTLED, 7.0),
        (returns("", status=503), K.SERVER_ERROR, None),
        (HTML, K.MALFORMED, None),
        (returns("null"), K.MALFORMED, None),
    ],
)
async def test_a_refusal_is_told_and_not_kept(
    issuer: Issuer, http: HttpClient, reply: Handler, kind: FailureKind, wait: float | None
) -> None:
    tokens = source(issuer, http)
    issuer.reply = reply
    with pytest.raises(UpstreamError) as caught:
        await call(tokens)
    assert (caught.value.failure.kind, caught.value.failure.retry_after) == (kind, wait)
    assert "s3cret" not in str(caught.value)
    assert len(issuer.forms) == 1
    issuer.reply = None
    assert await call(tokens) == "Bearer token-2"


async def test_close_ends_fetches_under_way(issuer: Issuer, http: HttpClient) -> None:
    tokens = source(issuer, http, max_kept=1)
    issuer.reply = silent
    waiting = [asyncio.create_task(call(tokens, key)) for key in "abc"]
    assert await eventually(lambda: len(issuer.forms) == 3)
    await tokens.close()
    for outcome in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE):
        assert isinstance(outcome, UpstreamError)
        assert outcome.failure.kind is K.UNREACHABLE

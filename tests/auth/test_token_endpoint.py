"""Promise: only a registered client gets a token, within its registration, by one method, once an assertion."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from auth_support import (
    AUDIENCE,
    ENTERPRISE,
    FORM,
    ISSUER,
    NOW,
    PURPOSE,
    Setting,
    assert_as,
    call,
    error_of,
    header_of,
    payload,
    raw_sign,
    segment,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.applications import Starlette

from gateway.auth import jose
from gateway.auth.registration import Registration, register
from gateway.auth.server import Caller
from gateway.storage.pool import storage_unavailable
from gateway.web.client_cert import ClientCertificates
from gateway.web.oauth import oauth_routes


async def test_a_token_by_private_key_jwt(setting: Setting) -> None:
    await setting.client("jwt")
    form = setting.form("jwt") | {"scope": "view:restricted", "authorization_details": json.dumps(PURPOSE)}
    answer = await setting.ask(form)
    body = json.loads(answer.body)
    assert answer.status == 200
    assert dict(answer.headers)["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 300, "view:restricted")
    claims = payload(body["access_token"])
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, AUDIENCE, "jwt")
    assert claims["authorization_details"] == PURPOSE == body["authorization_details"]
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize("kind", ["EC", "OKP", "RSA"])
async def test_each_kind_of_key(setting: Setting, kind: str) -> None:
    key: Any = {
        "EC": lambda: ECKey.generate_key("P-256"),
        "OKP": lambda: OKPKey.generate_key("Ed25519"),
        "RSA": lambda: RSAKey.generate_key(2048),
    }[kind]()
    name = f"kind-{kind}"
    await setting.client(name, jwks={"keys": [key.as_dict(private=False)]})
    for algorithm in jose.algorithms_of(key):
        claims = payload(assert_as(name, setting.registered[name], NOW))
        for kid in (None, key.thumbprint()):
            claims["jti"] = f"{algorithm}-{kid}"
            form = setting.form(name)
            form["client_assertion"] = jose.sign(claims, key, algorithm=algorithm, typ="JWT", kid=kid)
            assert (await setting.ask(form)).status == 200


@pytest.mark.parametrize("audience", [ISSUER, [ISSUER]], ids=str)
async def test_audiences_that_mean_us(setting: Setting, audience: Any) -> None:
    await setting.client("aud")
    assert (await setting.ask(setting.form("aud", aud=audience))).status == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"iss": ...},
        {"sub": ...},
        {"iss": "no such client", "sub": "no such client"},
        {"iss": ["a"], "sub": ["a"]},
        {"iss": "\ud800", "sub": "\ud800"},
        {"aud": "https://elsewhere.test"},
        {"aud": f"{ISSUER}/oauth/token"},
        {"aud": [f"{ISSUER}/oauth/token"]},
        {"aud": f"{ISSUER}/"},
        {"aud": [ISSUER, "https://elsewhere.test"]},
        {"aud": [ISSUER, ISSUER]},
        {"aud": []},
        {"aud": [[ISSUER]]},
        {"aud": ...},
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"exp": ...},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": int(NOW) + 301},
        {"exp": int(NOW) + 310, "iat": ...},
        {"exp": int(NOW) + 86_400},
        {"iat": int(NOW) - 290, "exp": int(NOW) + 20},
        {"iat": int(NOW) + 60, "exp": int(NOW) + 120},
        {"iat": "x"},
        {"iat": ...},
        {"nbf": int(NOW) + 30},
        {"jti": ...},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 201},
        {"jti": "a\x00b"},
        {"jti": "\ud800"},
    ],
    ids=repr,
)
async def test_assertions_that_do_not_hold(setting: Setting, claims: dict[str, Any]) -> None:
    await setting.client("claims")
    assert error_of(await setting.ask(setting.form("claims", **claims))) == (401, "invalid_client")


async def test_assertions_without_or_with_another_algorithm(setting: Setting) -> None:
    key = await setting.client("alg")
    good = setting.form("alg")
    header, body, signature = good["client_assertion"].split(".")
    pem = key.as_pem(private=False)
    hs256 = f"{segment(header_of(good['client_assertion']) | {'alg': 'HS256'})}.{body}"
    for assertion in (
        f"{segment({'alg': 'none'})}.{body}.",
        f"{segment({'alg': 'none', 'kid': 'k1'})}.{body}.{signature}",
        f"{hs256}.{segment(hmac.digest(pem, hs256.encode(), hashlib.sha256))}",
        f"{header}.{body}.{segment(b'0' * 64)}",
        f"{header}.{body}",
        "",
        "x",
    ):
        status, error = error_of(await setting.ask(good | {"client_assertion": assertion}))
        assert status in (400, 401)
        assert error in ("invalid_client", "invalid_request")


async def test_an_attackers_key_in_the_header(setting: Setting) -> None:
    key = await setting.client("header")
    attacker = ECKey.generate_key("P-256")
    claims = payload(assert_as("header", key, NOW))
    base = {"alg": "ES256", "typ": "JWT"}
    for more in (
        {"jwk": attacker.as_dict(private=False)},
        {"jwk": attacker.as_dict(private=False), "kid": "k1"},
        {"jku": "https://attacker.test"},
        {"x5c": ["MIIB"]},
        {"kid": "k1"},
        {"kid": attacker.thumbprint()},
        {"kid": "../k1"},
        {},
    ):
        form = setting.form("header") | {"client_assertion": raw_sign(base | more, claims, attacker)}
        assert error_of(await setting.ask(form)) == (401, "invalid_client")


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "dpop+jwt"])
async def test_a_jwt_that_means_something_else(setting: Setting, typ: str) -> None:
    await setting.client("typ")
    assert error_of(await setting.ask(setting.form("typ", header={"typ": typ}))) == (401, "invalid_client")


async def test_another_clients_key(setting: Setting) -> None:
    await setting.client("victim")
    key = await setting.client("thief")
    form = setting.form("victim") | {"client_assertion": assert_as("victim", key, NOW)}
    assert error_of(await setting.ask(form)) == (401, "invalid_client")


async def test_an_assertion_is_used_once(setting: Setting) -> None:
    await setting.client("once")
    form = setting.form("once")
    assert (await setting.ask(form)).status == 200
    assert error_of(await setting.ask(form)) == (401, "invalid_client")


async def test_an_assertion_sent_many_times_at_once_is_used_once(setting: Setting) -> None:
    await setting.client("crowd")
    form = setting.form("crowd")
    answers = await asyncio.gather(*(setting.ask(form) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 19


async def test_who_cannot_sign_cannot_use_up_a_jti(setting: Setting) -> None:
    await setting.client("spoiled")
    attacker = ECKey.generate_key("P-256", {"kid": "k1"})
    form = setting.form("spoiled", jti="chosen")
    spoiled = form | {"client_assertion": assert_as("spoiled", attacker, NOW, jti="chosen")}
    assert error_of(await setting.ask(spoiled)) == (401, "invalid_client")
    assert (await setting.ask(form)).status == 200


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


async def with_secret(setting: Setting, client_id: str) -> str:
    wanted = Registration(
        client_id, client_id, ENTERPRISE, scopes=("view:restricted",), matters=("GRANT",), secret=True
    )
    secret = await register(setting.store, wanted)
    assert secret is not None
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    setting.registered[client_id] = ECKey.generate_key("P-256", {"kid": "k1"})
    return secret


async def test_a_secret_by_either_method(setting: Setting) -> None:
    secret = await with_secret(setting, "secret")
    grant = {"grant_type": "client_credentials"}
    assert (await setting.ask(grant, basic("secret", secret))).status == 200
    assert (await setting.ask(grant | {"client_id": "secret", "client_secret": secret})).status == 200


async def test_wrong_secrets_all_get_the_same_answer(setting: Setting) -> None:
    secret = await with_secret(setting, "guess")
    await setting.client("keys-only")
    grant = {"grant_type": "client_credentials"}
    answers = [
        await setting.ask(grant, basic(client_id, tried))
        for client_id, tried in [
            ("guess", secret + "x"),
            ("guess", ""),
            ("guess", "\x00"),
            ("nobody", secret),
            ("keys-only", secret),
            ("not an id", secret),
        ]
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert all("www-authenticate" in dict(answer.headers) for answer in answers)
    assert error_of(answers[0]) == (401, "invalid_client")
    assert secret.encode() not in answers[0].body


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic " + base64.b64encode(b"x").decode(), "Bearer x", ""])
async def test_authorization_headers_that_cannot_be_read(setting: Setting, header: str) -> None:
    assert error_of(await setting.ask({"grant_type": "client_credentials"}, header)) == (401, "invalid_client")


async def test_two_authentication_methods_at_once(setting: Setting) -> None:
    secret = await with_secret(setting, "both")
    await setting.client("two")
    assertion = setting.form("two")
    grant = {"grant_type": "client_credentials"}
    posted = {"client_id": "both", "client_secret": secret}
    for form, headers in (
        (assertion, (basic("both", secret),)),
        (assertion | posted, ()),
        (grant | posted, (basic("both", secret),)),
        (grant, (basic("both", secret), basic("both", secret))),
        (grant | {"client_assertion_type": assertion["client_assertion_type"]} | posted, ()),
    ):
        assert error_of(await setting.ask(form, *headers)) == (400, "invalid_request")


async def test_another_client_id_beside_the_authenticated_one(setting: Setting) -> None:
    secret = await with_secret(setting, "beside")
    await setting.client("beside-jwt")
    grant = {"grant_type": "client_credentials", "client_id": "other"}
    assert error_of(await setting.ask(grant, basic("beside", secret))) == (400, "invalid_request")
    form = setting.form("beside-jwt") | {"client_id": "other"}
    assert error_of(await setting.ask(form)) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["grant_type", "scope", "client_assertion", "unknown"])
async def test_duplicate_parameters(setting: Setting, name: str) -> None:
    await setting.client("twice")
    form = setting.form("twice") | {"scope": "view:restricted", "unknown": "1"}
    assert error_of(await setting.ask([*form.items(), (name, form[name])])) == (400, "invalid_request")
    assert error_of(await setting.ask([*form.items(), (name, "")])) == (400, "invalid_request")


async def test_no_authentication(setting: Setting) -> None:
    for form in ({}, {"grant_type": "client_credentials"}, {"client_id": "x"}, {"client_secret": "x"}):
        assert error_of(await setting.ask(form)) == (401, "invalid_client")


@pytest.mark.parametrize("content_type", [None, "", "application/json", "multipart/form-data", "text/plain"])
async def test_other_bodies(setting: Setting, content_type: str | None) -> None:
    await setting.client("body")
    body = urlencode(setting.form("body")).encode()
    answer = await setting.server.token(content_type=content_type, body=body, caller=Caller(), now=NOW)
    assert error_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a", b"a=%ff", b"a=1&" * 40, b"=&=", b"&&", b"\x00"], ids=repr)
async def test_bodies_that_cannot_be_read(setting: Setting, body: bytes) -> None:
    answer = await setting.server.token(content_type=FORM, body=body, caller=Caller(), now=NOW)
    assert answer.status in (400, 401)
    assert json.loads(answer.body)["error"] in ("invalid_request", "invalid_client")


@pytest.mark.parametrize("grant", [None, "password", "authorization_code", "client_credentials "])
async def test_other_grants(setting: Setting, grant: str | None) -> None:
    await setting.client("grant")
    form = setting.form("grant")
    form.pop("grant_type")
    if grant is not None:
        form["grant_type"] = grant
    wanted = "invalid_request" if grant is None else "unsupported_grant_type"
    assert error_of(await setting.ask(form)) == (400, wanted)


@pytest.mark.parametrize("scope", ["view:internal", "view:restricted view:internal", "subject:self", "admin", "VIEW:x"])
async def test_scopes_beyond_the_registration(setting: Setting, scope: str) -> None:
    await setting.client("scope")
    assert error_of(await setting.ask(setting.form("scope") | {"scope": scope})) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "details",
    [
        "x",
        "{}",
        "[]",
        "[" * 5_000,
        json.dumps([PURPOSE[0] | {"matter": "DEBT"}]),
        json.dumps([PURPOSE[0] | {"matter": "NO_SUCH"}]),
        json.dumps([PURPOSE[0] | {"matter": "SELF"}]),
        json.dumps([PURPOSE[0] | {"extra": 1}]),
        json.dumps([PURPOSE[0] | {"case_number": "\ud800"}]),
    ],
    ids=lambda text: text[:60],
)
async def test_purposes_that_the_client_may_not_have(setting: Setting, details: str) -> None:
    await setting.client("details")
    form = setting.form("details") | {"scope": "view:restricted", "authorization_details": details}
    assert error_of(await setting.ask(form)) == (400, "invalid_authorization_details")


async def test_a_disabled_client_gets_no_token(setting: Setting) -> None:
    await setting.client("off")
    secret = await with_secret(setting, "off-secret")
    for client_id in ("off", "off-secret"):
        assert await setting.store.disable(client_id)
        assert not await setting.store.disable(client_id)
    assert error_of(await setting.ask(setting.form("off"))) == (401, "invalid_client")
    grant = {"grant_type": "client_credentials"}
    assert error_of(await setting.ask(grant, basic("off-secret", secret))) == (401, "invalid_client")


async def test_without_a_database_nobody_is_let_in(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    await setting.client("down")
    form = setting.form("down")
    await setting.ask(form)  # the client is kept now; the next jti must still be written

    async def failing(*_: object, **__: object) -> None:
        raise storage_unavailable()

    monkeypatch.setattr(setting.store._pool, "fetch", failing)
    assert error_of(await setting.ask(setting.form("down"))) == (503, "temporarily_unavailable")


async def test_the_routes(setting: Setting) -> None:
    await setting.client("http")
    app = Starlette(routes=oauth_routes(setting.server, ClientCertificates(lambda _: False), lambda _: "192.0.2.1"))
    body = urlencode(setting.form("http")).encode()
    status, headers, answer = await call(app, "POST", "/oauth/token", [("content-type", f"{FORM};charset=utf-8")], body)
    assert status == 200, answer
    assert dict(headers)["cache-control"] == "no-store"
    token = json.loads(answer)["access_token"]

    status, _, answer = await call(app, "GET", "/oauth/jwks")
    published = {key["kid"]: key for key in json.loads(answer)["keys"]}
    assert status == 200
    assert "d" not in published[header_of(token)["kid"]]

    status, _, answer = await call(app, "GET", "/.well-known/oauth-authorization-server")
    metadata = json.loads(answer)
    assert status == 200
    assert (metadata["issuer"], metadata["token_endpoint"]) == (ISSUER, f"{ISSUER}/oauth/token")

    assert (await call(app, "GET", "/oauth/token"))[0] == 405
    two = [("content-type", FORM), ("authorization", "Basic eDp5"), ("authorization", "Basic eDp5")]
    assert (await call(app, "POST", "/oauth/token", two, b"grant_type=client_credentials"))[0] == 400
    assert (await call(app, "POST", "/oauth/token", [("content-type", FORM)], b"a=" + b"x" * 200_000))[0] == 413

"""What the tests of attacks on tokens are made of: forgeries, proofs, certificates, and token requests over HTTP."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID
from e2e_stack import CASE, Account, assertion
from joserfc.jwk import ECKey

from gateway.auth import jose
from gateway.auth.dpop import token_hash
from gateway.auth.keys import KeyStore, SigningKey
from gateway.auth.server import ASSERTION_TYPE


def segment(value: Any) -> str:
    """One part of a JWS."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(token: str, number: int) -> dict[str, Any]:
    """Header (0) or claims (1) of a JWT."""
    text = token.split(".")[number]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def sign(header: dict[str, Any], claims: dict[str, Any], key: ECKey) -> str:
    """ES256 over any header and claims whatever: what an attacker's own library does."""
    signed = f"{segment(header)}.{segment(claims)}"
    r, s = utils.decode_dss_signature(key.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))  # type: ignore[union-attr]
    return f"{signed}.{segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def forgeries(good: str, ours: SigningKey, attacker: ECKey | None = None) -> dict[str, str]:
    """Tokens that must be refused, made from one that holds. `ours` is the key of the server under attack: with it are
    made those that must be refused for what they say, though the signature is right."""
    header, claims, signature = part(good, 0), part(good, 1), good.split(".")[2]
    body, now = good.split(".")[1], int(time.time())
    assert isinstance(ours.key, ECKey)
    attacker = attacker or ECKey.generate_key("P-256")
    public = attacker.as_dict(private=False)
    hs256 = f"{segment(header | {'alg': 'HS256'})}.{body}"
    pem = ours.key.as_pem(private=False)
    made = {
        "alg none": f"{segment(header | {'alg': 'none'})}.{body}.",
        "alg none, signature left": f"{segment(header | {'alg': 'none'})}.{body}.{signature}",
        "HS256 with the public key": f"{hs256}.{segment(hmac.digest(pem, hs256.encode(), hashlib.sha256))}",
        "another's key": sign(header, claims, attacker),
        "another's key by jwk": sign(header | {"jwk": public}, claims, attacker),
        "another's key by jku": sign(header | {"jku": "https://attacker.example/keys"}, claims, attacker),
        "another's key by x5c": sign(header | {"x5c": ["MIIB"]}, claims, attacker),
        "altered claims": f"{good.split('.')[0]}.{segment(claims | {'scope': 'view:internal'})}.{signature}",
    }
    for kid in ("../../keys/tokens", "/dev/null", "' or '1'='1", "", "x" * 200, attacker.thumbprint()):
        made[f"kid {kid[:20]}"] = sign(header | {"kid": kid}, claims, attacker)
    contents: dict[str, dict[str, Any]] = {
        "expired": {"iat": now - 400, "nbf": now - 400, "exp": now - 1},
        "not valid yet": {"nbf": now + 120},
        "issued in the future": {"iat": now + 120},
        "living too long": {"exp": now + 86_400},
        "another issuer": {"iss": "https://elsewhere.example"},
        "another audience": {"aud": "elsewhere"},
        "a second audience": {"aud": [claims["aud"], "elsewhere"]},
        "another client": {"client_id": "somebody", "sub": "somebody"},
        "bound in a way unknown here": {"cnf": {"kid": "1"}},
    }
    made |= {name: sign(header, claims | changes, ours.key) for name, changes in contents.items()}
    made["type of an ID token"] = sign(header | {"typ": "JWT"}, claims, ours.key)
    return made


def server_key(keys: KeyStore) -> SigningKey:
    """The key that the server signs tokens with."""
    return keys.current("tokens")


def long_assertion(account: Account, issuer: str, seconds: int) -> str:
    """An assertion that wants to live so long."""
    claims = part(assertion(account, issuer), 1)
    claims["exp"] = claims["iat"] + seconds
    return jose.sign(claims, account.key, algorithm="ES256", typ="JWT", kid="k1")


def form_of(account: Account, made: str) -> list[tuple[str, str]]:
    """A token request with an assertion."""
    detail = {"type": "credit_purpose", "matter": account.matter, "case_number": CASE}
    return [
        ("grant_type", "client_credentials"),
        ("scope", account.scope),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", made),
        ("authorization_details", json.dumps([detail], ensure_ascii=False)),
    ]


async def post(
    session: aiohttp.ClientSession, base: str, form: list[tuple[str, str]], headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """A token request: status and body."""
    async with session.post(f"{base}/oauth/token", data=form, headers=headers) as reply:
        found: dict[str, Any] = await reply.json(content_type=None)
        return reply.status, found


def proof(key: ECKey, url: str, *, token: str | None = None, **changes: Any) -> str:
    """A proof of possession for a POST to `url`."""
    claims: dict[str, Any] = {"jti": secrets.token_urlsafe(12), "htm": "POST", "htu": url, "iat": int(time.time())}
    if token is not None:
        claims["ath"] = token_hash(token)
    return jose.sign_proof(claims | changes, key)


def certificate() -> tuple[str, str]:
    """A self-signed certificate as a Client-Cert header (RFC 9440), and its thumbprint (RFC 8705)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = dt.datetime.now(dt.UTC)
    der = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    return f":{base64.b64encode(der).decode()}:", digest

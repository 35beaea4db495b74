"""What the tests of authentication share: codes, keys, assertions, forgeries, and a caller for ASGI apps."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from joserfc.jwk import ECKey

from gateway.auth import jose
from gateway.auth.authenticate import Authenticator
from gateway.auth.clients import Client, ClientStore, Matter
from gateway.auth.keys import KeyStore
from gateway.auth.registration import Registration, register
from gateway.auth.server import ASSERTION_TYPE, AuthorizationServer, Caller, TokenResponse
from gateway.auth.tokens import Tokens
from gateway.storage.identifiers import uscc_check_digit

ISSUER = "https://gateway.test"
AUDIENCE = "credit-gateway"
NOW = 1_800_000_000.0
FORM = "application/x-www-form-urlencoded"


def uscc(first: str) -> str:
    return first + uscc_check_digit(first)


ORGAN = uscc("11652700AUTH0TEST".replace("S", "5"))
ENTERPRISE = uscc("91652700AUTHENT01")
NOBODY = uscc("11652700AUTHN0NE1")

PURPOSE = [{"type": "credit_purpose", "matter": "GRANT", "case_number": "2026-11"}]
HEADER = 'matter="GRANT", case="2026-11"'


@dataclass
class Setting:
    """Everything that a server needs, with time as a number that only the test changes."""

    store: ClientStore
    keys: KeyStore
    tokens: Tokens
    server: AuthorizationServer
    authenticator: Authenticator
    now: float = NOW
    monotonic: float = 1000.0
    registered: dict[str, ECKey] = field(default_factory=dict)

    async def client(self, client_id: str, **changes: Any) -> ECKey:
        """Register a client with a new key; returns the key."""
        key = ECKey.generate_key("P-256", {"kid": "k1"})
        given: dict[str, Any] = {
            "name": client_id,
            "organisation_uscc": ORGAN,
            "scopes": ("view:restricted",),
            "matters": ("GRANT",),
            "jwks": {"keys": [key.as_dict(private=False)]},
        }
        await register(self.store, Registration(id=client_id, **(given | changes)))
        self.registered[client_id] = key
        return key

    async def bound_token(self, client_id: str, key: Any) -> str:
        """An access token that is bound to `key` by a proof."""
        return await self.token(client_id, proofs=[prove(key, self.now, htu=f"{ISSUER}/oauth/token")])

    async def ask(
        self, form: dict[str, str] | list[tuple[str, str]], *authorization: str, **shown: Any
    ) -> TokenResponse:
        """A token request; `shown` are members of Caller."""
        caller = Caller(authorization, **shown)
        return await self.server.token(content_type=FORM, body=urlencode(form).encode(), caller=caller, now=self.now)

    def form(self, client_id: str, *, header: dict[str, Any] | None = None, **claims: Any) -> dict[str, str]:
        """A token request with an assertion that holds, but for the claims and header members given."""
        assertion = assert_as(client_id, self.registered[client_id], self.now, header=header, **claims)
        return {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }

    async def token(self, client_id: str, scope: str = "view:restricted", details: Any = PURPOSE, **shown: Any) -> str:
        """An access token, fetched the ordinary way; `shown` are members of Caller."""
        form = self.form(client_id) | {"scope": scope}
        if details is not None:
            form["authorization_details"] = json.dumps(details)
        answer = await self.ask(form, **shown)
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["access_token"])


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def payload(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


def header_of(token: str) -> dict[str, Any]:
    first = token.split(".")[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    return found


def raw_sign(header: dict[str, Any], claims: Any, key: Any) -> str:
    """ES256 over any header and payload whatever: what an attacker's own library does."""
    signed = f"{segment(header)}.{segment(claims)}"
    der = key.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    return f"{signed}.{segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def assert_as(client_id: str, key: Any, now: float, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims: dict[str, Any] = {
        "iss": client_id,
        "sub": client_id,
        "aud": ISSUER,
        "iat": int(now),
        "exp": int(now) + 60,
        "jti": secrets.token_urlsafe(12),
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not ...}
    if header is not None or changes:  # signed as an attacker would: by nothing that checks or encodes for us
        return raw_sign({"alg": "ES256", "typ": "JWT", "kid": "k1"} | (header or {}), claims, key)
    return jose.sign(claims, key, algorithm=jose.algorithms_of(key)[0], typ="JWT", kid=key.kid)


def prove(key: Any, now: float, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A proof of possession for POST /graphql that holds, but for the claims and header members given."""
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(12),
        "htm": "POST",
        "htu": f"{ISSUER}/graphql",
        "iat": int(now),
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not ...}
    if header is not None:
        own = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
        return raw_sign({name: value for name, value in (own | header).items() if value is not ...}, claims, key)
    return jose.sign_proof(claims, key)


def error_of(answer: TokenResponse) -> tuple[int, str]:
    found = json.loads(answer.body)
    assert "access_token" not in found
    return answer.status, found["error"]


def in_memory_client(**changes: Any) -> Client:
    """A registration that no database has: for what is decided without one."""
    given: dict[str, Any] = {
        "id": "memory",
        "name": "memory",
        "organisation_uscc": ORGAN,
        "scopes": frozenset({"view:restricted"}),
        "registered_matters": ("GRANT",),
        "matters": {"GRANT": Matter("GRANT", frozenset({"LOCAL", "COURTS"}), ())},
        "subject_uscc": None,
        "regions": None,
        "kinds": None,
        "list": None,
        "disabled": False,
        "version": 1,
        "organisation_id": 7,
        "subject_id": None,
    }
    return Client(**(given | changes))


async def call(
    app: Any, method: str, path: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
) -> tuple[int, list[tuple[str, str]], bytes]:
    """One request to an ASGI app, without a server."""
    sent: list[dict[str, Any]] = []
    chunks = [body[start : start + 16_384] for start in range(0, len(body), 16_384)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers or []],
        "scheme": "http",
        "server": ("gateway.test", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    found = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])

"""Who may ask a peer, and for what: client assertions (RFC 7523) and the purpose in authorization_details (RFC 9396).

In: the form of a token request. Out: what the token is granted for, or the refusal. Deny by default: an unknown
client, a matter that is not granted, a detail that is missing. sandbox/peer_region.py calls it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

from sandbox.oauth import refusal
from sandbox.subjects import is_uscc
from sandbox.upstream import parsed, text_of, whole
from sandbox.wire import Answer

PublicKey = ECKey | OKPKey
PublicKeys = tuple[PublicKey, ...]  # of one client
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE = "view:restricted"
LONGEST_SECONDS = 300
LONGEST_ASSERTION = 16_384  # characters
MOST_SUBJECTS = 50
_CLOCK_SKEW = 30  # seconds that an assertion may have been made in the future


@dataclass(frozen=True)
class PeerGrant:
    """What a token is for."""

    client_id: str
    matter: str
    case_number: str
    max_subjects: int
    on_behalf_of: str


class _Registry(JWSRegistry):
    """The algorithm that fits a key, without joserfc's warning about the name EdDSA (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise JoseError("algorithm not allowed")
        return self.algorithms[name]


def public_keys(value: Any) -> PublicKeys:
    """Public keys from a JWK or a JWK Set: P-256, or Ed25519. ValueError where one is neither, or is private."""
    jwks = value["keys"] if isinstance(value, dict) and "keys" in value else [value]
    if not isinstance(jwks, list) or not jwks:
        raise ValueError("a JWK or a JWK Set expected")
    return tuple(_key(jwk) for jwk in jwks)


def _key(jwk: Any) -> PublicKey:
    kind = (text_of(jwk, "kty"), text_of(jwk, "crv"))
    if isinstance(jwk, dict) and "d" in jwk:
        raise ValueError("the client's private key has no place here")
    try:
        if kind == ("EC", "P-256"):
            return ECKey.import_key(jwk)
        if kind == ("OKP", "Ed25519"):
            return OKPKey.import_key(jwk)
    except JoseError as error:
        raise ValueError(f"a JWK that cannot be read: {error}") from None
    raise ValueError("a public JWK of kty EC with P-256, or OKP with Ed25519, expected")


def load_keys(path: Path) -> PublicKeys:
    """The public keys of a file with a JWK or a JWK Set; ValueError where it is no such file."""
    return public_keys(json.loads(path.read_text(encoding="utf-8")))


class Clients:
    """The clients that a peer knows, and the assertions that they have used. `clock` gives Unix seconds."""

    def __init__(self, keys: Mapping[str, PublicKeys], matters: Collection[str], clock: Callable[[], float]) -> None:
        self._keys = keys
        self._matters = frozenset(matters)
        self._clock = clock
        self._used: dict[tuple[str, str], int] = {}

    def grant(self, form: Mapping[str, str] | None, issuer: str) -> PeerGrant | Answer:
        """What the form is granted, or why it is refused. `issuer` is whom the assertion must be meant for."""
        if form is None or "client_secret" in form:
            return refusal("invalid_request", "a form, each parameter once, one way to authenticate")
        if form.get("grant_type") != "client_credentials":
            return refusal("unsupported_grant_type", "client_credentials")
        client_id = self._client(form, issuer)
        if client_id is None:
            return refusal("invalid_client", "the assertion does not hold", 401)
        if form.get("scope") != SCOPE:
            return refusal("invalid_scope", f"scope is {SCOPE}")
        found = self._purpose(client_id, form.get("authorization_details", ""))
        return found or refusal("invalid_authorization_details", "one credit_purpose with a matter that is granted")

    def _client(self, form: Mapping[str, str], issuer: str) -> str | None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return None
        claims = self._claims(form.get("client_assertion", ""))
        if claims is None or form.get("client_id", claims["sub"]) != claims["sub"]:
            return None
        now = self._clock()
        times = all(type(claims.get(name)) in (int, float) for name in ("iat", "exp"))
        if not times or not now < claims["exp"] <= now + LONGEST_SECONDS or claims["iat"] > now + _CLOCK_SKEW:
            return None
        if claims.get("aud") not in (issuer, [issuer]) or not self._first_use(claims, now):
            return None
        return str(claims["sub"])

    def _claims(self, assertion: str) -> dict[str, Any] | None:
        """The claims of an assertion that its own client has signed; iss and sub are that client."""
        head, unverified = _part(assertion, 0), _part(assertion, 1)
        client_id, kid = text_of(unverified, "sub") or "", text_of(head, "kid")
        keys = self._keys.get(client_id, ())
        # A header without a kid may mean any of the client's keys.
        named = [key for key in keys if kid is None or key.kid in (None, kid)]
        claims = next((found for key in named if (found := _verified(assertion, key)) is not None), None)
        return claims if claims is not None and claims.get("iss") == claims.get("sub") == client_id else None

    def _first_use(self, claims: dict[str, Any], now: float) -> bool:
        jti = text_of(claims, "jti")
        if not jti or (claims["sub"], jti) in self._used:
            return False
        self._used = {used: end for used, end in self._used.items() if end > now}
        self._used[claims["sub"], jti] = claims["exp"]
        return True

    def _purpose(self, client_id: str, text: str) -> PeerGrant | None:
        details = parsed(text.encode())
        if not isinstance(details, list) or len(details) != 1 or text_of(details[0], "type") != "credit_purpose":
            return None
        [detail] = details
        matter, case, organisation = (text_of(detail, name) for name in ("matter", "case_number", "on_behalf_of"))
        most = detail.get("max_subjects", MOST_SUBJECTS)
        if not matter or matter not in self._matters or not case or not is_uscc(organisation):
            return None
        if not whole(most, 1, MOST_SUBJECTS):
            return None
        return PeerGrant(client_id, matter, case, most, organisation or "")


def _verified(assertion: str, key: PublicKey) -> dict[str, Any] | None:
    """The claims of an assertion that this key has signed."""
    fitting = "ES256" if isinstance(key, ECKey) else "EdDSA"
    try:
        return jwt.decode(assertion, key, registry=_Registry(algorithms=[fitting])).claims
    except (JoseError, ValueError, TypeError):
        return None


def _part(assertion: str, place: int) -> Any:
    """Header or claims as they are claimed, before anything is verified: to find the key to verify them with."""
    parts = assertion.split(".")
    if len(parts) != 3 or len(assertion) > LONGEST_ASSERTION:
        return None
    try:
        return parsed(base64.urlsafe_b64decode(parts[place] + "=" * (-len(parts[place]) % 4)))
    except ValueError:
        return None

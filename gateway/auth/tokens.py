"""Access tokens: JWTs by RFC 9068, issued and verified with our own keys alone (those of others: issuers.py).

In: a client with its scopes and purpose, or the text of a token. Out: the text, or an AccessToken; a token that does
not hold is Unauthenticated. What the client may do *now* is decided in authenticate.py, whether the sender holds what
the token is bound to in possession.py, not here.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.auth import jose
from gateway.auth.certificate import THUMBPRINT
from gateway.auth.clients import Client, valid_client_id
from gateway.auth.jose import JwtError
from gateway.auth.keys import KeyStore
from gateway.auth.purpose import Purpose, parse_details
from gateway.errors import BadUserInput, Unauthenticated

JOB = "tokens"
TYP = "at+jwt"
MAX_SECONDS = 900  # no token is believed for longer, whatever it says
LEEWAY = 5.0  # seconds between the clocks of our own machines, for nbf and iat; none for exp

_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token that holds says. Times are Unix seconds.

    `version` is the client's at the time of issue; `issuer` is None, and only with an external issuer it is named and
    there is no version. `jkt` and `certificate` are the thumbprints of what it is bound to (RFC 7800).
    """

    client_id: str
    version: int | None
    scopes: frozenset[str]
    purpose: Purpose | None
    expires_at: float
    token_id: str
    jkt: str | None = None
    certificate: str | None = None
    issuer: str | None = None

    @property
    def bound(self) -> bool:
        """Whether the token alone is not enough."""
        return self.jkt is not None or self.certificate is not None


class Tokens:
    """Issues and verifies. Verified ones are kept (bounded, by their whole text) until they expire."""

    def __init__(self, keys: KeyStore, *, issuer: str, audience: str, seconds: int = 300) -> None:
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"a token lives from 1 to {MAX_SECONDS} seconds")
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._kept: OrderedDict[str, AccessToken] = OrderedDict()
        self.seconds = seconds

    def issue(
        self,
        client: Client,
        scopes: frozenset[str],
        purpose: Purpose | None,
        *,
        now: float,
        confirm: Mapping[str, str] | None = None,
    ) -> str:
        """A token for `scopes`, which the caller has checked against the registration (RFC 9068 §2.2).

        `confirm` is what it is bound to: jkt, x5t#S256 (RFC 9449 §6.1, RFC 8705 §3.1).
        """
        key = self._keys.current(JOB)
        issued = int(now)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": client.id,
            "aud": self._audience,
            "client_id": client.id,
            "iat": issued,
            "nbf": issued,
            "exp": issued + self.seconds,
            "jti": secrets.token_urlsafe(16),
            "ver": client.version,
        }
        if scopes:
            claims["scope"] = " ".join(sorted(scopes))
        if purpose is not None:
            claims["authorization_details"] = purpose.as_details()
        if confirm:
            claims["cnf"] = dict(confirm)
        return jose.sign(claims, key.key, algorithm=key.algorithm, typ=TYP, kid=key.kid)

    def verify(self, text: str, *, now: float) -> AccessToken:
        """The token, if it holds at `now`. Raises Unauthenticated; OperatorError where our own keys can't be read."""
        kept = self._kept.get(text)
        if kept is not None:
            if now < kept.expires_at:
                self._kept.move_to_end(text)
                return kept
            del self._kept[text]
        try:
            token = self._read(text, now)
        except (JwtError, BadUserInput) as error:
            raise bad_token() from error
        self._kept[text] = token
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return token

    def _read(self, text: str, now: float) -> AccessToken:
        header = jose.read_header(text)
        if header.get("typ") != TYP:
            raise JwtError("not an access token")
        key = self._keys.find(JOB, header.get("kid", ""))
        if key is None or header["alg"] != key.algorithm:
            raise JwtError("no such key of ours, or not its algorithm")
        if key.retired_at is not None and now > key.retired_at + MAX_SECONDS:
            # Whatever it signed in its time has expired: a leaked key is worth nothing once it is rotated out.
            raise JwtError("the key is retired")
        claims = jose.verify(text, key.key, key.algorithm)
        if key.retired_at is not None and (jose.number(claims, "iat") or 0) > key.retired_at + LEEWAY:
            raise JwtError("signed with a key that was retired before")
        return self._check(claims, now)

    def _check(self, claims: dict[str, Any], now: float) -> AccessToken:
        if claims.get("iss") != self._issuer or not jose.audience_is(claims, (self._audience,)):
            raise JwtError("of another issuer, or for another audience")
        expires = check_times(claims, now, MAX_SECONDS)
        client_id = jose.string(claims, "client_id")
        version = claims.get("ver")
        if claims.get("sub") != client_id or not valid_client_id(client_id) or type(version) is not int:
            raise JwtError("sub, client_id and ver do not fit")
        scope, details = claims.get("scope", ""), claims.get("authorization_details")
        if not isinstance(scope, str):
            raise JwtError("scope is not a string")
        purpose = None if details is None else parse_details(details)
        jkt, certificate = confirmation(claims)
        token_id = jose.string(claims, "jti")
        return AccessToken(client_id, version, frozenset(scope.split()), purpose, expires, token_id, jkt, certificate)


def check_times(claims: Mapping[str, Any], now: float, longest: float) -> float:
    """When the token expires, if it holds at `now` and lives `longest` seconds at most. Raises JwtError."""
    expires, issued, begins = (jose.number(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise JwtError("exp and iat are required")
    if not now < expires <= issued + longest:
        raise JwtError("expired, or living too long")
    if max(issued, issued if begins is None else begins) > now + LEEWAY:
        raise JwtError("not valid yet")
    return expires


def confirmation(claims: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The thumbprints of key and certificate that `cnf` names; (None, None) without it. Raises JwtError."""
    if "cnf" not in claims:
        return None, None
    cnf = claims["cnf"]
    # A way of binding that nobody checks would be none: only these two, and at least one.
    if not isinstance(cnf, dict) or not cnf or not set(cnf) <= {"jkt", "x5t#S256"}:
        raise JwtError("bound in a way that is not supported")
    if not all(isinstance(value, str) and THUMBPRINT.fullmatch(value) for value in cnf.values()):
        raise JwtError("cnf has no thumbprint")
    return cnf.get("jkt"), cnf.get("x5t#S256")


def bad_token() -> Unauthenticated:
    """The one answer to every token that does not hold: why is nobody's business who can't make one."""
    return Unauthenticated(
        "the access token is invalid or has expired; request a new one at the token endpoint",
        "访问令牌无效或已过期，请向令牌端点重新申请",
    )

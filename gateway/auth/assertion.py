"""Client assertions: private_key_jwt (RFC 7523 §3), short-lived and used once.

In: the text of a JWT that a client signed. Out: the client's id, and its jti marked as used in PostgreSQL, or
InvalidAssertionError. What is wrong with the JWT itself is said; whether a client exists or has such a key is not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.auth import jose
from gateway.auth.clients import Client, valid_client_id
from gateway.auth.jose import JwtError, Key
from gateway.auth.sweep import Sweeper
from gateway.storage.pool import Pool

MAX_SECONDS = 300  # from iat to exp, and from now to exp
LEEWAY = 5.0  # seconds between the client's clock and ours

# Signatures over other things (access tokens, receipts, events) name their type; they are no assertions.
_TYPES = frozenset({"jwt", "client-authentication+jwt"})

_USE = """insert into auth.used_assertion (issuer, jti, expires_at) values ($1, $2, to_timestamp($3))
on conflict do nothing returning 1"""
# Kept for longer than any clock of ours may be wrong: whoever deletes too early lets an assertion in twice.
_SWEEP = "delete from auth.used_assertion where expires_at < now() - interval '15 minutes'"


class InvalidAssertionError(Exception):
    """An assertion that does not hold; the text is ASCII and fit for error_description."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion whose claims are in order; whether its signature holds is `check_signature`'s business."""

    client_id: str
    jti: str
    expires_at: float
    algorithm: str
    kid: str | None
    text: str


def read_assertion(text: str, *, audiences: Collection[str], now: float) -> Assertion:
    """The assertion, if its form and claims are as RFC 7523 §3 and we want them. Raises InvalidAssertionError."""
    try:
        header = jose.read_header(text)
        if header.get("typ", "JWT").lower() not in _TYPES:
            raise JwtError("typ is not that of a client assertion")
        claims = jose.read_unverified(text)
        issuer = jose.string(claims, "iss")
        if claims.get("sub") != issuer or not valid_client_id(issuer):
            raise JwtError("iss and sub must both be the client's id")
        if not jose.audience_is(claims, audiences):
            raise JwtError("aud must be the issuer of this authorization server, alone")
        jti = jose.string(claims, "jti")
        expires, issued, begins = (jose.number(claims, name) for name in ("exp", "iat", "nbf"))
    except JwtError as error:
        raise InvalidAssertionError(f"client_assertion: {error}") from error
    if expires is None or issued is None:
        # RFC 7523 leaves iat out; without it nobody could tell how long ago a lost assertion was made.
        raise InvalidAssertionError("client_assertion: exp and iat are required")
    if expires <= now:
        raise InvalidAssertionError("client_assertion: expired")
    if expires > now + MAX_SECONDS + LEEWAY or expires - issued > MAX_SECONDS:
        raise InvalidAssertionError(f"client_assertion: lives longer than {MAX_SECONDS} seconds")
    if any(time_ is not None and time_ > now + LEEWAY for time_ in (issued, begins)):
        raise InvalidAssertionError("client_assertion: not valid yet")
    return Assertion(issuer, jti, expires, header["alg"], header.get("kid"), text)


def check_signature(assertion: Assertion, client: Client) -> bool:
    """Whether one of the client's registered keys made the signature; kid, where given, chooses among those alone."""
    key = _choose(assertion, client)
    if key is None:
        return False
    try:
        jose.verify(assertion.text, key, assertion.algorithm)
    except JwtError:
        return False
    return True


def _choose(assertion: Assertion, client: Client) -> Key | None:
    fitting = [
        key
        for kid, key in client.keys
        if assertion.algorithm in jose.algorithms_of(key) and (assertion.kid is None or kid == assertion.kid)
    ]
    return fitting[0] if len(fitting) == 1 else None


class UsedAssertions:
    """The jti of assertions, each used once by whichever process comes first."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sweeper = Sweeper(pool, _SWEEP, "used assertions")

    async def use(self, assertion: Assertion) -> bool:
        """Mark as used; False if it was already. Raises StorageUnavailable, and then nobody is let in."""
        first = await self._pool.fetch(_USE, (assertion.client_id, assertion.jti, assertion.expires_at))
        await self._sweeper.sweep()
        return bool(first)

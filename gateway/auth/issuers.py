"""External issuers: access tokens of other authorization servers, verified with the keys that these publish (JWKS).

In: the text of a token whose `iss` names an issuer of the settings. Out: an AccessToken of that issuer, or
Unauthenticated. Each issuer has a key set of its own: a key of one never verifies a token of another. Which clients
come with whose tokens is said by their registrations (authenticate.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from gateway.auth import jose
from gateway.auth.clients import SCOPES, valid_client_id
from gateway.auth.jose import PRIVATE_MEMBERS, JwtError, Key
from gateway.auth.purpose import TYPE, Purpose, parse_details
from gateway.auth.tokens import JOB, AccessToken, bad_token, check_times, confirmation
from gateway.errors import BadUserInput
from gateway.settings import TrustedIssuer

FRESH_SECONDS = 300.0  # then the keys are fetched again, behind the requests
STALE_SECONDS = 3_600.0  # for so long they are believed while the issuer does not answer
UNKNOWN_SECONDS = 60.0  # an unknown kid makes us look again, but not more often than this
_FAILED_SECONDS = 10.0  # between tries while it does not answer
_TIMEOUT = aiohttp.ClientTimeout(total=3, connect=1)
_MAX_BYTES = 65_536
_MAX_KEYS = 50
_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 §4; an ID token is none

logger = logging.getLogger(__name__)


class _Fetched:
    """The keys of one issuer, by kid."""

    def __init__(self, uri: str, session: Callable[[], aiohttp.ClientSession], clock: Callable[[], float]) -> None:
        self._uri = uri
        self._session = session
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> Key | None:
        """The key, None where the issuer has none of that kid, or has not answered for too long."""
        age = self._clock() - self._fetched_at
        if age > STALE_SECONDS:
            self._keys = {}
        found = self._keys.get(kid)
        tried = self._clock() - self._tried_at
        if found is None:
            if self._fetching is not None or tried > (UNKNOWN_SECONDS if age <= FRESH_SECONDS else _FAILED_SECONDS):
                await asyncio.shield(self._fetch())
            return self._keys.get(kid)
        if age > FRESH_SECONDS and tried > _FAILED_SECONDS:
            self._fetch()
        return found

    def _fetch(self) -> asyncio.Task[None]:
        """Fetch, one at a time."""
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._try())
        return self._fetching

    async def _try(self) -> None:
        try:
            started = self._clock()
            self._keys = _usable(await self._get())
            self._fetched_at = started
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            logger.warning("keys of %s could not be fetched: %s", self._uri, type(error).__name__)
        finally:
            self._fetching = None

    async def _get(self) -> Any:
        # A redirect would let whoever sends it say whose keys they are; compressed bodies can grow without end.
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        async with self._session().get(self._uri, allow_redirects=False, headers=headers) as response:
            if response.status != 200 or response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("not an answer with keys")
            body = b""
            async for chunk in response.content.iter_chunked(8_192):
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("too long for keys")
        return json.loads(body)

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


def _usable(jwks: Any) -> dict[str, Key]:
    """Public keys for signatures by kid; one that is private, of another use, or shares its kid is no key."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise ValueError("not a JWKS")
    named = [data for data in keys if isinstance(data, dict) and isinstance(data.get("kid"), str)]
    times = Counter(data["kid"] for data in named)
    found = {}
    for data in named:
        if data.get("job", JOB) != JOB:
            continue  # another gateway's for receipts or checkpoints
        if times[data["kid"]] > 1 or data.get("use", "sig") != "sig" or PRIVATE_MEMBERS & set(data):
            continue
        try:
            found[data["kid"]] = jose.import_key(data)
        except JwtError:
            continue
    return found


class ExternalIssuers:
    """The issuers of the settings. Keys are fetched when the first token asks for them."""

    def __init__(self, trusted: Sequence[TrustedIssuer], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._trusted = {issuer.issuer: issuer for issuer in trusted}
        self._open: aiohttp.ClientSession | None = None
        self._keys = {issuer.issuer: _Fetched(issuer.jwks_uri, self._session, clock) for issuer in trusted}

    def of(self, text: str) -> str | None:
        """The external issuer that the token says it is from; None for ours, and for what is no token."""
        if not self._trusted:
            return None
        try:
            jose.read_header(text)
            issuer = jose.read_unverified(text).get("iss")
        except JwtError:
            return None
        return issuer if isinstance(issuer, str) and issuer in self._trusted else None

    async def verify(self, issuer: str, text: str, *, now: float) -> AccessToken:
        """The token, if this issuer made it, for us, and it holds at `now`. Raises Unauthenticated."""
        try:
            header = jose.read_header(text)
            if header.get("typ", "").lower() not in _TYPES:
                raise JwtError("not an access token")
            key = await self._keys[issuer].find(header.get("kid", ""))
            if key is None or header["alg"] not in jose.algorithms_of(key):
                raise JwtError("no such key of this issuer, or not its algorithm")
            return _token(self._trusted[issuer], jose.verify(text, key, header["alg"]), now)
        except (JwtError, BadUserInput) as error:
            raise bad_token() from error

    async def close(self) -> None:
        """Let go of connections."""
        for keys in self._keys.values():
            await keys.close()
        if self._open is not None:
            await self._open.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            self._open = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False)
        return self._open


def _token(issuer: TrustedIssuer, claims: dict[str, Any], now: float) -> AccessToken:
    if claims.get("iss") != issuer.issuer or not jose.audience_is(claims, (issuer.audience,)):
        raise JwtError("of another issuer, or for another audience")
    expires = check_times(claims, now, issuer.max_seconds)
    client_id, scope = jose.string(claims, issuer.client_claim), claims.get("scope", "")
    if not valid_client_id(client_id) or not isinstance(scope, str):
        raise JwtError("the client or the scope can't be read")
    jkt, certificate = confirmation(claims)
    # Scopes of other services mean nothing here; ours are held against the registration like those of our own tokens.
    scopes = frozenset(scope.split()) & frozenset(SCOPES)
    token_id = jose.string(claims, "jti")
    purpose = _purpose(claims.get("authorization_details"))
    return AccessToken(client_id, None, scopes, purpose, expires, token_id, jkt, certificate, issuer.issuer)


def _purpose(details: Any) -> Purpose | None:
    """The purpose among authorization_details that may be for others too (RFC 9396 §2)."""
    if details is None:
        return None
    if not isinstance(details, list):
        raise JwtError("authorization_details is not an array")
    ours = [detail for detail in details if isinstance(detail, dict) and detail.get("type") == TYPE]
    return parse_details(ours) if ours else None

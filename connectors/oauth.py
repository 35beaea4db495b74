"""OAuth 2.0 towards upstreams: client authentication schemes as objects, and access tokens that calls share.

In: a client's credentials, the token endpoint, parameters for a token. Out: bearer tokens (RFC 6750) that hold, or
UpstreamError. No secret, key or token ever shows in a repr, an error or a URL. Called by the connectors alone.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote_plus, urlencode

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from connectors.base import FailureKind
from connectors.http import HttpClient, Reply, UpstreamError, fail, read_object, retry_after, status_failure
from connectors.shared import Shared, unix_ms
from connectors.values import count, string

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
SigningKey = ECKey | OKPKey

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_KEPT: Final = 1_000

_MAX_LIFETIME: Final = 300  # s
_EXPECTED: Final = frozenset({200, 400, 401, 403})
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*")  # RFC 6750 §2.1: nothing that could end a header
_ERRORS: Final = {  # RFC 6749 §5.2, RFC 9396 §5
    "invalid_client": FailureKind.CREDENTIALS,
    "invalid_grant": FailureKind.CREDENTIALS,
    "unauthorized_client": FailureKind.FORBIDDEN,
    "access_denied": FailureKind.FORBIDDEN,
    "invalid_scope": FailureKind.FORBIDDEN,
    "invalid_authorization_details": FailureKind.FORBIDDEN,
    "invalid_request": FailureKind.REJECTED,
    "unsupported_grant_type": FailureKind.REJECTED,
}


class ClientAuthentication(Protocol):
    """How a client says who it is at a token endpoint."""

    def authenticate(self, now: datetime) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Headers and form parameters of one request for a token. `now` is aware; what is made serves once."""
        ...


@dataclass(frozen=True, slots=True)
class ClientSecretBasic:
    """client_secret_basic (RFC 6749 §2.3.1): id and secret, form-encoded each, in the Authorization header."""

    client_id: str
    secret: str = field(repr=False)

    def authenticate(self, now: datetime) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """See `ClientAuthentication`."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}, {}


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """private_key_jwt (RFC 7523 §2.2): an assertion signed by the client's own key, ES256 (P-256) or EdDSA (Ed25519).

    `audience` is the issuer of the authorization server; `lifetime` in s, at most 300. Where the key has a kid, it goes
    into the header. Raises ValueError for another kind of key, one without its private part, or another lifetime.
    """

    client_id: str
    audience: str
    key: SigningKey = field(repr=False, compare=False)
    lifetime: int = 60
    new_id: Callable[[], str] = field(default=_new_id, repr=False, compare=False)

    def __post_init__(self) -> None:
        _algorithm(self.key)
        if not self.key.is_private:
            raise ValueError("the key has no private part")
        if not 1 <= self.lifetime <= _MAX_LIFETIME:
            raise ValueError(f"an assertion lives 1 to {_MAX_LIFETIME} seconds")

    def authenticate(self, now: datetime) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """See `ClientAuthentication`."""
        return {}, {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(now)}

    def assertion(self, now: datetime) -> str:
        """A fresh assertion: compact JWS (RFC 7515) over iss, sub, aud, jti, iat and exp."""
        issued = int(now.timestamp())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.audience, "jti": self.new_id()}
        payload = json.dumps({**claims, "iat": issued, "exp": issued + self.lifetime}, separators=(",", ":"))
        algorithm = _algorithm(self.key)
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": self.key.kid} if self.key.kid else {})
        return jws.serialize_compact(header, payload.encode(), self.key, registry=_Registry(algorithms=[algorithm]))


class _Registry(jws.JWSRegistry):
    """Without joserfc's warning about the name EdDSA (RFC 9864): the contract of peers names it so (RFC 8037)."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def read_signing_key(text: str, kid: str | None = None) -> SigningKey:
    """A private key from PEM (PKCS #8) or from a JWK (RFC 7517) as JSON: EC on P-256, or Ed25519. `kid` names it.

    Raises ValueError, whose text has nothing of the key.
    """
    kinds: dict[Any, type[ECKey] | type[OKPKey]] = {"EC": ECKey, "OKP": OKPKey}
    named: Any = {} if kid is None else {"kid": kid}
    key: SigningKey | None = None
    if text.lstrip().startswith("-----BEGIN"):
        for kind in kinds.values():
            with suppress(JoseError, ValueError, TypeError, AttributeError):
                key = kind.import_key(text, named)
                break
    else:
        with suppress(JoseError, ValueError, TypeError, KeyError, RecursionError):
            jwk = {**json.loads(text), **named}
            if jwk.get("alg") == "Ed25519":  # RFC 9864 names the curve in alg; the signature is the same
                jwk["alg"] = "EdDSA"
            key = kinds[jwk["kty"]].import_key(jwk)
    if key is None or not key.is_private:
        raise ValueError("the signing key can't be read: PEM (PKCS #8) or a JWK, EC on P-256 or Ed25519, private")
    _algorithm(key)
    return key


def _algorithm(key: SigningKey) -> str:
    """The algorithm that goes with a key. Raises ValueError for one of another curve."""
    fitting = {"P-256": "ES256", "Ed25519": "EdDSA"}.get(key.curve_name)
    if fitting is None or key.alg not in (None, fitting):
        raise ValueError("a signing key is EC on P-256 (ES256) or Ed25519 (EdDSA)")
    return fitting


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A bearer token (RFC 6750)."""

    value: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header of a call under this token."""
        return {"Authorization": f"Bearer {self.value}"}


class Tokens(Generic[K]):
    """Access tokens by client credentials (RFC 6749 §4.4), one for each key, shared by all calls for that key.

    `parameters(key)` adds to the form (scope, authorization_details). At most `max_kept` keys, the least used go first.
    `url` is the token endpoint; `budget` in s bounds one request for a token.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        authentication: ClientAuthentication,
        *,
        clock: Callable[[], datetime],
        budget: float,
        parameters: Callable[[K], Mapping[str, str]] = lambda key: {},
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._http = http
        self._url = url
        self._authentication = authentication
        self._clock = clock
        self._budget = budget
        self._parameters = parameters
        self._max_kept = max_kept
        self._kept: OrderedDict[K, Shared[Token]] = OrderedDict()

    async def call(self, key: K, deadline: float, send: Callable[[Token], Awaitable[R]]) -> R:
        """What `send` gives under a token of `key`, by `deadline` (loop time, s). Raises UpstreamError.

        Where `send` raises it with CREDENTIALS, the token was refused: `send` is called once more under a new one.
        """
        shared = self._shared(key)
        token = await shared.current(deadline, stale=None)
        try:
            return await send(token)
        except UpstreamError as error:
            if error.failure.kind is not FailureKind.CREDENTIALS:
                raise
        token = await shared.current(deadline, stale=token)
        try:
            return await send(token)
        except UpstreamError as error:
            if error.failure.kind is FailureKind.CREDENTIALS:
                shared.drop(token)
            raise

    async def close(self) -> None:
        """Cancel fetches under way."""
        for shared in list(self._kept.values()):
            await shared.close()

    def _shared(self, key: K) -> Shared[Token]:
        shared = self._kept.get(key)
        if shared is None:
            shared = self._kept[key] = Shared(lambda end: self._fetch(key, end), self._clock, self._budget, "token")
            if len(self._kept) > self._max_kept:  # one that is being fetched stays, so that close() finds it
                idle = (old for old, kept in self._kept.items() if kept is not shared and not kept.busy)
                if (gone := next(idle, None)) is not None:
                    del self._kept[gone]
        self._kept.move_to_end(key)
        return shared

    async def _fetch(self, key: K, deadline: float) -> tuple[Token, int]:
        """A fresh token and when it ends (Unix ms), counted from before it was asked for."""
        now = self._clock()
        headers, form = self._authentication.authenticate(now)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        parameters = self._parameters(key)
        body = urlencode({"grant_type": "client_credentials", **parameters, **form}).encode("ascii")
        reply = await self._http.send(
            "POST", self._url, deadline=deadline, headers=headers, body=body, expect=_EXPECTED
        )
        if reply.status != 200:
            raise _refusal(reply, now)
        answer = read_object(reply.json(), "token answer")
        token, seconds = string(answer, "access_token"), count(answer, "expires_in")
        if not _TOKEN.fullmatch(token):
            fail(FailureKind.MALFORMED, "access_token is not a bearer token")
        if string(answer, "token_type").lower() != "bearer":  # case-insensitive: RFC 6749 §5.1
            fail(FailureKind.MALFORMED, "token_type is not Bearer")
        if not set(parameters.get("scope", "").split()) <= _scope(answer, parameters):
            fail(FailureKind.FORBIDDEN, "the token has a lesser scope than was asked for")
        return Token(token), unix_ms(now) + seconds * 1000


def _scope(answer: Mapping[str, object], parameters: Mapping[str, str]) -> set[str]:
    """What a token is good for: as asked for, where the answer doesn't say otherwise (RFC 6749 §5.1)."""
    return set((parameters.get("scope", "") if "scope" not in answer else string(answer, "scope")).split())


def _refusal(reply: Reply, now: datetime) -> UpstreamError:
    """Why there is no token: the error that the body names, else what the status says."""
    failure = status_failure(reply.status, retry_after(reply.headers, now))
    try:
        named = read_object(reply.json(), "token refusal").get("error")
    except UpstreamError:
        named = None
    if isinstance(named, str) and named in _ERRORS:
        failure = type(failure)(_ERRORS[named], failure.retry_after, f"token: {named}")
    return UpstreamError(failure)

"""The embedded authorization server: the token endpoint for client credentials (RFC 6749 §4.4), metadata and keys.

In: the parts of an HTTP request to the token endpoint. Out: status, headers and JSON (RFC 6749 §5), never an exception
for what a client sent. web/oauth.py puts it on routes. Why it stands on its own feet and not on authlib's core is in
docs/decisions/0004-token-endpoint.md.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from gateway.auth import jose
from gateway.auth.assertion import InvalidAssertionError, UsedAssertions, check_signature, read_assertion
from gateway.auth.authenticate import granted
from gateway.auth.clients import SCOPES, SUBJECT_SELF, Client, ClientStore
from gateway.auth.keys import KeyStore
from gateway.auth.purpose import TYPE, Purpose, parse_details
from gateway.auth.tokens import JOB, Tokens
from gateway.errors import BadUserInput, MatterNotGranted, StorageUnavailable

MAX_BODY = 65_536  # bytes
_MAX_PARAMETERS = 32

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_NO_STORE = (("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache"))
_BASIC_CHALLENGE = ("www-authenticate", 'Basic realm="credit-gateway", charset="UTF-8"')


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """An answer of the token endpoint; its body may hold a token, so it has no repr."""

    status: int
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = _NO_STORE


class _OAuthError(Exception):
    """RFC 6749 §5.2: `code` and an ASCII description."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status


class AuthorizationServer:
    """Issues access tokens to clients, which authenticate by private_key_jwt or, for development, by a secret."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: ClientStore,
        tokens: Tokens,
        keys: KeyStore,
        assertions: UsedAssertions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._base = issuer.rstrip("/")
        self._audiences = frozenset({issuer, self._base, f"{self._base}/oauth/token"})
        self._clients = clients
        self._tokens = tokens
        self._keys = keys
        self._assertions = assertions
        self._clock = clock

    async def token(
        self, *, content_type: str | None, authorization: Sequence[str], body: bytes, now: float | None = None
    ) -> TokenResponse:
        """Answer a POST to the token endpoint. `authorization` has every Authorization header that was sent."""
        now = self._clock() if now is None else now
        try:
            form = _form(content_type, body)
            client = await self._authenticate(form, authorization, now)
            return self._issue(client, form, now)
        except _OAuthError as error:
            challenge = (_BASIC_CHALLENGE,) if error.status == 401 and authorization else ()
            return _answer(error.status, {"error": error.code, "error_description": error.description}, challenge)
        except StorageUnavailable:
            return _answer(503, {"error": "temporarily_unavailable", "error_description": "try again later"})

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys of access tokens (RFC 7517), retired ones included."""
        self._keys.current(JOB)  # made now if need be: published before it first signs
        return self._keys.public(JOB)

    def metadata(self) -> dict[str, Any]:
        """Authorization server metadata (RFC 8414 §2, RFC 9396 §10)."""
        return {
            "issuer": self._issuer,
            "token_endpoint": f"{self._base}/oauth/token",
            "jwks_uri": f"{self._base}/oauth/jwks",
            "scopes_supported": list(SCOPES),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
            "token_endpoint_auth_signing_alg_values_supported": list(jose.ALGORITHMS),
            "authorization_details_types_supported": [TYPE],
        }

    async def _authenticate(self, form: Mapping[str, str], authorization: Sequence[str], now: float) -> Client:
        """The client, by exactly one method (RFC 6749 §2.3: never more than one a request)."""
        by_assertion = "client_assertion" in form or "client_assertion_type" in form
        methods = len(authorization) + ("client_secret" in form) + by_assertion
        if methods > 1:
            raise _OAuthError("invalid_request", "more than one client authentication method in one request")
        if by_assertion:
            return await self._by_assertion(form, now)
        if authorization:
            client_id, secret = _basic(authorization[0])
            if form.get("client_id", client_id) != client_id:
                raise _OAuthError("invalid_request", "client_id differs from the authenticated client")
            return await self._by_secret(client_id, secret)
        if "client_secret" in form and "client_id" in form:
            return await self._by_secret(form["client_id"], form["client_secret"])
        raise _OAuthError("invalid_client", "client authentication is required", 401)

    async def _by_secret(self, client_id: str, secret: str) -> Client:
        """The one place where secrets are guessed, and where guessing is to be throttled."""
        client = await self._clients.get(client_id)
        if client is None or not client.secret_matches(secret) or client.disabled:
            raise _failed()
        return client

    async def _by_assertion(self, form: Mapping[str, str], now: float) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
            raise _OAuthError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
        try:
            assertion = read_assertion(form["client_assertion"], audiences=self._audiences, now=now)
        except InvalidAssertionError as error:
            raise _OAuthError("invalid_client", str(error), 401) from error
        if form.get("client_id", assertion.client_id) != assertion.client_id:
            raise _OAuthError("invalid_request", "client_id differs from the authenticated client")
        client = await self._clients.get(assertion.client_id)
        if client is None or client.disabled or not check_signature(assertion, client):
            raise _failed()
        # Last, so that nobody without the key can use up a jti of somebody else's.
        if not await self._assertions.use(assertion):
            raise _OAuthError("invalid_client", "client_assertion: jti was used before", 401)
        return client

    def _issue(self, client: Client, form: Mapping[str, str], now: float) -> TokenResponse:
        if form.get("grant_type") is None:
            raise _OAuthError("invalid_request", "grant_type is required")
        if form["grant_type"] != "client_credentials":
            raise _OAuthError("unsupported_grant_type", "only client_credentials is supported")
        scopes = _scopes(client, form.get("scope", ""))
        purpose = _purpose(client, scopes, form.get("authorization_details"))
        answer: dict[str, Any] = {
            "access_token": self._tokens.issue(client, scopes, purpose, now=now),
            "token_type": "Bearer",
            "expires_in": self._tokens.seconds,
        }
        if scopes:
            answer["scope"] = " ".join(sorted(scopes))
        if purpose is not None:
            answer["authorization_details"] = purpose.as_details()
        return _answer(200, answer)


def _form(content_type: str | None, body: bytes) -> dict[str, str]:
    """The parameters, each once (RFC 6749 §3.2); those without a value count as absent (§3.1)."""
    if (content_type or "").partition(";")[0].strip().lower() != _FORM:
        raise _OAuthError("invalid_request", f"the body must be {_FORM}")
    if len(body) > MAX_BODY:
        raise _OAuthError("invalid_request", "the body is too large", 413)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError as error:
        raise _OAuthError("invalid_request", "the body can't be read") from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise _OAuthError("invalid_request", "a parameter occurs more than once")
    return {name: value for name, value in pairs if value}


def _basic(header: str) -> tuple[str, str]:
    """Id and secret out of HTTP Basic, each form-encoded first (RFC 6749 §2.3.1)."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        raise _OAuthError("invalid_client", "the Authorization header must be Basic here", 401)
    try:
        client_id, colon, secret = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        # Without the cause: its text may quote the secret.
        raise _OAuthError("invalid_client", "the Authorization header can't be read", 401) from None


def _scopes(client: Client, text: str) -> frozenset[str]:
    scopes = frozenset(text.split(" ")) - {""}
    if not scopes <= client.scopes or not scopes <= set(SCOPES):
        raise _OAuthError("invalid_scope", "the client is not registered for a scope that it asks for")
    if SUBJECT_SELF in scopes and len(scopes) > 1:
        raise _OAuthError("invalid_scope", "subject:self stands alone")
    return scopes


def _purpose(client: Client, scopes: frozenset[str], text: str | None) -> Purpose | None:
    if text is None:
        return None
    try:
        purpose = parse_details(json.loads(text))
        granted(client, purpose, own=SUBJECT_SELF in scopes)
    except (BadUserInput, MatterNotGranted) as error:
        raise _OAuthError("invalid_authorization_details", error.en) from error
    except (ValueError, RecursionError) as error:
        raise _OAuthError("invalid_authorization_details", "authorization_details is not JSON") from error
    return purpose


def _failed() -> _OAuthError:
    # The same for an unknown client, a disabled one, a wrong key and a wrong secret.
    return _OAuthError("invalid_client", "client authentication failed", 401)


def _answer(status: int, content: Mapping[str, Any], more: tuple[tuple[str, str], ...] = ()) -> TokenResponse:
    return TokenResponse(status, json.dumps(content, ensure_ascii=False).encode(), (*_NO_STORE, *more))

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
from gateway.auth.certificate import Certificate, InvalidCertificateError, parse_header
from gateway.auth.clients import DPOP, MTLS, SCOPES, SUBJECT_SELF, Client, ClientStore
from gateway.auth.dpop import InvalidProofError, Proof, UsedProofs, comparable, read_proof
from gateway.auth.guesses import Guesses
from gateway.auth.keys import JOBS, KeyStore
from gateway.auth.possession import bound_enough
from gateway.auth.purpose import TYPE, Purpose, parse_details
from gateway.auth.tokens import Tokens
from gateway.errors import BadUserInput, MatterNotGranted, StorageUnavailable

MAX_BODY = 65_536  # bytes
_MAX_PARAMETERS = 32

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_NO_STORE = (("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache"))
_BASIC_CHALLENGE = ("www-authenticate", 'Basic realm="credit-gateway", charset="UTF-8"')


@dataclass(frozen=True, slots=True)
class Caller:
    """What a token request shows beside its body: each Authorization and DPoP header, the address that it came from,
    and the Client-Cert header of a trusted proxy (RFC 9440)."""

    authorization: Sequence[str] = field(default=(), repr=False)
    proofs: Sequence[str] = ()
    certificate: str | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """An answer of the token endpoint; its body may hold a token, so it has no repr."""

    status: int
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = _NO_STORE


class _OAuthError(Exception):
    """RFC 6749 §5.2: `code` and an ASCII description."""

    def __init__(self, code: str, description: str, status: int = 400, *, wait: int = 0) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.wait = wait  # seconds, for Retry-After


class AuthorizationServer:
    """Issues access tokens to clients, which authenticate by private_key_jwt, by a registered certificate (RFC 8705
    §2.2) or, for development, by a secret. `mutual_tls`: there are proxies whose Client-Cert header is believed.
    `bound_only`: no token leaves that is bound to nothing."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: ClientStore,
        tokens: Tokens,
        keys: KeyStore,
        assertions: UsedAssertions,
        proofs: UsedProofs,
        guesses: Guesses,
        mutual_tls: bool = False,
        bound_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._base = issuer.rstrip("/")
        self._audiences = frozenset({issuer})  # the endpoint's own URL names us to no client
        self._url = comparable(f"{self._base}/oauth/token")
        self._clients = clients
        self._tokens = tokens
        self._keys = keys
        self._assertions = assertions
        self._proofs = proofs
        self._guesses = guesses
        self._mutual_tls = mutual_tls
        self._bound_only = bound_only
        self._clock = clock

    async def token(
        self, *, content_type: str | None, body: bytes, caller: Caller, now: float | None = None
    ) -> TokenResponse:
        """Answer a POST to the token endpoint."""
        now = self._clock() if now is None else now
        try:
            form = _form(content_type, body)
            certificate = None if caller.certificate is None else _certificate(caller.certificate)
            proof = self._proof(caller, now)
            client = await self._authenticate(form, caller, certificate, now)
            # Last, so that nobody who is nobody's client can fill the table.
            if proof is not None and not await self._proofs.use(proof):
                raise _OAuthError("invalid_dpop_proof", "DPoP: jti was used before; make a proof for each request")
            return self._issue(client, form, self._confirmation(client, proof, certificate), now)
        except _OAuthError as error:
            more = [_BASIC_CHALLENGE] if error.status == 401 and caller.authorization else []
            more += [("retry-after", str(error.wait))] if error.wait else []
            return _answer(error.status, {"error": error.code, "error_description": error.description}, (*more,))
        except StorageUnavailable:
            return _answer(503, {"error": "temporarily_unavailable", "error_description": "try again later"})

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys of access tokens, receipts and checkpoints (RFC 7517), retired ones included: what they
        signed can be verified as long as anybody has it. `job` says what a key signs, and it signs nothing else."""
        found: list[dict[str, Any]] = []
        for job in JOBS:
            self._keys.current(job)  # made now if need be: published before it first signs
            found += [{**key, "job": job} for key in self._keys.public(job)["keys"]]
        return {"keys": found}

    def metadata(self) -> dict[str, Any]:
        """Authorization server metadata (RFC 8414 §2, RFC 9396 §10, RFC 9449 §5.1, RFC 8705 §3.3)."""
        methods = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
        return {
            "issuer": self._issuer,
            "token_endpoint": f"{self._base}/oauth/token",
            "jwks_uri": f"{self._base}/oauth/jwks",
            "scopes_supported": list(SCOPES),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": methods + ["self_signed_tls_client_auth"] * self._mutual_tls,
            "token_endpoint_auth_signing_alg_values_supported": list(jose.ALGORITHMS),
            "authorization_details_types_supported": [TYPE],
            "dpop_signing_alg_values_supported": list(jose.PROOF_ALGORITHMS),
            "tls_client_certificate_bound_access_tokens": self._mutual_tls,
        }

    def _proof(self, caller: Caller, now: float) -> Proof | None:
        if not caller.proofs:
            return None
        try:
            return read_proof(caller.proofs, method="POST", url=self._url, now=now)
        except InvalidProofError as error:
            raise _OAuthError("invalid_dpop_proof", str(error)) from error

    async def _authenticate(
        self, form: Mapping[str, str], caller: Caller, certificate: Certificate | None, now: float
    ) -> Client:
        """The client, by exactly one method (RFC 6749 §2.3: never more than one a request)."""
        by_assertion = "client_assertion" in form or "client_assertion_type" in form
        methods = len(caller.authorization) + ("client_secret" in form) + by_assertion
        if methods > 1:
            raise _OAuthError("invalid_request", "more than one client authentication method in one request")
        if by_assertion:
            return await self._by_assertion(form, now)
        if caller.authorization:
            client_id, secret = _basic(caller.authorization[0])
            if form.get("client_id", client_id) != client_id:
                raise _OAuthError("invalid_request", "client_id differs from the authenticated client")
            return await self._by_secret(client_id, secret, caller.address)
        if "client_secret" in form and "client_id" in form:
            return await self._by_secret(form["client_id"], form["client_secret"], caller.address)
        if certificate is not None and "client_id" in form:
            return await self._by_certificate(form["client_id"], certificate, now)
        raise _OAuthError("invalid_client", "client authentication is required", 401)

    async def _by_secret(self, client_id: str, secret: str, address: str) -> Client:
        """The one place where secrets are guessed, and where guessing is throttled, for unknown clients too."""
        client = await self._clients.get(client_id)
        if client is None or not client.secret_matches(secret) or client.disabled:
            wait = await self._guesses.wrong(client_id, address)
            client = None
        else:
            wait = await self._guesses.right(client_id, address)
        if wait:
            # The same for a right secret as for a wrong one, which then has told nothing.
            raise _OAuthError("invalid_client", "too many wrong secrets; try again later", 429, wait=wait)
        if client is None:
            raise _failed()
        return client

    async def _by_certificate(self, client_id: str, certificate: Certificate, now: float) -> Client:
        """self_signed_tls_client_auth: the certificate itself is registered, whoever signed it."""
        client = await self._clients.get(client_id)
        if client is None or client.disabled or certificate.thumbprint not in client.certificates:
            raise _failed()
        if not certificate.valid_at(now):
            raise _OAuthError("invalid_client", "the certificate is not valid now; register another", 401)
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

    def _confirmation(self, client: Client, proof: Proof | None, certificate: Certificate | None) -> dict[str, str]:
        """What the token is bound to. Raises where that is less than the registration or the operator wants."""
        confirm = {} if proof is None else {"jkt": proof.jkt}
        if certificate is not None and (client.certificates or client.bound == MTLS):
            confirm["x5t#S256"] = certificate.thumbprint
        if bound_enough(client, self._bound_only, dpop="jkt" in confirm, mtls="x5t#S256" in confirm):
            return confirm
        if client.bound == DPOP:
            raise _OAuthError("invalid_dpop_proof", "this client's tokens are bound to a key: send a DPoP proof")
        if client.bound == MTLS:
            raise _OAuthError("invalid_request", "this client's tokens are bound to its certificate: use mutual TLS")
        raise _OAuthError("invalid_dpop_proof", "tokens are bound to a key or a certificate here: send a DPoP proof")

    def _issue(self, client: Client, form: Mapping[str, str], confirm: Mapping[str, str], now: float) -> TokenResponse:
        if form.get("grant_type") is None:
            raise _OAuthError("invalid_request", "grant_type is required")
        if form["grant_type"] != "client_credentials":
            raise _OAuthError("unsupported_grant_type", "only client_credentials is supported")
        scopes = _scopes(client, form.get("scope", ""))
        purpose = _purpose(client, scopes, form.get("authorization_details"))
        answer: dict[str, Any] = {
            "access_token": self._tokens.issue(client, scopes, purpose, now=now, confirm=confirm),
            "token_type": "DPoP" if "jkt" in confirm else "Bearer",
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


def _certificate(header: str) -> Certificate:
    try:
        return parse_header(header)
    except InvalidCertificateError as error:
        raise _OAuthError("invalid_request", str(error)) from error


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

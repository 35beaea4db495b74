"""Registering a client: everything that must be true of a registration before it is written.

In: what an operator typed. Out: the row for ClientStore.add, and the secret where one was made, which nobody can read
again. Raises OperatorError that says what to change.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.auth.certificate import THUMBPRINT
from gateway.auth.clients import DPOP, MTLS, SCOPES, SUBJECT_SELF, ClientStore, valid_client_id
from gateway.auth.documents import ANY, REGISTERED
from gateway.auth.jose import PRIVATE_MEMBERS, JwtError, import_key
from gateway.auth.purpose import SELF_MATTER
from gateway.errors import OperatorError
from gateway.limits import checked
from gateway.storage.identifiers import valid_uscc

# The enum SubjectKind of the contract; a test holds it against the reference data.
SUBJECT_KINDS = frozenset(
    {
        "ORGAN",
        "PUBLIC_INSTITUTION",
        "MASS_ORGANISATION",
        "TOWNSHIP",
        "PARK_COMMITTEE",
        "VILLAGE_COMMITTEE",
        "RESIDENTS_COMMITTEE",
        "ENTERPRISE",
        "INDIVIDUAL_BUSINESS",
        "COOPERATIVE",
        "SOCIAL_ORGANISATION",
        "CIVIL_SERVANT",
        "NATURAL_PERSON",
        "OTHER",
    }
)

_LIST = re.compile(r"[\w.-]{1,80}")
_MAX_KEYS = 10  # certificates, too


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as an operator wants it.

    Exactly one of `jwks` (public keys, RFC 7517), `certificates` (thumbprints, x5t#S256), `token_issuer` (its tokens
    come from this external issuer) and `secret` must be given. `bound` is DPOP or MTLS where its tokens must be so.
    `documents` says what it may send, ANY text or REGISTERED documents alone; `limits` are its own (gateway/limits.py).
    """

    id: str
    name: str
    organisation_uscc: str
    scopes: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()
    subject_uscc: str | None = None
    regions: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    list: str | None = None
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    secret: bool = False
    certificates: tuple[str, ...] | None = None
    token_issuer: str | None = None
    bound: str | None = None
    documents: str = ANY
    limits: Mapping[str, int] | None = None


async def register(store: ClientStore, wanted: Registration) -> str | None:
    """Check and write the registration; returns the secret where one was asked for, once and never again.

    Raises OperatorError, and StorageUnavailable.
    """
    _check_identity(wanted)
    _check_scopes(wanted)
    _check_narrowing(wanted)
    _check_authentication(wanted)
    limits = None if not wanted.limits else check_limits(wanted.limits)
    if wanted.documents not in (ANY, REGISTERED):
        raise OperatorError(f"what a client may send is {ANY} or {REGISTERED}")
    jwks = None if wanted.jwks is None else check_jwks(wanted.jwks)
    matters, regions, known = await store.unknown(wanted.matters, wanted.regions or ())
    if matters:
        raise OperatorError(f"no such matter in force: {matters}; there are {known}")
    if regions:
        raise OperatorError(f"no such region: {regions}; give codes of divisions that were imported")
    secret = secrets.token_urlsafe(32) if wanted.secret else None
    await store.add(
        {
            "id": wanted.id,
            "name": wanted.name.strip(),
            "organisation_uscc": wanted.organisation_uscc,
            "scopes": wanted.scopes,
            "matters": wanted.matters,
            "subject_uscc": wanted.subject_uscc,
            "regions": wanted.regions,
            "kinds": wanted.kinds,
            "list": wanted.list,
            "jwks": jwks,
            "secret_hash": None if secret is None else hashlib.sha256(secret.encode()).hexdigest(),
            "certificates": wanted.certificates,
            "token_issuer": wanted.token_issuer,
            "bound": wanted.bound,
            "documents": wanted.documents,
            "limits": limits,
        }
    )
    return secret


def check_limits(given: Mapping[str, int]) -> dict[str, int]:
    """A client's own limits. Raises OperatorError."""
    try:
        return checked(given)
    except ValueError as error:
        raise OperatorError(str(error)) from None


def check_jwks(jwks: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The public keys of a JWKS, fit for private_key_jwt: EC P-256, Ed25519 or RSA of 2048 bits and more.

    Raises OperatorError; private key material is refused, so that nobody sends it a second time.
    """
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not keys:
        raise OperatorError('a JWKS is an object with an array "keys" that has at least one key (RFC 7517)')
    if len(keys) > _MAX_KEYS:
        raise OperatorError(f"a client may have {_MAX_KEYS} keys at most")
    kids: set[str] = set()
    checked: list[dict[str, Any]] = []
    for data in keys:
        if not isinstance(data, Mapping):
            raise OperatorError("each key must be an object (JWK)")
        if PRIVATE_MEMBERS & set(data):
            raise OperatorError("the JWKS has private key material; register public keys alone and replace this key")
        if data.get("use", "sig") != "sig":
            raise OperatorError('a key for signatures has use "sig" or none')
        kid = data.get("kid")
        if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 200 and kid.isprintable()):
            raise OperatorError("a kid is printable text of at most 200 characters")
        try:
            key = import_key(data)
        except JwtError as error:
            raise OperatorError(f"JWKS: {error}") from error
        kid = kid or key.thumbprint()  # RFC 7638: what a client sends that was never told a kid
        if kid in kids:
            raise OperatorError("a kid occurs twice in the JWKS")
        kids.add(kid)
        checked.append({**data, "kid": kid})
    return {"keys": checked}


def check_certificates(thumbprints: tuple[str, ...]) -> tuple[str, ...]:
    """The thumbprints of certificates (RFC 8705 §3.1), from 1 to 10, each once. Raises OperatorError."""
    if not 0 < len(thumbprints) <= _MAX_KEYS or len(set(thumbprints)) != len(thumbprints):
        raise OperatorError(f"a client may have 1 to {_MAX_KEYS} certificates, each once")
    if not all(THUMBPRINT.fullmatch(thumbprint) for thumbprint in thumbprints):
        raise OperatorError("a thumbprint is base64url of SHA-256: 43 characters")
    return thumbprints


def _check_identity(wanted: Registration) -> None:
    if not valid_client_id(wanted.id):
        raise OperatorError("a client id has 1 to 80 of the characters A-Z a-z 0-9 . _ -")
    if not 0 < len(wanted.name.strip()) <= 200 or not wanted.name.isprintable():
        raise OperatorError("a client needs a name of at most 200 printable characters")
    if not valid_uscc(wanted.organisation_uscc):
        raise OperatorError("the organisation must be a unified social credit code with a right check digit")


def _check_authentication(wanted: Registration) -> None:
    given = (wanted.jwks, wanted.certificates, wanted.token_issuer)
    if sum(way is not None for way in given) + wanted.secret != 1:
        raise OperatorError(
            "a client authenticates by keys, by certificates, by a secret, or at an external issuer: give exactly one"
        )
    if wanted.certificates is not None:
        check_certificates(wanted.certificates)
    if wanted.bound not in (None, DPOP, MTLS):
        raise OperatorError(f"tokens are bound by {DPOP} or {MTLS}")


def _check_scopes(wanted: Registration) -> None:
    unknown = [scope for scope in wanted.scopes if scope not in SCOPES]
    if unknown:
        raise OperatorError(f"no such scope: {', '.join(unknown)}; scopes are {', '.join(SCOPES)}")
    own = SUBJECT_SELF in wanted.scopes
    if own != (wanted.subject_uscc is not None):
        raise OperatorError(f"the scope {SUBJECT_SELF} and the subject's code go together: give both or neither")
    if own:
        if wanted.scopes != (SUBJECT_SELF,) or set(wanted.matters) != {SELF_MATTER}:
            raise OperatorError(f"a subject's own account has the scope {SUBJECT_SELF} and the matter SELF alone")
        if not valid_uscc(wanted.subject_uscc or ""):
            raise OperatorError("the subject must be a unified social credit code with a right check digit")
        return
    # SELF shows what was repaired and revoked, to the subject itself: in a view it would show everybody's.
    if SELF_MATTER in wanted.matters:
        raise OperatorError("the matter SELF is for a subject's own account alone")
    if wanted.scopes and not wanted.matters:
        raise OperatorError("a client with a view above the public one needs at least one matter")
    if len(set(wanted.matters)) != len(wanted.matters) or len(set(wanted.scopes)) != len(wanted.scopes):
        raise OperatorError("a scope or a matter is named twice")


def _check_narrowing(wanted: Registration) -> None:
    if wanted.subject_uscc is not None and (wanted.regions, wanted.kinds, wanted.list) != (None, None, None):
        raise OperatorError("a subject's own account can't be narrowed")
    if () in (wanted.regions, wanted.kinds):
        raise OperatorError("a narrowing to nothing; leave it out, or disable the client")
    unknown = sorted(set(wanted.kinds or ()) - SUBJECT_KINDS)
    if unknown:
        raise OperatorError(f"no such kind of subject: {', '.join(unknown)}")
    if wanted.list is not None and not _LIST.fullmatch(wanted.list):
        raise OperatorError("a list's name has 1 to 80 letters, digits, dots, underscores and hyphens")

"""Signed JWTs, read strictly: a short list of algorithms, three header members, and keys of our own choosing.

In: compact JWS text. Out: header and claims, or JwtError, whose text says what is wrong and never repeats the input.
tokens.py and issuers.py read access tokens with it, assertion.py the assertions of clients, dpop.py the proofs of
possession. RFC 7515, RFC 7519, RFC 8725.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter, HeaderRegistryDict

ALGORITHMS: tuple[str, ...] = ("ES256", "EdDSA", "PS256", "RS256")
# Of proofs of possession. No RSA: whoever sends a proof chooses its key, and with it what the check of it costs.
PROOF_ALGORITHMS: tuple[str, ...] = ("ES256", "EdDSA")
PROOF_TYP = "dpop+jwt"
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # of a JWK (RFC 7518 §6)
Key = ECKey | OKPKey | RSAKey

MAX_LENGTH = 16_384  # characters of a token or an assertion; ours have about 700

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MIN_RSA_BITS = 2048
_PUBLIC_MEMBERS = {
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
}  # what a thumbprint is made of (RFC 7638)


class JwtError(Exception):
    """A JWT that does not hold, or a key that can't be used. The text is ours alone: fit for a client, ASCII."""


def _string(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError("must be a string")


class _Registry(JWSRegistry):
    """Knows alg, kid and typ; any other header member is refused: jwk, jku, x5u and x5c bring keys, crit and b64 change
    what is signed. Algorithms come from our list alone, without joserfc's warning about the name EdDSA (RFC 9864),
    which is what clients still send."""

    default_header_registry: ClassVar[HeaderRegistryDict] = {  # type: ignore[misc]
        "alg": HeaderParameter("Algorithm", _string, True),
        "kid": HeaderParameter("Key ID", _string),
        "typ": HeaderParameter("Type", _string),
    }

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise JwtError("algorithm not allowed")
        return self.algorithms[name]


def _object_value(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError("must be an object")


class _ProofRegistry(_Registry):
    """Knows alg, typ and jwk: for proofs of possession, and for nothing else."""

    default_header_registry: ClassVar[HeaderRegistryDict] = {  # type: ignore[misc]
        "alg": HeaderParameter("Algorithm", _string, True),
        "typ": HeaderParameter("Type", _string, True),
        "jwk": HeaderParameter("JSON Web Key", _object_value, True),
    }


MOST_SIGNED = 4 * 1024 * 1024  # characters of what sign_bytes makes: a receipt about a thousand subjects


class _LongRegistry(_Registry):
    """The same for what is long: receipts."""

    max_payload_length = MOST_SIGNED


_REGISTRIES = {name: _Registry(algorithms=(name,)) for name in ALGORITHMS}
_LONG_REGISTRIES = {name: _LongRegistry(algorithms=(name,)) for name in ALGORITHMS}
_PROOF_REGISTRIES = {name: _ProofRegistry(algorithms=(name,)) for name in PROOF_ALGORITHMS}


def algorithms_of(key: Key) -> tuple[str, ...]:
    """The algorithms that a key may be used with. Raises JwtError for a key that is too weak or of another curve."""
    fitting: tuple[str, ...]
    if isinstance(key, ECKey):
        if key.curve_name != "P-256":
            raise JwtError("an EC key must be on the curve P-256")
        fitting = ("ES256",)
    elif isinstance(key, OKPKey):
        if key.curve_name != "Ed25519":
            raise JwtError("an OKP key must be on the curve Ed25519")
        fitting = ("EdDSA",)
    else:
        if key.public_key.key_size < _MIN_RSA_BITS:
            raise JwtError(f"an RSA key must have at least {_MIN_RSA_BITS} bits")
        fitting = ("PS256", "RS256")
    named = key.alg
    if named is None:
        return fitting
    if named not in fitting:
        raise JwtError("the key's alg does not fit its type")
    return (named,)


def import_key(data: Mapping[str, Any]) -> Key:
    """A key out of a JWK (RFC 7517). Raises JwtError."""
    kinds: dict[Any, type[ECKey] | type[OKPKey] | type[RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
    kty = data.get("kty")
    kind = kinds.get(kty) if isinstance(kty, str) else None
    if kind is None:
        raise JwtError("a key must be EC (P-256), OKP (Ed25519) or RSA")
    # RFC 9864 names the curve in alg; the signature is the same, and joserfc compares the names as text.
    renamed = {"alg": "EdDSA"} if data.get("alg") == "Ed25519" else {}
    try:
        key: Key = kind.import_key({**data, **renamed})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        # Without the cause's text: it may quote key material.
        raise JwtError("a key can't be read as a JWK") from error
    algorithms_of(key)
    return key


def read_header(text: str) -> dict[str, Any]:
    """The header of compact JWS text, checked for its form only. Raises JwtError."""
    if len(text) > MAX_LENGTH or not _COMPACT.fullmatch(text):
        raise JwtError("not a compact JWS")
    try:
        header = jws.extract_compact(text.encode("ascii"), registry=_REGISTRIES["ES256"]).headers()
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JwtError("not a compact JWS") from error
    if not isinstance(header, dict) or not set(header) <= {"alg", "kid", "typ"}:
        raise JwtError("a header member is not allowed; alg, kid and typ are")
    if not all(isinstance(value, str) for value in header.values()):
        raise JwtError("a header member is not a string")
    if header.get("alg") not in ALGORITHMS:
        raise JwtError("algorithm not allowed")
    return header


def read_unverified(text: str) -> dict[str, Any]:
    """The claims before the signature is checked: only to find out whose keys to ask. Raises JwtError."""
    try:
        payload = jws.extract_compact(text.encode("ascii"), registry=_REGISTRIES["ES256"]).payload
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JwtError("not a compact JWS") from error
    return _claims(payload)


def verify(text: str, key: Key, algorithm: str) -> dict[str, Any]:
    """The claims of `text` if `key` signed it with `algorithm`. Raises JwtError."""
    return _claims(_payload(text, key, algorithm, _REGISTRIES))


def verify_bytes(text: str, key: Key, algorithm: str) -> bytes:
    """The payload of `text`, which may be long, if `key` signed it with `algorithm`. Raises JwtError."""
    return _payload(text, key, algorithm, _LONG_REGISTRIES)


def _payload(text: str, key: Key, algorithm: str, registries: Mapping[str, JWSRegistry]) -> bytes:
    if algorithm not in algorithms_of(key):
        raise JwtError("algorithm not allowed for this key")
    try:
        signed = jws.deserialize_compact(text.encode("ascii"), key, registry=registries[algorithm])
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JwtError("signature does not hold") from error
    return signed.payload or b""


def read_proof(text: str) -> tuple[dict[str, Any], Key]:
    """Claims and key of a proof of possession (RFC 9449 §4.2), which the key in its own header signed.

    The one place where a key out of a header is used. It says only that the sender holds this key: whose it is, and
    what it may, says the thumbprint in a token that we trust. Raises JwtError.
    """
    if len(text) > MAX_LENGTH or not _COMPACT.fullmatch(text):
        raise JwtError("not a compact JWS")
    raw = text.encode("ascii")
    try:
        header = jws.extract_compact(raw, registry=_PROOF_REGISTRIES["ES256"]).headers()
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JwtError("not a compact JWS") from error
    if not isinstance(header, dict) or set(header) != {"alg", "typ", "jwk"}:
        raise JwtError("the header of a proof has alg, typ and jwk, and no other member")
    if header["typ"] != PROOF_TYP:
        raise JwtError(f"typ is not {PROOF_TYP}")
    if not isinstance(header["alg"], str) or header["alg"] not in PROOF_ALGORITHMS:
        raise JwtError("algorithm not allowed")
    key = _proof_key(header["jwk"])
    if header["alg"] not in algorithms_of(key):
        raise JwtError("algorithm not allowed for this key")
    try:
        signed = jws.deserialize_compact(raw, key, registry=_PROOF_REGISTRIES[header["alg"]])
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JwtError("signature does not hold") from error
    return _claims(signed.payload), key


def sign_proof(claims: Mapping[str, Any], key: Key) -> str:
    """A proof of possession with `key`, which must have its private part and be EC or OKP."""
    algorithm = algorithms_of(key)[0]
    public = key.as_dict(private=False)
    jwk = {name: public[name] for name in _PUBLIC_MEMBERS[str(public["kty"])]}
    header = {"alg": algorithm, "typ": PROOF_TYP, "jwk": jwk}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, key, registry=_PROOF_REGISTRIES[algorithm])


def _proof_key(jwk: Any) -> Key:
    if not isinstance(jwk, dict):
        raise JwtError("jwk is not an object")
    if PRIVATE_MEMBERS & set(jwk):
        raise JwtError("jwk has private key material; replace this key")
    members = _PUBLIC_MEMBERS.get(jwk["kty"]) if isinstance(jwk.get("kty"), str) else None
    if members is None or not all(isinstance(jwk.get(name), str) for name in members):
        raise JwtError("jwk must be an EC key on P-256 or an OKP key on Ed25519")
    return _imported(tuple((name, jwk[name]) for name in members))


@lru_cache(maxsize=1_024)
def _imported(members: tuple[tuple[str, str], ...]) -> Key:
    # A client proves with the same key again and again; reading it is a fifth of what a proof costs.
    return import_key(dict(members))


def sign(claims: Mapping[str, Any], key: Key, *, algorithm: str, typ: str, kid: str | None) -> str:
    """Compact JWS over the claims; the key must have its private part."""
    header = {"alg": algorithm, "typ": typ} | ({"kid": kid} if kid is not None else {})
    payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, key, registry=_REGISTRIES[algorithm])


def sign_bytes(payload: bytes, key: Key, *, algorithm: str, typ: str, kid: str) -> str:
    """Compact JWS over bytes that stay as they are; its header is canonical JSON (RFC 8785)."""
    header = {"alg": algorithm, "kid": kid, "typ": typ}
    return jws.serialize_compact(header, payload, key, registry=_LONG_REGISTRIES[algorithm])


def number(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate claim, None where absent. Raises JwtError for anything but a finite number."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e15 < value < 1e15:
        raise JwtError(f"claim {name} is not a NumericDate")
    if not math.isfinite(value):
        raise JwtError(f"claim {name} is not a NumericDate")
    return float(value)


def string(claims: Mapping[str, Any], name: str, *, longest: int = 200) -> str:
    """A claim that must be printable text, neither empty nor over `longest` characters. Raises JwtError."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise JwtError(f"claim {name} is missing or not a short string")
    return value


def audience_is(claims: Mapping[str, Any], allowed: Collection[str]) -> bool:
    """Whether aud is one of `allowed`, alone: a string or an array of one (RFC 7519 §4.1.3, narrowed)."""
    audience = claims.get("aud")
    if isinstance(audience, list):
        if len(audience) != 1:
            return False
        audience = audience[0]
    return isinstance(audience, str) and audience in allowed


def _claims(payload: bytes | None) -> dict[str, Any]:
    try:
        claims = json.loads(payload or b"", object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise JwtError("the payload is not a JSON object") from error
    if not isinstance(claims, dict):
        raise JwtError("the payload is not a JSON object")
    return claims


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519 §4 lets a reader refuse claims that occur twice; two readers could each believe another one.
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member occurs twice")
    return made

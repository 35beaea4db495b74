"""Proofs of possession (DPoP, RFC 9449): one for each request, made for it, and used once.

In: the text of a DPoP header, the request's method and URL, and the access token that it goes with. Out: a Proof with
the thumbprint of its key, and its jti marked as used in PostgreSQL, or InvalidProofError. There is no nonce: decision
0013.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.auth import jose
from gateway.auth.jose import JwtError
from gateway.auth.sweep import Sweeper
from gateway.storage.pool import Pool

SECONDS = 60.0  # how old a proof may be
LEEWAY = 5.0  # seconds that the client's clock may be ahead of ours
_MAX_LENGTH = 4_096  # characters; a proof has about 500

_USE = """insert into auth.used_proof (hash, expires_at) values ($1, to_timestamp($2))
on conflict do nothing returning 1"""
# Kept for longer than any clock of ours may be wrong: whoever deletes too early lets a proof in twice.
_SWEEP = "delete from auth.used_proof where expires_at < now() - interval '5 minutes'"
_URL = re.compile(r"[!-~]+")  # RFC 3986 knows nothing else
_PORTS = {"http": 80, "https": 443}


class InvalidProofError(Exception):
    """A proof that does not hold; the text is ASCII and fit for error_description."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds for its request. `jkt` is its key's thumbprint (RFC 7638); times are Unix seconds."""

    jkt: str
    jti: str
    expires_at: float


def token_hash(token: str) -> str:
    """The `ath` of an access token (RFC 9449 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def comparable(url: str) -> str:
    """A URL without query and fragment, spelt in one way (RFC 3986 §6.2.2, §6.2.3). Raises ValueError."""
    if not _URL.fullmatch(url):
        raise ValueError("not a URL")
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        raise ValueError("not the URL of a request")
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path or '/'}"


def read_proof(headers: Sequence[str], *, method: str, url: str, now: float, token: str | None = None) -> Proof:
    """The proof in the request's DPoP headers, if it was made for this request (RFC 9449 §4.3), and for `token`.

    `url` is comparable(…) of ours. Raises InvalidProofError.
    """
    if len(headers) != 1:
        raise InvalidProofError("exactly one DPoP header is needed")
    if len(headers[0]) > _MAX_LENGTH:
        raise InvalidProofError("DPoP: the proof is too long")
    try:
        claims, key = jose.read_proof(headers[0])
        jti, htm, htu = jose.string(claims, "jti"), claims.get("htm"), jose.string(claims, "htu", longest=2_000)
        issued, expires, begins = (jose.number(claims, name) for name in ("iat", "exp", "nbf"))
        said = comparable(htu)
    except (JwtError, ValueError) as error:
        reason = str(error) if isinstance(error, JwtError) else "htu is not the URL of a request"
        raise InvalidProofError(f"DPoP: {reason}") from error
    if htm != method:
        raise InvalidProofError("DPoP: htm is another method than this request's")
    if said != url:
        raise InvalidProofError("DPoP: htu is another URL than this request's")
    if issued is None or not now - SECONDS <= issued <= now + LEEWAY:
        raise InvalidProofError(f"DPoP: iat must lie in the last {SECONDS:.0f} seconds")
    if (expires is not None and expires <= now) or (begins is not None and begins > now + LEEWAY):
        raise InvalidProofError("DPoP: expired, or not valid yet")
    if token is not None:
        _check_ath(claims.get("ath"), token)
    return Proof(key.thumbprint(), jti, issued + SECONDS)


def _check_ath(ath: object, token: str) -> None:
    # JSON's escapes can be half of a pair, which no UTF-8 has.
    said = ath.encode(errors="surrogatepass") if isinstance(ath, str) else b""
    if not hmac.compare_digest(said, token_hash(token).encode()):
        raise InvalidProofError("DPoP: ath is not the hash of this access token")


class UsedProofs:
    """The jti of proofs, each used once by whichever process comes first."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sweeper = Sweeper(pool, _SWEEP, "used proofs", seconds=10.0)

    async def use(self, proof: Proof) -> bool:
        """Mark as used; False if it was already. Raises StorageUnavailable, and then nobody is let in."""
        name = hashlib.sha256(f"{proof.jkt} {proof.jti}".encode()).hexdigest()
        first = await self._pool.fetch(_USE, (name, proof.expires_at))
        await self._sweeper.sweep()
        return bool(first)

"""Signing schemes of the upstreams, as objects: in go the facts of one call, out come its headers.

Keys are text whose UTF-8 bytes are used; none ever shows in a repr or an exception. Called by the connectors alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

_AES_KEY_BYTES: Final = 16
_NONCE_CAP: Final = 64
_DIGESTS: Final = {"SM3": hashes.SM3, "SHA256": hashes.SHA256}


@dataclass(frozen=True, slots=True)
class ExchangeSigner:
    """Signed headers of the national exchange platform (UPSTREAMS §1): HMAC-SHA256 over sid + rid + rtime.

    `key` is the app key for the refresh of the secret and the secret for every other call.
    """

    requester_id: str
    key: str = field(repr=False)

    def sign(self, service_id: str, time_ms: int) -> str:
        """Base64 (RFC 4648 §4) of the HMAC (RFC 2104) over the three texts joined without a separator."""
        message = f"{service_id}{self.requester_id}{time_ms}".encode()
        return base64.b64encode(hmac.digest(self.key.encode(), message, hashlib.sha256)).decode("ascii")

    def headers(self, service_id: str, time_ms: int) -> dict[str, str]:
        """The four headers of one call; `time_ms` is Unix time in ms and may be at most 5 minutes off."""
        return {
            "gjgxjhpt_rid": self.requester_id,
            "gjgxjhpt_sid": service_id,
            "gjgxjhpt_rtime": str(time_ms),
            "gjgxjhpt_sign": self.sign(service_id, time_ms),
        }


@dataclass(frozen=True, slots=True)
class AppKeySigner:
    """Signed headers of a provincial platform (UPSTREAMS §3): HMAC over app key, time, nonce and the body's digest.

    `algorithm` serves both for the HMAC (RFC 2104) and for the digest: SM3 (GB/T 32905) or SHA256.
    """

    app_key: str
    secret: str = field(repr=False)
    algorithm: Literal["SM3", "SHA256"] = "SM3"

    def __post_init__(self) -> None:
        if self.algorithm not in _DIGESTS:
            raise ValueError("the algorithm is neither SM3 nor SHA256")

    def sign(self, body: bytes, time_ms: int, nonce: str) -> str:
        """The signature in lower-case hex; `body` is the bytes sent, empty for GET."""
        made = _DIGESTS[self.algorithm]
        digest = hashes.Hash(made())
        digest.update(body)
        signature = HMAC(self.secret.encode(), made())
        signature.update(f"{self.app_key}{time_ms}{nonce}{digest.finalize().hex()}".encode())
        return signature.finalize().hex()

    def headers(self, body: bytes, time_ms: int, nonce: str) -> dict[str, str]:
        """The four headers of one call. `time_ms` is Unix time in ms and may be at most 5 minutes off; `nonce` has
        1 to 64 characters and serves once: a repeated call is signed anew. Raises ValueError for another length."""
        if not 1 <= len(nonce) <= _NONCE_CAP:
            raise ValueError(f"a nonce has 1 to {_NONCE_CAP} characters")
        return {
            "X-App-Key": self.app_key,
            "X-Request-Time": str(time_ms),
            "X-Nonce": nonce,
            "X-Sign": self.sign(body, time_ms, nonce),
        }


def decrypt_secret(app_key: str, encrypted: str) -> str:
    """The secret's text out of Base64(AES-128-ECB, PKCS7) under the first 16 bytes of the app key.

    Raises ValueError, its text naming neither key nor content, where `encrypted` isn't that or the secret is empty.
    """
    cipher = _secret_cipher(app_key)
    try:
        decryptor = cipher.decryptor()
        padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        unpadder = PKCS7(algorithms.AES.block_size).unpadder()
        secret = (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, binascii.Error):
        secret = ""
    if not secret:  # raised outside the handler: a UnicodeDecodeError in __context__ would carry the secret's bytes
        raise ValueError("the encrypted secret can't be read")
    return secret


def check_app_key(app_key: str) -> None:
    """Raise ValueError where the app key is too short to hold an AES-128 key."""
    _secret_cipher(app_key)


def _secret_cipher(app_key: str) -> Cipher[modes.ECB]:
    key = app_key.encode()[:_AES_KEY_BYTES]
    if len(key) < _AES_KEY_BYTES:
        raise ValueError(f"the app key is shorter than {_AES_KEY_BYTES} bytes")
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  the platform fixes the mode

"""Signing schemes of the upstreams, as objects: in go the facts of one call, out come its headers.

Keys are text whose UTF-8 bytes are used; none ever shows in a repr or an exception. Called by the connectors alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_AES_KEY_BYTES: Final = 16


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

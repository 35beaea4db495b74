"""Identity numbers of natural persons: encrypted, found by a blind index, shown masked.

In: a resident identity number (GB 11643) and the subject's id. Out: what core.person_identity keeps. AES-256-GCM under
a data key of the subject, which is itself wrapped by a key from the secrets files; the blind index is an HMAC-SHA-256
under another key, since 10^10 numbers are tried out in hours wherever the key lies beside the data. Neither key is in
the database or its backups.
"""

from __future__ import annotations

import base64
import hmac
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import StorageError
from gateway.storage.secrets import SecretFiles

_NONCE = 12  # bytes; random, one data key encrypts one number
_KEY_ID = "identity-1"


def masked_identity(number: str) -> str:
    """The only readable form of an identity number: the first four and the last four characters."""
    return number[:4] + "*" * (len(number) - 8) + number[-4:]


@dataclass(frozen=True, slots=True)
class Sealed:
    """One row of core.person_identity without its subject."""

    masked: str
    blind_index: bytes
    ciphertext: bytes
    wrapped_key: bytes
    key_id: str


@dataclass(frozen=True)
class IdentityKeys:
    """The two keys, 32 bytes each: one wraps data keys, the other makes blind indices. Never printed."""

    wrapping: bytes = field(repr=False)
    index: bytes = field(repr=False)
    key_id: str = _KEY_ID

    def blind_index(self, number: str) -> bytes:
        """What an identity number is found by: HMAC-SHA-256, 32 bytes. The number in its normal form (X upper case)."""
        return hmac.digest(self.index, b"resident-id\x00" + number.encode(), "sha256")

    def blind_name(self, folded: str, numbers: Sequence[str]) -> bytes:
        """What an account keeps of the name that was asked with these numbers. Bound to them, so that names alone can't
        be tried out, and equal names of different persons don't read alike."""
        return hmac.digest(
            self.index, "\x00".join(("person-name", *numbers, folded)).encode("utf-8", "replace"), "sha256"
        )

    def seal(self, number: str, subject: uuid.UUID) -> Sealed:
        """Encrypt the number for this subject under a fresh data key."""
        data_key, nonce, wrap_nonce = os.urandom(32), os.urandom(_NONCE), os.urandom(_NONCE)
        ciphertext = nonce + AESGCM(data_key).encrypt(nonce, number.encode(), _bound(b"number", subject))
        wrapped = wrap_nonce + AESGCM(self.wrapping).encrypt(wrap_nonce, data_key, _bound(b"key", subject))
        return Sealed(masked_identity(number), self.blind_index(number), ciphertext, wrapped, self.key_id)

    def reveal(self, ciphertext: bytes, wrapped_key: bytes, subject: uuid.UUID) -> str:
        """The number again; StorageError where key, subject and ciphertext don't belong together."""
        try:
            data_key = AESGCM(self.wrapping).decrypt(
                wrapped_key[:_NONCE], wrapped_key[_NONCE:], _bound(b"key", subject)
            )
            plain = AESGCM(data_key).decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], _bound(b"number", subject))
        except InvalidTag:
            raise StorageError(
                "an identity number cannot be decrypted: another key, or a row that was changed"
            ) from None
        return plain.decode()


def _bound(what: bytes, subject: uuid.UUID) -> bytes:
    # Ties a ciphertext to its subject, so that rows can't be swapped in the database.
    return what + b"\x00" + subject.bytes


def identity_keys(secrets: SecretFiles) -> IdentityKeys:
    """The keys of this installation, made on first use. Raises SecretFileError (secrets.py)."""
    return IdentityKeys(_key(secrets.secret("identity-wrapping-1")), _key(secrets.secret("identity-index-1")), _KEY_ID)


def _key(text: str) -> bytes:
    made = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(made) != 32:
        raise StorageError("a key of the secrets files does not have 32 bytes; restore it from a backup")
    return made

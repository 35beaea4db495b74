"""Signed notes, checkpoints and cosignatures: C2SP signed-note, tlog-checkpoint and tlog-cosignature, with Ed25519.

In: texts and keys. Out: notes with their signature lines, and what of a note holds. A verifier key is
`<name>+<key id, hex>+<base64 of type and public key>`. Notes come from strangers: what is read is bounded, and nothing
of a text counts before one known signature over it has been verified.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = 0x01  # over the text of the note
COSIGNATURE: Final = 0x04  # cosignature/v1: over a time and a checkpoint
MOST_BYTES: Final = 64 * 1024  # of a note
MOST_SIGNATURES: Final = 64  # the standard wants 16 at least to be taken
MOST_SIZE: Final = 2**63 - 1  # of a log

_LINE: Final = "\u2014 "  # em dash and space
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """A note, a checkpoint or a key that can't be read, or does not hold. The text is ours and repeats no input."""


class UnknownKey(NoteError):
    """A note has no signature of a key that is known, and so says nothing of whose it is."""


class WrongSignature(NoteError):
    """A note has a signature that names a known key, and which that key has not made of this text."""


def check_name(name: str) -> str:
    """The name of a key, which is a log's origin too. Raises NoteError: one with spaces, plus signs or controls."""
    if not name or len(name) > 255 or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise NoteError("a key's name must be 1 to 255 characters without spaces and plus signs")
    return name


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes by which a signature names its key."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: the name of a key, its id, and what the key has made."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, newline included."""
        return f"{_LINE}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True)
class Verifier:
    """A public key with its name, for one kind of signature (ED25519, COSIGNATURE)."""

    name: str
    kind: int
    public: bytes

    @cached_property
    def key_id(self) -> bytes:
        """Its id in signature lines."""
        return key_id(self.name, self.kind, self.public)

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    def __str__(self) -> str:
        key = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def made(self, signature: Signature) -> bool:
        """Whether a line claims to be this key's."""
        return signature.name == self.name and signature.key_id == self.key_id

    def holds(self, text: str, signature: Signature) -> bool:
        """Whether the key has signed this text of a note."""
        value, message = signature.value, text.encode()
        if self.kind == COSIGNATURE:
            if len(value) != 72 or (when := int.from_bytes(value[:8], "big")) > MOST_SIZE:
                return False
            value, message = value[8:], _cosigned(text, when)
        try:
            self._key.verify(value, message)
        except InvalidSignature:
            return False
        return True


def verifier(text: str) -> Verifier:
    """A verifier key out of its text. Raises NoteError."""
    name, _, rest = text.strip().partition("+")
    given, _, encoded = rest.partition("+")
    found = _unbase64(encoded)
    check_name(name)
    if found is None or len(found) != 33 or found[0] not in (ED25519, COSIGNATURE):
        raise NoteError("a verifier key must be <name>+<id>+<base64>, of Ed25519 or a cosignature with it")
    made = Verifier(name, found[0], found[1:])
    if given != made.key_id.hex():
        raise NoteError("the id of the verifier key is not that of its name and key")
    return made


@dataclass(frozen=True)
class Signer:
    """A private key with its name, for one kind of signature."""

    name: str
    kind: int
    key: Ed25519PrivateKey

    @cached_property
    def verifier(self) -> Verifier:
        """Its public half."""
        return Verifier(self.name, self.kind, self.key.public_key().public_bytes_raw())

    def sign(self, text: str, when: int = 0) -> Signature:
        """Sign the text of a note; a cosignature says that it was so at `when` (Unix, s)."""
        if self.kind == COSIGNATURE:
            value = when.to_bytes(8, "big") + self.key.sign(_cosigned(text, when))
        else:
            value = self.key.sign(text.encode())
        return Signature(self.name, self.verifier.key_id, value)


def _cosigned(text: str, when: int) -> bytes:
    return f"cosignature/v1\ntime {when}\n{text}".encode()


def cosigned_at(signature: Signature) -> int:
    """The time (Unix, s) of a cosignature that holds."""
    return int.from_bytes(signature.value[:8], "big")


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and its signatures: nothing of it has been verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)

    def held_by(self, keys: Iterable[Verifier]) -> list[Signature]:
        """The signatures of these keys, all verified. Raises WrongSignature where one of theirs does not hold, and
        UnknownKey where none is there; others are passed over, as the standard wants it."""
        found = []
        for key in keys:
            for signature in self.signatures:
                if key.made(signature):
                    if not key.holds(self.text, signature):
                        raise WrongSignature("a signature of a known key does not hold")
                    found.append(signature)
        if not found:
            raise UnknownKey(
                "no signature of a known key; keys are changed: /log/verifiers there has all, newest first. Have the"
                " new one confirmed by the operator, and give each with --key VKEY"
            )
        return found


def read_note(data: bytes) -> Note:
    """A note out of its bytes. Raises NoteError."""
    if len(data) > MOST_BYTES:
        raise NoteError("the note is too long")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise NoteError("the note is not UTF-8") from None
    if any(c < " " and c != "\n" for c in text):
        raise NoteError("the note has control characters")
    body, separator, lines = text.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteError("the note has no signatures")
    signatures = signature_lines(lines)
    return Note(body + "\n", signatures)


def signature_lines(text: str) -> tuple[Signature, ...]:
    """Signature lines, one at least, each with its newline. Raises NoteError."""
    lines = text.split("\n")[:-1]
    if not text.endswith("\n") or not 0 < len(lines) <= MOST_SIGNATURES:
        raise NoteError(f"there must be 1 to {MOST_SIGNATURES} signature lines")
    return tuple(_signature(line) for line in lines)


def _signature(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(_LINE).partition(" ")
    found = _unbase64(encoded)
    if not line.startswith(_LINE) or not separator or found is None or len(found) < 5:
        raise NoteError("a signature line must be: em dash, name, base64 of the key's id and the signature")
    check_name(name)
    return Signature(name, found[:4], found[4:])


def _unbase64(text: str) -> bytes | None:
    """The bytes of canonical base64 (RFC 4648 §4), else None."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found).decode() == text else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree: its origin, how many entries, and their root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text of its note, without extension lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, signers: Sequence[Signer]) -> Note:
        """The note, signed by each."""
        text = self.text
        return Note(text, tuple(signer.sign(text) for signer in signers))


def checkpoint_of(text: str) -> Checkpoint:
    """The checkpoint in the text of a note, whose signatures the caller verifies. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteError("a checkpoint must have lines of origin, size and root, and none that is empty")
    root = _unbase64(lines[2])
    if _SIZE.fullmatch(lines[1]) is None or int(lines[1]) > MOST_SIZE or root is None or len(root) != 32:
        raise NoteError("a checkpoint must have a decimal size and the base64 of a root of 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)

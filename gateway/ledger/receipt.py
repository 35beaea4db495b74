"""Receipts: what a signed one says, how it is written, read and verified. No I/O (docs/ledger.md, Receipts).

In: what was disclosed and the key to sign with; or texts and public keys, from anywhere. Out: a compact JWS (EdDSA,
`typ` credit-receipt+jws) whose payload is canonical JSON (RFC 8785); or what it says, or Unproven with the step that
failed, NotLookedAt where it did not come to that. Whatever is read may have been made by somebody who wants us to
believe it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.auth import jose
from gateway.auth.jose import JwtError, Key
from gateway.auth.keys import SigningKey
from gateway.ledger.head import CHECKPOINTS
from gateway.ledger.merkle import ProofError, leaf_hash, verify_inclusion
from gateway.ledger.notes import ED25519, Checkpoint, NoteError, Verifier, WrongSignature, checkpoint_of, read_note

JOB: Final = "receipts"
TYP: Final = "credit-receipt+jws"
ALGORITHM: Final = "EdDSA"
PROMISE: Final = 2  # seconds after which a receipt's entry is in the log
MOST: Final = jose.MOST_SIGNED  # characters of a receipt; one about a thousand subjects has some hundred thousand
MOST_PROOF: Final = 256 * 1024  # bytes of a proof; one has some thousand
STATUSES: Final = ("VALID", "SUPERSEDED", "UNDER_OBJECTION", "NOT_KEPT")  # of a proof: said, not signed
_MOST_PATH: Final = 64
_MOST_SAID: Final = 200  # characters of a refusal that are repeated
LEEWAY: Final = 300  # seconds between the clocks of who signs and who verifies
_HEADER: Final = {"alg", "kid", "typ"}
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID: Final = re.compile(rf"{_UUID.pattern}|[A-Za-z0-9_-]{{54}}")  # of a disclosure, or of one subject's entry
_CLAIMS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "iss": str,
    "iat": int,
    "disclosure": str,
    "entry": str,
    "request": str,
    "view": str,
    "subjects": list,
    "purpose": dict,
    "sources": dict,
    "fields": dict,
    "withheld": dict,
    "verdicts": list,
    "policy": (dict, type(None)),
    "log": dict,
}


class Unproven(Exception):
    """What was to be verified does not hold. `step`: where; the text is ours, but for what a refusal says."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step


class NotLookedAt(Unproven):
    """Whether it holds is open: it can't be read, or its key is not known."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose signature and form hold."""

    claims: Mapping[str, Any]
    kid: str

    @property
    def disclosure(self) -> str:
        """The id of the disclosure, a UUID."""
        return str(self.claims["disclosure"])

    @property
    def entry(self) -> bytes:
        """The log entry's bytes."""
        return _unbase64url(self.claims["entry"])

    @property
    def origin(self) -> str:
        """The origin of the log that has it."""
        return str(self.claims["log"]["origin"])


def request_digest(document_hash: bytes, operation_name: str | None, variables: Mapping[str, Any]) -> bytes:
    """SHA-256 over canonical JSON of document (SHA-256, hex), operationName and variables: whoever has the question can
    hold it against a receipt. Raises ValueError for numbers that canonical JSON does not have."""
    asked = {"document": document_hash.hex(), "operationName": operation_name, "variables": dict(variables)}
    try:
        return sha256(rfc8785.dumps(asked)).digest()
    except RecursionError:
        raise ValueError("nested too deeply") from None


def signed(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The receipt."""
    payload = rfc8785.dumps(dict(claims))
    return jose.sign_bytes(payload, key.key, algorithm=ALGORITHM, typ=TYP, kid=key.kid)


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# Verification --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public keys of a gateway by job and kid: of receipts, and of its log's checkpoints."""

    receipts: Mapping[str, Key]
    checkpoints: Sequence[bytes]


def public_keys(jwks: Any) -> PublicKeys:
    """Those of a JWKS as /oauth/jwks has it: Ed25519 with a `job`. Others are passed over. Raises Unproven."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or len(keys) > 10_000:
        raise NotLookedAt("keys", "not a JWKS: save what /oauth/jwks answers")
    receipts: dict[str, Key] = {}
    checkpoints: list[bytes] = []
    for data in keys:
        if not isinstance(data, dict) or data.get("kty") != "OKP" or jose.PRIVATE_MEMBERS & set(data):
            continue
        try:
            key = jose.import_key(data)
        except JwtError:
            continue
        if data.get("job") == JOB:
            # By the key itself (RFC 7638): whatever else calls itself so is not it.
            receipts[key.thumbprint()] = key
        elif data.get("job") == CHECKPOINTS:
            public = key.public_key
            if isinstance(public, Ed25519PublicKey):
                checkpoints.append(public.public_bytes_raw())
    return PublicKeys(receipts, checkpoints)


def read(text: str, keys: PublicKeys, *, now: float) -> Receipt:
    """The receipt, if one of these keys signed it and it says what a receipt must. Raises Unproven."""
    if len(text) > MOST:
        raise NotLookedAt("file", f"too long: a receipt has at most {MOST} characters")
    if not _COMPACT.fullmatch(text):
        raise NotLookedAt(
            "file", "not a receipt: give the compact JWS alone, or the answer's body alone (curl without -i)"
        )
    header = _json(_unbase64url(text.partition(".")[0], "header"), "header")
    if set(header) != _HEADER or not all(isinstance(value, str) for value in header.values()):
        raise Unproven("header", "the header must have alg, kid and typ, and nothing else")
    if header["alg"] != ALGORITHM:
        raise Unproven("header", f"alg must be {ALGORITHM}; nothing else is taken for a signature")
    if header["typ"] != TYP:
        raise Unproven("header", f"typ must be {TYP}: it was signed for another use")
    key = keys.receipts.get(header["kid"])
    if key is None:
        raise NotLookedAt("key", "no key for receipts has this kid; take the keys of the gateway that signed it")
    try:
        payload = jose.verify_bytes(text, key, ALGORITHM)
    except JwtError:
        raise Unproven("signature", "the signature does not hold: the receipt was changed, or never signed") from None
    return Receipt(_checked(_json(payload, "claims"), now), header["kid"])


def _json(data: bytes, step: str) -> dict[str, Any]:
    """An object in canonical JSON: there are no two ways to read it."""
    try:
        found = json.loads(data)
        canonical = rfc8785.dumps(found)
    except (ValueError, RecursionError):
        raise Unproven(step, f"the {step} can't be read as JSON") from None
    if not isinstance(found, dict) or canonical != data:
        raise Unproven(step, f"the {step} must be one object in canonical JSON (RFC 8785), no member twice")
    return found


def _checked(claims: dict[str, Any], now: float) -> dict[str, Any]:
    for name, kind in _CLAIMS.items():
        if name not in claims or not isinstance(claims[name], kind) or isinstance(claims[name], bool):
            raise Unproven("claims", f"claim {name} is missing, or of another type")
    log = claims["log"]
    if not isinstance(log.get("origin"), str) or log.get("promise") != {"seconds": PROMISE}:
        raise Unproven("claims", "log must have an origin and the promise of 2 seconds")
    if not _UUID.fullmatch(claims["disclosure"]):
        raise Unproven("claims", "disclosure must be a UUID")
    for name in ("entry", "request"):
        if len(_unbase64url(claims[name], "claims")) != 32:
            raise Unproven("claims", f"{name} must be a SHA-256")
    if not 0 < claims["iat"] <= now + LEEWAY:
        raise Unproven("claims", "iat lies in the future: look at the clock")
    return claims


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as /receipts/{id} gives it: of its form alone anything has been verified."""

    of: str
    index: int
    size: int
    path: Sequence[Any]
    checkpoint: str
    entry: str | None
    status: str | None


def read_proof(data: bytes) -> Proof:
    """The proof in what /receipts/{id} answered. Raises NotLookedAt."""
    if len(data) > MOST_PROOF:
        raise NotLookedAt("proof", f"too long: a proof has at most {MOST_PROOF} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NotLookedAt("proof", "not JSON: save what /receipts/{id} answers") from None
    if (refused := refusal_in(found)) is not None:
        raise NotLookedAt("proof", f"{refused} (curl -sSf --retry 5)")
    if not is_proof(found):
        raise NotLookedAt("proof", "a proof must have disclosure or receiptId, index, size, path and checkpoint")
    of = found["disclosure"] if "disclosure" in found else found["receiptId"]
    entry, status = found.get("entry"), found.get("status")
    return Proof(
        of, found["index"], found["size"], found["path"], found["checkpoint"],
        entry if isinstance(entry, str) else None, status if status in STATUSES else None,
    )  # fmt: skip


def is_proof(found: Any) -> bool:
    """Whether JSON has the form of a proof."""
    if not isinstance(found, dict):
        return False
    of = found.get("disclosure", found.get("receiptId"))
    return (
        isinstance(of, str)
        and _ID.fullmatch(of) is not None
        and type(found.get("index")) is int
        and type(found.get("size")) is int
        and isinstance(found.get("path"), list)
        and isinstance(found.get("checkpoint"), str)
    )


def refusal_in(found: Any) -> str | None:
    """What to do about JSON that is a refusal of the gateway; None for any other."""
    errors = found.get("errors") if isinstance(found, dict) else None
    if not isinstance(errors, list) or not errors or found.get("data") is not None:
        return None
    message = errors[0].get("message") if isinstance(errors[0], dict) else None
    said = message[:_MOST_SAID] if isinstance(message, str) else "without a message"
    return f"it is a refusal of the gateway ({said}): fetch it again"


def prove(receipt: Receipt, proof: Proof, keys: PublicKeys) -> Checkpoint:
    """The signed checkpoint of the log in which the receipt's entry is. Raises Unproven."""
    if proof.of != receipt.disclosure:
        raise NotLookedAt("proof", "the proof is of another receipt; ask for /receipts/{id} by its own disclosure")
    return _included(proof, receipt.entry, _checkpoint(proof, keys, receipt.origin))


def prove_entry(proof: Proof, keys: PublicKeys) -> Checkpoint:
    """The signed checkpoint of the log in which the entry is that the proof itself names. That the entry is of this id
    is not proved: it is a commitment, which is opened by the gateway alone. Raises Unproven."""
    try:
        entry = _unbase64url(proof.entry or "")
    except Unproven:
        entry = b""
    if len(entry) != 32:
        raise NotLookedAt("proof", "without its receipt a proof must have its entry, a SHA-256")
    return _included(proof, entry, _checkpoint(proof, keys, None))


def _checkpoint(proof: Proof, keys: PublicKeys, origin: str | None) -> Checkpoint:
    """The proof's checkpoint, signed by the log that it names: one of ours, and this one where it is known."""
    try:
        note = read_note(proof.checkpoint.encode())
        checkpoint = checkpoint_of(note.text)
    except (NoteError, UnicodeEncodeError) as error:
        text = str(error) if isinstance(error, NoteError) else "not a signed note"
        raise NotLookedAt("checkpoint", text) from None
    try:
        note.held_by([Verifier(checkpoint.origin, ED25519, public) for public in keys.checkpoints])
    except WrongSignature as error:
        raise Unproven("checkpoint", str(error)) from None
    except NoteError:
        text = "no key for checkpoints has signed it; take the keys of the gateway that did (/oauth/jwks)"
        raise NotLookedAt("checkpoint", text) from None
    if origin is not None and checkpoint.origin != origin:
        raise Unproven("checkpoint", "the checkpoint is of another log than the receipt names")
    if checkpoint.size != proof.size:
        raise Unproven("checkpoint", "the checkpoint is of another size than the proof")
    return checkpoint


def _included(proof: Proof, entry: bytes, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, if the path leads from the entry to its root."""
    try:
        steps = [base64.b64decode(step, validate=True) for step in proof.path[:_MOST_PATH]]
        if len(proof.path) > _MOST_PATH or any(len(step) != 32 for step in steps):
            raise ProofError
        verify_inclusion(proof.index, proof.size, leaf_hash(entry), steps, checkpoint.root)
    except (ProofError, ValueError, TypeError):
        text = "the path does not lead from the entry to the checkpoint's root"
        raise Unproven("inclusion", text) from None
    return checkpoint


def _unbase64url(text: str, step: str = "claims") -> bytes:
    """The bytes of canonical base64url. Raises Unproven."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found or base64url(found) != text:
        raise Unproven(step, f"the {step} has what is not base64url")
    return found

"""An outsider's verifier of the transparency log and of receipts, written from the published texts alone: C2SP
tlog-tiles, tlog-checkpoint and signed-note, RFC 9162 §2.1, RFC 7515, and docs/ledger.md for receipts.

    python -I tests/e2e/log_client.py --log URL --key VKEY [--since FILE] [--keep FILE] [--receipt FILE --issuer URL]

It needs the standard library and Ed25519 of `cryptography`, and shares no code with the gateway: nothing here may
import it. Whatever does not hold raises Wrong. `--since` is a checkpoint that was kept at another time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """It does not hold."""


def must(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


# signed-note, tlog-checkpoint -----------------------------------------------------------------------------------------


class Checkpoint:
    """A checkpoint that one of the verifier keys has signed."""

    def __init__(self, note: bytes, vkeys: list[str]) -> None:
        text, separator, lines = note.decode().rpartition("\n\n")
        must(separator == "\n\n" and lines.endswith("\n"), "a note ends with a blank line and signatures")
        self.text = text + "\n"
        self.note = note
        verified = 0
        for vkey in vkeys:
            # The name has no plus sign; the base64 after the second one may have some.
            name, key_id, key = vkey.split("+", 2)
            public = base64.b64decode(key)
            must(public[0] == 1, "type of the key is Ed25519")
            must(hashlib.sha256(name.encode() + b"\n" + public).digest()[:4].hex() == key_id, "id of the key")
            for line in lines.splitlines():
                dash, who, encoded = line.split(" ")
                signature = base64.b64decode(encoded)
                if dash == "\u2014" and who == name and signature[:4].hex() == key_id:
                    try:
                        Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], self.text.encode())
                    except InvalidSignature:
                        raise Wrong("the checkpoint's signature") from None
                    verified += 1
        must(verified > 0, "no known key has signed the checkpoint")
        origin, size, root, *_ = self.text.split("\n")
        self.origin, self.size, self.root = origin, int(size), base64.b64decode(root)
        must(str(self.size) == size and len(self.root) == 32, "size and root of the checkpoint")


# RFC 9162 §2.1 --------------------------------------------------------------------------------------------------------


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_at(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


Hash = Callable[[int, int], bytes]  # MTH of the entries [begin, end)


def path(m: int, begin: int, end: int, mth: Hash) -> list[bytes]:
    """PATH(m, D[begin:end]), §2.1.3.1."""
    if end - begin == 1:
        return []
    k = split_at(end - begin)
    if m < k:
        return [*path(m, begin, begin + k, mth), mth(begin + k, end)]
    return [*path(m - k, begin + k, end, mth), mth(begin, begin + k)]


def subproof(m: int, begin: int, end: int, whole: bool, mth: Hash) -> list[bytes]:
    """SUBPROOF(m, D[begin:end], b), §2.1.4.1."""
    n = end - begin
    if m == n:
        return [] if whole else [mth(begin, end)]
    k = split_at(n)
    if m <= k:
        return [*subproof(m, begin, begin + k, whole, mth), mth(begin + k, end)]
    return [*subproof(m - k, begin + k, end, False, mth), mth(begin, begin + k)]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    """§2.1.3.2."""
    must(index < size, "an index beyond the tree")
    fn, sn, r = index, size - 1, leaf_hash
    for p in proof:
        must(sn != 0, "an inclusion proof that is too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            if not fn & 1:
                while True:
                    fn, sn = fn >> 1, sn >> 1
                    if fn & 1 or fn == 0:
                        break
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    must(sn == 0 and r == root, "an inclusion proof that leads to another root")


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: list[bytes]) -> None:
    """§2.1.4.2."""
    if first == second:
        must(first_root == second_root, "two trees of one size")
        return
    must(0 < first < second, "sizes of a consistency proof")
    consistency = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    must(bool(consistency), "an empty consistency proof")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = consistency[0]
    for c in consistency[1:]:
        must(sn != 0, "a consistency proof that is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            if not fn & 1:
                while True:
                    fn, sn = fn >> 1, sn >> 1
                    if fn & 1 or fn == 0:
                        break
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    must(fr == first_root and sr == second_root and sn == 0, "a history that has forked")


# tlog-tiles -----------------------------------------------------------------------------------------------------------


def tile_path(level: str, n: int, width: int) -> str:
    digits = f"{n % 1000:03d}"
    n //= 1000
    while n:
        digits = f"x{n % 1000:03d}/{digits}"
        n //= 1000
    return f"tile/{level}/{digits}" + (f".p/{width}" if width < 256 else "")


class Log:
    """A log by its prefix. Tiles are believed as far as they lead to a signed root."""

    def __init__(self, prefix: str, get: Callable[[str], bytes]) -> None:
        self.prefix = prefix.rstrip("/")
        self.get = get
        self.seen: dict[tuple[str, int, int], bytes] = {}

    def tile(self, level: str, n: int, width: int) -> bytes:
        key = (level, n, width)
        if key not in self.seen:
            self.seen[key] = self.get(f"{self.prefix}/{tile_path(level, n, width)}")
        return self.seen[key]

    def hashes(self, level: int, begin: int, end: int, size: int) -> list[bytes]:
        """The hashes [begin, end) of a level of tiles, in the tree of that size."""
        found = []
        there = size // 256**level
        for n in range(begin // 256, (end + 255) // 256):
            width = min(256, there - n * 256)
            rows = self.tile(str(level), n, width)
            must(len(rows) == 32 * width, "length of a tile")
            found += [rows[i : i + 32] for i in range(0, len(rows), 32)]
        skip = begin % 256
        return found[skip : skip + end - begin]

    def mth(self, size: int) -> Hash:
        """MTH of a range out of tiles, from the highest level that has it whole."""

        def made(begin: int, end: int) -> bytes:
            n = end - begin
            if n & (n - 1) == 0 and begin % n == 0:
                level = (n.bit_length() - 1) // 8
                unit = 256**level
                row = self.hashes(level, begin // unit, end // unit, size)
                while len(row) > 1:
                    row = [node(row[i], row[i + 1]) for i in range(0, len(row), 2)]
                return row[0]
            k = split_at(n)
            return node(made(begin, begin + k), made(begin + k, end))

        return made

    def entries(self, size: int) -> list[bytes]:
        """All entries of the tree of that size."""
        found = []
        for n in range((size + 255) // 256):
            data = self.tile("entries", n, min(256, size - n * 256))
            while data:
                length = int.from_bytes(data[:2], "big")
                must(len(data) >= 2 + length, "an entry that is cut off")
                found.append(data[2 : 2 + length])
                data = data[2 + length :]
        must(len(found) == size, "number of entries")
        return found

    def verify(self, checkpoint: Checkpoint, since: Checkpoint | None) -> None:
        """Every entry is in the tree that was signed, and the tree continues the one of another time."""
        size = checkpoint.size
        if size == 0:
            must(checkpoint.root == hashlib.sha256(b"").digest(), "root of an empty tree")
            return
        mth = self.mth(size)
        must(mth(0, size) == checkpoint.root, "the tiles lead to another root than the one that was signed")
        for index, entry in enumerate(self.entries(size)):
            verify_inclusion(leaf(entry), index, size, path(index, 0, size, mth), checkpoint.root)
        if since is not None:
            must(since.origin == checkpoint.origin, "checkpoints of two logs")
            must(since.size <= size, "a log that was set back")
            if since.size:
                proof = subproof(since.size, 0, size, True, mth)
                verify_consistency(since.size, size, since.root, checkpoint.root, proof)


# Receipts: RFC 7515, and what docs/ledger.md says of their payload ----------------------------------------------------


def unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify_receipt(text: str, issuer: str, vkeys: list[str], get: Callable[[str], bytes]) -> dict[str, Any]:
    """The receipt's signature, and that its entry is in the log."""
    header_part, payload_part, signature_part = text.strip().split(".")
    header = json.loads(unbase64url(header_part))
    must(header["alg"] == "EdDSA" and header["typ"] == "credit-receipt+jws", "header of the receipt")
    keys = {key["kid"]: key for key in json.loads(get(f"{issuer}/oauth/jwks"))["keys"] if key.get("job") == "receipts"}
    must(header["kid"] in keys, "key of the receipt")
    public = Ed25519PublicKey.from_public_bytes(unbase64url(keys[header["kid"]]["x"]))
    try:
        public.verify(unbase64url(signature_part), f"{header_part}.{payload_part}".encode())
    except InvalidSignature:
        raise Wrong("the receipt's signature") from None
    claims: dict[str, Any] = json.loads(unbase64url(payload_part))
    proof = json.loads(get(f"{issuer}/receipts/{claims['disclosure']}"))
    checkpoint = Checkpoint(proof["checkpoint"].encode(), vkeys)
    must(checkpoint.origin == claims["log"]["origin"], "the receipt is of another log")
    must(checkpoint.size == proof["size"], "the proof is of another tree")
    steps = [base64.b64decode(step) for step in proof["path"]]
    verify_inclusion(leaf(unbase64url(claims["entry"])), proof["index"], checkpoint.size, steps, checkpoint.root)
    return {"claims": claims, "index": proof["index"], "status": proof["status"]}


def get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise Wrong(f"{url}: {error.code}") from None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--key", action="append", required=True)
    parser.add_argument("--since", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--receipt", action="append", type=Path, default=[])
    parser.add_argument("--issuer", default="")
    given = parser.parse_args()
    try:
        log = Log(given.log, get)
        checkpoint = Checkpoint(get(f"{given.log}/checkpoint"), given.key)
        since = Checkpoint(given.since.read_bytes(), given.key) if given.since else None
        log.verify(checkpoint, since)
        found = [verify_receipt(file.read_text(), given.issuer, given.key, get) for file in given.receipt]
        entries = log.entries(checkpoint.size)
        for one in found:
            index, entry = one["index"], unbase64url(one["claims"]["entry"])
            must(index >= len(entries) or entries[index] == entry, "the log has another entry there")
    except Wrong as wrong:
        sys.exit(f"does not hold: {wrong}")
    if given.keep:
        given.keep.write_bytes(checkpoint.note)
    told = {"origin": checkpoint.origin, "size": checkpoint.size, "since": since.size if since else None}
    print(json.dumps({**told, "receipts": [[one["index"], one["status"]] for one in found]}))


if __name__ == "__main__":
    main()

"""What the log commits to: a row of ledger.disclosure or ledger.event as the leaves of a small tree, its root, and the
log's entry.

In: the row, by column. Out: leaves, root and entry, as docs/ledger.md defines them (`credit-disclosure/v1`). The
database makes the same in ledger.sequence, and a test holds both together. For what verifies and what issues receipts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256, sha512
from json.encoder import encode_basestring
from typing import Any, Final
from uuid import UUID

HEADER, VARIABLES, SOURCES, SUBJECTS = 0, 1, 2, 3  # places of leaves; subjects follow each other
OF_ENTRY: Final = -1  # the "place" of the entry's own salt, in ledger.kept_salt
ERASED_SUBJECT: Final = UUID(int=0)  # what stands in the row in an erased subject's place
_VERSION: Final = 1
_DISCLOSURE: Final = b"credit-disclosure/v1\n"
_EVENT: Final = b"credit-event/v1\n"
_IN_BLOCK: Final = 4  # salts of 16 bytes in one SHA-512
_NOTHING: Final[Mapping[int, bytes]] = {}


class Punctured(ValueError):
    """A salt that is needed is gone, and nothing stands in its place: no commitment can be made of this row."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """The hashes of the small tree's leaves, its root, the salt of the entry and the entry."""

    hashes: tuple[bytes, ...]
    root: bytes
    salt: bytes
    entry: bytes


def salts_of(salt: UUID, count: int) -> list[bytes]:
    """The salts of so many leaves, 16 bytes each."""
    seed = salt.bytes
    whole = b"".join([sha512(seed + n.to_bytes(4, "big")).digest() for n in range(-(-count // _IN_BLOCK))])
    return [whole[16 * k : 16 * k + 16] for k in range(count)]


def salt_of_entry(salt: UUID) -> bytes:
    """The salt of the entry."""
    return sha256(salt.bytes + b"entry").digest()[:16]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (RFC 9162, 2.1.1): a level's pairs are hashed, an odd last one goes up as it is."""
    level = list(hashes)
    if len(level) == SUBJECTS + 1:  # of one subject: almost all of them
        left = sha256(b"\x01" + level[0] + level[1]).digest()
        return sha256(b"\x01" + left + sha256(b"\x01" + level[2] + level[3]).digest()).digest()
    while len(level) > 1:
        level = _above(level)
    return level[0]


def _above(level: Sequence[bytes]) -> list[bytes]:
    last = level[-1:] if len(level) % 2 else []
    return [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)] + [*last]


def path_of(hashes: Sequence[bytes], place: int) -> list[bytes]:
    """The inclusion path of one leaf to the root, lowest first (RFC 9162, 2.1.3.1)."""
    level, path = list(hashes), []
    while len(level) > 1:
        if place ^ 1 < len(level):
            path.append(level[place ^ 1])
        level = _above(level)
        place //= 2
    return path


def leaves_of(row: Mapping[str, Any]) -> list[bytes]:
    """The JSON of a disclosure's leaves, by place."""
    # Written out, in the order of RFC 8785: an encoder that sorts and walks takes three times as long, and verification
    # does this for each disclosure that there ever was.
    subjects = row["subject_ids"]
    header = (
        f'{{"at":"{time_of(row["at"])}","basis_hash":{_hex(row["basis_hash"])},"case_number":{_text(row["case_number"])}'
        f',"client_id":{_text(row["client_id"])},"document_hash":{_hex(row["document_hash"])}'
        f',"fields_hash":{_hex(row["fields_hash"])},"id":"{row["id"]}","matter":{_text(row["matter"])}'
        f',"on_behalf_of":{_text(row["on_behalf_of"])},"operation_name":{_text(row["operation_name"])}'
        f',"organisation_uscc":{_text(row["organisation_uscc"])},"outcome":{_text(row["outcome"])}'
        f',"snapshot":{_text(row["snapshot"])},"subjects":{len(subjects)},"version":{_VERSION}'
        f',"view":{_text(row["view"])},"withheld":{_text(row["withheld"])}}}'
    )
    return [
        header.encode(),
        f'{{"variables":{_text(row["variables"])}}}'.encode(),
        f'{{"sources":{_text(row["sources"])}}}'.encode(),
        *[b'{"subject":"%b"}' % str(subject).encode() for subject in subjects],
    ]


def of_disclosure(
    row: Mapping[str, Any], erased: Mapping[int, bytes] = _NOTHING, kept: Mapping[int, bytes] = _NOTHING
) -> Commitment:
    """The commitment to a row of ledger.disclosure. Of a row without salt: `erased` has the hashes of the leaves that
    are no more, `kept` the salts of the others and of the entry, by place. Raises Punctured where one is missing."""
    return _committed(_DISCLOSURE, leaves_of(row), row["salt"], erased, kept)


def of_event(row: Mapping[str, Any]) -> Commitment:
    """The commitment to a row of ledger.event."""
    return _committed(_EVENT, [row["content"].encode()], row["salt"], _NOTHING, _NOTHING)


def entry_of(prefix: bytes, salt: bytes, root: bytes) -> bytes:
    """The log's entry: what is known of a disclosure to who knows nothing of it."""
    return sha256(prefix + salt + root).digest()


def _committed(
    prefix: bytes,
    leaves: Sequence[bytes],
    salt: UUID | None,
    erased: Mapping[int, bytes],
    kept: Mapping[int, bytes],
) -> Commitment:
    if salt is not None:
        own = salt_of_entry(salt)
        hashes = [
            sha256(b"\x00" + one + leaf).digest() for one, leaf in zip(salts_of(salt, len(leaves)), leaves, strict=True)
        ]
    else:
        try:
            own = kept[OF_ENTRY]
            hashes = [
                erased[place] if place in erased else sha256(b"\x00" + kept[place] + leaf).digest()
                for place, leaf in enumerate(leaves)
            ]
        except KeyError as error:
            raise Punctured(f"there is no salt for place {error.args[0]}") from None
    root = root_of(hashes)
    return Commitment(tuple(hashes), root, own, entry_of(prefix, own, root))


def time_of(at: dt.datetime) -> str:
    """RFC 3339 in UTC, with microseconds."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _hex(value: bytes | None) -> str:
    """A hash as JSON."""
    return "null" if value is None else f'"{value.hex()}"'


def _text(value: str | None) -> str:
    """A text as JSON."""
    return "null" if value is None else encode_basestring(value)

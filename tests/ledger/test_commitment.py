"""A disclosure's commitment is what docs/ledger.md says, by an oracle of its own; the database and Python make the same
one of any row; none is made where a salt is missing."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from pymerkle import verify_inclusion as holds

from gateway.ledger import commitment

AT = dt.datetime(2026, 11, 27, 2, 5, 9, 40, tzinfo=dt.UTC)
SALT = UUID("00112233-4455-4677-8899-aabbccddeeff")
SUBJECTS = [UUID(int=n) for n in (1, 2, 3)]
ROW: dict[str, Any] = {
    "id": UUID("c0ffee00-0000-4000-8000-00000000000a"),
    "at": AT,
    "client_id": "bank-of-bole",
    "organisation_uscc": "91652701MA77000000",
    "view": "RESTRICTED",
    "matter": "GRANT",
    "case_number": '博州 "17"\\号',
    "on_behalf_of": None,
    "outcome": "ANSWERED",
    "operation_name": "Profile",
    "document_hash": b"\x01" * 32,
    "variables": '{"uscc":"\x01\x7f\t𠀋"}',
    "subject_ids": SUBJECTS,
    "snapshot": "7:9:8",
    "sources": "{}",
    "withheld": "{}",
    "salt": SALT,
    "fields_hash": b"\xfe" * 32,
    "basis_hash": None,
}
# Written by hand after docs/ledger.md.
LEAVES = [
    '{"at":"2026-11-27T02:05:09.000040Z","basis_hash":null,"case_number":"博州 \\"17\\"\\\\号",'
    f'"client_id":"bank-of-bole","document_hash":"{"01" * 32}","fields_hash":"{"fe" * 32}",'
    '"id":"c0ffee00-0000-4000-8000-00000000000a","matter":"GRANT","on_behalf_of":null,"operation_name":"Profile",'
    '"organisation_uscc":"91652701MA77000000","outcome":"ANSWERED","snapshot":"7:9:8","subjects":3,"version":1,'
    '"view":"RESTRICTED","withheld":"{}"}',
    '{"variables":"{\\"uscc\\":\\"\\u0001\x7f\\t𠀋\\"}"}',
    '{"sources":"{}"}',
    '{"subject":"00000000-0000-0000-0000-000000000001"}',
    '{"subject":"00000000-0000-0000-0000-000000000002"}',
    '{"subject":"00000000-0000-0000-0000-000000000003"}',
]


def salt_by_hand(place: int) -> bytes:
    """As the format says it."""
    block = hashlib.sha512(SALT.bytes + (place // 4).to_bytes(4, "big")).digest()
    return block[16 * (place % 4) :][:16]


def oracle() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for place, text in enumerate(LEAVES):
        tree.append_entry(salt_by_hand(place) + text.encode())
    return tree


def test_the_entry_is_what_the_format_says() -> None:
    made = commitment.of_disclosure(ROW)
    assert [leaf.decode() for leaf in commitment.leaves_of(ROW)] == LEAVES
    root = oracle().get_root()
    assert made.root == root
    own = hashlib.sha256(SALT.bytes + b"entry").digest()[:16]
    assert made.entry == hashlib.sha256(b"credit-disclosure/v1\n" + own + root).digest()


def test_a_leaf_has_a_path_to_the_root() -> None:
    made, tree = commitment.of_disclosure(ROW), oracle()
    for place, found in enumerate(made.hashes):
        proof = tree.prove_inclusion(place + 1)
        holds(found, made.root, proof)
        # pymerkle's path begins with the leaf itself.
        assert commitment.path_of(made.hashes, place) == proof.path[1:]


def test_an_events_entry_is_what_the_format_says() -> None:
    leaf = hashlib.sha256(b"\0" + salt_by_hand(0) + b'{"months":12}').digest()
    own = hashlib.sha256(SALT.bytes + b"entry").digest()[:16]
    made = commitment.of_event({"content": '{"months":12}', "salt": SALT})
    assert made.entry == hashlib.sha256(b"credit-event/v1\n" + own + leaf).digest()


def test_tombstones_and_kept_salts_make_the_same_entry() -> None:
    whole = commitment.of_disclosure(ROW)
    gone = (commitment.VARIABLES, commitment.SOURCES, commitment.SUBJECTS + 1)
    erased = {place: whole.hashes[place] for place in gone}
    kept = {place: salt_by_hand(place) for place in range(6) if place not in gone} | {commitment.OF_ENTRY: whole.salt}
    subjects = [SUBJECTS[0], commitment.ERASED_SUBJECT, SUBJECTS[2]]
    row = {**ROW, "salt": None, "variables": None, "sources": "", "subject_ids": subjects}
    assert commitment.of_disclosure(row, erased, kept).entry == whole.entry
    for place in kept:
        with pytest.raises(commitment.Punctured):
            commitment.of_disclosure(row, erased, {k: v for k, v in kept.items() if k != place})
    changed = {**row, "subject_ids": [SUBJECTS[1], *subjects[1:]]}
    assert commitment.of_disclosure(changed, erased, kept).entry != whole.entry


@pytest.mark.parametrize("name", sorted(set(ROW) - {"subject_ids", "at", "salt"}))
def test_every_column_is_committed_to(name: str) -> None:
    value = ROW[name]
    other = (
        uuid4() if isinstance(value, UUID) else b"\2" * 32 if isinstance(value, bytes) or "hash" in name else "other"
    )
    assert commitment.of_disclosure({**ROW, name: other}).entry != commitment.of_disclosure(ROW).entry


# The database makes the same -----------------------------------------------------------------------------------------

COLUMNS = (*ROW,)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
hash_of = st.none() | st.binary(min_size=32, max_size=32)
subjects = st.sampled_from([0, 1, 1, 1, 2, 3, 100, 1000]).map(lambda count: [uuid4() for _ in range(count)])
rows = st.fixed_dictionaries(
    {
        "id": st.builds(uuid4),
        "at": st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)),
        **dict.fromkeys(("client_id", "organisation_uscc", "view", "matter", "case_number", "outcome"), text),
        **dict.fromkeys(("on_behalf_of", "operation_name", "variables", "snapshot"), st.none() | text),
        "sources": text.map(lambda one: json.dumps({one: one}, ensure_ascii=False)),
        "withheld": text,
        **dict.fromkeys(("document_hash", "fields_hash", "basis_hash"), hash_of),
        "subject_ids": subjects,
        "salt": st.builds(uuid4),
    }
)
VALUES = ", ".join(f"${n + 1}" for n in range(len(COLUMNS)))
INSERT = f"insert into ledger.disclosure ({', '.join(COLUMNS)}) values ({VALUES})"


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[*HealthCheck])
@given(many=st.lists(rows, min_size=1, max_size=12), contents=st.lists(text, max_size=2))
async def test_the_database_makes_the_same_of_any_row(
    owner: asyncpg.Connection[asyncpg.Record], many: list[dict[str, Any]], contents: list[str]
) -> None:
    await owner.executemany(INSERT, [[row[name] for name in COLUMNS] for row in many])
    await owner.executemany("insert into ledger.event (kind, content) values ('KEY', $1)", [(c,) for c in contents])
    assert await owner.fetchval("select ledger.sequence(1000)") == len(many) + len(contents)
    expected = {row["id"]: commitment.of_disclosure(row).entry for row in many}
    for event in await owner.fetch("select * from ledger.event order by xid desc limit $1", len(contents)):
        expected[event["id"]] = commitment.of_event(event).entry
    leaves = await owner.fetch("select * from ledger.leaf order by index desc limit $1", len(many) + len(contents))
    assert {leaf["id"]: leaf["entry"] for leaf in leaves} == expected
    assert all(leaf["hash"] == hashlib.sha256(b"\0" + leaf["entry"]).digest() for leaf in leaves)
    assert [(leaf["at"], leaf["id"]) for leaf in leaves] == sorted(((x["at"], x["id"]) for x in leaves), reverse=True)

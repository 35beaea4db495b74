"""Promises: an identity number is found by its blind index, readable with both keys and its own subject alone; a name
by itself, which may be a person's, makes no organisation, whatever kind of record it comes with."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.imports import KINDS
from gateway.storage.persons import IdentityKeys, identity_keys, masked_identity
from gateway.storage.secrets import SecretFiles
from tests.storage.imports.rows_of_a_clerk import csv_bytes, load

NUMBER = "652799196009290017"
KEYS = IdentityKeys(os.urandom(32), os.urandom(32))


@given(st.from_regex(r"[1-9][0-9]{16}[0-9X]", fullmatch=True), st.uuids())
def test_round_trip(number: str, subject: uuid.UUID) -> None:
    sealed = KEYS.seal(number, subject)
    assert KEYS.reveal(sealed.ciphertext, sealed.wrapped_key, subject) == number
    assert sealed.blind_index == KEYS.blind_index(number)
    assert sealed.masked == number[:4] + "**********" + number[14:]


def test_the_same_number_twice_looks_different_but_is_found() -> None:
    one, other = KEYS.seal(NUMBER, uuid.uuid4()), KEYS.seal(NUMBER, uuid.uuid4())
    assert one.ciphertext != other.ciphertext
    assert one.wrapped_key != other.wrapped_key
    assert one.blind_index == other.blind_index


def test_another_subject_or_another_key_reveals_nothing() -> None:
    subject = uuid.uuid4()
    sealed = KEYS.seal(NUMBER, subject)
    with pytest.raises(StorageError):
        KEYS.reveal(sealed.ciphertext, sealed.wrapped_key, uuid.uuid4())
    with pytest.raises(StorageError):
        IdentityKeys(os.urandom(32), KEYS.index).reveal(sealed.ciphertext, sealed.wrapped_key, subject)
    assert IdentityKeys(KEYS.wrapping, os.urandom(32)).blind_index(NUMBER) != sealed.blind_index


def test_keys_are_kept_and_never_printed(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path / "secrets")
    keys = identity_keys(secrets)
    assert keys == identity_keys(secrets)
    assert keys.wrapping != keys.index
    assert len(keys.wrapping) == len(keys.index) == 32
    assert repr(keys) == "IdentityKeys(key_id='identity-1')"
    assert masked_identity(NUMBER) == "6527**********0017"


# A row of each kind of record, as far as the kind asks for it.
_EVERY_KIND = {
    "penalties": {"document_number": "样例罚〔2026〕1号", "penalty_kinds": "警告", "authority_name": "样例局"},
    "licences": {"title": "样例许可"},
    "judgments": {"case_number": "（2026）新2701民初1号"},
    "disciplinary": {"sanction": "警告"},
    "accountability": {"form": "诫勉"},
    "breaches": {"kind": "违约", "title": "样例合同"},
    "honours": {"title": "样例荣誉"},
    "lists": {"list_name": "样例名单"},
    "records": {"kind": "表彰奖励", "title": "样例"},
}


def test_every_kind_of_record_is_tried() -> None:
    assert set(_EVERY_KIND) == {name for name, kind in KINDS.items() if kind.target == "records"}


@pytest.mark.parametrize("kind", _EVERY_KIND)
async def test_a_name_alone_makes_no_organisation(
    kind: str, database: Database, owner: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    passport, broken = "G12345678", "91652799YL0000000X"
    clean = {"decided_on": "2026-03-15", **_EVERY_KIND[kind]}
    rows = [
        {**clean, "name": f"张样例{n}", "uscc": code, "subject_kind": said}
        for n, (code, said) in enumerate(
            [("", ""), ("", "其他"), (passport, ""), (passport, "其他"), (broken, ""), (broken, "其他")]
        )
    ]
    path = tmp_path / "k.csv"
    path.write_bytes(csv_bytes(rows))
    report = await load(database, path, kind)
    assert (report.read, report.rejected) == (6, 6)
    assert all("say the kind of subject" in en for *_, en in report.first_rejects)
    assert not await owner.fetchval("select count(*) from core.subject where name like '张样例%'")
    path.write_bytes(csv_bytes([{**clean, "name": f"样例{kind}厂", "uscc": "", "subject_kind": "法人及非法人组织"}]))
    assert (await load(database, path, kind)).new == 1

"""Promises: an identity number is found by its blind index, readable with both keys and its own subject alone."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StorageError
from gateway.storage.persons import IdentityKeys, identity_keys, masked_identity
from gateway.storage.secrets import SecretFiles

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

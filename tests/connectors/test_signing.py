"""Promises: signatures and secrets come out as the vectors of UPSTREAMS §5 say, and no key shows in a repr or error."""

from __future__ import annotations

import base64
import traceback

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from connectors.signing import ExchangeSigner, check_app_key, decrypt_secret

KEY = "Hk3-vX9_test-app-key-0123456789ab"
ENCRYPTED = "bJgQ6rQrY9JQkUcMzarSysADQ3wHPEwaWXzVpvDVs3gRXNsSG9Kjw2sg+JJCnF/2"


def encrypt_block(block: bytes) -> str:
    encryptor = Cipher(algorithms.AES(KEY.encode()[:16]), modes.ECB()).encryptor()
    return base64.b64encode(encryptor.update(block) + encryptor.finalize()).decode()


def test_signature_vector() -> None:
    signer = ExchangeSigner("gw-bortala-test", KEY)
    assert signer.headers("sid-courts-all", 1767225600000) == {
        "gjgxjhpt_rid": "gw-bortala-test",
        "gjgxjhpt_sid": "sid-courts-all",
        "gjgxjhpt_rtime": "1767225600000",
        "gjgxjhpt_sign": "FnPXUo0uUXq5zgQCFwhXOCB4XwFHL6BI91LgsSpXkBE=",
    }


def test_secret_vector() -> None:
    assert decrypt_secret(KEY, ENCRYPTED) == "0123456789abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    "encrypted",
    [
        "",
        "not base64!",
        ENCRYPTED[:-4],  # not whole blocks
        encrypt_block(b"0123456789abcdef"),  # no padding
        encrypt_block(b"\x10" * 16),  # nothing but padding
        encrypt_block(b"\xff" * 12 + b"\x04" * 4),  # not UTF-8
        "\u7f51",
    ],
)
def test_unreadable_secrets_are_refused_without_their_content(encrypted: str) -> None:
    with pytest.raises(ValueError, match="can't be read") as caught:
        decrypt_secret(KEY, encrypted)
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_short_app_key_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than 16 bytes") as caught:
        check_app_key("short-key")
    assert "short-key" not in str(caught.value)


def test_the_key_is_not_in_the_repr() -> None:
    assert KEY not in repr(ExchangeSigner("gw", KEY))

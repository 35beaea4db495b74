"""Promises: signatures and secrets come out as the vectors of UPSTREAMS §5 say, and no key shows in a repr or error."""

from __future__ import annotations

import base64
import hashlib
import hmac
import traceback

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from connectors.signing import AppKeySigner, ExchangeSigner, check_app_key, decrypt_secret

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


def test_app_key_signature_vector() -> None:
    signer = AppKeySigner("gw-bortala-test", "platform-secret-7f3a")
    assert signer.headers(b'{"a":1}', 1767225600000, "n1") == {
        "X-App-Key": "gw-bortala-test",
        "X-Request-Time": "1767225600000",
        "X-Nonce": "n1",
        "X-Sign": "5db10fa19d1b1a5a27544001273e04b5b967e7de8f09740326dcdd13802bbcbb",
    }


def test_app_key_signature_by_sha256_is_that_of_the_standard_library() -> None:
    digest = hashlib.sha256(b"").hexdigest()
    expected = hmac.new(b"s", f"k1767225600000n{digest}".encode(), hashlib.sha256).hexdigest()
    assert AppKeySigner("k", "s", "SHA256").sign(b"", 1767225600000, "n") == expected


def test_app_key_signer_shows_no_secret_and_refuses_what_the_contract_does_not_have() -> None:
    assert "platform-secret" not in repr(AppKeySigner("k", "platform-secret-7f3a"))
    with pytest.raises(ValueError, match="neither SM3 nor SHA256"):
        AppKeySigner("k", "s", "MD5")  # type: ignore[arg-type]
    for nonce in ("", "n" * 65):
        with pytest.raises(ValueError, match="1 to 64"):
            AppKeySigner("k", "s").headers(b"", 0, nonce)

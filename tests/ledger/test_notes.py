"""Notes, checkpoints and cosignatures are those of C2SP: a published note verifies, changed ones are refused, whoever
sends them; keys that nobody knows count for nothing."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.notes import (
    COSIGNATURE,
    ED25519,
    MOST_BYTES,
    Checkpoint,
    Note,
    NoteError,
    Signature,
    Signer,
    WrongSignature,
    checkpoint_of,
    cosigned_at,
    read_note,
    signature_lines,
    verifier,
)

# The note and the key with which the reference implementation introduces itself.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The checkpoint of tlog-checkpoint with the cosignature of tlog-cosignature; their keys are not published.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5n"
    "No0xUe+mbIUBkBIfZ+qnA==\n"
)
ROOT = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
LOG = Signer("example.org/log", ED25519, KEY)
WITNESS = Signer("witness.example/w1", COSIGNATURE, OTHER)
CHECKPOINT = Checkpoint("example.org/log", 7, ROOT)


def test_a_published_note() -> None:
    key = verifier(PUBLISHED_KEY)
    note = read_note(PUBLISHED.encode())
    assert str(key) == PUBLISHED_KEY
    assert str(note) == PUBLISHED
    assert len(note.held_by([key])) == 1
    with pytest.raises(NoteError):
        read_note(PUBLISHED.replace("know", "understand").encode()).held_by([key])


def test_the_published_key_of_another_log() -> None:
    """Go's checksum database: its id is that of its name, type and key."""
    assert verifier("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8").name == "sum.golang.org"


def test_the_example_of_the_standards() -> None:
    note = read_note(EXAMPLE.encode())
    found = checkpoint_of(note.text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert found.text == note.text
    assert [len(signature.value) for signature in note.signatures] == [64, 72]
    assert cosigned_at(note.signatures[1]) == 1_679_315_147
    assert str(note) == EXAMPLE


def test_a_checkpoint_with_two_keys_and_a_cosignature() -> None:
    """As while a key is rotated: each known key is enough, unknown ones are passed over."""
    newer = Signer("example.org/log", ED25519, OTHER)
    note = CHECKPOINT.signed([LOG, newer])
    cosigned = Note(note.text, (*note.signatures, WITNESS.sign(note.text, 1_700_000_000)))
    read = read_note(str(cosigned).encode())
    assert checkpoint_of(read.text) == CHECKPOINT
    for signer in (LOG, newer, WITNESS):
        assert len(read.held_by([signer.verifier])) == 1
    assert len(read.held_by([LOG.verifier, newer.verifier, WITNESS.verifier])) == 3
    assert cosigned_at(read.held_by([WITNESS.verifier])[0]) == 1_700_000_000


def test_a_signature_of_another_key_of_the_same_name() -> None:
    forged = CHECKPOINT.signed([Signer("example.org/log", ED25519, OTHER)])
    with pytest.raises(NoteError, match="no signature of a known key") as raised:
        forged.held_by([LOG.verifier])
    assert not isinstance(raised.value, WrongSignature)


def test_a_signature_with_a_known_id_that_does_not_hold() -> None:
    """Refused even where another known key has signed well."""
    forged = Signature("example.org/log", LOG.verifier.key_id, OTHER.sign(CHECKPOINT.text.encode()))
    good = WITNESS.sign(CHECKPOINT.text, 1)
    with pytest.raises(WrongSignature, match="does not hold"):
        Note(CHECKPOINT.text, (good, forged)).held_by([WITNESS.verifier, LOG.verifier])


def test_a_cosignature_is_no_signature_and_has_its_time() -> None:
    """The same key for both kinds has two ids, and neither's signature is the other's."""
    both = Signer("x", ED25519, KEY), Signer("x", COSIGNATURE, KEY)
    assert both[0].verifier.key_id != both[1].verifier.key_id
    made = both[1].sign(CHECKPOINT.text, 5)
    assert both[1].verifier.holds(CHECKPOINT.text, made)
    later = Signature("x", made.key_id, (6).to_bytes(8, "big") + made.value[8:])
    assert not both[1].verifier.holds(CHECKPOINT.text, later)
    assert not both[0].verifier.holds(CHECKPOINT.text, made)
    assert not both[1].verifier.holds(CHECKPOINT.text, Signature("x", made.key_id, b"\xff" * 72))
    assert not both[1].verifier.holds(CHECKPOINT.text, Signature("x", made.key_id, made.value[8:]))


@given(st.integers(0, len(CHECKPOINT.text) - 1), st.characters(min_codepoint=32, max_codepoint=126))
def test_any_other_character(place: int, character: str) -> None:
    note = str(CHECKPOINT.signed([LOG]))
    changed = note[:place] + character + note[place + 1 :]
    if changed != note:
        with pytest.raises(NoteError):
            read_note(changed.encode()).held_by([LOG.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a\n",
        "a\n\n",
        "a\n\nb\n",
        "a\n\n\u2014 name\n",
        "a\n\n\u2014 name AAAA\n",
        "a\n\n\u2014  AAAAAAA=\n",
        "a\n\n\u2014 a+b AAAAAAA=\n",
        "a\n\n\u2014 name AAAAAAA\n",
        "a\n\n\u2014 name AAAAAAB=\n",
        "a\n\n\u2014 name AAAAAAA= \n",
        "a\n\n\u2014 name AAAAAAA=",
        "a\n\n- name AAAAAAA=\n",
        "a\r\n\n\u2014 name AAAAAAA=\n",
        "a\x00\n\n\u2014 name AAAAAAA=\n",
        "a\n\n" + "\u2014 name AAAAAAA=\n" * 65,
        "a" * MOST_BYTES + "\n\n\u2014 name AAAAAAA=\n",
    ],
)
def test_what_is_no_note(text: str) -> None:
    with pytest.raises(NoteError):
        read_note(text.encode())


def test_what_is_no_text() -> None:
    with pytest.raises(NoteError):
        read_note(b"\xff\n\n\xe2\x80\x94 name AAAAAAA=\n")


def test_sixteen_signatures_and_empty_lines_in_the_text() -> None:
    note = read_note(("a\n\nb\n\n" + "\u2014 name AAAAAAA=\n" * 16).encode())
    assert (note.text, len(note.signatures)) == ("a\n\nb\n", 16)


GOOD = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"\n1\n{GOOD}\n",
        f"o\n01\n{GOOD}\n",
        f"o\n-1\n{GOOD}\n",
        f"o\n+1\n{GOOD}\n",
        f"o\n\u0661\n{GOOD}\n",
        f"o\n{2**63}\n{GOOD}\n",
        f"o\n{10**30}\n{GOOD}\n",
        f"o\n1\n{GOOD[:-4]}\n",
        f"o\n1\n{GOOD[:-1]}\n",
        f"o\n1\n{GOOD}\n\n",
        f"o\n1\n{GOOD}",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteError):
        checkpoint_of(text)


def test_a_checkpoint_with_extension_lines() -> None:
    assert checkpoint_of(f"o\n0\n{GOOD}\nmore\n") == Checkpoint("o", 0, ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+" + base64.b64encode(b"\x01" + ROOT).decode(),
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10",
        PUBLISHED_KEY.replace("Peter", "Pet er"),
        PUBLISHED_KEY.replace("c74f20a3", "C74F20A3"),
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        verifier(text)


@given(st.binary(max_size=200))
def test_strangers_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for read in (read_note, lambda data: signature_lines(data.decode()), lambda data: verifier(data.decode())):
        try:
            read(data)
        except NoteError:
            pass
        except UnicodeDecodeError:
            assert read is not read_note

"""Promises: a receipt holds only as it was signed, by a key for receipts, in one reading; a proof only for its own
receipt, in the log that it names, up to a signed root. Whatever else comes is refused at the step that it fails, in
words of ours; without that step it would have been taken. What can't be looked at is told apart from what is wrong."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from joserfc.jwk import OKPKey
from typer.testing import CliRunner

from gateway.auth import jose
from gateway.auth.keys import KeyStore
from gateway.cli import app
from gateway.ledger import receipt
from gateway.ledger.head import signer
from gateway.ledger.merkle import inclusion_parts, leaf_hash, root_of
from gateway.ledger.notes import ED25519, Checkpoint, Signer
from gateway.ledger.receipt import NotLookedAt, Proof, PublicKeys, Unproven

ORIGIN = "gateway.example/log"
ENTRIES = [bytes([n]) * 32 for n in range(11)]


def claims(place: int = 6, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "iss": "https://gateway.example",
        "iat": int(time.time()),
        "disclosure": f"00000000-0000-4000-8000-{place:012d}",
        "entry": receipt.base64url(ENTRIES[place]),
        "request": receipt.base64url(bytes(32)),
        "view": "RESTRICTED",
        "purpose": {"matter": "GRANT", "case_number": "博州〔2026〕1号"},
        "subjects": [],
        "sources": {},
        "fields": {},
        "withheld": {},
        "verdicts": [],
        "policy": None,
        "log": {"origin": ORIGIN, "promise": {"seconds": 2}},
    }
    return made | more


def proof_of(keys: KeyStore, place: int = 6, **more: Any) -> dict[str, Any]:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    note = Checkpoint(ORIGIN, len(ENTRIES), root_of(hashes)).signed([signer(keys, "checkpoints", ORIGIN)])
    path = [root_of(hashes[start:end]) for start, end in inclusion_parts(place, len(ENTRIES))]
    found = {
        "disclosure": claims(place)["disclosure"],
        "entry": claims(place)["entry"],
        "index": place,
        "size": len(ENTRIES),
        "path": [b64encode(step).decode() for step in path],
        "checkpoint": str(note),
        "status": "VALID",
    }
    return found | more


def read_proof(found: Any) -> Proof:
    return receipt.read_proof(json.dumps(found).encode())


def of_entry(proof: dict[str, Any]) -> dict[str, Any]:
    """The same as an account's own entry has it: a receiptId in the place of the disclosure."""
    return {"receiptId": "A" * 54} | {name: value for name, value in proof.items() if name != "disclosure"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "keys")


def jwks(keys: KeyStore) -> dict[str, Any]:
    return {"keys": [{**key, "job": job} for job in keys_of_jobs for key in keys.public(job)["keys"]]}


keys_of_jobs = ("tokens", "receipts", "checkpoints")


@pytest.fixture
def public(keys: KeyStore) -> PublicKeys:
    for job in keys_of_jobs:
        keys.current(job)
    return receipt.public_keys(jwks(keys))


def sign(keys: KeyStore, payload: bytes, header: bytes | None = None) -> str:
    """Signed with the right key, whatever it is."""
    key = keys.current("receipts")
    head = header or rfc8785.dumps({"alg": "EdDSA", "kid": key.kid, "typ": receipt.TYP})
    text = f"{receipt.base64url(head)}.{receipt.base64url(payload)}"
    private = key.key.private_key
    return f"{text}.{receipt.base64url(private.sign(text.encode()))}"  # type: ignore[union-attr, call-arg]


def test_a_receipt_holds_and_its_proof_leads_to_a_signed_root(keys: KeyStore, public: PublicKeys) -> None:
    text = receipt.signed(claims(), keys.current("receipts"))
    read = receipt.read(text, public, now=time.time())
    assert read.claims == claims(iat=read.claims["iat"])
    assert text.split(".")[1] == receipt.base64url(rfc8785.dumps(dict(read.claims)))
    for place in range(len(ENTRIES)):
        read = receipt.read(receipt.signed(claims(place), keys.current("receipts")), public, now=time.time())
        checkpoint = receipt.prove(read, read_proof(proof_of(keys, place)), public)
        assert checkpoint.size == len(ENTRIES)


def test_old_receipts_hold_when_keys_were_rotated(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    text, proof = receipt.signed(claims(), store.current("receipts")), read_proof(proof_of(store))
    for job in ("receipts", "checkpoints"):
        store.rotate(job)
    public = receipt.public_keys(jwks(store))
    receipt.prove(receipt.read(text, public, now=time.time()), proof, public)
    newer = receipt.public_keys({"keys": [*jwks(store)["keys"][:1], jwks(store)["keys"][-1]]})
    with pytest.raises(Unproven, match="kid"):
        receipt.read(text, newer, now=time.time())


def _changed(text: str, part: int, change: Callable[[str], str]) -> str:
    parts = text.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def _header(keys: KeyStore, **more: Any) -> bytes:
    return rfc8785.dumps({"alg": "EdDSA", "kid": keys.current("receipts").kid, "typ": receipt.TYP, **more})


def _es256(keys: KeyStore) -> str:
    key = keys.current("tokens")
    return jose.sign_bytes(rfc8785.dumps(claims()), key.key, algorithm="ES256", typ=receipt.TYP, kid=key.kid)


def _foreign(keys: KeyStore) -> str:
    return jose.sign_bytes(
        rfc8785.dumps(claims()), OKPKey.generate_key("Ed25519"), algorithm="EdDSA", typ=receipt.TYP,
        kid=keys.current("receipts").kid,
    )  # fmt: skip


def _of_checkpoints(keys: KeyStore) -> str:
    return receipt.signed(claims(), keys.current("checkpoints"))


PAYLOAD = rfc8785.dumps(claims())
HOSTILE: dict[str, tuple[str, Callable[[KeyStore], str]]] = {
    "ten megabytes": ("file", lambda k: "A" * 10_000_000),
    "no JWS": ("file", lambda k: "hello"),
    "five parts": ("file", lambda k: sign(k, PAYLOAD) + ".a.b"),
    "NUL": ("file", lambda k: sign(k, PAYLOAD) + "\0"),
    "alg none": ("file", lambda k: sign(k, PAYLOAD, _header(k, alg="none")).rpartition(".")[0] + "."),
    "alg none with a signature": ("header", lambda k: sign(k, PAYLOAD, _header(k, alg="none"))),
    "alg HS256": ("header", lambda k: sign(k, PAYLOAD, _header(k, alg="HS256"))),
    "ES256 with the key of tokens": ("header", _es256),
    "typ of a token": ("header", lambda k: sign(k, PAYLOAD, _header(k, typ="at+jwt"))),
    "a key of its own": ("header", lambda k: sign(k, PAYLOAD, _header(k, jwk={}))),
    "crit": ("header", lambda k: sign(k, PAYLOAD, _header(k, crit=["b64"], b64=False))),
    "kid no text": ("header", lambda k: sign(k, PAYLOAD, _header(k, kid=1))),
    "a member of the header twice": (
        "header", lambda k: sign(k, PAYLOAD, _header(k).replace(b'{"alg"', b'{"alg":"none","alg"')),
    ),
    "a header with spaces": ("header", lambda k: sign(k, PAYLOAD, _header(k).replace(b":", b": "))),
    "a deep header": ("header", lambda k: sign(k, PAYLOAD, b"[" * 100_000)),
    "another kid": ("key", lambda k: sign(k, PAYLOAD, _header(k, kid="x"))),
    "the kid of checkpoints": ("key", _of_checkpoints),
    "another key under this kid": ("signature", _foreign),
    "a changed payload": ("signature", lambda k: _changed(sign(k, PAYLOAD), 1, lambda p: p[:-4] + "AAAA")),
    "a changed signature": ("signature", lambda k: _changed(sign(k, PAYLOAD), 2, lambda p: "AAAA" + p[4:])),
    "padding": ("file", lambda k: sign(k, PAYLOAD) + "=="),
    "a member twice": ("claims", lambda k: sign(k, PAYLOAD.replace(b'"iat"', b'"iss":"x","iat"'))),
    "not canonical": ("claims", lambda k: sign(k, json.dumps(claims(), ensure_ascii=False).encode())),
    "not JSON": ("claims", lambda k: sign(k, b"{")),
    "NaN": ("claims", lambda k: sign(k, PAYLOAD.replace(b'"policy":null', b'"policy":NaN'))),
    "nested deeply": ("claims", lambda k: sign(k, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "a list": ("claims", lambda k: sign(k, b"[1]")),
    "a claim missing": ("claims", lambda k: sign(k, rfc8785.dumps({**claims(), "entry": None}))),
    "iat no number": ("claims", lambda k: sign(k, rfc8785.dumps(claims(iat=True)))),
    "iat in the future": ("claims", lambda k: sign(k, rfc8785.dumps(claims(iat=int(time.time()) + 3_600)))),
    "a short entry": ("claims", lambda k: sign(k, rfc8785.dumps(claims(entry="AAAA")))),
    "no log": ("claims", lambda k: sign(k, rfc8785.dumps(claims(log={})))),
    "no UUID": ("claims", lambda k: sign(k, rfc8785.dumps(claims(disclosure="../../x")))),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_else_comes_fails_at_its_step(name: str, keys: KeyStore, public: PublicKeys) -> None:
    step, make = HOSTILE[name]
    with pytest.raises(Unproven) as caught:
        receipt.read(make(keys), public, now=time.time())
    assert caught.value.step == step
    assert isinstance(caught.value, NotLookedAt) == (step in ("file", "key"))
    assert str(caught.value).isprintable()
    # The control: what was signed as it should be is taken, so it is the change that was refused.
    receipt.read(sign(keys, PAYLOAD), public, now=time.time())


def _note(keys: KeyStore) -> str:
    return str(proof_of(keys)["checkpoint"])


def _resigned(keys: KeyStore, origin: str = ORIGIN, *, name: str = "", job: str = "checkpoints") -> dict[str, Any]:
    """With a checkpoint over the same tree, of another log or signed otherwise."""
    private = keys.current(job).key.private_key
    checkpoint = Checkpoint(origin, len(ENTRIES), root_of([leaf_hash(entry) for entry in ENTRIES]))
    note = checkpoint.signed([Signer(name or origin, ED25519, private)])  # type: ignore[arg-type]
    return proof_of(keys, checkpoint=str(note))


PROOFS: dict[str, tuple[str, Callable[[KeyStore], Any]]] = {
    "of another": ("proof", lambda k: proof_of(k, 5)),
    "too long": ("proof", lambda k: proof_of(k, more="x" * 300_000)),
    "a list": ("proof", lambda k: []),
    "no path": ("proof", lambda k: proof_of(k, path=None)),
    "size true": ("proof", lambda k: proof_of(k, size=True)),
    "a step missing": ("inclusion", lambda k: proof_of(k, path=proof_of(k)["path"][1:])),
    "a step too many": ("inclusion", lambda k: proof_of(k, path=[*proof_of(k)["path"], b64encode(bytes(32)).decode()])),
    "steps turned round": ("inclusion", lambda k: proof_of(k, path=proof_of(k)["path"][::-1])),
    "short steps": ("inclusion", lambda k: proof_of(k, path=["AAAA"] * 4)),
    "steps of numbers": ("inclusion", lambda k: proof_of(k, path=[1, 2, 3, 4])),
    "a million steps": ("inclusion", lambda k: proof_of(k, path=["AAAA"] * 20_000)),
    "another index": ("inclusion", lambda k: proof_of(k, index=7)),
    "a negative index": ("inclusion", lambda k: proof_of(k, index=-1)),
    "another size": ("checkpoint", lambda k: proof_of(k, size=12)),
    "another root": ("checkpoint", lambda k: proof_of(k, checkpoint=_note(k).replace("\n11\n", "\n12\n"))),
    "not signed": ("checkpoint", lambda k: proof_of(k, checkpoint=_note(k).split("\n\n")[0] + "\n\n")),
    "signed by the key of receipts": ("checkpoint", lambda k: _resigned(k, job="receipts")),
    "of another log": ("checkpoint", lambda k: _resigned(k, origin="other.example/log")),
    "of another log under this name": ("checkpoint", lambda k: _resigned(k, origin="other.example/log", name=ORIGIN)),
    "surrogates": ("checkpoint", lambda k: proof_of(k, checkpoint="\ud800")),
}  # fmt: skip


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_holds_for_its_receipt_alone(name: str, keys: KeyStore, public: PublicKeys) -> None:
    step, make = PROOFS[name]
    read = receipt.read(sign(keys, PAYLOAD), public, now=time.time())
    with pytest.raises(Unproven) as caught:
        receipt.prove(read, read_proof(make(keys)), public)
    assert caught.value.step == step
    wrong = ("another root", "of another log", "another size")  # signed by a known key, and not what it must be
    assert isinstance(caught.value, NotLookedAt) == (step == "proof" or (step == "checkpoint" and name not in wrong))
    receipt.prove(read, read_proof(proof_of(keys)), public)


@pytest.mark.parametrize("name", [name for name in PROOFS if name not in ("of another", "of another log")])
def test_a_proof_without_a_receipt_is_held_to_the_same(name: str, keys: KeyStore, public: PublicKeys) -> None:
    step, make = PROOFS[name]
    found = make(keys)
    with pytest.raises(Unproven) as caught:
        receipt.prove_entry(read_proof(of_entry(found) if isinstance(found, dict) else found), public)
    assert caught.value.step == step
    assert receipt.prove_entry(read_proof(of_entry(proof_of(keys))), public).size == len(ENTRIES)


def test_a_proof_without_a_receipt_is_of_the_entry_that_it_names(keys: KeyStore, public: PublicKeys) -> None:
    other = of_entry(proof_of(keys, entry=claims(5)["entry"]))
    with pytest.raises(Unproven, match="path does not lead") as caught:
        receipt.prove_entry(read_proof(other), public)
    assert (caught.value.step, isinstance(caught.value, NotLookedAt)) == ("inclusion", False)
    for entry in (None, 7, "", "AAAA", "*" * 43):
        with pytest.raises(NotLookedAt, match="must have its entry"):
            receipt.prove_entry(read_proof(of_entry(proof_of(keys, entry=entry))), public)
    for wrong in ({"receiptId": "A" * 53}, {"receiptId": ["A"]}, {"disclosure": "x"}):
        with pytest.raises(NotLookedAt, match="must have disclosure or receiptId"):
            read_proof(of_entry(proof_of(keys)) | wrong)


EARLY = "it will be in the log soon; ask again"


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([{"message": EARLY, "extensions": {"code": "LEDGER_UNAVAILABLE"}}], EARLY),
        ([{"message": "x" * 1_000}], "x" * 200),
        ([{"message": 7}], "without a message"),
        (["x"], "without a message"),
    ],
)
def test_a_refusal_is_no_proof_and_says_so(errors: Any, said: str) -> None:
    with pytest.raises(NotLookedAt) as caught:
        read_proof({"errors": errors})
    assert str(caught.value).startswith(f"it is a refusal of the gateway ({said}): fetch it again")


def test_a_digest_is_of_document_operation_and_variables(tmp_path: Path) -> None:
    asked = (b"\1" * 32, "Shown", {"b": 1.0, "a": [None, "é"]})
    digest = receipt.request_digest(*asked)
    assert digest == receipt.request_digest(b"\1" * 32, "Shown", {"a": [None, "é"], "b": 1})
    others = [(b"\2" * 32, *asked[1:]), (asked[0], None, asked[2]), (*asked[:2], {})]
    assert len({digest, *(receipt.request_digest(*other) for other in others)}) == 4
    for bad in (2**60, float("nan"), "\ud800", {"\ud800": 1}):
        with pytest.raises(ValueError, match=r"domain|representable|codepoints|surrogates"):
            receipt.request_digest(b"", None, {"a": bad})


# The command ---------------------------------------------------------------------------------------------------------


def run(*arguments: str, stdin: bytes = b"") -> Any:
    return CliRunner().invoke(app, ["receipt", "verify", *arguments], input=stdin)


@pytest.fixture
def files(tmp_path: Path, keys: KeyStore, public: PublicKeys) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps(jwks(keys)))
    (tmp_path / "one.jws").write_text(receipt.signed(claims(1), keys.current("receipts")) + "\n")
    answer = {"data": {}, "extensions": {"receipt": receipt.signed(claims(2), keys.current("receipts"))}}
    (tmp_path / "two.json").write_text(json.dumps(answer))
    (tmp_path / "three.jws").write_text(receipt.signed(claims(3), keys.current("receipts")))
    (tmp_path / "early.json").write_text(json.dumps({"errors": [{"message": EARLY}]}))
    (tmp_path / "own.json").write_text(json.dumps(of_entry(proof_of(keys, 4))))
    for place in (1, 2, 3):
        (tmp_path / f"proof{place}.json").write_text(json.dumps(proof_of(keys, place)))
    return tmp_path


def test_the_command_verifies_several_files_and_standard_input(files: Path) -> None:
    keys = ("--keys", str(files / "keys.json"))
    one, two = str(files / "one.jws"), str(files / "two.json")
    found = run(one, two, *keys)
    assert (found.exit_code, found.stdout.count("holds, the values beside it aren't in it; disclosure")) == (0, 2)
    url = f"{claims(1)['iss']}/receipts/{claims(1)['disclosure']}"
    fetched = f"curl -sSf --retry 5 {url} -o proof-00000000.json, then give --proof proof-00000000.json"
    assert f"its log was not looked at: {fetched}" in found.stdout
    proofs = [part for place in (2, 1) for part in ("--proof", str(files / f"proof{place}.json"))]
    found = run(one, "-", *proofs, *keys, "--json", stdin=Path(two).read_bytes())
    assert found.exit_code == 0, found.output
    assert [(each["holds"], each["included"]) for each in json.loads(found.stdout)] == [(True, 11), (True, 11)]


def test_the_command_passes_on_the_status_that_nobody_signs(files: Path, keys: KeyStore) -> None:
    proof = files / "proof.json"
    told = "status SUPERSEDED when the proof was fetched (not signed)"
    for said, shown in (("SUPERSEDED", f"{told}\n"), ("<b>", "entries\n")):
        proof.write_text(json.dumps(proof_of(keys, 1) | {"status": said}))
        found = run(str(files / "one.jws"), "--proof", str(proof), "--keys", str(files / "keys.json"))
        assert found.exit_code == 0
        assert found.stdout.endswith(shown), found.stdout


def verified(files: Path, receipts: str, proofs: str = "") -> tuple[int, list[tuple[str, bool | None, str]]]:
    """Status; and for each file of ours its name, whether it holds, and the step or what else there is to say."""
    given = [str(files / name) for name in receipts.split()]
    given += [part for name in proofs.split() for part in ("--proof", str(files / name))]
    found = run(*given, "--keys", str(files / "keys.json"), "--json")
    told = [(Path(one["file"]).name, one["holds"], one.get("error", "")) for one in json.loads(found.stdout)]
    return found.exit_code, told


NO_PROOF = "no proof was given for it: curl -sSf --retry 5 https://gateway.example/receipts/"


def test_once_there_are_proofs_each_receipt_must_have_its_own(files: Path) -> None:
    all_of_them = "one.jws two.json three.jws"
    assert verified(files, all_of_them, "proof3.json proof1.json proof2.json")[0] == 0
    status, (one, two, three) = verified(files, all_of_them, "proof3.json proof1.json")
    assert (status, one, three) == (1, ("one.jws", True, ""), ("three.jws", True, ""))
    assert two[:2] == ("two.json", None)
    assert two[2].startswith(f"{NO_PROOF}{claims(2)['disclosure']} -o ")
    status, (one, two) = verified(files, "one.jws two.json", "proof1.json")
    assert (status, one[1], two[1], two[2].startswith(NO_PROOF)) == (1, True, None, True)
    status, (one, stranger) = verified(files, "one.jws", "proof2.json")
    assert (status, one[1], one[2].startswith(NO_PROOF)) == (1, None, True)
    assert (stranger[:2], stranger[2].split(",")[0]) == (("proof2.json", None), "it is of none of these receipts")
    status, (one, stranger) = verified(files, "one.jws", "proof1.json proof2.json")
    assert (status, one[1], stranger[0]) == (1, True, "proof2.json")


def test_of_two_proofs_of_one_receipt_both_must_hold(files: Path, keys: KeyStore) -> None:
    (files / "moved.json").write_text(json.dumps(proof_of(keys, 1, index=2)))
    for proofs in ("proof1.json moved.json", "moved.json proof1.json"):
        status, (one,) = verified(files, "one.jws", proofs)
        assert (status, one[1]) == (3, False)


def test_a_proof_that_was_fetched_too_early_is_to_be_fetched_again(files: Path) -> None:
    refused = f"it is a refusal of the gateway ({EARLY}): fetch it again"
    status, (one, early) = verified(files, "one.jws", "early.json")
    assert (status, one[1], one[2].startswith(NO_PROOF)) == (1, None, True)
    assert (early[:2], early[2].startswith(refused)) == (("early.json", None), True)
    status, (early,) = verified(files, "early.json")
    assert (status, early) == (1, ("early.json", None, refused))


def test_a_proof_alone_says_what_it_proves_and_what_not(files: Path, keys: KeyStore) -> None:
    given = ("--keys", str(files / "keys.json"))
    said = run(str(files / "own.json"), *given)
    assert said.exit_code == 0, said.output
    assert f"entry 4 is in the log {ORIGIN} of 11 entries; status VALID when the proof was fetched (not signed)" in (
        said.stdout
    )
    assert f"that it is the one of {'A' * 54}, and what was shown to whom, is the gateway's word" in said.stdout
    assert verified(files, "own.json proof1.json two.json")[0] == 0
    forged = of_entry(proof_of(keys, 4, entry=claims(5)["entry"]))
    (files / "forged.json").write_text(json.dumps(forged))
    status, (found,) = verified(files, "forged.json")
    assert (status, found[1], "path does not lead" in found[2]) == (3, False, True)


def test_the_command_says_which_step_failed(files: Path) -> None:
    keys = ("--keys", str(files / "keys.json"))
    one = str(files / "one.jws")
    (files / "bad.jws").write_text(_changed(Path(one).read_text().strip(), 2, lambda p: "AAAA" + p[4:]))
    found = run(one, str(files / "bad.jws"), *keys)
    assert found.exit_code == 3
    assert [line.split(": ", 2)[1].split(";")[0] for line in found.stdout.splitlines()] == [
        "the receipt holds, the values beside it aren't in it",
        "FAILS at signature",
    ]


def test_what_is_wrong_is_another_status_than_what_can_not_be_looked_at(files: Path) -> None:
    """3 wins: who asks about several learns that something is wrong, whatever could not be read beside it."""
    text = (files / "one.jws").read_text().strip()
    (files / "bad.jws").write_text(_changed(text, 2, lambda p: "AAAA" + p[4:]))
    stranger = {"kty": "OKP", "crv": "Ed25519", "job": "receipts", "x": receipt.base64url(bytes(32))}
    (files / "others.json").write_text(json.dumps({"keys": [stranger]}))
    for receipts, proofs, status in (
        ("bad.jws", "", 3),
        ("missing", "", 1),
        ("missing bad.jws one.jws", "", 3),
        ("bad.jws missing", "", 3),
        ("bad.jws", "missing early.json", 3),
        ("one.jws", "missing", 1),
        ("one.jws", "proof1.json missing", 1),
    ):
        assert verified(files, receipts, proofs)[0] == status, (receipts, proofs)
    found = run(str(files / "one.jws"), "--keys", str(files / "others.json"))
    assert (found.exit_code, "NOT VERIFIED at key" in found.stdout) == (1, True)
    found = run(str(files / "own.json"), "--keys", str(files / "others.json"))
    assert (found.exit_code, "NOT VERIFIED at checkpoint: no key for checkpoints" in found.stdout) == (1, True)


def test_help_lists_the_statuses() -> None:
    told = " ".join(run("--help").stdout.replace("│", " ").split())
    for part in ("Status: 0 all hold, 1 something could not be looked at", "3 something does not hold"):
        assert part in told


def test_what_a_refusal_says_does_not_reach_the_terminal(files: Path) -> None:
    (files / "early.json").write_text(json.dumps({"errors": [{"message": "\x1b[2J\nx: the receipt holds"}]}))
    found = run(str(files / "early.json"), "--keys", str(files / "keys.json"))
    assert (found.exit_code, len(found.stdout.splitlines()), "\x1b" in found.stdout) == (1, 1, False)


def test_without_keys_the_command_says_where_they_are(
    files: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt whose key is not known looks forged; where no key is known at all, nothing is said of the receipt."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(files))
    found = run(str(files / "one.jws"))
    assert (found.exit_code, found.stdout) == (1, "")
    for part in ("no keys of receipts", "/oauth/jwks > jwks.json", "--keys jwks.json"):
        assert part in found.stderr
    store = KeyStore(files / "keys")
    store.current("receipts")  # others than the receipt's
    found = run(str(files / "one.jws"))
    assert (found.exit_code, "NOT VERIFIED at key" in found.stdout) == (1, True)


def test_the_command_is_not_stopped_by_files(files: Path) -> None:
    keys = ("--keys", str(files / "keys.json"))
    made = {
        "deep": b"[" * 1_000_000,
        "open": b'{"extensions":' * 100_000,
        "no receipt": b'{"extensions":{"receipt":7}}',
        "binary": bytes(range(256)) * 40_000,
        "long": b"x" * 30_000_000,
    }
    for name, data in made.items():
        (files / name).write_bytes(data)
    found = run(*(str(files / name) for name in made), str(files), "missing", *keys, "--json")
    assert found.exit_code == 1
    assert [(each["holds"], each["step"]) for each in json.loads(found.stdout)] == [(None, "file")] * (len(made) + 2)
    assert run(str(files / "one.jws"), "--keys", str(files / "deep")).exit_code == 1
    assert run(str(files / "one.jws"), "--keys", str(files / "missing")).exit_code == 1
    assert run().exit_code == 2

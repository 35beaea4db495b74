"""credit-gateway receipt verify: whether receipts hold, and whether the log has what they promise. Offline.

In: files with receipts (the compact JWS, or the answer that it came in), proofs as /receipts/{id} gave them, the JWKS
of /oauth/jwks. Out: a line for each file on stdout.
Exit status: 0 all hold, 1 something could not be looked at, 2 wrong usage, 3 something does not hold.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.auth.keys import KeyStore
from gateway.cli.common import fail, reported, show_json
from gateway.counted import counted
from gateway.errors import OperatorError
from gateway.ledger import receipt as form
from gateway.ledger.head import CHECKPOINTS
from gateway.ledger.receipt import NotLookedAt, Proof, PublicKeys, Unproven
from gateway.settings import load

app = typer.Typer(help="Verify receipts of answers (docs/ledger.md).", no_args_is_help=True)

NOT_LOOKED_AT = 1
DOES_NOT_HOLD = 3
_MOST_KEYS = 4 * 1024 * 1024  # bytes of a JWKS
_MOST_FILE = form.MOST + 16 * 1024 * 1024  # bytes of a file: an answer, and the receipt in it


@app.callback()
def _receipt() -> None:
    """Keeps `verify` a command of its own."""


@app.command("verify")
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Receipts, or proofs alone; - is standard input")],
    proof: Annotated[
        list[Path] | None,
        typer.Option(help="What /receipts/{id} answered; again for each receipt, in any order"),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="What /oauth/jwks answers, saved; without it the keys in our own data folder")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False,
) -> None:
    """Check form, signature and claims of receipts, and by their proofs that the log has their entries.

    Says for each that fails the step: file, header, key, signature, claims, proof, checkpoint, inclusion. A receipt
    says who was shown which fields of whom, and for what. It has no value of the answer: who changes one isn't found.

    Once a --proof is given, each receipt must have its own among them. A FILE that is itself what /receipts/{id}
    answered is verified without a receipt, as a subject does with its receiptId: its entry is in the log that was
    signed. That the entry is the one of this id, and what it commits to, is the gateway's word.

    Status: 0 all hold, 1 something could not be looked at (a missing file or proof, an unknown key), 2 wrong usage, 3
    something does not hold (forged, changed), whatever else could not be looked at.
    """
    with reported():
        known = _keys(keys)
    proofs: list[tuple[str, Proof]] = []
    unread = []
    for name in map(str, proof or ()):
        try:
            proofs.append((name, form.read_proof(_read(name, form.MOST_PROOF))))
        except (OperatorError, Unproven) as error:
            unread.append(_failed(name, error))
    results = [_verified(file, known, proofs if proof else None) for file in files]
    ids = {found.get("disclosure") for found in results}
    text = "it is of none of these receipts, as far as they hold; to verify it alone, give it without --proof"
    strangers = [_failed(name, NotLookedAt("proof", text)) for name, one in proofs if one.of not in ids]
    results += unread + strangers
    if as_json:
        show_json(results)
    else:
        for found in results:
            typer.echo(_printable(_line(found)))
    said = [found["holds"] for found in results]
    raise typer.Exit(DOES_NOT_HOLD if False in said else NOT_LOOKED_AT if None in said else 0)


def _keys(path: Path | None) -> PublicKeys:
    if path is None:
        folder = load().data_dir / "keys"
        store = KeyStore(folder)
        jobs = (form.JOB, CHECKPOINTS)
        own = form.public_keys({"keys": [{**key, "job": job} for job in jobs for key in store.public(job)["keys"]]})
        if not own.receipts:
            fail(
                f"this machine has no keys of receipts ({folder}); take the gateway's: curl"
                " https://gateway.example/oauth/jwks > jwks.json, and give them: --keys jwks.json"
            )
        return own
    try:
        return form.public_keys(json.loads(_read(str(path), _MOST_KEYS)))
    except (ValueError, RecursionError):
        fail(f"{path} is not JSON; save what /oauth/jwks answers")
    except Unproven as error:
        fail(f"{path}: {error}")


def _read(name: str, most: int) -> bytes:
    """At most so many bytes of a file. Raises OperatorError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        raise OperatorError(f"cannot read {name}: {error.strerror}") from None
    if len(data) > most:
        raise OperatorError(f"{name} is too long: at most {most} bytes are read")
    return data


def _verified(file: str, keys: PublicKeys, proofs: Sequence[tuple[str, Proof]] | None) -> dict[str, Any]:
    """What there is to say of a file. `proofs`: one of them must be the receipt's; None: nobody has asked for it."""
    found: dict[str, Any] = {}
    try:
        data = _read(file, _MOST_FILE)
        parsed = _parsed(data)
        if form.is_proof(parsed):
            return _entry(file, form.read_proof(data), keys)
        receipt = form.read(_receipt_in(parsed), keys, now=time.time())
        claims = receipt.claims
        found = {"file": file, "holds": True, "disclosure": receipt.disclosure, "key": receipt.kid}
        found |= {name: claims[name] for name in ("iss", "iat", "view", "purpose")}
        found |= {"subjects": len({str(one) for one in claims["subjects"]}), "log": receipt.origin, "included": None}
        own = [one for _, one in proofs or () if one.of == receipt.disclosure]
        if proofs is not None and not own:
            raise NotLookedAt("proof", f"no proof was given for it: {_fetched(found)}")
        for one in own:
            found |= {"included": form.prove(receipt, one, keys).size, "status": one.status}
        return found
    except (OperatorError, Unproven) as error:
        return found | _failed(file, error)


def _entry(file: str, proof: Proof, keys: PublicKeys) -> dict[str, Any]:
    """The same of a proof that comes without its receipt. Raises Unproven."""
    checkpoint = form.prove_entry(proof, keys)
    found = {"file": file, "holds": True, "id": proof.of, "entry": proof.entry, "index": proof.index}
    return found | {"log": checkpoint.origin, "included": checkpoint.size, "status": proof.status}


def _failed(file: str, error: OperatorError | Unproven) -> dict[str, Any]:
    """`holds` is None where it could not be looked at."""
    open_ = isinstance(error, OperatorError | NotLookedAt)
    step = error.step if isinstance(error, Unproven) else "file"
    return {"file": file, "holds": None if open_ else False, "step": step, "error": str(error)}


def _parsed(data: bytes) -> Any:
    """A file as JSON where it is an object, {} where it can't be read as one; any other as its text."""
    text = data.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


def _receipt_in(parsed: Any) -> str:
    """The receipt in a file: alone, or in the answer that it came with. Raises Unproven."""
    if isinstance(parsed, str):
        return parsed
    try:
        found = parsed["extensions"]["receipt"]
    except (KeyError, TypeError):
        found = None
    if not isinstance(found, str):
        refused = form.refusal_in(parsed)
        raise NotLookedAt(
            "file", refused or "neither an answer with extensions.receipt nor what /receipts/{id} answers"
        )
    return found


def _line(found: dict[str, Any]) -> str:
    name = found["file"]
    if not found["holds"]:
        fails = "NOT VERIFIED" if found["holds"] is None else "FAILS"
        return f"{name}: {fails} at {found['step']}: {found['error']}"
    where = f"in the log {found['log']} of {counted(found['included'] or 0, 'entry', 'entries')}"
    if found.get("status") is not None:
        where += f"; status {found['status']} when the proof was fetched (not signed)"
    if "index" in found:
        word = f"that it is the one of {found['id']}, and what was shown to whom, is the gateway's word"
        return f"{name}: entry {found['index']} is {where}; {word}"
    if found["included"] is None:
        where = f"its log was not looked at: {_fetched(found)}"
    subjects = counted(found["subjects"], "subject")
    holds = "the receipt holds, the values beside it aren't in it"
    return f"{name}: {holds}; disclosure {found['disclosure']}, {subjects}; {where}"


def _fetched(found: dict[str, Any]) -> str:
    """How the proof of a receipt is fetched: curl asks again until it is in the log, and keeps no refusal."""
    url = shlex.quote(f"{found['iss']}/receipts/{found['disclosure']}")
    file = f"proof-{found['disclosure'][:8]}.json"
    return f"curl -sSf --retry 5 {url} -o {file}, then give --proof {file}"


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

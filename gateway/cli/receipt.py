"""credit-gateway receipt verify: whether receipts hold, and whether the log has what they promise. Offline.

In: files with receipts (the compact JWS, or the answer that it came in), proofs as /receipts/{id} gave them, the JWKS
of /oauth/jwks. Out: a line for each receipt on stdout; status 0 where all hold, 1 where one does not, 2 usage.
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
from gateway.ledger.receipt import PublicKeys, Receipt, Unproven
from gateway.settings import load

app = typer.Typer(help="Verify receipts of answers (docs/ledger.md).", no_args_is_help=True)

_MOST_KEYS = 4 * 1024 * 1024  # bytes of a JWKS
_STATUSES = ("VALID", "SUPERSEDED", "UNDER_OBJECTION", "NOT_KEPT")
_MOST_FILE = form.MOST + 16 * 1024 * 1024  # bytes of a file: an answer, and the receipt in it


@app.callback()
def _receipt() -> None:
    """Keeps `verify` a command of its own."""


@app.command("verify")
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Receipts; - is standard input")],
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
    """
    with reported():
        known = _keys(keys)
        proofs = [(path, _read(str(path), form.MOST_PROOF)) for path in proof or ()]
    used: set[int] = set()
    results = [_verified(file, known, proofs, used) for file in files]
    for place, (path, _) in enumerate(proofs):
        if place not in used:
            text = "the proof is of none of these receipts"
            results.append({"file": str(path), "holds": False, "step": "proof", "error": text})
    if as_json:
        show_json(results)
    else:
        for found in results:
            typer.echo(_line(found))
    raise typer.Exit(0 if all(found["holds"] for found in results) else 1)


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


def _verified(file: str, keys: PublicKeys, proofs: Sequence[tuple[Path, bytes]], used: set[int]) -> dict[str, Any]:
    try:
        receipt = form.read(_receipt_in(_read(file, _MOST_FILE)), keys, now=time.time())
        found: dict[str, Any] = {"file": file, "holds": True, "disclosure": receipt.disclosure, "key": receipt.kid}
        claims = receipt.claims
        found |= {name: claims[name] for name in ("iss", "iat", "view", "purpose")}
        found |= {"subjects": len({str(one) for one in claims["subjects"]}), "log": receipt.origin, "included": None}
        place = _proof_of(receipt, proofs)
        if place is not None:
            used.add(place)
            checkpoint = form.prove(receipt, proofs[place][1], keys)
            found["included"] = checkpoint.size
            # Nobody signs it: what the gateway said when the proof was fetched.
            status = json.loads(proofs[place][1]).get("status")
            found["status"] = status if status in _STATUSES else None
        return found
    except OperatorError as error:
        return {"file": file, "holds": False, "step": "file", "error": str(error)}
    except Unproven as error:
        return {"file": file, "holds": False, "step": error.step, "error": str(error)}


def _receipt_in(data: bytes) -> str:
    """The receipt in a file: alone, or in the answer that it came with. Raises Unproven."""
    text = data.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        found = json.loads(text)
        found = found["extensions"]["receipt"]
    except (ValueError, RecursionError, KeyError, TypeError):
        found = None
    if not isinstance(found, str):
        raise Unproven("file", "no receipt: there is no extensions.receipt in this answer")
    return found


def _proof_of(receipt: Receipt, proofs: Sequence[tuple[Path, bytes]]) -> int | None:
    """Which proof is this receipt's; where there is one alone it must be."""
    if len(proofs) == 1:
        return 0
    for place, (_, data) in enumerate(proofs):
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("disclosure") == receipt.disclosure:
            return place
    return None


def _line(found: dict[str, Any]) -> str:
    name = _printable(found["file"])
    if not found["holds"]:
        return f"{name}: FAILS at {found['step']}: {found['error']}"
    subjects = counted(found["subjects"], "subject")
    url = shlex.quote(_printable(f"{found['iss']}/receipts/{found['disclosure']}"))
    where = f"its log was not looked at: curl -s {url} > proof.json, then give --proof proof.json"
    if found["included"] is not None:
        where = f"in the log {found['log']} of {counted(found['included'], 'entry', 'entries')}"
        if found.get("status") is not None:
            where += f"; status {found['status']} when the proof was fetched (not signed)"
    holds = "the receipt holds, the values beside it aren't in it"
    return f"{name}: {holds}; disclosure {found['disclosure']}, {subjects}; {where}"


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

"""`credit-gateway keys rotate | list | client`: the signing keys, one job each; and a key by which to be a client."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import asyncpg
import typer
from joserfc.jwk import ECKey

from gateway.auth.keys import JOBS, KeyStore, SigningKey
from gateway.auth.tokens import JOB
from gateway.cli.common import database_there, note, own_origin, reported, show_json, show_table
from gateway.errors import OperatorError
from gateway.ledger.head import CHECKPOINTS, COSIGNATURES, signer
from gateway.ledger.notes import NoteError
from gateway.settings import Settings, load
from gateway.zone import shown

_PINNED_BY: Final = {
    CHECKPOINTS: "whoever has pinned the old one (ledger verify | consistency | witness --key)",
    COSIGNATURES: "every region that has pinned the old one (ledger cosignatures --key)",
}

app = typer.Typer(help="Rotate and list signing keys.", no_args_is_help=True)


@app.command("rotate")
def rotate(job: Annotated[str, typer.Option(help=f"One of: {', '.join(JOBS)}")] = JOB) -> None:
    """Make a new key for a job; older public keys stay published. Prints the new key's kid.

    For checkpoints and cosignatures it prints the verifier key, too, <name>+<id>+<base64>: give it to whoever has
    pinned the old one, before their next run. They go on with --key OLD --key NEW.
    """
    if job not in JOBS:
        raise typer.BadParameter(f"no such job; jobs are {', '.join(JOBS)}")
    with reported():
        settings = load()
        store = KeyStore(settings.data_dir / "keys")
        made = store.rotate(job)
        note(f"new {made.algorithm} key for {job}; running servers use it from their next signature on")
        typer.echo(made.kid)
        if job in _PINNED_BY:
            _tell_verifier(settings, store, job)


def _tell_verifier(settings: Settings, store: KeyStore, job: str) -> None:
    """The verifier key, and who needs it. The key has been changed: what fails here is told and no failure."""
    note(f"give its verifier key to {_PINNED_BY[job]}, before their next run")
    try:
        with database_there(settings) as database:
            name = asyncio.run(_log_name(settings, database.dsn("log")))
        typer.echo(str(signer(store, job, name).verifier))
    except (OperatorError, NoteError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        note(
            "it is in /log/verifiers, the first of its type, once the gateway runs: the name of the log could not be"
            f" asked for here ({type(error).__name__})"
        )


async def _log_name(settings: Settings, dsn: str) -> str:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await own_origin(settings, connection)
    finally:
        await connection.close()


@app.command("list")
def list_keys(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False) -> None:
    """All keys: job, kid, algorithm, when made, when retired."""
    with reported():
        found = KeyStore(load().data_dir / "keys").all()
        if as_json:
            show_json([_describe(key) for key in found])
        else:
            columns = ("job", "kid", "algorithm", "made", "retired")
            show_table(columns, [tuple(str(value or "") for value in _describe(key).values()) for key in found])


@app.command("client")
def client_key(
    file: Annotated[Path, typer.Argument(help="New file for the private JWK; its owner alone can read it")],
) -> None:
    """Make a key by which to be a client: of another region's gateway, for instance (key_file in GATEWAY_PEERS).

    The public JWKS goes to stdout, alone, for those who register the client: clients add … --jwks.
    """
    with reported():
        public = new_client_key(file)
        note(f"the private key is in {file}; it stays here")
        show_json(public)


def new_client_key(path: Path) -> dict[str, Any]:
    """Make a key for private_key_jwt: the private JWK (EC P-256) in a new file (0600). Returns the public JWKS.

    Raises OperatorError where the file can't be written or is there already.
    """
    key = ECKey.generate_key("P-256")
    named = {"kid": key.thumbprint(), "alg": "ES256", "use": "sig"}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({**key.as_dict(private=True), **named}, file)
            file.write("\n")
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}; it must be a new file") from error
    return {"keys": [{**key.as_dict(private=False), **named}]}


def _describe(key: SigningKey) -> dict[str, str | None]:
    return {
        "job": key.job,
        "kid": key.kid,
        "algorithm": key.algorithm,
        "made": _time(key.created_at),
        "retired": None if key.retired_at is None else _time(key.retired_at),
    }


def _time(seconds: float) -> str:
    return shown(datetime.fromtimestamp(seconds, UTC))

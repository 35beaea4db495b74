"""`credit-gateway keys rotate | list`: the signing keys, one job each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.auth.keys import JOBS, KeyStore, SigningKey
from gateway.auth.tokens import JOB
from gateway.cli.common import note, reported, show_json, show_table
from gateway.settings import load

app = typer.Typer(help="Rotate and list signing keys.", no_args_is_help=True)


@app.command("rotate")
def rotate(job: Annotated[str, typer.Option(help=f"One of: {', '.join(JOBS)}")] = JOB) -> None:
    """Make a new key for a job; older public keys stay published. Prints the new key's kid."""
    if job not in JOBS:
        raise typer.BadParameter(f"no such job; jobs are {', '.join(JOBS)}")
    with reported():
        made = KeyStore(load().data_dir / "keys").rotate(job)
        note(f"new {made.algorithm} key for {job}; running servers use it from their next signature on")
        typer.echo(made.kid)


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


def _describe(key: SigningKey) -> dict[str, str | None]:
    return {
        "job": key.job,
        "kid": key.kid,
        "algorithm": key.algorithm,
        "made": _time(key.created_at),
        "retired": None if key.retired_at is None else _time(key.retired_at),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

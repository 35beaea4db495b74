"""The command line: credit-gateway serve | migrate | import | clients | token | keys | changes | ledger |
erase | receipt | schema | explain | sandbox.

In: arguments and GATEWAY_* settings. Out: results on stdout, everything else on stderr; status 0, 1 failed, 2 usage.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from gateway.cli import (
    access,
    changes,
    clients,
    erase,
    imports,
    keys,
    ledger,
    receipt,
    retention,
    schema,
    seals,
    serve,
    token,
)

app = typer.Typer(
    name="credit-gateway",
    help="One question, one joined answer: the credit gateway. Settings are GATEWAY_… (docs/settings.md).",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a traceback must not print what a variable holds
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("credit-gateway"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version")] = False,
) -> None:
    pass


app.command("serve")(serve.serve)
app.command("migrate")(serve.migrate)
app.command("import")(imports.import_command)
app.add_typer(clients.app, name="clients")
app.command("token")(token.token)
app.add_typer(keys.app, name="keys")
app.add_typer(changes.app, name="changes")
app.add_typer(ledger.app, name="ledger")
ledger.app.add_typer(access.app, name="access-request")
ledger.app.command("seal")(seals.seal)
ledger.app.command("unseal")(seals.unseal)
ledger.app.command("seals")(seals.seals)
ledger.app.command("retention")(retention.retention)
app.command("erase")(erase.erase_command)
app.add_typer(receipt.app, name="receipt")
app.command("schema")(schema.schema)
app.command("explain")(schema.explain)
app.command(
    "sandbox", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(serve.sandbox)


_FULL = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    """Entry point. A disk that is full, stdout's most of all, is no bug of ours: one line, status 1."""
    try:
        app()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be written would fail again at the exit
        typer.echo(f"error: cannot write: {error.strerror}; make room, then run it again", err=True)
        sys.exit(1)

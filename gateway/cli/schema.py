"""`credit-gateway schema` and `explain`: what may be asked in a view, and how a document becomes SQL."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from graphql import GraphQLSchema

from gateway.auth.principal import Principal
from gateway.cli.common import fail
from gateway.engine.compile import compile_operation
from gateway.engine.documents import prepare
from gateway.engine.explain import describe, describe_step, parameters
from gateway.engine.mutate import compile_mutation
from gateway.errors import ClientError, Refused
from gateway.schema.contracts import build_contracts, sdl
from gateway.schema.federation import subgraph_sdl
from gateway.settings import is_field_name
from gateway.storage.levels import INTERNAL, PUBLIC, RESTRICTED, SELF


class View(enum.StrEnum):
    """The views, as arguments."""

    PUBLIC = "public"
    RESTRICTED = "restricted"
    INTERNAL = "internal"
    SELF = "self"


_ACCESS = {View.PUBLIC: PUBLIC, View.RESTRICTED: RESTRICTED, View.INTERNAL: INTERNAL, View.SELF: SELF}


Name = Annotated[
    str,
    typer.Option(
        envvar="GATEWAY_FEDERATION_NAME", help="Name among several prefectures (docs/federation.md); none: alone"
    ),
]


def _contracts(federation_name: str) -> dict[str, GraphQLSchema]:
    if federation_name and not is_field_name(federation_name):
        fail("--federation-name: letters and digits, 40 at most, beginning with a small letter, and not uscc")
    return build_contracts(federation_name=federation_name)


def schema(
    view: Annotated[View, typer.Option(help="Whose contract")] = View.PUBLIC,
    subgraph: Annotated[bool, typer.Option(help="As _service answers it, for a composer of Federation 2")] = False,
    federation_name: Name = "",
) -> None:
    """Print a view's contract as SDL: what lies above the view does not exist in it."""
    contract = _contracts(federation_name)[view.upper()]
    typer.echo(subgraph_sdl(contract) if subgraph else sdl(contract), nl=False)


def explain(
    file: Annotated[Path, typer.Argument(help="A GraphQL document; - for standard input")],
    view: Annotated[View, typer.Option(help="In which view")] = View.PUBLIC,
    operation: Annotated[str | None, typer.Option(help="Which operation, where there are several")] = None,
    variables: Annotated[str, typer.Option(help="Variables as JSON; which are there is part of the plan")] = "{}",
    federation_name: Name = "",
) -> None:
    """Print the plan of a document and the one SQL statement that answers it; of a mutation those of each root field.
    Nothing is run."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8; give a GraphQL document")
    try:
        given: Any = json.loads(variables)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise typer.BadParameter('--variables must be a JSON object, such as \'{"uscc": "91…"}\'')
    access = _ACCESS[view]
    principal = Principal(access)
    try:
        document = prepare(access.contract, _contracts(federation_name)[access.contract], text)
        chosen = document.operation(operation)
        assumed = chosen.coerce.assumed(given)
        if chosen.mutation:
            access = principal.under_scope().access
            for step in compile_mutation(document, chosen, assumed, principal.under_scope()):
                typer.echo("\n".join(describe_step(step, access)))
            return
        compiled = compile_operation(document, chosen, assumed, principal)
        if compiled.scoped:
            access = principal.under_scope().access
            compiled = compile_operation(document, chosen, assumed, principal.under_scope())
    except (Refused, ClientError) as error:
        fail(str(error))
    typer.echo(describe(compiled.plan))
    for source, keys in compiled.keys.items():
        if keys.statement is None:
            typer.echo(f"-- {source}: subjects from the arguments, parts {', '.join(keys.parts)}\n")
        else:
            typer.echo(f"-- {source}: subjects by this statement\n{keys.statement.text}\n")
    if compiled.body is not None:
        typer.echo(f"-- as role …_{access.name}\n{compiled.body.text}")
        for line in parameters(compiled.body):
            typer.echo(line)

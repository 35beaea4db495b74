"""`credit-gateway clients add | update | list | set-keys | fill-list | disable | documents`: who may ask, and the most
that they may see."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.auth.certificate import InvalidCertificateError, from_pem
from gateway.auth.clients import DPOP, MTLS, SUBJECT_SELF, Client, ClientStore
from gateway.auth.documents import ANY, REGISTERED
from gateway.auth.purpose import SELF_MATTER
from gateway.auth.registration import Registration, check_certificates, check_jwks, check_limits, register
from gateway.cli import documents
from gateway.cli.common import fail, note, run_with_pool, show_json, show_table
from gateway.cli.keys import new_client_key
from gateway.counted import counted
from gateway.errors import OperatorError
from gateway.storage.pool import Pool

app = typer.Typer(help="Register, list and disable clients.", no_args_is_help=True)
app.add_typer(documents.app, name="documents")

_MAX_FILE = 65_536


class Sends(StrEnum):
    """What a client may send."""

    any = ANY.lower()
    registered = REGISTERED.lower()


Limit = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=NUMBER", help="A limit of its own, e.g. cost=2000 (docs/limits.md); repeatable"),
]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What people call the client")],
    client_id: Annotated[str, typer.Option("--id", help="Its id: A-Z a-z 0-9 . _ -, at most 80; never used again")],
    organisation: Annotated[str, typer.Option(help="USCC of the organisation that it asks for")],
    scope: Annotated[
        list[str] | None, typer.Option(help="view:restricted, view:internal or subject:self; none: the public view")
    ] = None,
    matter: Annotated[list[str] | None, typer.Option(help="Code of a matter that it may act in; repeatable")] = None,
    jwks: Annotated[Path | None, typer.Option(help="File with its public keys (JWKS) for private_key_jwt")] = None,
    generate_key: Annotated[
        Path | None, typer.Option(help="Make a key, write its private JWK to this new file (0600), register the public")
    ] = None,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(help="PEM file of a certificate that it authenticates by (mutual TLS); repeatable"),
    ] = None,
    token_issuer: Annotated[
        str | None, typer.Option(help="External issuer (GATEWAY_TRUSTED_ISSUERS) that its tokens come from")
    ] = None,
    secret: Annotated[bool, typer.Option("--secret", help="For development: a secret, printed once")] = False,
    dpop: Annotated[bool, typer.Option("--dpop", help="Its tokens must be bound to a key of its own (DPoP)")] = False,
    mtls: Annotated[bool, typer.Option("--mtls", help="Its tokens must be bound to its TLS certificate")] = False,
    subject: Annotated[
        str | None, typer.Option(help="USCC of the subject whose own account this is (scope subject:self)")
    ] = None,
    region: Annotated[list[str] | None, typer.Option(help="Narrow to a region and all below it; repeatable")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Narrow to a kind of subject; repeatable")] = None,
    list_name: Annotated[str | None, typer.Option("--list", help="Narrow to a named list of subjects")] = None,
    sends: Annotated[
        Sends, typer.Option("--documents", help="Any document, or those alone that are registered for it")
    ] = Sends.any,
    limit: Limit = None,
) -> None:
    """Register a client. Exactly one of --jwks, --generate-key, --certificate, --token-issuer and --secret says how.

    With --subject the scope is subject:self and the matter SELF, nothing else. A secret goes to stdout, alone.
    """
    if sum(bool(way) for way in (jwks, generate_key, certificate, token_issuer, secret)) != 1:
        raise typer.BadParameter(
            "give exactly one of --jwks, --generate-key, --certificate, --token-issuer and --secret"
        )
    if dpop and mtls:
        raise typer.BadParameter("give one of --dpop and --mtls")
    if subject is not None:
        scope, matter = scope or [SUBJECT_SELF], matter or [SELF_MATTER]

    async def work(pool: Pool) -> str | None:
        keys = None if jwks is None else _read_jwks(jwks)
        if generate_key is not None:
            keys = new_client_key(generate_key)
        wanted = Registration(
            id=client_id,
            name=name,
            organisation_uscc=organisation,
            scopes=tuple(scope or ()),
            matters=tuple(matter or ()),
            subject_uscc=subject,
            regions=tuple(region) if region else None,
            kinds=tuple(kind) if kind else None,
            list=list_name,
            jwks=keys,
            secret=secret,
            certificates=_thumbprints(certificate) if certificate else None,
            token_issuer=token_issuer,
            bound=DPOP if dpop else MTLS if mtls else None,
            documents=sends.value.upper(),
            limits=_limits(limit),
        )
        try:
            return await register(ClientStore(pool), wanted)
        except BaseException:
            if generate_key is not None:
                generate_key.unlink(missing_ok=True)  # of a client that does not exist
            raise

    made = run_with_pool("service", work)
    note(f"registered {client_id}")
    if generate_key is not None:
        note(f"its private key is in {generate_key}; move it to the client and keep no copy")
    if made is not None:
        note("its secret follows, once and never again; in production use --jwks or --generate-key")
        typer.echo(made)


@app.command("update")
def update(
    client_id: Annotated[str, typer.Argument(help="The client's id")],
    sends: Annotated[
        Sends | None, typer.Option("--documents", help="Any document, or those alone that are registered for it")
    ] = None,
    limit: Limit = None,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Its contract's limits from now on")] = False,
) -> None:
    """Change which documents a client may send, and its own limits: --limit replaces all that it had. Holds within two
    seconds; its tokens go on."""
    if (limit and no_limits) or (sends is None and not limit and not no_limits):
        raise typer.BadParameter("give --documents, --limit or --no-limits; the last two not together")

    async def work(pool: Pool) -> bool:
        limits = {} if no_limits else _limits(limit)
        chosen = None if sends is None else sends.value.upper()
        return await ClientStore(pool).set_use(
            client_id, documents=chosen, limits=None if limits is None else check_limits(limits)
        )

    if not run_with_pool("service", work):
        fail(f"no enabled client {client_id}; see: credit-gateway clients list")
    note(f"updated {client_id}")


def _limits(given: list[str] | None) -> dict[str, int] | None:
    """`NAME=NUMBER` as numbers by name; what they may be is checked elsewhere."""
    if not given:
        return None
    made: dict[str, int] = {}
    for text in given:
        name, equals, number = text.partition("=")
        if not equals or not (number.isascii() and number.isdigit()) or name in made:
            raise OperatorError(f"a limit is given as NAME=NUMBER, each name once: {text[:80]}")
        made[name] = int(number[:20])  # longer ones are too large all the same
    return made


@app.command("list")
def list_clients(as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False) -> None:
    """All clients, disabled ones too; neither keys nor secrets are shown."""

    async def work(pool: Pool) -> tuple[Client, ...]:
        return await ClientStore(pool).list()

    found = run_with_pool("service", work)
    if as_json:
        show_json([_describe(client) for client in found])
        return
    columns = ("id", "name", "organisation", "scopes", "matters", "narrowed to", "by", "documents", "limits", "state")
    show_table(columns, [_row(client) for client in found])


@app.command("set-keys")
def set_keys(
    client_id: Annotated[str, typer.Argument(help="The client's id")],
    jwks: Annotated[Path | None, typer.Option(help="File with all its public keys from now on (JWKS)")] = None,
    certificate: Annotated[
        list[Path] | None, typer.Option(help="PEM file of a certificate that it has from now on; repeatable")
    ] = None,
) -> None:
    """Replace what a client authenticates by. Its tokens end within two seconds; it fetches new ones.

    To rotate without a gap: a JWKS with the old key and the new one first, the new one alone afterwards.
    """
    if (jwks is None) == (not certificate):
        raise typer.BadParameter("give exactly one of --jwks and --certificate")

    async def work(pool: Pool) -> bool:
        row: dict[str, Any] = {
            "jwks": None if jwks is None else check_jwks(_read_jwks(jwks)),
            "certificates": check_certificates(_thumbprints(certificate)) if certificate else None,
        }
        return await ClientStore(pool).set_keys(client_id, row)

    if not run_with_pool("service", work):
        fail(f"no enabled client {client_id} with keys here; see: credit-gateway clients list")
    note(f"the keys of {client_id} were replaced; its tokens have ended")


@app.command("fill-list")
def fill_list(
    name: Annotated[str, typer.Argument(help="Name of the list, as in clients add --list")],
    file: Annotated[Path, typer.Argument(help="The list's members from now on: a USCC a line; # begins a comment")],
) -> None:
    """Set the members of a list that clients are narrowed to. What the file lacks is no longer in the list."""

    async def work(pool: Pool) -> tuple[int, tuple[str, ...]]:
        return await ClientStore(pool).fill_list(name, _codes(file))

    members, unknown = run_with_pool("service", work)
    note(f"{name} has {counted(members, 'member')}")
    if unknown:
        told = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
        note(f"left out, since no organisation on record has such a code: {told} ({counted(len(unknown), 'line')})")
        raise typer.Exit(3)


def _codes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise OperatorError(f"cannot read {path}: {error}") from error
    return [code for line in lines if (code := line.partition("#")[0].strip())]


@app.command("disable")
def disable(client_id: Annotated[str, typer.Argument(help="The client's id")]) -> None:
    """Disable a client for good: its tokens end within two seconds."""

    async def work(pool: Pool) -> bool:
        return await ClientStore(pool).disable(client_id)

    if not run_with_pool("service", work):
        fail(f"no enabled client {client_id}; see: credit-gateway clients list")
    note(f"disabled {client_id}")


def _thumbprints(paths: list[Path]) -> tuple[str, ...]:
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                found.append(from_pem(file.read(_MAX_FILE)).thumbprint)
        except OSError as error:
            raise OperatorError(f"cannot read {path}: {error.strerror}") from error
        except InvalidCertificateError as error:
            raise OperatorError(f"{path}: {error}") from error
    return tuple(found)


def _read_jwks(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MAX_FILE))
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        raise OperatorError(f"{path} is not JSON") from None
    if isinstance(data, dict) and "kty" in data:
        return {"keys": [data]}  # a single JWK is meant as a set of one
    if not isinstance(data, dict):
        raise OperatorError(f"{path} is neither a JWKS nor a JWK")
    return data


def _describe(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "organisation": client.organisation_uscc,
        "scopes": sorted(client.scopes),
        "matters": list(client.registered_matters),
        "subject": client.subject_uscc,
        "regions": client.regions,
        "kinds": client.kinds,
        "list": client.list,
        "authentication": _way(client),
        "token_issuer": client.token_issuer,
        "bound": client.bound,
        "documents": REGISTERED if client.only_registered else ANY,
        "limits": dict(client.limits or ()),
        "disabled": client.disabled,
        "version": client.version,
    }


def _way(client: Client) -> str:
    if client.token_issuer is not None:
        return "external_issuer"
    return "private_key_jwt" if client.keys else "certificate" if client.certificates else "secret"


def _row(client: Client) -> tuple[str, ...]:
    narrowing = [*(client.regions or ()), *(client.kinds or ()), *([client.list] if client.list else [])]
    return (
        client.id,
        client.name,
        client.organisation_uscc,
        " ".join(sorted(client.scopes)) or "public",
        " ".join(client.registered_matters),
        client.subject_uscc or " ".join(narrowing),
        {"private_key_jwt": "keys"}.get(_way(client), _way(client)) + (f" {client.bound}" if client.bound else ""),
        REGISTERED if client.only_registered else ANY,
        " ".join(f"{name}={number}" for name, number in client.limits or ()),
        "disabled" if client.disabled else "enabled",
    )

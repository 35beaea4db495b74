"""`credit-gateway clients documents add | list | remove`: persisted documents of clients and of the public view.

In: manifests of build tools (auth/manifest.py says which). Out: what was registered, on stderr; with --json on stdout.
Exit status: 0 all of it is registered, 1 nothing could be done, 2 wrong usage, 3 some documents were left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from graphql import GraphQLSchema

from gateway.auth.clients import SUBJECT_SELF, VIEW_INTERNAL, VIEW_RESTRICTED, ClientStore
from gateway.auth.documents import MOST_BYTES, MOST_DOCUMENTS, PUBLIC_OWNER, Held, StoredDocuments
from gateway.auth.manifest import Entry, Fault, read
from gateway.cli.common import fail, note, run_with_pool, show_json, show_table
from gateway.engine.documents import prepare
from gateway.errors import OperatorError, Refused
from gateway.schema.contracts import build_contracts
from gateway.storage.pool import Pool

app = typer.Typer(help="Register persisted documents, list and remove them.", no_args_is_help=True)

SOME_LEFT_OUT = 3
_CONTRACTS = {VIEW_INTERNAL: "INTERNAL", VIEW_RESTRICTED: "RESTRICTED", SUBJECT_SELF: "SELF"}
Owner = Annotated[str, typer.Argument(help=f"The client's id, or {PUBLIC_OWNER} for whoever asks without a token")]
Json = Annotated[bool, typer.Option("--json", help="JSON, for programs")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing")]


@app.command("add")
def add(
    owner: Owner,
    file: Annotated[Path, typer.Argument(help="Manifest of Apollo's or Relay's form, or one document (.graphql)")],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Register a file's documents. Each is held against the contract of its owner; what is wrong with one is told with
    its line, and the others are registered all the same. Again with the same file: nothing happens.
    """

    async def work(pool: Pool) -> tuple[dict[str, int], list[Fault], list[str]]:
        contract = await _contract(pool, owner)
        entries, faults = read(file)
        store = StoredDocuments(pool)
        held = {document.id: document for document in await store.of(owner)}
        good, known = [], 0
        schemas = build_contracts()
        for entry in entries:
            if reason := _wrong(entry, contract, schemas):
                faults.append(Fault(entry.line, entry.id, reason))
            elif entry.id not in held:
                good.append(entry)
            elif held[entry.id].sha256 == entry.row()["sha256"]:
                known += 1
            else:
                reason = "another text is registered under this id; remove that first, or give this one another id"
                faults.append(Fault(entry.line, entry.id, reason))
        _check_room([*held.values()], good)
        if not dry_run and good:
            await store.add(owner, [entry.row() for entry in good])
        counts = {"added": len(good), "known": known, "left_out": len(faults)}
        return counts, sorted(faults, key=lambda fault: fault.line), [entry.id for entry in good]

    counts, faults, ids = run_with_pool("service", work)
    for fault in faults:
        note(f"{file.name}, line {fault.line}, {fault.id or 'without an id'}: {fault.reason}")
    told = f"{counts['added']} new, {counts['known']} known, {counts['left_out']} left out"
    note(f"{owner}: {told}" + ("; nothing was changed (--dry-run)" if dry_run else ""))
    for id_ in ids if file.suffix in (".graphql", ".gql") else ():
        note(f'its id, the SHA-256 of its text: "documentId": "{id_}"')
    if as_json:
        show_json({**counts, "faults": [{"line": f.line, "id": f.id, "reason": f.reason} for f in faults]})
    if faults:
        raise typer.Exit(SOME_LEFT_OUT)


@app.command("list")
def list_documents(owner: Owner, as_json: Json = False) -> None:
    """All documents that are registered for a client or for the public view."""

    async def work(pool: Pool) -> tuple[Held, ...]:
        await _contract(pool, owner)
        return await StoredDocuments(pool).of(owner)

    found = run_with_pool("service", work)
    if as_json:
        show_json([{name: getattr(document, name) for name in Held.__slots__} for document in found])
        return
    show_table(("id", "operation", "bytes", "added"), [(d.id, d.name, str(d.bytes), d.added) for d in found])


@app.command("remove")
def remove(
    owner: Owner,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Ids or SHA-256 of documents, or an operation, as `list` has it, of one alone"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them")] = False,
    dry_run: DryRun = False,
) -> None:
    """Take documents out. They are refused within two seconds, in every worker."""
    if bool(ids) == every:
        raise typer.BadParameter("give ids, or --all")

    async def work(pool: Pool) -> tuple[int, list[str]]:
        await _contract(pool, owner)
        store = StoredDocuments(pool)
        given = {id_.removeprefix("sha256:") for id_ in ids or ()}
        documents = await store.of(owner)
        held = {name for d in documents for name in (d.id, d.sha256)}
        for name in [*(given - held)]:  # an operation, as `list` has it
            own = [d.id for d in documents if d.name == name]
            if len(own) > 1:
                raise OperatorError(f"{len(own)} documents have an operation {name}; give an id: {', '.join(own[:10])}")
            if own:
                given.remove(name)
                given.add(own[0])
        gone = [d.id for d in documents if every or not given.isdisjoint((d.id, d.sha256))]
        if not dry_run and gone:
            await store.remove(owner, gone)
        return len(gone), sorted(given - held)

    gone, unknown = run_with_pool("service", work)
    note(f"{owner}: {gone} removed" + ("; nothing was changed (--dry-run)" if dry_run else ""))
    if unknown:
        fail(f"not registered: {', '.join(unknown[:10])}; see: credit-gateway clients documents list {owner}")


async def _contract(pool: Pool, owner: str) -> str:
    """The highest contract that the owner may ask in. Raises OperatorError where there is no such client."""
    if owner == PUBLIC_OWNER:
        return "PUBLIC"
    client = await ClientStore(pool).get(owner)
    if client is None or client.disabled:
        raise OperatorError(f"no enabled client {owner}; see: credit-gateway clients list")
    return next((contract for scope, contract in _CONTRACTS.items() if scope in client.scopes), "PUBLIC")


def _wrong(entry: Entry, contract: str, schemas: Mapping[str, GraphQLSchema]) -> str:
    """What is wrong with the document in this contract; "" where nothing is."""
    try:
        prepare(contract, schemas[contract], entry.body)
    except Refused as refused:
        error = refused.errors[0]
        place = "line {}, column {} of its text: ".format(*error.locations[0]) if error.locations else ""
        return f"{place}{error.en} ({error.code}, contract {contract})"
    return ""


def _check_room(held: list[Held], new: list[Entry]) -> None:
    number = len(held) + len(new)
    size = sum(document.bytes for document in held) + sum(len(entry.body.encode()) for entry in new)
    if number > MOST_DOCUMENTS or size > MOST_BYTES:
        raise OperatorError(
            f"that would be {number} documents of {size} bytes; {MOST_DOCUMENTS} of {MOST_BYTES} bytes together are "
            "taken: remove old ones first"
        )

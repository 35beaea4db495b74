"""`credit-gateway ledger verify | consistency | witness | cosignatures`: does the account hold, ours and others'?

In: the database of the settings, checkpoints, verifier keys. Out: what was looked at on stdout, progress on stderr.
Exit status: 0 it holds, 1 it could not be looked at, 2 wrong usage, 3 it does not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, TypeAlias

import asyncpg
import typer

from gateway.auth.keys import KeyStore
from gateway.cli import verified
from gateway.cli.common import database_there, fail, note, own_origin, reported, show_json
from gateway.counted import counted
from gateway.errors import OperatorError
from gateway.ledger.head import CHECKPOINTS, LEAVES, TILES, text_of, verifiers
from gateway.ledger.merkle import Part, ProofError
from gateway.ledger.notes import (
    MOST_BYTES,
    MOST_SIZE,
    NoteError,
    Verifier,
    WrongSignature,
    check_name,
    checkpoint_of,
    read_note,
    verifier,
)
from gateway.ledger.remote import opened
from gateway.ledger.tiles import WIDTH, TileHashes, tiles_for
from gateway.ledger.verify import Verification
from gateway.ledger.witness import Forked, Seen, consistent, cosign, keep_cosignatures, seen
from gateway.settings import Settings, load

DOES_NOT_HOLD = 3

app = typer.Typer(
    help="""The account and its transparency log (docs/ledger.md).

    Every disclosure is an entry of an append-only Merkle tree, whose head is signed every second. Three questions keep
    it honest: do our own rows give what was signed (verify); is what the log shows today the continuation of what it
    showed before (consistency); and do others say the same (witness, cosignatures).
    """,
    no_args_is_help=True,
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = "Callable[[Connection | None], Awaitable[None]]"
_SIGNED_AT = "select note from ledger.checkpoint where size = $1 order by at desc limit 1"
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="VKEY", help="Verifier key, <name>+<id>+<base64>, as /log/verifiers has it; repeatable"
    ),
]


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs")] = False,
    processes: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; by default one a processor")] = None,
    keys: Keys = None,
) -> None:
    """Recompute everything that the log promises from the rows, and say what and where it does not hold.

    Each disclosure → entry → leaf → root, against every signed checkpoint and every tile; what subjects are shown,
    gap-free and complete; erasures and months that are no longer kept, against their events in the log. It reads one
    moment of the database and stops nobody. A million disclosures take some fifty seconds of CPU time.

    With --key the checkpoints must be signed by these keys, which you have kept elsewhere, and not only by those in
    this machine's folder. After keys rotate give the key of each period: where one of the folder has signed that was
    not given, status is 1, and it says what was not shown.

    Whoever has the database and the signing key can make a new history that holds in itself: that is found by `ledger
    consistency` with a checkpoint that was kept elsewhere.
    """
    with reported():
        settings = load()
        given = [_key(text) for text in keys or ()]
        store = KeyStore(settings.data_dir / "keys")

        def known(origin: str) -> Sequence[Verifier]:
            return given or verifiers(store, origin)

        def others(origin: str) -> Sequence[Verifier]:
            """The log's keys in the folder that were not given; without --key all of the folder are known already."""
            ours = any(key.name == origin for key in given)
            return [key for key in verifiers(store, origin) if key not in given] if ours else []

        with database_there(settings) as database, verified.progress() as progress:
            run = Verification(database.dsn("log"), known, others=others, processes=processes, progress=progress)
            report = asyncio.run(run.run())
    if as_json:
        show_json(verified.as_json(report))
    else:
        verified.show(report)
    not_shown = verified.not_shown(report)
    if len(report.findings):
        if not_shown:
            note(not_shown)
        raise typer.Exit(DOES_NOT_HOLD)
    if not_shown:
        fail(not_shown)


@app.command()
def consistency(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A checkpoint that was kept: file, size of our own log, or URL")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A later one: file, size of our own log, or URL")],
    log: Annotated[
        str,
        typer.Option("--log", metavar="URL", help="Where the tree is read; by default NEW's URL, else our database"),
    ] = "",
    keys: Keys = None,
) -> None:
    """Prove that NEW continues OLD: that nothing in between was taken out, changed or put in.

    Keep a checkpoint: curl https://gateway.example/log/checkpoint > kept.txt. Months later: credit-gateway ledger
    consistency kept.txt https://gateway.example/log --key VKEY. A log that has forked is found whoever has forked it,
    its own operator included: it can't give a proof (status 3), and both checkpoints, which its own key has signed, are
    printed as evidence. For our own log the keys in this machine's folder are taken where no --key is given.
    """
    with reported():
        settings = load()
        given = [_key(text) for text in keys or ()]
        prefix = log or (new if _is_url(new) else "")

        async def work(connection: Connection | None) -> None:
            await _consistency(settings, connection, (old, new), prefix, given)

        _run(settings, work, database=not prefix or old.isdecimal() or new.isdecimal())


@app.command()
def witness(
    url: Annotated[str, typer.Argument(metavar="URL", help="The other log, for instance https://gateway.example/log")],
    keys: Annotated[
        list[str], typer.Option("--key", metavar="VKEY", help="Its verifier key, which you have from its operator")
    ],
) -> None:
    """Cosign another region's checkpoint, after checking that it continues the last one that we have cosigned.

    The cosigned checkpoint goes to stdout and is kept; everybody finds it at /log/witness/<SHA-256 of its origin, in
    hex>/checkpoint of ours, and the other region takes it from there (ledger cosignatures). Run it from a timer: each
    run extends what has been witnessed. A log that was set back or has forked is not cosigned (status 3). Signed with
    the key of job cosignatures, whose verifier key is in /log/verifiers.
    """
    with reported():
        settings, given = load(), [_key(text) for text in keys]

        async def work(connection: Connection | None) -> None:
            assert connection is not None
            await _witness(settings, connection, url, given)

        _run(settings, work)


@app.command()
def cosignatures(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A witness's own log, for instance https://other.example/log")
    ],
    keys: Annotated[
        list[str], typer.Option("--key", metavar="VKEY", help="The witness's verifier key, of type cosignature")
    ],
) -> None:
    """Fetch what a witness has cosigned of our log, check it against our own tree, and keep it.

    From then on it stands beside our own signature: in /log/cosigned, and in /log/checkpoint where nothing was added
    since. A witness that has cosigned another tree than ours is told of (status 3): somebody has shown it a fork.
    """
    with reported():
        settings, given = load(), [_key(text) for text in keys]

        async def work(connection: Connection | None) -> None:
            assert connection is not None
            await _cosignatures(settings, connection, url, given)

        _run(settings, work)


# What they do ---------------------------------------------------------------------------------------------------------


async def _consistency(
    settings: Settings, connection: Connection | None, given: tuple[str, str], prefix: str, keys: Sequence[Verifier]
) -> None:
    old, new = [await _checkpoint(settings, text, connection, keys) for text in given]
    if prefix:
        async with opened(prefix) as remote:
            await consistent(old, new, remote.proof)
    else:
        assert connection is not None
        await consistent(old, new, _Own(connection).proof)
    first, last = sorted((old.checkpoint.size, new.checkpoint.size))
    typer.echo(f"consistent: the {counted(last, 'entry', 'entries')} of {old.checkpoint.origin} begin with the {first}")


async def _witness(settings: Settings, connection: Connection, url: str, keys: Sequence[Verifier]) -> None:
    name = await own_origin(settings, connection)
    async with opened(url) as remote:
        found = _seen(url, await remote.checkpoint(), keys)
        if found.checkpoint.origin == name:
            raise OperatorError(f"{name} is our own log, and a log is no witness of itself: give another region's URL")
        made = await cosign(connection, KeyStore(settings.data_dir / "keys"), name, found, remote.proof)
    note(f"cosigned {counted(found.checkpoint.size, 'entry', 'entries')} of {found.checkpoint.origin} as {name}")
    typer.echo(str(made), nl=False)


async def _cosignatures(settings: Settings, connection: Connection, url: str, keys: Sequence[Verifier]) -> None:
    origin = await own_origin(settings, connection)
    async with opened(url) as remote:
        data = await remote.note(f"witness/{sha256(origin.encode()).hexdigest()}/checkpoint")
    try:
        checkpoint, names = await keep_cosignatures(connection, KeyStore(settings.data_dir / "keys"), data, keys)
    except WrongSignature as error:
        raise WrongSignature(f"{url}: {error}") from None
    entries = counted(checkpoint.size, "entry of our log was", "entries of our log were")
    typer.echo(f"{entries} cosigned by {', '.join(names)}")


class _Own:
    """Our own tree, out of the tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def proof(self, parts: Sequence[Part], size: int) -> list[bytes]:
        """The hashes of these parts. Raises ProofError where the rows don't have them."""
        rows = {}
        for tile in tiles_for(parts, size):
            begin = tile.number * WIDTH
            if tile.level:
                found = await self._connection.fetch(TILES, tile.level - 1, begin, begin + tile.width)
            else:
                found = await self._connection.fetch(LEAVES, begin, begin + tile.width)
            rows[tile] = b"".join(row["hash"] for row in found)
        return TileHashes(size, rows).proof(parts)


async def _checkpoint(settings: Settings, text: str, connection: Connection | None, keys: Sequence[Verifier]) -> Seen:
    """The checkpoint that an argument names, with its signature verified."""
    if text.isdecimal():
        assert connection is not None
        size = int(text)
        rows = await connection.fetch(_SIGNED_AT, min(size, MOST_SIZE))
        if not rows:
            raise OperatorError(
                f"no checkpoint was signed at a size of {text}; take one of ledger.checkpoint, or a file"
            )
        data = text_of(rows[0]["note"]).encode()
    elif _is_url(text):
        async with opened(text) as remote:
            data = await remote.checkpoint()
    else:
        data = _file(Path(text))
    if not keys:
        origin = check_name(checkpoint_of(read_note(data).text).origin)
        keys = verifiers(KeyStore(settings.data_dir / "keys"), origin, (CHECKPOINTS,))
    return _seen(text, data, keys)


def _seen(where: str, data: bytes, keys: Sequence[Verifier]) -> Seen:
    """The checkpoint, if it is signed. Raises NoteError, and WrongSignature that says of which checkpoint it is."""
    try:
        return seen(data, keys)
    except WrongSignature as error:
        raise WrongSignature(f"{where}: {error}: what is there was changed, or was never signed") from None


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}; give a file, a size or a URL") from None


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


async def _with_connection(dsn: str, work: Work) -> None:
    if not dsn:
        return await work(None)
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise OperatorError(f"the database does not answer ({type(error).__name__})") from None
    try:
        return await work(connection)
    finally:
        await connection.close()


def _run(settings: Settings, work: Work, *, database: bool = True) -> None:
    """Run it, with a connection of the role `log` where the database is wanted. What does not hold, a wrong signature
    of a known key included, is told with its evidence, and status 3; what can't be read or is of unknown keys is 1."""
    try:
        if database:
            with database_there(settings) as there:
                asyncio.run(_with_connection(there.dsn("log"), work))
        else:
            asyncio.run(_with_connection("", work))
    except Forked as error:
        note(f"does not hold: {error}")
        for evidence in error.evidence:
            typer.echo(evidence)
        raise typer.Exit(DOES_NOT_HOLD) from None
    except WrongSignature as error:
        note(f"does not hold: {error}")
        raise typer.Exit(DOES_NOT_HOLD) from None
    except (NoteError, ProofError) as error:
        raise OperatorError(str(error)) from None


def _key(text: str) -> Verifier:
    try:
        return verifier(text)
    except NoteError as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None

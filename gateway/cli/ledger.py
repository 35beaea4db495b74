"""`credit-gateway ledger verify | consistency | witness | cosignatures`: does the account hold, ours and others'?

In: the database of the settings, checkpoints, verifier keys. Out: what was looked at on stdout, progress on stderr.
Exit status: 0 it holds, 1 it could not be looked at, 2 wrong usage, 3 it does not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias

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
    COSIGNATURE,
    ED25519,
    MOST_BYTES,
    MOST_SIZE,
    NoteError,
    UnknownKey,
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
_WRONG_TYPE: Final = {
    ED25519: "this key signs checkpoints; give the cosignatures' one, whose base64 begins with B in /log/verifiers",
    COSIGNATURE: "this key cosigns; give the checkpoints' one, whose base64 begins with A in /log/verifiers",
}

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
_NEAREST = """select max(size) filter (where size < $1) as before, min(size) filter (where size > $1) as after
    from ledger.checkpoint"""
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs")]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="VKEY", help="Verifier key, <name>+<id>+<base64>, as /log/verifiers has it; repeatable"
    ),
]


@app.command()
def verify(
    as_json: AsJson = False,
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
        str,
        typer.Argument(
            metavar="OLD", help="A checkpoint that was kept: file, URL, or size at which one of our own log was signed"
        ),
    ],
    new: Annotated[
        str,
        typer.Argument(metavar="NEW", help="A later one: file, URL, or size at which one of our own log was signed"),
    ],
    log: Annotated[
        str,
        typer.Option("--log", metavar="URL", help="Where the tree is read; by default NEW's URL, else our database"),
    ] = "",
    keys: Keys = None,
    as_json: AsJson = False,
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
            await _consistency(settings, connection, (old, new), prefix, given, as_json)

        _run(settings, work, as_json, database=not prefix or old.isdecimal() or new.isdecimal())


@app.command()
def witness(
    url: Annotated[str, typer.Argument(metavar="URL", help="The other log, for instance https://gateway.example/log")],
    keys: Annotated[
        list[str], typer.Option("--key", metavar="VKEY", help="Its verifier key, which you have from its operator")
    ],
    as_json: AsJson = False,
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
            await _witness(settings, connection, url, given, as_json)

        _run(settings, work, as_json)


@app.command()
def cosignatures(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A witness's own log, for instance https://other.example/log")
    ],
    keys: Annotated[
        list[str], typer.Option("--key", metavar="VKEY", help="The witness's verifier key, of type cosignature")
    ],
    as_json: AsJson = False,
) -> None:
    """Fetch what a witness has cosigned of our log, check it against our own tree, and keep it.

    From then on it stands beside our own signature: in /log/cosigned, and in /log/checkpoint where nothing was added
    since. A witness that has cosigned another tree than ours is told of (status 3): somebody has shown it a fork.
    """
    with reported():
        settings, given = load(), [_key(text, COSIGNATURE) for text in keys]

        async def work(connection: Connection | None) -> None:
            assert connection is not None
            await _cosignatures(settings, connection, url, given, as_json)

        _run(settings, work, as_json)


# What they do ---------------------------------------------------------------------------------------------------------


async def _consistency(
    settings: Settings,
    connection: Connection | None,
    given: tuple[str, str],
    prefix: str,
    keys: Sequence[Verifier],
    as_json: bool,
) -> None:
    names = tuple(f"{name}, {text}" for name, text in zip(("OLD", "NEW"), given, strict=True))
    read = [await _read(text, connection) for text in given]
    was, now = (_origin(name, data) for name, data in zip(names, read, strict=True))
    if was != now:
        raise OperatorError(f"{names[0]}, is of {was}, and {names[1]}, of {now}: give two checkpoints of one log")
    store = KeyStore(settings.data_dir / "keys")
    known = keys or verifiers(store, was, (CHECKPOINTS,))
    try:
        old, new = (_seen(name, data, known) for name, data in zip(names, read, strict=True))
    except UnknownKey as error:
        if keys:
            raise
        raise NoteError(
            f"{error}. It is a checkpoint of {was}, and without --key the keys of this machine's folder were taken"
        ) from None
    if prefix:
        async with opened(prefix) as remote:
            await consistent(old, new, remote.proof)
    else:
        assert connection is not None
        await consistent(old, new, _Own(connection).proof)
    first, last = sorted((old.checkpoint.size, new.checkpoint.size))
    if as_json:
        show_json({"holds": True, "origin": was, "first": first, "last": last})
    else:
        typer.echo(f"consistent: the {counted(last, 'entry', 'entries')} of {was} begin with the {first}")


async def _witness(
    settings: Settings, connection: Connection, url: str, keys: Sequence[Verifier], as_json: bool
) -> None:
    name = await own_origin(settings, connection)
    async with opened(url) as remote:
        found = _seen(url, await remote.checkpoint(), keys)
        if found.checkpoint.origin == name:
            raise OperatorError(f"{name} is our own log, and a log is no witness of itself: give another region's URL")
        made = await cosign(connection, KeyStore(settings.data_dir / "keys"), name, found, remote.proof)
    origin, size = found.checkpoint.origin, found.checkpoint.size
    note(f"cosigned {counted(size, 'entry', 'entries')} of {origin} as {name}")
    if as_json:
        show_json({"holds": True, "origin": origin, "size": size, "cosigned_by": name, "note": str(made)})
    else:
        typer.echo(str(made), nl=False)


async def _cosignatures(
    settings: Settings, connection: Connection, url: str, keys: Sequence[Verifier], as_json: bool
) -> None:
    origin = await own_origin(settings, connection)
    async with opened(url) as remote:
        data = await remote.cosigned(origin)
    if (found := _origin(url, data)) != origin:
        raise OperatorError(f"{url}: what is cosigned there is of {found}, and our own log is {origin}")
    with _about(url):
        checkpoint, names = await keep_cosignatures(connection, KeyStore(settings.data_dir / "keys"), data, keys)
    if as_json:
        show_json({"holds": True, "origin": checkpoint.origin, "size": checkpoint.size, "cosigned_by": names})
        return
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


async def _read(text: str, connection: Connection | None) -> bytes:
    """The checkpoint that an argument names: nothing of it has been verified."""
    if text.isdecimal():
        assert connection is not None
        size = min(int(text), MOST_SIZE)
        rows = await connection.fetch(_SIGNED_AT, size)
        if not rows:
            found = await connection.fetchrow(_NEAREST, size)
            nearest = " and ".join(str(one) for one in found or () if one is not None)
            there = f"the nearest at which one was: {nearest}" if nearest else "none was signed yet"
            raise OperatorError(f"no checkpoint was signed at a size of {text}; {there}")
        return text_of(rows[0]["note"]).encode()
    if _is_url(text):
        async with opened(text) as remote:
            return await remote.checkpoint()
    return _file(Path(text))


def _origin(where: str, data: bytes) -> str:
    with _about(where):
        return check_name(checkpoint_of(read_note(data).text).origin)


def _seen(where: str, data: bytes, keys: Sequence[Verifier]) -> Seen:
    """The checkpoint, if it is signed. Raises NoteError that says of which checkpoint it is."""
    with _about(where):
        return seen(data, keys)


@contextmanager
def _about(where: str) -> Iterator[None]:
    """What is wrong with a note, said with which one it is."""
    try:
        yield
    except WrongSignature as error:
        raise WrongSignature(f"{where}: {error}: what is there was changed, or was never signed") from None
    except NoteError as error:
        raise type(error)(f"{where}: {error}") from None


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


def _run(settings: Settings, work: Work, as_json: bool, *, database: bool = True) -> None:
    """Run it, with a connection of the role `log` where the database is wanted. What does not hold, a wrong signature
    of a known key included, is told with its evidence, and status 3; what can't be read or is of unknown keys is 1."""
    try:
        if database:
            with database_there(settings) as there:
                asyncio.run(_with_connection(there.dsn("log"), work))
        else:
            asyncio.run(_with_connection("", work))
    except (Forked, WrongSignature) as error:
        evidence: Sequence[str] = error.evidence if isinstance(error, Forked) else ()
        note(f"does not hold: {error}")
        if as_json:
            show_json({"holds": False, "what": str(error), "evidence": [*evidence]})
        else:
            for one in evidence:
                typer.echo(one)
        raise typer.Exit(DOES_NOT_HOLD) from None
    except (NoteError, ProofError) as error:
        raise OperatorError(str(error)) from None


def _key(text: str, kind: int = ED25519) -> Verifier:
    """A verifier key of that kind: both of a region have one name."""
    try:
        found = verifier(text)
    except NoteError as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None
    if found.kind != kind:
        raise typer.BadParameter(_WRONG_TYPE[found.kind], param_hint="--key")
    return found

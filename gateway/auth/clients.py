"""Registered clients: who they are, how they authenticate, and the most that they may ever be given.

In: rows of auth.client. Out: a frozen Client with the matters it acts in and its subjects' ids, read in one statement
and kept for at most `ttl` seconds, so that `clients disable` holds everywhere within two.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.auth.jose import JwtError, Key, import_key
from gateway.errors import OperatorError
from gateway.storage.canonical import canonical_json
from gateway.storage.pool import Pool, same

CHANNEL = "credit_clients"  # NOTIFY with the client's id whenever a client is disabled or gets other keys or limits

VIEW_RESTRICTED = "view:restricted"
VIEW_INTERNAL = "view:internal"
SUBJECT_SELF = "subject:self"
SCOPES: tuple[str, ...] = (VIEW_RESTRICTED, VIEW_INTERNAL, SUBJECT_SELF)

DPOP, MTLS = "DPOP", "MTLS"  # how the tokens of a client must be bound (RFC 9449, RFC 8705)

_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class Matter:
    """A matter that is in force today, as far as it decides on access. `legal_basis`: RFC 8785 JSON for the account,
    with the sources that it opens: others are withheld by this rule."""

    code: str
    sources: frozenset[str]
    opens: tuple[str, ...]
    identifies_persons: bool = False
    reveals_identity: bool = False
    legal_basis: str = "{}"


@dataclass(frozen=True, slots=True)
class Client:
    """A registration. `organisation_id` and `subject_id` are core.subject.id, None where not on record.

    `matters` has those that the client is registered for and that are in force. `bound` is DPOP, MTLS, or None where
    the registration asks for neither. `certificates` are thumbprints (x5t#S256). `token_issuer` is the one external
    issuer whose tokens the client comes with; None: ours. `only_registered`: it may send registered documents alone;
    `documents` is the version of its set of them, None where it has none. `limits`: its own (gateway/limits.py).
    `read_at` is when the row was asked for, on the store's clock.
    """

    id: str
    name: str
    organisation_uscc: str
    scopes: frozenset[str]
    registered_matters: tuple[str, ...]
    matters: Mapping[str, Matter]
    subject_uscc: str | None
    regions: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    list: str | None
    disabled: bool
    version: int
    organisation_id: int | None
    subject_id: int | None
    keys: tuple[tuple[str | None, Key], ...] = field(repr=False, default=())
    secret_hash: bytes | None = field(repr=False, default=None)
    certificates: tuple[str, ...] = ()
    bound: str | None = None
    token_issuer: str | None = None
    only_registered: bool = False
    documents: int | None = None
    limits: tuple[tuple[str, int], ...] | None = None
    read_at: float = 0.0

    @property
    def narrowed(self) -> bool:
        """Whether the registration leaves out a part of the subjects."""
        return self.regions is not None or self.kinds is not None or self.list is not None

    def secret_matches(self, secret: str) -> bool:
        """Whether `secret` is the client's, in constant time; False for a client without one."""
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(digest, self.secret_hash or bytes(32)) and self.secret_hash is not None


# One JSON text for the row: asyncpg then has nothing to convert, and arrays, nulls and bytes need no care of their own.
_FIELDS = """json_build_object(
    'id', c.id, 'name', c.name, 'organisation_uscc', c.organisation_uscc, 'scopes', c.scopes, 'matters', c.matters,
    'subject_uscc', c.subject_uscc, 'regions', c.regions, 'kinds', c.kinds, 'list', c.list, 'jwks', c.jwks,
    'secret_hash', encode(c.secret_hash, 'hex'), 'disabled', c.disabled_at is not null, 'version', c.version,
    'bound', c.bound, 'certificates', c.certificates, 'token_issuer', c.token_issuer,
    'only_registered', c.documents = 'REGISTERED', 'limits', c.limits,
    'documents', (select d.version from auth.document_set d where d.owner = c.id),
    'organisation_id', (select o.id from core.subject o where o.uscc = c.organisation_uscc),
    'subject_id', (select o.id from core.subject o where o.uscc = c.subject_uscc),
    'in_force', (select coalesce(json_agg(json_build_object(
            'code', m.code, 'sources', m.sources_allowed, 'opens', m.opens,
            'identifies_persons', m.identifies_persons, 'reveals_identity', m.reveals_identity,
            'basis', m.legal_basis)), '[]')
        from auth.matter m
        where (m.code = any (c.matters) or m.code = 'SELF' and 'subject:self' = any (c.scopes))
        and m.valid_from <= core.today() and (m.valid_to is null or m.valid_to >= core.today()))
)::text"""
_GET = f"select {_FIELDS} from auth.client c where c.id = $1"
_LIST = f"select {_FIELDS} from auth.client c order by c.id"
_ADD = """insert into auth.client
    (id, name, organisation_uscc, scopes, matters, subject_uscc, regions, kinds, list, jwks, secret_hash,
    certificates, bound, token_issuer, documents, limits)
select x.id, x.name, x.organisation_uscc, x.scopes, x.matters, x.subject_uscc, x.regions, x.kinds, x.list, x.jwks,
    decode(x.secret_hash, 'hex'), x.certificates, x.bound, x.token_issuer, x.documents,
    x.limits
from json_to_record($1::text::json) as x (id text, name text, organisation_uscc text, scopes text[], matters text[],
    subject_uscc text, regions text[], kinds text[], list text, jwks jsonb, secret_hash text,
    certificates text[], bound text, token_issuer text, documents text, limits json)
on conflict (id) do nothing returning 1"""
_DISABLE = f"""with changed as (
    update auth.client set disabled_at = now(), version = version + 1 where id = $1 and disabled_at is null returning id
) select pg_notify('{CHANNEL}', id) from changed"""
_SET_KEYS = f"""with changed as (
    update auth.client set jwks = x.jwks, certificates = x.certificates, secret_hash = null, version = version + 1
    from json_to_record($2::text::json) as x (jwks jsonb, certificates text[])
    where id = $1 and disabled_at is null and token_issuer is null returning id
) select pg_notify('{CHANNEL}', id) from changed"""
_SET_USE = f"""with changed as (
    update auth.client set documents = coalesce(x.documents, client.documents),
        limits = case when x.keep then client.limits else x.limits end
    from json_to_record($2::text::json) as x (documents text, limits json, keep boolean)
    where id = $1 and disabled_at is null returning id
) select pg_notify('{CHANNEL}', id) from changed"""
_FILL_LIST = """with wanted as (select s.id, s.uscc from core.subject s where s.uscc = any ($2::text[])),
gone as (delete from auth.client_list l where l.list = $1 and l.subject_id not in (select w.id from wanted w)),
made as (insert into auth.client_list (list, subject_id) select $1, w.id from wanted w on conflict do nothing)
select uscc from wanted"""
_UNKNOWN = """with known as (select code from auth.matter
    where valid_from <= core.today() and (valid_to is null or valid_to >= core.today()))
select (select coalesce(string_agg(v, ', '), '') from json_array_elements_text($1::text::json) v
        where v not in (select code from known)),
    (select coalesce(string_agg(v, ', '), '') from json_array_elements_text($2::text::json) v
        where not exists (select from core.region r where r.code = v)),
    (select coalesce(string_agg(code, ', ' order by code), 'none') from known)"""


def valid_client_id(text: str) -> bool:
    """Whether `text` can be a client's id: 1 to 80 letters, digits, dots, underscores and hyphens (ASCII)."""
    return _ID.fullmatch(text) is not None


class ClientStore:
    """Clients by id. `get` may answer from memory for `ttl` seconds; concurrent questions share one statement."""

    def __init__(self, pool: Pool, *, ttl: float = 1.5, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._ttl = ttl
        self._clock = clock
        self._kept: OrderedDict[str, Client] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Client | None]] = {}

    def fresh(self, client: Client) -> bool:
        """Whether what was read may still be relied on: young enough, and neither forgotten nor read anew since."""
        return self._kept.get(client.id) is client and self._clock() - client.read_at < self._ttl

    def kept(self, client_id: str) -> Client | None:
        """The client if it is in memory and fresh."""
        found = self._kept.get(client_id)
        return found if found is not None and self.fresh(found) else None

    async def get(self, client_id: str) -> Client | None:
        """The client, disabled or not; None where there is none. Raises StorageUnavailable."""
        found = self.kept(client_id)
        if found is not None or not valid_client_id(client_id):
            return found
        task = self._asking.get(client_id)
        if task is None:
            task = asyncio.create_task(self._read(client_id))
            self._asking[client_id] = task
            task.add_done_callback(lambda done: self._asked(client_id, done))
        # One asker that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def list(self) -> tuple[Client, ...]:
        """All clients by id."""
        return tuple(_client(row[0], 0.0) for row in await self._pool.fetch(_LIST, (), again=same))

    async def add(self, row: Mapping[str, Any]) -> None:
        """Insert a checked registration (registration.py makes the row). Raises OperatorError where the id is taken."""
        if not await self._pool.fetch(_ADD, (json.dumps(row),)):
            raise OperatorError(f"client {row['id']} exists already; ids are never used again")

    async def disable(self, client_id: str) -> bool:
        """Disable the client now, for good; False where there is none or it was disabled already."""
        changed = await self._pool.fetch(_DISABLE, (client_id,))
        self.forget(client_id)
        return bool(changed)

    async def set_keys(self, client_id: str, row: Mapping[str, Any]) -> bool:
        """Replace what the client authenticates by: `jwks` or `certificates`, checked; its tokens end.

        False where there is no such client, it is disabled, or its tokens come from an external issuer.
        """
        changed = await self._pool.fetch(_SET_KEYS, (client_id, json.dumps(row)))
        self.forget(client_id)
        return bool(changed)

    async def set_use(self, client_id: str, *, documents: str | None, limits: Mapping[str, int] | None) -> bool:
        """Set what documents the client may send and its own limits ({}: none); None leaves each as it is.

        Its tokens go on. False where there is no such client, or it is disabled.
        """
        row = {"documents": documents, "limits": limits or None, "keep": limits is None}
        changed = await self._pool.fetch(_SET_USE, (client_id, json.dumps(row)))
        self.forget(client_id)
        return bool(changed)

    async def fill_list(self, name: str, usccs: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        """Make a list have these subjects and no others; returns how many it has and the codes not on record."""
        rows = await self._pool.fetch(_FILL_LIST, (name, [*usccs]))
        known = {str(row["uscc"], "ascii") for row in rows}
        return len(known), tuple(uscc for uscc in dict.fromkeys(usccs) if uscc not in known)

    def forget(self, client_id: str | None = None) -> None:
        """Drop what is kept of one client or of all; for whoever hears of a change."""
        if client_id is None:
            self._kept.clear()
            self._asking.clear()
        else:
            self._kept.pop(client_id, None)
            self._asking.pop(client_id, None)

    async def unknown(self, matters: tuple[str, ...], regions: tuple[str, ...]) -> tuple[str, str, str]:
        """Those of the matters that are not in force, those of the regions that do not exist, and all matters that are
        in force, as text."""
        row = await self._pool.fetchrow(_UNKNOWN, (json.dumps(matters), json.dumps(regions)))
        return row[0].decode(), row[1].decode(), row[2].decode()

    def _asked(self, client_id: str, task: asyncio.Task[Client | None]) -> None:
        if self._asking.get(client_id) is task:
            del self._asking[client_id]
        if not task.cancelled():
            task.exception()  # seen, even where every asker has left

    async def _read(self, client_id: str) -> Client | None:
        started = self._clock()
        client = await self._pool.fetch(_GET, (client_id,), read=partial(_first, started), again=same)
        if client is None:
            return None
        # Someone who asked to forget while this was under way must not get it back.
        if self._asking.get(client_id) is asyncio.current_task():
            self._kept[client_id] = client
            self._kept.move_to_end(client_id)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return client


def _first(read_at: float, rows: Sequence[Any]) -> Client | None:
    return _client(rows[0][0], read_at) if rows else None


def _matter(row: Mapping[str, Any]) -> Matter:
    basis = {"legal_basis": row["basis"], "matter": row["code"], "sources": sorted(row["sources"])}
    return Matter(
        row["code"],
        frozenset(row["sources"]),
        tuple(row["opens"]),
        identifies_persons=row["identifies_persons"],
        reveals_identity=row["reveals_identity"],
        legal_basis=canonical_json(basis),
    )


def _client(text: bytes, read_at: float) -> Client:
    row = json.loads(text)
    return Client(
        id=row["id"],
        name=row["name"],
        organisation_uscc=row["organisation_uscc"],
        scopes=frozenset(row["scopes"]),
        registered_matters=tuple(row["matters"]),
        matters={m["code"]: _matter(m) for m in row["in_force"]},
        subject_uscc=row["subject_uscc"],
        regions=_narrowing(row["regions"]),
        kinds=_narrowing(row["kinds"]),
        list=row["list"],
        disabled=row["disabled"],
        version=row["version"],
        organisation_id=row["organisation_id"],
        subject_id=row["subject_id"],
        keys=_keys(row["jwks"]),
        secret_hash=bytes.fromhex(row["secret_hash"]) if row["secret_hash"] else None,
        certificates=tuple(row["certificates"] or ()),
        bound=row["bound"],
        token_issuer=row["token_issuer"],
        only_registered=row["only_registered"],
        documents=row["documents"],
        limits=tuple(row["limits"].items()) if row["limits"] else None,
        read_at=read_at,
    )


def _narrowing(values: list[str] | None) -> tuple[str, ...] | None:
    # An empty array narrows to nothing, which is what it says; only null is no narrowing.
    return None if values is None else tuple(values)


def _keys(jwks: Any) -> tuple[tuple[str | None, Key], ...]:
    """The usable keys; one that can't be used (put there by hand) is no key."""
    found: list[tuple[str | None, Key]] = []
    for data in (jwks or {}).get("keys", []):
        try:
            found.append((data.get("kid"), import_key(data)))
        except JwtError:
            continue
    return tuple(found)

"""Documents that operators have registered, for a client each or for the public view.

In: rows of auth.document, put there from manifests (`credit-gateway clients documents`). Out: the text that an owner's
id, or a SHA-256, stands for. Every worker reads them without a restart: each set has a version, which comes with the
client's registration, so that what is kept here is never older than that (decision 0013); bounded in size.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.storage.pool import Pool, same

PUBLIC_OWNER: Final = "@public"  # no client's id: those have no @
ANY, REGISTERED = "ANY", "REGISTERED"  # what a client may send: any text, or registered documents alone
MOST_DOCUMENTS: Final = 1_000  # of one owner
MOST_BYTES: Final = 4 * 2**20  # of one owner's texts
DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,200}")  # GraphQL over HTTP, appendix A: a custom identifier
_KEPT: Final = 4 * 2**20  # characters of all texts that a process keeps

_FIND = """select body from auth.document where owner = $1 and (id = $2 or sha256 = $2)
order by (id = $2) desc limit 1"""
_VERSION = "select version::text as version from auth.document_set where owner = $1"
_OWNED = """select json_build_object('id', id, 'name', name, 'sha256', sha256, 'bytes', octet_length(body),
    'added', to_char(added_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS"+08:00"'))::text as row
from auth.document where owner = $1 order by name, id"""
# The set's row is locked by its update, so that two who add at once see each other's documents.
_TOUCH = """insert into auth.document_set (owner) values ($1)
on conflict (owner) do update set version = document_set.version + 1"""
_ADD = f"""with touched as ({_TOUCH} returning owner), given as (
    select x.* from json_to_recordset($2::text::json) as x (id text, sha256 text, name text, body text))
insert into auth.document (owner, id, sha256, name, body)
select t.owner, g.id, g.sha256, g.name, g.body from touched t, given g
on conflict (owner, id) do nothing returning 1"""
_REMOVE = f"""with touched as ({_TOUCH} returning owner)
delete from auth.document d using touched t
where d.owner = t.owner and d.id in (select json_array_elements_text($2::text::json)) returning 1"""


@dataclass(frozen=True, slots=True)
class Held:
    """A registered document without its text. `added`: RFC 3339."""

    id: str
    name: str
    sha256: str
    bytes: int
    added: str


class StoredDocuments:
    """Registered documents by owner. One for each process; what it keeps of texts is bounded, least recently used first
    to go. The public view's version is read again after `ttl` seconds."""

    def __init__(self, pool: Pool, *, ttl: float = 1.5, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._ttl = ttl
        self._clock = clock
        self._texts: OrderedDict[tuple[str, int, str], str] = OrderedDict()
        self._size = 0
        self._public: tuple[int | None, float] | None = None

    async def find(self, owner: str, version: int | None, id_: str) -> str | None:
        """The text that the id stands for, or the SHA-256 (hex); None where there is none. `version` is that of the
        owner's set, None where it has none. Raises StorageUnavailable."""
        if version is None:
            return None
        key = (owner, version, id_)
        found = self._texts.get(key)
        if found is not None:
            self._texts.move_to_end(key)
            return found
        rows = await self._pool.fetch(_FIND, (owner, id_), again=same)
        if not rows:
            return None
        text = str(rows[0]["body"], "utf-8")
        if key not in self._texts:
            self._texts[key] = text
            self._size += len(text)
            while self._size > _KEPT:
                _, gone = self._texts.popitem(last=False)
                self._size -= len(gone)
        return text

    async def public_version(self) -> int | None:
        """The version of the public view's set, None where it has none. Raises StorageUnavailable."""
        now = self._clock()
        if self._public is None or now - self._public[1] >= self._ttl:
            rows = await self._pool.fetch(_VERSION, (PUBLIC_OWNER,), again=same)
            self._public = (int(rows[0]["version"]) if rows else None, now)
        return self._public[0]

    # For operators ---------------------------------------------------------------------------------------------------

    async def of(self, owner: str) -> tuple[Held, ...]:
        """All of an owner's documents."""
        rows = await self._pool.fetch(_OWNED, (owner,), again=same)
        return tuple(Held(**json.loads(row["row"])) for row in rows)

    async def add(self, owner: str, documents: Iterable[Mapping[str, Any]]) -> int:
        """Register checked documents (id, sha256, name, body) that are not there yet; returns how many were new."""
        return len(await self._pool.fetch(_ADD, (owner, json.dumps([*documents]))))

    async def remove(self, owner: str, ids: Sequence[str]) -> int:
        """Take documents out; returns how many there were. They are gone everywhere within two seconds."""
        return len(await self._pool.fetch(_REMOVE, (owner, json.dumps([*ids]))))

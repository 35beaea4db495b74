"""What stands in many rows and is one of few, an authority or a source: printed once and filled in.

In: a body whose statement left such objects out, each as its key between two marks. Out: the body with them. PostgreSQL
prints an object the first time it is met, in the asker's view; the next ones cost it neither a join nor the printing
(decision 0040).

What is filled in is never older than the rows: each statement that leaves something out brings the version of what may
be filled in (core.reference_version, migration 0039) out of its own snapshot, and what is known of another one is asked
for anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.principal import Principal
from gateway.engine.fragments import Text, quoted, under_scope
from gateway.engine.kept import Kept
from gateway.engine.reading import Reader
from gateway.storage.pool import same, storage_unavailable

# Around keys, and between those of neighbours, which are filled in together: each gap costs as much as a short text.
# JSON text has no control characters: within strings they are escaped (RFC 8259 §7), and none is put between them.
MARK: Final = "\x01"
BETWEEN_KEYS: Final = "\x02"
# The first letter of a key. What a statement has more of is printed in its rows: each may cost a statement of its own.
KINDS: Final = "abcdef"
_MARK: Final = MARK.encode()
_WEIGHT: Final = 2_000_000  # bytes of all that is known in a view, about
_EACH: Final = 200  # bytes of a text beside its own and its key's
_SELECTION: Final = 1_000  # bytes of what is printed beside its texts


@dataclass(frozen=True, slots=True)
class Part:
    """What is printed of a row `v` of a relation: SQL of type text. `own`: the relation's key, of SQL type `type`.
    `ahead`: the JSON between its neighbour and it."""

    relation: str
    own: str
    type: str
    text: str
    ahead: str


@dataclass(frozen=True, slots=True)
class Printed:
    """Objects that stand side by side."""

    parts: tuple[Part, ...]

    def statement(self, letter: str, schema: str, *, scoped: bool) -> str:
        """The SQL that prints those with the keys of its first parameters, one for each part; the scope is the last."""
        keys = [f"${number + 1}::text[]" for number in range(len(self.parts))]
        if scoped:
            keys[0] = under_scope(keys[0], f"${len(keys) + 1}::text")
        names = [f"k{number}" for number in range(len(keys))]
        text, joins = Text(), ""
        key = f" || {quoted(BETWEEN_KEYS)} || ".join(f"k.{name}" for name in names)
        for part, name in zip(self.parts, names, strict=True):
            text.literal(part.ahead).sql(f"coalesce(x{name}.j, 'null')")
            joins += (
                f" left join lateral (select {part.text} as j from {schema}.{part.relation} v"
                f" where v.{part.own} = nullif(k.{name}, '')::{part.type} limit 1) x{name} on true"
            )
        return (
            f"select '{letter}' || {key} as key,"
            f" {text.render()} as text, (select v.version from {schema}.reference_version v) as version"
            f" from unnest({', '.join(keys)}) k({', '.join(names)}){joins}"
        )


@dataclass(frozen=True, slots=True)
class Gaps:
    """All that a statement leaves out, by letter. `name`: what tells it from others, short, since it is kept for
    longer than the plan that it is of."""

    kinds: tuple[Printed, ...] = ()
    name: str = ""

    @staticmethod
    def of(kinds: Iterable[Printed]) -> Gaps:
        """The gaps of these kinds; one object for all plans that have them, of which a process keeps thousands."""
        found = tuple(kinds)
        if not found:
            return NO_GAPS
        name = hashlib.sha256(repr(found).encode()).hexdigest()
        shared = _SHARED.get(name)
        if shared is None:
            shared = Gaps(found, name)
            _SHARED.put(name, shared, shared.characters)
        return shared

    @property
    def characters(self) -> int:
        """How long what prints them is."""
        return sum(len(part.text) + len(part.ahead) for printed in self.kinds for part in printed.parts)


NO_GAPS: Final = Gaps()
_SHARED: Final[Kept[str, Gaps]] = Kept(500, 1_000_000)  # by name; characters


@dataclass(slots=True)
class _Known:
    """Texts by key, as of a version, and what they weigh."""

    version: int
    texts: dict[bytes, bytes]
    weight: int = _SELECTION

    def add(self, texts: Mapping[bytes, bytes]) -> None:
        """Know these, too."""
        self.weight += sum(len(key) + len(text) + _EACH for key, text in texts.items() if key not in self.texts)
        self.texts.update(texts)


class References:
    """What a process knows of such objects in one view, by what is printed of them."""

    def __init__(self, weight: int = _WEIGHT) -> None:
        self._kept: Kept[str, _Known] = Kept(weight, weight)

    async def filled(
        self,
        body: bytes,
        version: int,
        gaps: Gaps,
        principal: Principal,
        pool: Reader,
        until: float,
    ) -> bytes:
        """The body with all that its statement left out. Raises what the pool raises."""
        pieces = body.split(_MARK)
        if len(pieces) == 1:
            return body
        if len(pieces) % 2 == 0:
            raise RuntimeError("marks that do not agree")
        keys = pieces[1::2]
        known = self._kept.get(gaps.name)
        texts = known.texts if known is not None and known.version == version else {}
        try:
            pieces[1::2] = map(texts.__getitem__, keys)
        except KeyError:
            missing = {*keys} - texts.keys()
            found = {key: texts[key] for key in {*keys} - missing}
            found |= await self._asked(missing, version, gaps, principal, pool, until)
            pieces[1::2] = map(found.__getitem__, keys)
        return b"".join(pieces)

    async def _asked(
        self,
        missing: AbstractSet[bytes],
        least: int,
        gaps: Gaps,
        principal: Principal,
        pool: Reader,
        until: float,
    ) -> dict[bytes, bytes]:
        """The missing texts. Those of a later version are good for this answer, being as new as its rows, but are not
        kept together with others."""
        access, texts = principal.access, dict[bytes, bytes]()
        for letter, printed in zip(KINDS, gaps.kinds, strict=False):
            keys = [key[1:].decode().split(BETWEEN_KEYS) for key in sorted(missing) if key[:1] == letter.encode()]
            if not keys:
                continue
            arguments: list[Any] = [list(column) for column in zip(*keys, strict=True)]
            if access.scoped:
                arguments.append(principal.scope)
            statement = printed.statement(letter, access.schema, scoped=access.scoped)
            version, read = await pool.fetch(statement, arguments, until=until, read=_read, again=same)
            if version < least:  # of a server that lags behind, or of one that was put back
                raise storage_unavailable()
            texts |= read
            known = self._kept.get(gaps.name)  # others may have asked meanwhile
            if known is None or known.version != version:
                known = _Known(version, {})
            known.add(read)
            self._kept.put(gaps.name, known, known.weight)
        return texts


def _read(rows: Sequence[Any]) -> tuple[int, dict[bytes, bytes]]:
    return rows[0]["version"], {row["key"]: row["text"] for row in rows}

"""Where a field's value lives, which rows a relation means. Set by schema/, made by resolvers/, read by the planner.

In: nothing. Out: frozen bindings, carried by the fields of the contract schemas under extensions["binding"].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.engine.changes import Changes as Changes
from gateway.engine.values import Arguments, Convert, Fed, Value


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row at hand (its name in the catalogue, without the prefix of an inlined object)."""

    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """The cursor of the row at hand, a change: what `after` takes. `name`: column with its place."""

    name: str


@dataclass(frozen=True, slots=True)
class FromRequest:
    """A value that no row has: something of who asks, as a parameter. `kind` as in the catalogue."""

    value: Value
    kind: str = "text"
    null: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """`column operator value`.

    `any`: value is an array; `below`: a region with all below it; `person`: whoever has that blind index and name.
    """

    column: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a connection: at most `size` rows of what stands between two places (day, id), each of which may be
    absent; the first ones, or, `backward`, the last ones. Rows come in the list's order either way.

    `sealed`: of a feed, forward alone, whose cursors only the database can read and write: what stands behind this one,
    null for the beginning. A page reads no more than WINDOW places, and one that is not full ends where they end, or
    where all ends: its end is a bookmark where nothing was on it.
    `largest`: what `size` is at most, where the statement must say so in advance.
    """

    size: Value
    cursor: str  # letter that cursors of this order begin with
    order_column: str = ""  # none for a search: its places stand there
    descending: bool = False
    backward: bool = False
    after: tuple[Value, Value] | None = None
    before: tuple[Value, Value] | None = None
    sealed: Value | None = None
    largest: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows: a relation of the catalogue with conditions; not how to fetch them.

    `match` joins with the row at hand: (column here, column there). `order` names one of the relation's ordered views,
    `sort` orders small relations by columns. `keys` asks for one row per key, in the keys' order, absent ones included.
    `cost` is how many rows are expected where no page or key says it. `search`: those found by name, ranked.
    `permitted`: the relation whose external_id must be that of the first condition, else it is FORBIDDEN; SOLE stands
    there for the only one it has. `about`: whom a page is about whether it has rows of theirs or none: all are shown.
    """

    relation: str
    match: tuple[tuple[str, str], ...] = ()
    where: tuple[Condition, ...] = ()
    order: str = ""
    sort: tuple[str, ...] = ()
    page: Page | None = None
    keys: SubjectKeys | None = None
    cost: int = 1
    search: Search | None = None
    following: Following | None = None
    permitted: str = ""
    about: SubjectKeys | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """Rows that come one by one (a subscription), by `column`: the one at AT, behind the cursor or from now on."""

    column: str
    behind: Value | None


SOLE = Value(Fed("sole"), "uuid")  # the only one that a relation has for who asks
AT = Value(Fed("place"), "bigint")  # of the row that a subscription answers with
BEYOND, UNTIL = Value(Fed("beyond"), "bigint"), Value(Fed("until"), "bigint")  # where the next one is looked for


@dataclass(frozen=True, slots=True)
class Search:
    """A search by name: endings of names from `begin` to `end` (exclusive), of subjects of these kinds, roles, region.

    A page is of those after and before a place.
    """

    begin: Value
    end: Value
    kinds: Value | None = None
    roles: Value | None = None
    region: Value | None = None
    after: SearchPlace | None = None
    before: SearchPlace | None = None

    @property
    def values(self) -> tuple[Value, ...]:
        """Every value that may be refused."""
        # Of a place one stands for all: they are refused together.
        found = (self.begin, self.region, *(place.tier for place in (self.after, self.before) if place is not None))
        return tuple(value for value in found if value is not None)


WINDOW = 20_000  # places of a feed that one statement looks at, whatever it finds there
GAP = "-"  # what stands in a list of codes where there is none


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """A place among what a search finds: tier, ending and UUID of a subject. `tiers` has the same for the range of each
    tier (storage/names.py): an ending, and the UUID where the place is in this tier. `absent` stands for the internal
    id of a subject that is no longer there: all of its ending are on the page's side, so that none is lost.
    """

    tier: Value
    suffix: Value
    node: Value
    tiers: tuple[tuple[Value, Value], ...]
    absent: int


@dataclass(frozen=True, slots=True)
class SubjectKeys:
    """USCCs asked for, and what their UUIDv5 are made of, so that one not on record has its id too.

    `usccs` are the codes as a list (or the one code), `texts` and `hashes` what the statement takes: joined by commas,
    since the driver looks at each element of an array several times and at a text once. `many` is false for a single
    code. What stands for a code that is not on record is the reading's to say (sql.py). `gaps`: places of the list may
    have no code (GAP), whose rows are null. `joint`: the row's object stands for the code itself, whoever knows it.
    """

    usccs: Value
    texts: Value
    hashes: Value
    many: bool
    gaps: bool = False
    joint: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """An object that may be of several relations (node): type or interface name, and the rows that would have it."""

    alternatives: tuple[tuple[str, Rows], ...]


Resolve: TypeAlias = Callable[[Arguments], Rows | Choice]


@dataclass(frozen=True, slots=True)
class Related:
    """An object, a list or a connection of rows, as the resolver says. `shown`: its subjects count as disclosed.
    `secret`: the argument with a person's identity number, and the one with the name (persons.py)."""

    resolve: Resolve
    shown: bool = True
    secret: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Inline:
    """A to-one object whose columns stand in the row at hand under `prefix`; null where `presence` is null.

    Where a selection needs more than stands there, `otherwise` says which row to fetch. `shown` then holds for it.
    """

    prefix: str
    presence: str | None = None
    otherwise: Resolve | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A source's section of a subject: an object whose fields read the answers that came as a parameter.

    `several`: a list, one object for each source of that kind (the peers). `consent`: name of the argument that has the
    id of the consent under which the source may be asked, and `consent_id` what makes a UUID of it.
    """

    source: str
    answer: str  # function of the catalogue with status, time and reason
    basic: str  # the part that is asked where a selection names no list, only the answer
    several: bool = False
    consent: str = ""
    consent_id: Convert | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """What a source passed on of another source, an object in its section (a peer's courts).

    `functions`: function of the other source's own section → the one that reads what was passed on. A list without one
    was not asked for there: selected, it makes the answer `unasked`, since an empty list would say "no record".
    """

    functions: tuple[tuple[str, str], ...]
    answer: str
    unasked: str
    presence: str  # column of the section that is null where nothing was passed on


@dataclass(frozen=True, slots=True)
class SectionAnswer:
    """The answer's own object in a section: status, time, reason, and the source."""


@dataclass(frozen=True, slots=True)
class Part:
    """A list in a section: rows of one function of the catalogue."""

    function: str


@dataclass(frozen=True, slots=True)
class Empty:
    """An object without a row of its own (viewer): its fields say where they live."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The row at hand as an object of its own: null where a code is not there and the view has it so."""


@dataclass(frozen=True, slots=True)
class OfSchema:
    """What the contract says of itself, answered without a row, like introspection."""


Binding: TypeAlias = (
    Column
    | Place
    | FromRequest
    | Related
    | Inline
    | Section
    | Passed
    | SectionAnswer
    | Part
    | Empty
    | Whole
    | OfSchema
    | Changes
)


@dataclass(frozen=True, slots=True)
class Discriminator:
    """How a row of an interface tells its type: column, and (value, type name) pairs."""

    column: str
    types: tuple[tuple[str, str], ...]

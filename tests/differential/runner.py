"""Asks the engine and the reference the same, compares, and makes what differs small.

In: the pools of a database with the world. Out: counts of what was answered and refused, and differences. Data are
compared as JSON texts, so the order of fields counts; errors by code and path; refusals by their codes.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from graphql import GraphQLObjectType
from prometheus_client import CollectorRegistry

from connectors.base import Failure, FailureKind, Outcome, Purpose, SubjectRef
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.engine.account import Disclosure
from gateway.engine.execute import Engine, Limits, Request
from gateway.errors import Refused
from gateway.schema.contracts import build_contracts
from gateway.sources.ask import Sources
from gateway.sources.policy import SourcePolicy
from gateway.storage.database import Database
from gateway.storage.levels import ACCESSES, INTERNAL, RESTRICTED, RESTRICTED_SCOPED, SELF
from gateway.storage.pool import Pool
from tests.differential.kept import kept
from tests.differential.operation import Operation
from tests.differential.operations import NOT_COMPARED, Maker
from tests.differential.reference import Reference
from tests.differential.refusals import Documents, Refuse, codes_of
from tests.differential.sections import FRESH, STALE
from tests.differential.shrink import smaller_ones
from tests.differential.values import Values
from tests.differential.visible import Asker
from tests.differential.world import COURT_PARTS, NOW, World

COSTLY = "QUERY_TOO_COSTLY"
SHAPES = 4  # documents on one shape of hypothesis-graphql's
REQUESTS = 5  # for each document, with other values of its variables and by other askers: its plan is used again

_FIRM = '示范"引号"有限责任公司'
ASKERS: dict[str, tuple[Asker, ...]] = {
    "public": (Asker("public", "public"),),
    "restricted": (
        Asker("restricted", "restricted", "机关甲", "GRANT"),
        Asker("restricted, courts not allowed", "restricted", "机关乙", "DEBT"),
    ),
    "scoped": (
        Asker("not narrowed", "restricted", "机关甲", "PPP", scoped=True),
        Asker("by region", "restricted", "机关甲", "GRANT", scoped=True, regions=("652701",)),
        Asker("by kind", "restricted", "机关甲", "GRANT", scoped=True, kinds=("ENTERPRISE", "ORGAN")),
        Asker("by list", "restricted", "机关乙", "PPP", scoped=True, list="重点"),
        Asker("by all", "restricted", "机关甲", "GRANT", None, True, ("6527", "650102"), ("ENTERPRISE",), "重点"),
        Asker("to nothing", "restricted", "机关甲", "GRANT", scoped=True, kinds=()),
    ),
    "internal": (
        Asker("organ a", "internal", "机关甲", "GRANT"),
        Asker("organ b", "internal", "机关乙", "PPP"),
        Asker("appointment", "internal", "机关甲", "APPOINTMENT"),
        Asker("supervision", "internal", "机关乙", "SUPERVISION"),
        Asker("organ that is not on record", "internal", None, "GRANT"),
        Asker("supervision, by region", "internal", "机关甲", "SUPERVISION", regions=("652701",)),
    ),
    "self": (
        Asker("enterprise", "self", _FIRM, "SELF", subject=_FIRM),
        Asker("organ", "self", "机关甲", "SELF", subject="机关甲"),
        Asker("servant", "self", None, "SELF", subject="公务员一"),
    ),
}  # fmt: skip


class NoAccount:
    """An account that is told everything and forgets it."""

    in_statement: ClassVar[bool] = False

    async def record(self, disclosure: Disclosure) -> None:
        """Forgotten."""


@dataclass
class Down:
    """A source that gives no answer in time, ever."""

    code: str
    parts: tuple[str, ...]

    async def ask(
        self, part: str, subjects: Sequence[SubjectRef], purpose: Purpose | None, deadline: float
    ) -> Mapping[str, Outcome]:
        """A failure for each."""
        return {subject.uscc: Failure(FailureKind.TIMEOUT) for subject in subjects}

    async def close(self) -> None:
        """Nothing to let go of."""


def principal(asker: Asker, world: World) -> Principal:
    """The asker as authentication makes it."""
    if asker.view == "public":
        return ANONYMOUS
    access = {"restricted": RESTRICTED_SCOPED if asker.scoped else RESTRICTED, "internal": INTERNAL, "self": SELF}[
        asker.view
    ]
    uscc = world.code_of.get(asker.organisation or "")
    scope = {
        "client": "client", "organisation": world.ids.get(asker.organisation or ""), "uscc": uscc or "",
        "matter": asker.matter, "case": "1", "subject": world.ids.get(asker.subject or ""),
    }  # fmt: skip
    scope = {name: value for name, value in scope.items() if value is not None} | asker.narrowing
    allowed = next((row["sources_allowed"] for row in world.rows["matter"] if row["code"] == asker.matter), ())
    return Principal(
        access,
        client_id="client",
        organisation_uscc=uscc,
        matter=asker.matter,
        case_number="1",
        sources=frozenset(allowed),
        scope=json.dumps(scope) if access.scoped else None,
        own_scope=None if access.scoped else json.dumps(scope),
        withheld=json.dumps(asker.narrowing) if asker.narrowing else "{}",
    )


@dataclass
class Difference:
    """What the two said of one operation."""

    view: str
    asker: str
    seed: str
    text: str
    name: str | None
    variables: dict[str, Any]
    engine: Any
    reference: Any

    def __str__(self) -> str:
        return (
            f"\n--- {self.view}, {self.asker}, seed {self.seed}\n{self.text}\n"
            f"operationName {self.name} variables {json.dumps(self.variables, ensure_ascii=False)}\n"
            f"engine    {json.dumps(self.engine, ensure_ascii=False)[:3000]}\n"
            f"reference {json.dumps(self.reference, ensure_ascii=False)[:3000]}"
        )


@dataclass
class Counts:
    """What came of the operations of one view."""

    outcomes: Counter[str] = field(default_factory=Counter)  # rows, nothing, each with errors or without, or a code
    operations: int = 0
    documents: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def useful(self) -> float:
        """The share that was answered with something else than nulls, falses and empty lists."""
        return (self.outcomes["rows"] + self.outcomes["rows and errors"]) / max(1, self.operations)

    @property
    def costly(self) -> float:
        """The share that the engine found too costly, which the reference has no opinion of."""
        return self.outcomes[COSTLY] / max(1, self.operations)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count / max(1, self.operations):.1%}" for name, count in self.outcomes.most_common())
        rate = self.operations / self.seconds if self.seconds else 0
        return (
            f"{self.operations} operations ({self.documents} documents) in {self.seconds:.0f} s, {rate:.0f}/s: {told}"
        )


class Runner:
    """Both executors over one database."""

    def __init__(self, world: World, pools: Mapping[str, Pool], sources: Sources) -> None:
        self.world = world
        self._contracts = build_contracts()
        limits = Limits(cost=10**12, cost_public=10**12, budget=60.0, storage=60.0)
        self._engine = Engine(self._contracts, pools, NoAccount(), sources, limits)  # type: ignore[arg-type]
        self._references: dict[tuple[str, str], Reference] = {}
        self._documents = {name: Documents(schema) for name, schema in self._contracts.items()}
        self._makers: dict[str, Maker] = {}

    def maker(self, view: str) -> Maker:
        """What makes operations of a view."""
        if view not in self._makers:
            schema = self._contracts[ASKERS[view][0].contract]
            self._makers[view] = Maker(schema, Values(self.world, schema))
        return self._makers[view]

    async def run(
        self,
        view: str,
        seed: str,
        operations: int,
        *,
        most: int = 20,
        requests: int = REQUESTS,
        shrink: bool = True,
        at_once: int = 1,
        told: Callable[[Counts], None] | None = None,
    ) -> Counts:
        """Compare so many operations of a view, an operation being a document with its variables and who asks; stop at
        `most` differences. `at_once`: documents that are asked side by side; `told` hears of how far it is."""
        counts = Counts()
        began = time.monotonic()
        maker, askers = self.maker(view), ASKERS[view]

        async def one(number: int, operation: Operation) -> None:
            dice = random.Random(f"requests {seed}:{number}")
            for again in range(requests):
                asker = askers[(number + again) % len(askers)]
                if again and len(askers) == 1 and not operation.variables():
                    break  # it would be the same request
                if await self.ask(view, asker, operation, counts, shrink=shrink):
                    break
                operation = operation.refresh(dice)

        while counts.operations < operations and len(counts.differences) < most:
            numbers = range(counts.documents, counts.documents + at_once)
            counts.documents += at_once
            made = [(number, maker.make(f"{seed}:{number}", f"{seed}:{number // SHAPES}")) for number in numbers]
            await asyncio.gather(*(one(number, operation) for number, operation in made))
            counts.seconds = time.monotonic() - began
            if told is not None:
                told(counts)
        return counts

    async def again(self) -> list[Difference]:
        """Ask what once differed; what differs still."""
        found = []
        for one in kept():
            asker = next(asker for asker in ASKERS[one.view] if asker.name == one.asker)
            said = await self.both(one.view, asker, one.seed, one.text, one.name, one.variables or {})
            if isinstance(said, Difference):
                found.append(said)
        return found

    async def ask(self, view: str, asker: Asker, operation: Operation, counts: Counts, *, shrink: bool = True) -> bool:
        """Compare one, and count it; whether the two differ."""
        found = await self.compare(view, asker, operation)
        counts.operations += 1
        if isinstance(found, Difference):
            counts.outcomes["difference"] += 1
            counts.differences.append(await self._shrunk(view, asker, operation, found) if shrink else found)
        else:
            counts.outcomes[found] += 1
        return isinstance(found, Difference)

    async def compare(self, view: str, asker: Asker, operation: Operation) -> Difference | str:
        """The difference, or what both say: data, rows, errors or a code."""
        return await self.both(view, asker, operation.seed, operation.text(), operation.name, operation.variables())

    async def both(
        self, view: str, asker: Asker, seed: str, text: str, name: str | None, variables: dict[str, Any]
    ) -> Difference | str:
        """The same for a document."""
        engine = await self.engine(asker, text, name, variables)
        for pause in (0.5, 2.0, 5.0):
            if engine == {"refused": ["STORAGE_UNAVAILABLE"]}:  # a busy machine, or what fails each time
                await asyncio.sleep(pause)
                engine = await self.engine(asker, text, name, variables)
        if engine == {"refused": [COSTLY]}:
            return COSTLY
        reference = self.reference(asker, text, name, variables, answered="data" in engine)
        if reference.get("any of") and set(engine.get("refused", ["?"])) <= set(reference["refused"]):
            return str(engine["refused"][0])
        if json.dumps(engine) != json.dumps(reference):
            return Difference(view, asker.name, seed, text, name, variables, engine, reference)
        if "refused" in engine:
            return str(engine["refused"][0])
        said = "rows" if _says_something(engine["data"]) else "nothing"
        return f"{said} and errors" if "errors" in engine else said

    async def engine(self, asker: Asker, text: str, name: str | None, variables: dict[str, Any]) -> dict[str, Any]:
        """What the engine says."""
        try:
            body = await self._engine.answer(principal(asker, self.world), Request(text, name, variables))
        except Refused as refused:
            return {"refused": sorted(set(codes_of(refused.errors)))}
        except Exception as error:  # a fault: it is a difference like any other
            return {"engine raised": repr(error)[:500]}
        found = json.loads(body)
        made: dict[str, Any] = {"data": found["data"]}
        if "errors" in found:
            made["errors"] = _sorted({"path": e["path"], "code": e["extensions"]["code"]} for e in found["errors"])
        return made

    def reference(
        self, asker: Asker, text: str, name: str | None, variables: dict[str, Any], *, answered: bool = False
    ) -> dict[str, Any]:
        """What the reference says."""
        key = asker.contract, asker.name
        if key not in self._references:
            self._references[key] = Reference(
                self.world, asker, self._contracts[asker.contract], self._documents[asker.contract]
            )
        try:
            found = self._references[key].answer(text, name, variables, answered=answered)
        except Refuse as refused:
            found = {"refused": sorted(set(refused.codes))}
            return found | {"any of": True} if len(found["refused"]) > 1 and refused.any_of else found
        except Exception as error:  # of the reference itself: made known with what raised it
            return {"reference raised": "".join(traceback.format_exception(error)[-3:])}
        if "errors" in found:
            found["errors"] = _sorted(found["errors"])
        return found

    def unreached(self, view: str) -> list[str]:
        """Coordinates of the view's contract that never had a value so far."""
        contract = ASKERS[view][0].contract
        reached = {at for (name, _), one in self._references.items() if name == contract for at in one.reached}
        found = []
        for named in self._contracts[contract].type_map.values():
            if isinstance(named, GraphQLObjectType) and not named.name.startswith(("_", "Mutation", "RecordChange")):
                found += [f"{named.name}.{name}" for name in named.fields if name not in NOT_COMPARED]
        return sorted(set(found) - reached)

    # Shrinking -------------------------------------------------------------------------------------------------------

    async def _shrunk(self, view: str, asker: Asker, operation: Operation, found: Difference) -> Difference:
        """The smallest operation that still differs, as far as taking things away one by one finds it."""
        found_again = True
        while found_again:
            found_again = False
            for smaller in smaller_ones(operation):
                again = await self.compare(view, asker, smaller)
                if isinstance(again, Difference):
                    operation, found, found_again = smaller, again, True
                    break
        return found


def _sorted(errors: Any) -> list[Any]:
    return sorted(errors, key=lambda error: json.dumps(error["path"]))


def _says_something(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_says_something(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(map(_says_something, value))
    return value not in (None, False, 0, "")


@asynccontextmanager
async def running(database: Database, world: World) -> AsyncIterator[Runner]:
    """A runner with pools of its own."""
    pools = {access.name: Pool(database.dsn(access.name), size=4) for access in ACCESSES}
    service = Pool(database.dsn("service"), size=2)
    down = {"COURTS": Down("COURTS", COURT_PARTS), "REGION_PLATFORM": Down("REGION_PLATFORM", ("records",))}
    fresh = FRESH.total_seconds()
    policies = [
        SourcePolicy(
            code, fresh=fresh, negative_fresh=fresh, stale=STALE.total_seconds(), budget=60.0, concurrency=1_000,
            requests_per_second=0, breaker_failures=10**9, breaker_seconds=1, attempts=1,
        )
        for code in down
    ]  # fmt: skip
    sources = Sources(policies, down, service, CollectorRegistry(), clock=NOW.timestamp, chance=random.Random(1).random)
    try:
        yield Runner(world, pools, sources)
    finally:
        await sources.close()
        for pool in (*pools.values(), service):
            await pool.close()

"""Mutations: each root field changes something and then answers its payload; the whole is one transaction.

In: steps compiled from an operation, a principal under its scope, a request. Out: the bytes of the response, committed
together with what was changed, its disclosure and, under an Idempotency-Key, the reply kept for the next time; or a
ClientError with nothing changed. Root fields run one after the other, each payload before the next change (GraphQL
§6.2.2).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import asyncpg
from graphql import FieldNode

from gateway.auth.principal import Principal
from gateway.engine import idempotency
from gateway.engine.account import Account, Told, cells, ledger_unavailable, of_the_account, told
from gateway.engine.arguments import place_of, read_arguments
from gateway.engine.changes import REVEALED, Change, Changes
from gateway.engine.compile import MOST_ERRORS, Compiled, compile_plan
from gateway.engine.cost import check_shape
from gateway.engine.documents import Document, Operation
from gateway.engine.planner import Planner
from gateway.engine.reading import Reader
from gateway.engine.receipted import of_several
from gateway.engine.released import released
from gateway.engine.request import Done, Limits, Request, check_sizes, disclosure, ends_at, too_many, too_many_roots
from gateway.engine.response import read_row
from gateway.engine.scans import LARGE, Scans
from gateway.engine.selection import Document as Collected
from gateway.engine.selection import collect
from gateway.engine.sql import disclosed
from gateway.engine.values import Places, resolved
from gateway.errors import BadUserInput, ClientError, QueryTooCostly, Refused, StorageUnavailable
from gateway.storage.identifiers import organisation_uuid
from gateway.storage.lane import Ask
from gateway.storage.persons import masked_identity
from gateway.storage.writes import WRITES

T = TypeVar("T")
MOST_STEPS = 10  # root fields of a mutation: each is three statements
_LETTERS = "abcdefghijklmnop"
_BEFORE, _AFTER = b'{"data":{', b"}}"  # of a payload's own body statement


class Writer(Protocol):
    """A pool, as mutations need it (storage/pool.py says what the arguments mean)."""

    async def transaction(
        self, work: Callable[[Ask], Awaitable[T]], scope: str, *, until: float, again: bool = False
    ) -> T:
        """What `work` makes of its statements, committed."""
        ...


class Database(Reader, Writer, Protocol):
    """A pool, as the engine needs it."""


class Reveal(Protocol):
    """Reads identity numbers (storage/identities.py)."""

    async def __call__(self, subject: uuid.UUID, *, until: float) -> str | None:
        """The number; None where there is none. Raises StorageUnavailable."""
        ...


class ByGet(BadUserInput):
    """A mutation, or what else is for a POST alone, that came by GET (GraphQL over HTTP: 405)."""

    status = 405


@dataclass(frozen=True, slots=True)
class Step:
    """One root field: what it changes and how its payload is read. `typename`: it only says what the root is called."""

    key: str
    places: Places
    change: Change | None
    payload: Compiled | None
    typename: str = ""
    released: Told | None = None  # fields of the whole answer, told with the first


def compile_mutation(
    document: Document, operation: Operation, variables: Mapping[str, Any], principal: Principal
) -> tuple[Step, ...]:
    """The steps of a mutation for one shape of its variables. No I/O."""
    root = document.schema.mutation_type
    assert root is not None
    collected = Collected(document.schema, document.fragments, variables)
    fields = collect(collected, root, [operation.node.selection_set])
    if len(fields) > MOST_STEPS:
        raise QueryTooCostly(
            f"the mutation has {len(fields)} root fields, {MOST_STEPS} are allowed; send several requests",
            f"该变更包含 {len(fields)} 个根字段，上限为 {MOST_STEPS} 个，请分多次提交",
        )
    steps = []
    for key, nodes in fields.items():
        places = place_of(nodes[0])
        if nodes[0].name.value == "__typename":
            steps.append(Step(key, places, None, None, root.name))
            continue
        field = root.fields[nodes[0].name.value]
        binding = field.extensions["binding"]
        assert isinstance(binding, Changes)
        change = binding.resolve(read_arguments(field, nodes[0], variables))
        steps.append(Step(key, places, change, _payload(Planner(collected, variables), key, nodes, principal)))
    steps[0] = replace(steps[0], released=told(released(collected, operation.node)))
    return tuple(steps)


def _payload(planner: Planner, key: str, nodes: list[FieldNode], principal: Principal) -> Compiled:
    plan = planner.payload(key, nodes)
    check_shape(plan)
    if plan.sources:
        raise BadUserInput(
            "no source is asked while a change is under way; select what sources say in a query afterwards",
            "变更过程中不查询任何来源，请在变更后另行查询来源信息",
            locations=place_of(nodes[0]),
        )
    return compile_plan(plan, principal, accounts=False)


class Mutations:
    """Runs mutations. One for each process; `sweep` is called after a reply was kept; `reveal` reads
    identity numbers; those with large payloads take turns of `scans`."""

    def __init__(
        self,
        pools: Mapping[str, Writer],
        account: Account,
        limits: Limits,
        sweep: Callable[[], Awaitable[None]] | None = None,
        reveal: Reveal | None = None,
        scans: Scans | None = None,
    ) -> None:
        self._reveal = reveal
        self._scans = scans or Scans()
        self._pools = pools
        self._account = account
        self._limits = limits
        self._sweep = sweep
        self._tasks: set[asyncio.Future[None]] = set()

    async def answer(
        self, steps: tuple[Step, ...], variables: Mapping[str, Any], principal: Principal, request: Request, done: Done
    ) -> bytes:
        """The response's bytes, once all of it is durable. Raises ClientError or Refused with nothing changed."""
        if request.reads_only:
            raise ByGet("a mutation is taken by POST alone; send it so", "变更操作只接受 POST，请以 POST 方式提交")
        values = _values(steps, variables, principal)
        total = sum(
            check_sizes(step.payload, variables, principal, self._limits) for step in steps if step.payload is not None
        )
        allowed = self._limits.of(principal)
        if total > allowed.cost:
            raise QueryTooCostly(
                f"the payloads may read {total} rows, {allowed.cost} are allowed; send several requests",
                f"答复可能读取 {total} 行，上限为 {allowed.cost} 行，请分多次提交",
            )
        if request.wants_receipt and sum(step.change is not None for step in steps) > 1:
            raise of_several()
        if len(steps) > allowed.root_fields:
            raise too_many_roots(len(steps), allowed.root_fields)
        done.cost = total
        key = request.idempotency_key
        done.released = steps[0].released
        until = ends_at(request, self._limits, done)
        run = _Run(steps, values, variables, principal, request, done, self._account, self._reveal, until)
        name = principal.access.name
        large = self._scans.large(name, until, done.asker(principal)) if total >= LARGE else nullcontext()
        try:
            async with large:
                body = await self._pools[name].transaction(
                    run, principal.scope or "", until=until, again=key is not None
                )
        except StorageUnavailable as error:
            raise run.told(error) from error
        if key is not None and self._sweep is not None:
            task = asyncio.ensure_future(self._sweep())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return body


def _values(steps: tuple[Step, ...], variables: Mapping[str, Any], principal: Principal) -> Mapping[str, Sequence[Any]]:
    """What each change writes, by response key; all that can't be taken is told at once."""
    made: dict[str, list[Any]] = {}
    errors: list[ClientError] = []
    for step in steps:
        change = step.change
        if change is None:
            continue
        if principal.access not in WRITES[change.write].accesses:
            errors.append(_at(step, change.elsewhere()))
            continue
        values = made[step.key] = []
        for value in (*change.values, *([] if change.reveals is None else [change.reveals])):
            try:
                values.append(value.resolve(variables, principal, {}))
            except BadUserInput as error:
                errors.append(error)
        for own in change.own:
            if own.value.resolve(variables, principal, {}) != getattr(principal, own.attribute):
                refusal = own.refusal()
                refusal.locations = own.value.places
                errors.append(refusal)
    if errors:
        raise Refused(errors[:MOST_ERRORS])
    return made


def _concerned(written: Mapping[str, Any]) -> str:
    """The id of the subject of a change."""
    return str(written["written:subject"] or organisation_uuid(written["written:uscc"]))


def _at(step: Step, error: ClientError) -> ClientError:
    error.locations = error.locations or step.places
    return error


class _Run:
    """A mutation's work in its transaction. Begun anew where the pool begins anew."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        values: Mapping[str, Sequence[Any]],
        variables: Mapping[str, Any],
        principal: Principal,
        request: Request,
        done: Done,
        account: Account,
        reveal: Reveal | None,
        until: float,
    ) -> None:
        self._reveal, self._until = reveal, until
        self._steps = steps
        self._values = values
        self._variables = variables
        self._principal = principal
        self._request = request
        self._done = done
        self._account = account
        self._schema = principal.access.schema
        self._stage = ""

    async def __call__(self, ask: Ask) -> bytes:
        key = self._request.idempotency_key
        hashed = "" if key is None else idempotency.key_hash(key)
        if key is not None and (kept := await self._claimed(ask, key, hashed)) is not None:
            return kept
        parts: list[bytes] = []
        shown: list[tuple[str, str | None]] = []
        told: list[Sequence[Mapping[str, str]]] = []
        numbers: dict[str, str] = {}  # what stands in the payloads → identity number
        for step in self._steps:
            if step.change is None or step.payload is None:
                parts.append(f"{json.dumps(step.key)}:{json.dumps(step.typename)}".encode())
                continue
            written = await self._write(ask, step, step.change)
            revealed: Sequence[Mapping[str, str]] = ()
            if step.change.reveals is not None:
                written, revealed = await self._revealed(step, step.change, written, numbers)
            part, ids, snapshot = await self._read(ask, step.payload, written)
            parts.append(part)
            # Whom it concerns, whatever is selected.
            ids = ",".join(dict.fromkeys(found for found in (*ids.split(","), _concerned(written)) if found))
            shown.append((ids, snapshot))
            told.append(revealed)
        self._check_shown(shown)
        # Each payload has a snapshot of its own, hence a disclosure; a mutation of names alone has one of nothing.
        await self._disclose(ask, shown or [("", None)], told)
        body = _BEFORE + b",".join(parts) + _AFTER
        if key is not None:
            body = idempotency.masked(body)
            kept_body = _with(body, {place: masked_identity(number) for place, number in numbers.items()})
            self._stage = "keep"
            rows = await ask(
                f"select {self._schema}.keep_reply($1::text, $2::text, $3::text) as kept",
                [hashed, kept_body, json.dumps(shown)],
            )
            if rows[0]["kept"] != 1:
                raise RuntimeError("a reply that was not kept")
        self._stage = "commit"
        return _with(body, numbers)

    def _check_shown(self, shown: Sequence[tuple[str, str | None]]) -> None:
        """Subjects of all payloads together: a token's bound is on the request. Raises BadUserInput."""
        most = self._principal.max_subjects
        if most is not None and len({one for ids, _ in shown for one in ids.split(",") if one}) > most:
            raise too_many(self._principal)

    def told(self, error: StorageUnavailable) -> ClientError:
        """What the client is told of a fault of the database."""
        if self._stage == "claim" and isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            return idempotency.under_way()
        if self._stage == "account" and of_the_account(error):
            return ledger_unavailable()
        return error

    async def _claimed(self, ask: Ask, key: str, hashed: str) -> bytes | None:
        """The reply that is kept under the key, disclosed once more; None where the key is this request's now."""
        self._stage = "claim"
        document, operation = self._done.document, self._done.operation
        assert document is not None
        assert operation is not None
        same = idempotency.request_hash(key, document, operation, self._request.variables, self._principal)
        (row,) = await ask(f"select * from {self._schema}.claim_key($1::text, $2::text)", [hashed, same])
        if row["state"] == b"OTHER":
            raise idempotency.another_request()
        if row["state"] == b"NEW":
            return None
        shown = [(ids, snapshot) for ids, snapshot in json.loads(row["shown"])]
        self._check_shown(shown)
        await self._disclose(ask, shown or [("", None)])
        self._stage = "commit"
        reply: bytes = row["reply"]
        return reply

    async def _write(self, ask: Ask, step: Step, change: Change) -> Mapping[str, Any]:
        """What the function has returned. Raises what its refusal stands for."""
        self._stage = "write"
        call = WRITES[change.write].call(self._principal.access)
        (row,) = await ask(call, self._values[step.key][: len(WRITES[change.write].parameters)])
        written: dict[str, Any] = json.loads(row["written"])
        if "refused" in written:
            raise _at(step, change.refusals[written["refused"]]())
        return {f"written:{name}": value for name, value in written.items()}

    async def _revealed(
        self, step: Step, change: Change, written: Mapping[str, Any], numbers: dict[str, str]
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, str]]]:
        """Read the identity number of the person whom the function has returned. What is fed to the payload stands for
        it, until the whole is durable; and what the disclosure says of it."""
        subject = written["written:subject"]
        number = None if self._reveal is None else await self._reveal(uuid.UUID(subject), until=self._until)
        if number is None:
            raise _at(step, change.refusals["SUBJECT"]())
        place = "revealed" + "".join([secrets.choice(_LETTERS) for _ in range(32)])  # no digits: nothing to mask
        numbers[place] = number
        why = self._values[step.key][-1]
        told = {"subject": subject, "field": "Subject.identityNumber", "view": "INTERNAL", "reason": why}
        return {**written, f"written:{REVEALED}": place}, (told,)

    async def _read(self, ask: Ask, payload: Compiled, fed: Mapping[str, Any]) -> tuple[bytes, str, str | None]:
        """The payload as it stands in the response, the ids of the subjects shown, the snapshot."""
        self._stage = "payload"
        statement = payload.body
        assert statement is not None  # a payload is an object
        arguments = resolved(statement.parameters, self._variables, self._principal, fed)
        (row,) = await ask(statement.text, arguments)
        if not row["body"]:
            raise too_many(self._principal)
        found = read_row(payload, row, self._principal)
        snapshot = None if found.snapshot is None else found.snapshot.decode()
        return found.body[len(_BEFORE) : -len(_AFTER)], found.shown.decode(), snapshot

    async def _disclose(
        self, ask: Ask, shown: Sequence[tuple[str, str | None]], told: Sequence[Sequence[Mapping[str, str]]] = ()
    ) -> None:
        self._stage = "account"
        ids = "string_to_array($2::text, ',')::uuid[]"
        sql = f"select {disclosed(self._schema, 'disclose_one', ids, '$3::text')}"
        for place, (subjects, seen) in enumerate(shown):
            revealed = told[place] if place < len(told) else ()
            snapshot = None if seen is None else seen.encode()
            done = replace(self._done, shown=subjects.encode(), snapshot=snapshot, revealed=revealed)
            made = disclosure(self._principal, self._request, done)
            self._done.disclosure = made.id
            if not self._account.in_statement:
                await self._account.record(made)
                continue
            await self._account.tell(made)
            (row,) = await ask(sql, [cells(made), subjects, seen])
            if row["disclosed"] != 1:
                raise RuntimeError("an answer without its disclosure")


def _with(body: bytes, numbers: Mapping[str, str]) -> bytes:
    """The response with numbers in their places: digits and X, which JSON takes as they are."""
    for place, number in numbers.items():
        body = body.replace(place.encode(), number.encode())
    return body

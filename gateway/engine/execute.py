"""The way of a request, stage by stage: `Engine.answer`.

In: a principal and a request (document, operation name, variables). Out: the bytes of the response, whose disclosure is
durable; or Refused, with no data. Pools, ledger and sources are handed in.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphql import GraphQLSchema

from gateway.auth.principal import Principal
from gateway.engine.account import Account, Disclosure, cells, ledger_unavailable, of_the_account, with_new_ids
from gateway.engine.compile import Compiled, bad_values, compile_operation, refuse_bad_values
from gateway.engine.cost import cost
from gateway.engine.documents import Document, Documents, Operation
from gateway.engine.response import Found, introspect, read_row, response, without_rows
from gateway.engine.together import Reader, Together
from gateway.errors import BadUserInput, ClientError, QueryTooCostly, Refused, StorageUnavailable
from gateway.sources.ask import Sources
from gateway.sources.wanted import Consulted, Wanted
from gateway.storage.identifiers import mask_identity_numbers, mask_identity_numbers_in
from gateway.storage.pool import same


@dataclass(frozen=True, slots=True)
class Request:
    """What arrives: a document's text, the operation's name, the variables as JSON gave them; and when (s)."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    arrived: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request; `cost` in rows. `budget`: seconds for its sources, `storage`: for all of its statements
    together, from its arrival, the time of its sources apart. `statements`: of one group of requests at once
    (together.py)."""

    cost: int
    cost_public: int
    subjects: int = 1_000
    subjects_public: int = 20
    budget: float = 5.0
    storage: float = 2.0
    statements: int = 1


@dataclass(slots=True)
class Done:
    """How far a request has come: what its disclosure says, answered or refused."""

    document: Document | None = None
    operation: Operation | None = None
    sources: str = "{}"
    shown: bytes = b""
    snapshot: bytes | None = None
    refusals: int = 0  # that one row stands for; 0: for itself
    waited: float = 0.0  # for sources, s


_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,199}")  # what can name an operation; anything else is not kept
_NOTHING = Consulted({}, "{}", {})
# One encoder for all: json.dumps makes a new one for each call. Escaped, a NUL stays readable in PostgreSQL's text.
_ENCODE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Engine:
    """Answers queries. One for each process; safe for any number of requests at once."""

    def __init__(
        self,
        contracts: Mapping[str, GraphQLSchema],
        pools: Mapping[str, Reader],
        account: Account,
        sources: Sources,
        limits: Limits,
        *,
        plans: int = 2_000,
    ) -> None:
        self._documents = Documents(contracts)
        self._pools = pools
        self._account = account
        self._sources = sources
        self._limits = limits
        self._together = Together(width=limits.statements)
        self._plans: OrderedDict[tuple[Any, ...], Compiled] = OrderedDict()
        self._most_plans = plans

    async def answer(self, principal: Principal, request: Request) -> bytes:
        """The response's bytes. Raises Refused; a refusal of an authenticated client is disclosed, too."""
        done = Done()
        try:
            return await self._answer(principal, request, done)
        except ClientError as error:
            await self.account_for_refusal(principal, request, error.code, done)
            raise Refused([error]) from error
        except Refused as refused:
            await self.account_for_refusal(principal, request, refused.code, done)
            raise

    async def _answer(self, principal: Principal, request: Request, done: Done) -> bytes:
        document = done.document = self._documents.get(principal.access.contract, request.query)
        operation = document.operation(request.operation_name)
        variables, shape = operation.coerce(request.variables)
        done.operation = operation
        compiled = self._compiled(document, operation, variables, shape, principal)
        try:
            rows = self._check_sizes(compiled, variables, principal)
            if compiled.plan.sources:
                refuse_bad_values(compiled, variables, principal)  # before anybody is asked
        except BadUserInput as error:
            raise bad_values(compiled, variables, principal, error) from None
        fed: dict[str, Any] = {
            f"introspection:{key}": introspect(document, operation, key, request.variables)
            for key in compiled.plan.introspection
        }
        if compiled.body is None:
            await self._account_for(principal, request, done)
            return b'{"data":' + without_rows(compiled.plan, fed) + b"}"
        consulted = _NOTHING
        if compiled.plan.sources:
            consulted = await self._consult(compiled, variables, principal, fed, request, done)
            done.sources = consulted.statuses
        try:
            arguments = [value.resolve(variables, principal, fed) for value in compiled.body.parameters]
        except BadUserInput as error:
            raise bad_values(compiled, variables, principal, error) from None
        accounts = compiled.body.accounts
        if accounts:
            arguments[:0] = cells(_disclosure(principal, request, done))
        try:
            read = await self._read(compiled, arguments, principal, request, self._until(request, done), rows)
        except StorageUnavailable as error:
            if accounts and of_the_account(error):
                raise ledger_unavailable() from error
            raise
        if read is None:
            raise _too_many(principal)
        found, body = read
        if not accounts and principal.access.disclosed:
            done.shown, done.snapshot = found.shown, found.snapshot
            await self._account_for(principal, request, done)
        elif consulted.behind:
            self._refresh(compiled, consulted, found.shown)
        return body

    def _until(self, request: Request, done: Done) -> float:
        """The moment (time.monotonic()) at which the request is told that the database does not answer."""
        return request.arrived + self._limits.storage + done.waited

    async def _read(
        self,
        compiled: Compiled,
        arguments: Sequence[Any],
        principal: Principal,
        request: Request,
        until: float,
        rows: int,
    ) -> tuple[Found, bytes] | None:
        """What the body statement found, and the response; None where it shows more subjects than the token allows."""
        statement, pool = compiled.body, self._pools[principal.access.name]
        assert statement is not None
        if statement.keys and principal.scope is None and not compiled.plan.sources:
            row = await self._together.row(principal.access.name, pool, statement, arguments, rows, until)
            return _answered(compiled, principal, request.language, (row,))
        found: tuple[Found, bytes] | None = await pool.fetch(
            statement.text,
            arguments,
            principal.scope,
            until=until,
            read=partial(_answered, compiled, principal, request.language),
            again=with_new_ids if statement.accounts else same,
        )
        return found

    # Plan ------------------------------------------------------------------------------------------------------------

    def _compiled(
        self,
        document: Document,
        operation: Operation,
        variables: Mapping[str, Any],
        shape: tuple[Any, ...],
        principal: Principal,
    ) -> Compiled:
        conditions = {name: variables.get(name) for name in operation.conditions}
        key = (
            principal.access.name,
            principal.narrowed,
            principal.max_subjects is not None,
            document.hash,
            operation.name,
            tuple(conditions.values()),
            shape,
        )
        found = self._plans.get(key)
        if found is not None:
            self._plans.move_to_end(key)
            return found
        made = compile_operation(document, operation, variables, principal, accounts=self._account.in_statement)
        self._plans[key] = made
        if len(self._plans) > self._most_plans:
            self._plans.popitem(last=False)
        return made

    def _check_sizes(self, compiled: Compiled, variables: Mapping[str, Any], principal: Principal) -> int:
        """The cost in rows; sizes within their limits, cost within the contract's. Raises BadUserInput,
        QueryTooCostly."""
        public = not principal.access.disclosed
        most = self._limits.subjects_public if public else self._limits.subjects
        if principal.max_subjects is not None:
            most = min(most, principal.max_subjects)
        found: list[int] = []
        subjects = compiled.subjects
        for value in compiled.checks:
            value.resolve(variables, principal, {})
        for value, is_list in compiled.sizes:
            resolved = value.resolve(variables, principal, {})
            size = len(resolved) if is_list else resolved
            found.append(size)
            subjects += size if is_list else 0
        if subjects > most:
            raise BadUserInput(
                f"at most {most} subjects in one request; ask in several",
                f"一次请求最多 {most} 个主体，请分多次查询",
            )
        key = tuple(found)
        total = compiled.costs.get(key)
        if total is None:
            by_value = {value: size for (value, _), size in zip(compiled.sizes, found, strict=True)}
            total = cost(compiled.plan.fields, by_value.__getitem__)
            if len(compiled.costs) < 1_000:
                compiled.costs[key] = total
        limit = self._limits.cost_public if public else self._limits.cost
        if total > limit:
            raise QueryTooCostly(
                f"the query may read {total} rows, {limit} are allowed; ask for shorter lists",
                f"该查询可能读取 {total} 行，上限为 {limit} 行，请缩短列表",
            )
        return total

    # Sources ---------------------------------------------------------------------------------------------------------

    async def _consult(
        self,
        compiled: Compiled,
        variables: Mapping[str, Any],
        principal: Principal,
        fed: dict[str, Any],
        request: Request,
        done: Done,
    ) -> Consulted:
        """Feed the answers of the plan's sources; returns what was consulted, for the disclosure and the refresh."""
        deadline = asyncio.get_running_loop().time() + self._limits.budget
        wanted = []
        for feed, keys in compiled.keys.items():
            consent = None if keys.consent is None else keys.consent.resolve(variables, principal, fed)
            by_subject: dict[str, dict[str, None]] = {}
            if keys.statement is None:
                for value, is_list, parts in keys.given:
                    codes = value.resolve(variables, principal, fed)
                    for code in codes if is_list else (codes,):
                        by_subject.setdefault(code, {}).update(dict.fromkeys(parts))
            else:
                arguments = [value.resolve(variables, principal, fed) for value in keys.statement.parameters]
                codes = await self._pools[principal.access.name].fetch(
                    keys.statement.text,
                    arguments,
                    principal.scope,
                    until=self._until(request, done),
                    read=_codes,
                    again=same,
                )
                for code in codes:
                    if code:
                        by_subject[code] = dict.fromkeys(keys.parts)
            self._check_keys(len(by_subject), principal)
            grouped: dict[tuple[str, ...], list[str]] = {}
            for code, parts_of in by_subject.items():
                grouped.setdefault(tuple(parts_of), []).append(code)
            wanted += [
                Wanted(keys.source, parts, tuple(codes), feed, consent, under_consent=keys.consent is not None)
                for parts, codes in grouped.items()
            ]
        began = time.monotonic()
        consulted = await self._sources.consult(wanted, principal, deadline)
        done.waited = time.monotonic() - began
        for feed in compiled.keys:
            fed[f"answers:{feed}"] = consulted.parameters.get(feed, "{}")
        return consulted

    def _check_keys(self, count: int, principal: Principal) -> None:
        most = self._limits.subjects if principal.access.disclosed else self._limits.subjects_public
        if principal.max_subjects is not None:
            most = min(most, principal.max_subjects)
        if count > most:
            raise QueryTooCostly(
                f"sources would be asked about {count} subjects, at most {most} are allowed",
                f"需要向来源查询 {count} 个主体，上限为 {most} 个",
            )

    def _refresh(self, compiled: Compiled, consulted: Consulted, shown: bytes) -> None:
        """The public view never waits for a source: what it showed may be refreshed afterwards, at low priority.

        Only subjects that are on record (the statement returned them): nobody else's code goes to a source unasked.
        """
        on_record = set(shown.decode().split(","))
        for source, behind in consulted.behind.items():
            codes = tuple(code for code in behind if code in on_record)
            if codes:
                self._sources.refresh(source, compiled.keys[source].parts, codes)

    # Account ---------------------------------------------------------------------------------------------------------

    async def _account_for(self, principal: Principal, request: Request, done: Done, outcome: str = "ANSWERED") -> None:
        if principal.access.disclosed:
            try:
                async with asyncio.timeout(self._until(request, done) - time.monotonic()):
                    await self._account.record(_disclosure(principal, request, done, outcome))
            except TimeoutError:
                raise ledger_unavailable() from None

    async def account_for_refusal(
        self, principal: Principal, request: Request, code: str, done: Done | None = None
    ) -> None:
        """Disclose that a client was refused, and which sources were asked before; nothing for the public.

        The variables of what was refused are not kept: they could hold anything.
        """
        if principal.client_id is not None and code not in ("LEDGER_UNAVAILABLE", "STORAGE_UNAVAILABLE"):
            done = done or Done()
            done.operation = None
            await self._account_for(principal, request, done, code)


def _answered(
    compiled: Compiled, principal: Principal, language: str, rows: Sequence[Any]
) -> tuple[Found, bytes] | None:
    """The statement's one row, read to the end while its connection is still to be blamed for what can't be."""
    (row,) = rows
    if not row["body"]:
        return None
    if compiled.body is not None and compiled.body.accounts and row["disclosed"] != 1:
        raise RuntimeError("an answer without its disclosure")  # durable otherwise: the transaction has ended
    found = read_row(compiled, row, principal)
    return found, response(found, language)


def _codes(rows: Sequence[Any]) -> dict[str, None]:
    """The codes of a keys statement, in their order."""
    (row,) = rows
    return dict.fromkeys(row["shown"].decode().split(","))


def _disclosure(principal: Principal, request: Request, done: Done, outcome: str = "ANSWERED") -> Disclosure:
    name = request.operation_name
    return Disclosure(
        client_id=principal.client_id or "",
        organisation_uscc=principal.organisation_uscc or "",
        view=principal.access.contract,
        matter=principal.matter or "",
        case_number=principal.case_number or "",
        on_behalf_of=principal.on_behalf_of,
        outcome=outcome,
        operation_name=mask_identity_numbers(name) if name is not None and _NAME.fullmatch(name) else None,
        document_hash=done.document.hash if done.document is not None else None,
        variables=f'{{"refused":{done.refusals}}}' if done.refusals else _storable(request.variables, done.operation),
        subject_ids=done.shown,
        snapshot=done.snapshot,
        sources=done.sources,
        withheld=principal.withheld,
    )


def _too_many(principal: Principal) -> BadUserInput:
    return BadUserInput(
        f"the answer would show more than the {principal.max_subjects} subjects that the token allows",
        f"答复涉及的主体超过令牌允许的 {principal.max_subjects} 个",
    )


def _storable(variables: Mapping[str, Any], operation: Operation | None) -> str | None:
    """The variables of the operation that ran, as JSON, masked where it takes free text; nothing else is kept."""
    if not variables or operation is None:
        return None
    declared = operation.coerce.names
    if not variables.keys() <= declared:
        variables = {name: value for name, value in variables.items() if name in declared}
    return _ENCODE(mask_identity_numbers_in(variables) if operation.coerce.texts else variables)

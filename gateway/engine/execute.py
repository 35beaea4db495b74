"""The way of a request, stage by stage: `Engine.answer`.

In: a principal and a request (document, operation name, variables). Out: the bytes of the response, whose disclosure is
durable; or Refused, with no data. Pools, ledger and sources are handed in.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from graphql import GraphQLSchema

from gateway.auth.principal import Principal
from gateway.engine.account import Account, cells, ledger_unavailable, of_the_account
from gateway.engine.afterwards import Afterwards
from gateway.engine.bookmarks import of_the_bookmark
from gateway.engine.compile import Compiled, Planned, bad_values, refuse_bad_values
from gateway.engine.consult import Inquiries
from gateway.engine.cost import REQUEST
from gateway.engine.dependence import Basis, dependence
from gateway.engine.documents import Document, Documents, Operation
from gateway.engine.fragments import under_scope
from gateway.engine.introspection import introspect
from gateway.engine.merged import only
from gateway.engine.mutate import ByGet, Database, Mutations, Reveal
from gateway.engine.permits import permitted
from gateway.engine.persisted import Persisted
from gateway.engine.persons import Tries, hide, not_posted
from gateway.engine.plans import Plans, Unplanned
from gateway.engine.receipted import Receipts, in_public, of_events, with_receipt
from gateway.engine.request import (
    Done,
    Limits,
    Request,
    asked,
    check_sizes,
    disclosure,
    ends_at,
    too_late,
    too_many,
    with_extensions,
)
from gateway.engine.response import response, without_rows
from gateway.engine.scans import Scans, Turns, unread
from gateway.engine.statements import Statements
from gateway.engine.subscribe import Changes, Subscription, begin
from gateway.engine.together import TOO_LONG
from gateway.engine.under_scope import needs_scope
from gateway.engine.values import resolved
from gateway.errors import (
    BadUserInput,
    ClientError,
    Forbidden,
    Internal,
    LedgerUnavailable,
    Refused,
    StorageUnavailable,
)
from gateway.sources.ask import Sources
from gateway.sources.wanted import Consulted
from gateway.storage.persons import IdentityKeys
from gateway.storage.pool import same

__all__ = ["Done", "Engine", "Limits", "Request"]

# s that an answer to a registered document is kept: with the 1.5 s after which the public set's version is read again
# (auth/documents.py), what an operator has removed is gone within two.
_REGISTERED: Final = 0.5
_NOTHING = Consulted({}, "{}", {}, math.inf)
_TURNS: Final = 3  # subscriptions of a process that ask at once
T = TypeVar("T")


class Engine:
    """Answers queries and mutations. One for each process; safe for any number of requests at once.

    `persisted`: documents that requests may name. `meter` is told the contract and the cost of each request. `sweep` is
    called after replies were kept (mutate.py). `identity`: by which persons are found, none without it; `reveal` reads
    an identity number (mutate.py).
    """

    def __init__(
        self,
        contracts: Mapping[str, GraphQLSchema],
        pools: Mapping[str, Database],
        account: Account,
        sources: Sources,
        limits: Limits,
        *,
        plans: int = 2_000,
        persisted: Persisted | None = None,
        meter: Callable[[str, int], None] | None = None,
        sweep: Callable[[], Awaitable[None]] | None = None,
        changes: Changes | None = None,
        receipts: Receipts | None = None,
        identity: IdentityKeys | None = None,
        reveal: Reveal | None = None,
    ) -> None:
        self._documents = Documents(contracts, limits=limits.contracts)
        self._pools = pools
        self._changes = changes
        self._turns = Turns(_TURNS)
        self._new_documents = Turns(1)
        self._account = account
        self._receipts = receipts
        self._limits = limits
        self._scans = Scans()
        self._statements = Statements(pools, limits, self._scans)
        self._inquiries = Inquiries(sources, pools, limits, self._statements)
        self._persisted = persisted or Persisted()
        self._meter = meter or _unmetered
        self._afterwards = Afterwards(account)
        self._identity = identity or IdentityKeys(os.urandom(32), os.urandom(32))
        self._tries = Tries()
        self._mutations = Mutations(pools, account, limits, sweep, reveal, self._scans)
        self._plans = Plans(plans, accounts=account.in_statement)

    async def answer(
        self,
        principal: Principal,
        request: Request,
        basis: Basis | None = None,
        more: Callable[[Principal, int], None] | None = None,
        address: Callable[[], str] | None = None,
    ) -> bytes:
        """The response's bytes. Raises Refused; a refusal of an authenticated client is disclosed, too. `basis` is told
        what a public answer stands on. `more` takes further requests of who asks, where this one counts as several;
        raises RateLimited where there are none. `address` tells those apart who have no token."""
        done = Done(basis=basis, more=more, address=address)
        answer = self._with_receipt if request.wants_receipt else self._answer
        body = await self._told(self.accounted(principal, request, done, answer(principal, request, done)))
        if request.tells_cost or done.receipt:
            return with_extensions(body, request, done, self._limits.of(principal))
        return body

    async def subscribe(self, principal: Principal, request: Request) -> Subscription | None:
        """A subscription that has begun; None for any other request: `answer` it. Raises Refused, disclosed."""
        done = Done()
        work = self._subscribe(principal, request, done)
        return await self._told(self.accounted(principal, request, done, work))

    async def _subscribe(self, principal: Principal, request: Request, done: Done) -> Subscription | None:
        _, operation = await self.operation(principal, request, done)
        if not operation.subscription or self._changes is None:
            return None
        if request.wants_receipt:
            raise of_events()
        return await begin(self, self._changes, principal, request, done, self._turns)

    async def accounted(self, principal: Principal, request: Request, done: Done, work: Awaitable[T]) -> T:
        """What comes of the work; whatever happens is accounted for. Raises Refused; where the database or the ledger
        is away, StorageUnavailable or LedgerUnavailable, which may be over when it is tried again."""
        try:
            return await work
        except (StorageUnavailable, LedgerUnavailable) as error:
            self._afterwards.add(principal, request, done, error.code, refused=too_late(request, self._limits, done))
            raise
        except ClientError as error:
            await self.account_for_refusal(principal, request, error.code, done)
            raise Refused([error]) from error
        except Refused as refused:
            await self.account_for_refusal(principal, request, refused.code, done)
            raise
        except BaseException as error:  # the client has left, or a fault of ours
            left = isinstance(error, asyncio.CancelledError)
            self._afterwards.add(principal, request, done, "LEFT" if left else Internal.code)
            raise

    @staticmethod
    async def _told(work: Awaitable[T]) -> T:
        """What comes of the work, or Refused."""
        try:
            return await work
        except ClientError as error:
            raise Refused([error]) from error

    async def close(self) -> None:
        """Write what is still to be accounted for, for some seconds at most."""
        await self._afterwards.close()

    async def _with_receipt(self, principal: Principal, request: Request, done: Done) -> bytes:
        """The answer, where its receipt can be made."""
        if not principal.access.disclosed:
            raise in_public()
        asked = await self.operation(principal, request, done)
        answer = partial(self._answer, principal, request, done)
        return await with_receipt(self._receipts, asked, answer, request, self._limits, done)

    async def _answer(self, principal: Principal, request: Request, done: Done) -> bytes:
        document, operation = await self.operation(principal, request, done)
        if operation.subscription:
            raise BadUserInput(
                "a subscription has many answers; ask with Accept: text/event-stream, or over WebSocket",
                "订阅会有多次答复，请使用 Accept: text/event-stream 或 WebSocket",
            )
        if operation.mutation:
            coerced, shape = operation.coerce(request.variables)
            principal = principal.under_scope()  # who asks is what a change goes by
            steps = self._plans.steps(Unplanned(document, operation, coerced, shape, principal))
            body = await self._mutations.answer(steps, coerced, principal, request, done)
            self._meter(document.contract, done.cost)
            return body
        planned = self._planned(document, operation, request, principal, done)
        return await self.respond(planned, request, done, {})

    @property
    def pools(self) -> Mapping[str, Database]:
        """By access."""
        return self._pools

    @property
    def limits(self) -> Limits:
        """Of one request."""
        return self._limits

    async def operation(self, principal: Principal, request: Request, done: Done) -> tuple[Document, Operation]:
        """The request's document and operation. Raises BadUserInput where it is for a POST alone and came by GET."""
        document = done.document = await self._document(principal, request, done)
        operation = done.operation = document.operation(request.operation_name)
        if operation.posted and request.reads_only:
            raise ByGet(
                "viewer and progress are taken by POST alone, whose answers nobody keeps; send it so",
                "viewer 和 progress 只接受 POST（其答复不被缓存），请以 POST 方式查询",
            )
        return document, operation

    async def planned(self, principal: Principal, request: Request, done: Done) -> Planned:
        """The request with its plan."""
        document, operation = await self.operation(principal, request, done)
        return self._planned(document, operation, request, principal, done)

    def _planned(
        self, document: Document, operation: Operation, request: Request, principal: Principal, done: Done
    ) -> Planned:
        variables, shape = operation.coerce(request.variables)
        if operation.secrets.numbers:
            variables = self._hidden(operation, variables, request, principal, done)
        compiled = self._plans.compiled(Unplanned(document, operation, variables, shape, principal))
        if needs_scope(compiled, variables, principal):
            principal = principal.under_scope()
            compiled = self._plans.compiled(Unplanned(document, operation, variables, shape, principal))
        return Planned(document, operation, variables, compiled, principal)

    def _hidden(
        self, operation: Operation, variables: Mapping[str, Any], request: Request, principal: Principal, done: Done
    ) -> dict[str, Any]:
        """The variables without the identity numbers of persons (persons.py)."""
        if not principal.identifies_persons:
            raise Forbidden(
                "the matter of this request does not allow persons to be asked for by identity number; ask in one that"
                " does (APPOINTMENT, SUPERVISION, unless your prefecture has set it otherwise)",
                "本次请求的事项不允许按证件号码查询自然人，请使用允许的事项（APPOINTMENT、SUPERVISION，本地另有设置的除外）",
            )
        if request.reads_only or not request.posted:
            raise not_posted()
        hidden = hide(operation.secrets, variables, self._identity)
        done.hidden = hidden.kept
        self._tries.count(principal.client_id or "", hidden)
        return hidden.variables

    async def respond(self, planned: Planned, request: Request, done: Done, given: Mapping[str, Any]) -> bytes:
        """The response of a plan, disclosed; `given` is fed to its statement."""
        variables, compiled, principal = planned.variables, planned.compiled, planned.principal
        try:
            rows = done.cost = check_sizes(compiled, variables, principal, self._limits)
            if compiled.plan.sources or compiled.permits:
                refuse_bad_values(compiled, variables, principal)  # before anybody is asked
        except BadUserInput as error:
            raise bad_values(compiled, variables, principal, error) from None
        self._meter(planned.document.contract, rows)
        if compiled.scanned and done.more is not None:
            done.more(principal, compiled.scanned // REQUEST)
        done.released = compiled.released
        await self.check_within(planned, ends_at(request, self._limits, done))
        fed: dict[str, Any] = {**given}
        if compiled.permits:
            pool, until = self._pools[principal.access.name], ends_at(request, self._limits, done)
            fed |= await permitted(compiled.permits, variables, principal, pool, until)
        for key in compiled.plan.introspection:
            fed[f"introspection:{key}"] = introspect(planned.document, planned.operation, key, request.variables)
        if compiled.body is None:
            await self._account_for(principal, request, done)
            return b'{"data":' + without_rows(compiled.plan, fed) + b"}"
        consulted = _NOTHING
        if compiled.plan.sources:
            inquire = partial(self._before_inquiry, principal, request, done)
            consulted = await self._inquiries.consult(compiled, variables, principal, fed, request, done, inquire)
        try:
            arguments = resolved(compiled.body.parameters, variables, principal, fed)
        except BadUserInput as error:
            raise bad_values(compiled, variables, principal, error) from None
        accounts = compiled.body.accounts
        if accounts:
            made = disclosure(principal, request, done)
            await self._account.tell(made)
            arguments.insert(0, cells(made))
        try:
            found = await self._statements.read(compiled, arguments, principal, request, done, rows)
        except StorageUnavailable as error:
            if refusal := of_the_bookmark(error):
                raise refusal from None
            if accounts and of_the_account(error):
                raise ledger_unavailable() from error
            if compiled.lists_all and isinstance(error.__cause__, TOO_LONG):
                raise unread() from error
            raise
        if found is None:
            raise too_many(principal)
        if not accounts and principal.access.disclosed:
            done.shown, done.snapshot = found.shown, found.snapshot
            await self._account_for(principal, request, done)
        elif consulted.behind:
            self._inquiries.refresh(compiled, consulted, found.shown)
        if done.basis is not None and not principal.access.disclosed and not planned.operation.posted:
            until = consulted.until
            if request.persisted is not None or principal.only_registered:
                until = min(until, time.time() + _REGISTERED)
            _found(done.basis, compiled, variables, principal, until)
        found = await self._statements.whole(compiled, found, principal, request, done)
        return response(found, request.language)

    async def _document(self, principal: Principal, request: Request, done: Done) -> Document:
        """What is asked, valid in the asker's contract; whoever may send registered documents alone gets no other."""
        if request.persisted is None and not principal.only_registered:
            return await self._read_document(request.query, principal, done)
        text = await self._persisted.text(principal, request)
        document = await self._read_document(text, principal, done)
        self._persisted.keep(principal, request)
        return document

    async def _read_document(self, text: str, principal: Principal, done: Done) -> Document:
        """The document of that text. Of those that are new one is looked through in each turn of the loop, so that
        others get on between them; and askers take turns."""
        contract = principal.access.contract
        if self._documents.knows(contract, text):
            return self._documents.get(contract, text, principal.limits)
        asker = done.asker(principal)
        await self._new_documents.take(asker)
        asyncio.get_running_loop().call_soon(self._new_documents.give, asker)
        return self._documents.get(contract, text, principal.limits)

    async def check_within(self, planned: Planned, until: float) -> None:
        """Under a narrowing, a list of the changes of somebody outside it would read as if there were none. Raises
        Forbidden, the same for a code that is not on record."""
        compiled, principal = planned.compiled, planned.principal
        if not compiled.within or not principal.narrowed:
            return
        codes = {code for value in compiled.within for code in value.resolve(planned.variables, principal, {})}
        sql = (
            f"select count(*) as n from unnest({under_scope('$1::text[]', '$2::text')}) k(code) cross join lateral"
            f" (select from {principal.access.schema}.subject v where v.uscc = k.code limit 1) v"
        )
        row = await self._pools[principal.access.name].fetch(
            sql, ([*codes], principal.scope), until=until, read=only, again=same
        )
        if int(row["n"]) < len(codes):
            raise Forbidden(
                "some of usccs are not within the scope of this client, or not on record; leave them out",
                "usccs 中有代码不在本客户端的授权范围内或无记录，请去掉",
            )

    # Account ---------------------------------------------------------------------------------------------------------

    async def _before_inquiry(
        self, principal: Principal, request: Request, done: Done, source: str, usccs: Sequence[str]
    ) -> None:
        """Who asks a bank is on record before the bank hears of it, whatever becomes of the request."""
        inquiry = Done(document=done.document, operation=done.operation, sources=asked(source, usccs))
        await self._account_for(principal, request, inquiry, "INQUIRY")

    async def _account_for(self, principal: Principal, request: Request, done: Done, outcome: str = "ANSWERED") -> None:
        if principal.access.disclosed:
            try:
                async with asyncio.timeout(ends_at(request, self._limits, done) - time.monotonic()):
                    told = disclosure(principal, request, done, outcome)
                    done.disclosure = told.id
                    await self._account.record(told)
            except TimeoutError:
                raise ledger_unavailable() from None

    async def account_for_refusal(
        self, principal: Principal, request: Request, code: str, done: Done | None = None
    ) -> None:
        """Disclose that a client was refused, and which sources were asked before; nothing for the public.

        The variables of what was refused are not kept: they could hold anything. It has time of its own: who is
        refused for having waited too long has none left. What the database or the ledger refuses is not asked of them
        at once: see `accounted`.
        """
        if principal.client_id is not None and code not in ("LEDGER_UNAVAILABLE", "STORAGE_UNAVAILABLE"):
            done = done or Done()
            done.operation = None
            await self._account_for(principal, replace(request, deadline=None, arrived=time.monotonic()), done, code)


def _unmetered(contract: str, cost: int) -> None:
    """Nobody wants to know."""


def _found(basis: Basis, compiled: Compiled, variables: Mapping[str, Any], principal: Principal, until: float) -> None:
    """Tell what a public answer stands on; nothing where it stands on more than can be told."""
    if compiled.depends is None:
        compiled.depends = (dependence(compiled.plan),)
    (depends,) = compiled.depends
    if depends is not None:
        basis.codes, basis.until = depends.codes(variables, principal), until

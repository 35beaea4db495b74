"""One request as it goes through the engine: what arrived, its bounds, how far it has come, what its disclosure says.

In: web/'s parameters, settings. Out: frozen requests and limits; rows of the account. execute.py and mutate.py use it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.auth.principal import Principal
from gateway.engine.account import Disclosure, Told, told
from gateway.engine.compile import Compiled
from gateway.engine.cost import cost
from gateway.engine.dependence import Basis
from gateway.engine.documents import Document, Operation
from gateway.engine.lists import LISTS
from gateway.errors import BadUserInput, QueryTooCostly
from gateway.limits import QueryLimits
from gateway.sources.wanted import Wanted
from gateway.storage.identifiers import mask_identity_numbers, mask_identity_numbers_in
from gateway.storage.levels import CONTRACTS


@dataclass(frozen=True, slots=True)
class Request:
    """What arrives: a document's text, the operation's name, the variables as JSON gave them; and when (s).

    `persisted` names a document (persisted.py), by its SHA-256 (hex) or another id: in place of the text, or, as the
    text's own hash, beside it. `automatic`: as automatic persisted queries do it. `reads_only`: it came by GET.
    `posted`: not over a socket. `idempotency_key`: what the client calls it by, so that sending it twice does it once.
    `deadline`: seconds from its arrival after which its client does not wait any more.
    """

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    arrived: float = field(default_factory=time.monotonic)
    persisted: str | None = None
    automatic: bool = False
    reads_only: bool = False
    posted: bool = True
    idempotency_key: str | None = None
    deadline: float | None = None
    tells_cost: bool = False
    wants_receipt: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request; `cost` in rows. `given` are limits by contract and name, in place of the four numbers
    and of the ordinary ones; `contracts` is what comes of it. `budget`: seconds for its sources, `storage`: for
    all of its statements together, from its arrival, the time of its sources apart. `statements`: of one group of
    requests at once, `lists`: of all lists in a view (together.py)."""

    cost: int
    cost_public: int
    subjects: int = 1_000
    subjects_public: int = 20
    budget: float = 5.0
    storage: float = 2.0
    statements: int = 1
    lists: int = LISTS
    given: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    contracts: Mapping[str, QueryLimits] = field(init=False)

    def __post_init__(self) -> None:
        ordinary = dict.fromkeys(CONTRACTS, QueryLimits(self.cost, self.subjects))
        ordinary["PUBLIC"] = QueryLimits(self.cost_public, self.subjects_public)
        made = {name: replace(limits, **self.given.get(name, {})) for name, limits in ordinary.items()}
        object.__setattr__(self, "contracts", made)

    def of(self, principal: Principal) -> QueryLimits:
        """What this asker may ask for at most."""
        return self.contracts[principal.access.contract].with_own(principal.limits)


@dataclass(slots=True)
class Done:
    """How far a request has come: what its disclosure says, answered or refused."""

    document: Document | None = None
    operation: Operation | None = None
    asking: Sequence[Wanted] = ()  # what was asked of sources until they have answered
    sources: str = "{}"  # what they said
    shown: bytes = b""
    snapshot: bytes | None = None
    refusals: int = 0  # that one row stands for; 0: for itself
    waited: float = 0.0  # for sources, s
    cost: int = 0  # rows that it may read
    basis: Basis | None = None  # where somebody wants to keep the answer
    disclosure: str = ""  # the id of its row, which was written last
    receipt: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)  # what is kept in place of secret variables (persons.py)
    revealed: Sequence[Mapping[str, str]] = ()  # identity numbers in the answer: whose, which field, why
    released: Told | None = None  # the fields of the answer
    more: Callable[[Principal, int], None] | None = None  # takes so many requests more of who asks
    address: Callable[[], str] | None = None  # of who asks without a token
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext  # while sources are asked

    def asker(self, principal: Principal) -> str:
        """Whose it is, where askers take turns: a client's, or an address's."""
        return principal.client_id or ("" if self.address is None else f"address {self.address()}")

    @property
    def asked_sources(self) -> bool:
        """Whether sources may have been asked for it."""
        return bool(self.asking) or self.sources != "{}"


_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,199}")  # what can name an operation; anything else is not kept
# One encoder for all: json.dumps makes a new one for each call. Escaped, a NUL stays readable in PostgreSQL's text.
_ENCODE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_IDENTIFYING: Final = ("__typename", "uscc")  # of a representation
REVEALED: Final = "@revealed"  # among the variables of a disclosure: no variable has such a name
MOST_COSTS = 32  # that a plan remembers, by its sizes: there are thousands of plans, and sizes are what anybody likes
_FOR_THE_BODY = 0.25  # of a client's deadline, kept for the statement after the sources; s at most


def ends_at(request: Request, limits: Limits, done: Done) -> float:
    """The moment (time.monotonic()) at which the request is told that the database does not answer."""
    ours = request.arrived + limits.storage + done.waited
    return ours if request.deadline is None else min(ours, request.arrived + request.deadline)


def too_late(request: Request, limits: Limits, done: Done) -> bool:
    """Whether the client's own deadline, shorter than our time, is over: no fault of the database's."""
    if request.deadline is None or request.deadline >= limits.storage + done.waited:
        return False
    return time.monotonic() >= request.arrived + request.deadline


def budget(request: Request, limits: Limits) -> float:
    """Seconds that the request's sources have from now on. The client's own deadline leaves some for the statement."""
    if request.deadline is None:
        return limits.budget
    left = request.arrived + request.deadline - time.monotonic()
    return max(0.0, min(limits.budget, left - min(_FOR_THE_BODY, request.deadline * _FOR_THE_BODY)))


def check_sizes(compiled: Compiled, variables: Mapping[str, Any], principal: Principal, limits: Limits) -> int:
    """The cost in rows; sizes within their limits, cost within the contract's. Raises BadUserInput, QueryTooCostly."""
    allowed = limits.of(principal)
    most = allowed.subjects
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
        if len(compiled.costs) < MOST_COSTS:
            compiled.costs[key] = total
    if total > allowed.cost:
        raise QueryTooCostly(
            f"the query may read {total} rows, {allowed.cost} are allowed; ask for shorter lists",
            f"该查询可能读取 {total} 行，上限为 {allowed.cost} 行，请缩短列表",
        )
    if len(compiled.plan.fields) > allowed.root_fields:
        raise too_many_roots(len(compiled.plan.fields), allowed.root_fields)
    return total


def too_many_roots(count: int, most: int) -> QueryTooCostly:
    """The refusal of more root fields than the asker may have."""
    return QueryTooCostly(
        f"the query has {count} root fields, {most} are allowed; ask in several requests",
        f"查询包含 {count} 个根字段，上限为 {most} 个，请分多次查询",
    )


def with_extensions(body: bytes, request: Request, done: Done, limits: QueryLimits) -> bytes:
    """The response with `extensions.cost`, units of the request and how many it might have had, and
    `extensions.receipt`, as far as they were asked for."""
    parts = []
    if request.tells_cost:
        parts.append(b'"cost":{"units":%d,"limit":%d}' % (done.cost, limits.cost))
    if done.receipt:
        parts.append(b'"receipt":"%b"' % done.receipt.encode())
    return b'%b,"extensions":{%b}}' % (body[:-1], b",".join(parts)) if parts else body


def too_many(principal: Principal) -> BadUserInput:
    """What is refused where an answer would show more subjects than the token allows."""
    return BadUserInput(
        f"the answer would show more than the {principal.max_subjects} subjects that the token allows",
        f"答复涉及的主体超过令牌允许的 {principal.max_subjects} 个",
    )


def disclosure(principal: Principal, request: Request, done: Done, outcome: str = "ANSWERED") -> Disclosure:
    """The request's row of the account."""
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
        variables=f'{{"refused":{done.refusals}}}' if done.refusals else _storable(request.variables, done),
        subject_ids=done.shown,
        snapshot=done.snapshot,
        sources=interrupted(done.asking) if done.asking else done.sources,
        withheld=principal.withheld,
        fields=done.released if outcome == "ANSWERED" else None,
        basis=None if principal.legal_basis is None else told(principal.legal_basis),
    )


def interrupted(wanted: Sequence[Wanted]) -> str:
    """What a disclosure says of sources before they have answered, as JSON text."""
    found: dict[str, dict[str, object]] = {}
    for want in wanted:
        said = {"status": "INTERRUPTED", "parts": list(want.parts)}
        found.setdefault(want.name, {}).update(dict.fromkeys(want.subjects, said))
    return json.dumps(found, separators=(",", ":"))


def asked(source: str, usccs: Sequence[str]) -> str:
    """What a disclosure says of an inquiry that is about to be made, as JSON text."""
    return json.dumps({source: {uscc: {"status": "ASKED"} for uscc in usccs}}, separators=(",", ":"))


def _identifying(representations: Any) -> Any:
    """Representations of entities as they were read, without what a router knows besides: it may be anything."""
    if isinstance(representations, list):
        return [_identifying(each) for each in representations]
    if isinstance(representations, dict):
        return {name: representations[name] for name in _IDENTIFYING if name in representations}
    return representations


def _storable(variables: Mapping[str, Any], done: Done) -> str | None:
    """The variables of the operation that ran, as JSON, masked where it takes free text; nothing else is kept. Numbers
    and names of persons are not: what stands for them is, once they were read."""
    operation = done.operation
    if operation is None or not (variables or done.revealed):
        return None
    declared = operation.coerce.names
    if not variables.keys() <= declared:
        variables = {name: value for name, value in variables.items() if name in declared}
    for name in operation.coerce.representations & variables.keys():
        variables = {**variables, name: _identifying(variables[name])}
    if operation.coerce.texts:
        texts, secret = operation.coerce.texts, operation.secrets.variables
        variables = {
            mask_identity_numbers(name): mask_identity_numbers_in(value) if name in texts else value
            for name, value in variables.items()
            if name not in secret
        }
        variables |= done.hidden
    if done.revealed:
        variables = {**variables, REVEALED: done.revealed}
    return _ENCODE(variables)

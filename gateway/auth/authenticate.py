"""From the headers of a request to its Principal: who asks, through which view, and for what.

In: Authorization and Credit-Purpose, and what the request shows beside a token that is bound to it. Out: a Principal,
which never exceeds what the client is registered for at this moment; or Unauthenticated, Forbidden, PurposeRequired,
MatterNotGranted, BadUserInput, StorageUnavailable.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.auth.clients import SUBJECT_SELF, VIEW_INTERNAL, VIEW_RESTRICTED, Client, ClientStore, Matter
from gateway.auth.issuers import ExternalIssuers
from gateway.auth.possession import NOTHING, Possession, Shown, refused
from gateway.auth.principal import ANONYMOUS, Principal
from gateway.auth.purpose import SELF_MATTER, Purpose, agree, parse_header, self_purpose
from gateway.auth.tokens import AccessToken, Tokens, bad_token
from gateway.errors import ClientError, Forbidden, MatterNotGranted, PurposeRequired, Unauthenticated
from gateway.storage.levels import INTERNAL, PUBLIC, RESTRICTED, RESTRICTED_SCOPED, SELF, Access

# RFC 6750 §2.1, RFC 9449 §7.1; the scheme in any case (RFC 9110 §11.1)
_CREDENTIALS = re.compile(r"(bearer|dpop) +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)
_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class _Verdict:
    principal: Principal
    token: AccessToken
    client: Client


_Kept: TypeAlias = OrderedDict[tuple[str, str | None], _Verdict]


class Authenticator:
    """Keeps its verdicts, bounded, by the whole text of both headers: until the token expires, and no longer than the
    client's registration is fresh. Refusals are not kept.

    Those on bound tokens are kept apart: `cached` never finds them, so that none passes without its proof.
    """

    def __init__(
        self,
        tokens: Tokens,
        clients: ClientStore,
        possession: Possession,
        *,
        issuers: ExternalIssuers | None = None,
        anonymous: Principal = ANONYMOUS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._anonymous = anonymous
        self._tokens = tokens
        self._clients = clients
        self._possession = possession
        self._issuers = issuers
        self._clock = clock
        self._kept: _Kept = OrderedDict()
        self._bound: _Kept = OrderedDict()

    def cached(self, authorization: str | None, purpose: str | None, now: float | None = None) -> Principal | None:
        """The Principal, where no waiting is needed to know it; None where `authenticate` must be asked."""
        if authorization is None:
            return self._anonymous if purpose is None else None
        verdict = self._kept.get((authorization, purpose))
        if verdict is None:
            return None
        now = self._clock() if now is None else now
        return verdict.principal if self._stands(verdict, now) else None

    def vouched_for(self, authorization: str | None, purpose: str | None) -> str:
        """The client that a token of ours names, by its signature and its time alone; "" where it is none. No I/O.

        Whether the client may use it now, and whether whoever sends it may, is another question: `authenticate`.
        """
        if authorization is None:
            return ""
        verdict = self._kept.get((authorization, purpose)) or self._bound.get((authorization, purpose))
        if verdict is not None:
            return verdict.client.id
        credentials = _CREDENTIALS.fullmatch(authorization)
        try:
            return self._tokens.verify(credentials[2], now=self._clock()).client_id if credentials else ""
        except Unauthenticated:
            return ""

    async def authenticate(
        self, authorization: str | None, purpose: str | None, shown: Shown = NOTHING, *, now: float | None = None
    ) -> Principal:
        """The Principal of a request with these headers at `now` (Unix seconds; by default the clock's).

        Raises the ClientErrors that the module's docstring names. A token that does not hold is never anonymous.
        """
        now = self._clock() if now is None else now
        found = self.cached(authorization, purpose, now)
        if found is not None:
            return found
        if authorization is None:
            # A client whose token was lost on the way: the public's answer would read as if there were nothing more.
            raise Unauthenticated(
                "Credit-Purpose needs an access token; send it in Authorization: Bearer …, or leave the purpose out",
                "使用 Credit-Purpose 必须同时携带访问令牌（Authorization: Bearer …）；公开查询请去掉该请求头",
            )
        key = (authorization, purpose)
        credentials = _CREDENTIALS.fullmatch(authorization)
        if credentials is None:
            raise bad_token()
        sent, text = credentials[1].lower(), credentials[2]
        verdict = self._bound.get(key)
        if verdict is not None and self._stands(verdict, now):
            await self._possession.check(verdict.token, verdict.client, sent, shown, text=text, now=now)
            return verdict.principal
        try:
            token, client = await self._known(text, now)
        except Unauthenticated as error:
            self._kept.pop(key, None)
            self._bound.pop(key, None)
            raise refused(sent) from error
        await self._possession.check(token, client, sent, shown, text=text, now=now)
        header: Purpose | None = None
        try:
            header = None if purpose is None else parse_header(purpose)
            principal = decide(client, token, header)
        except ClientError as error:
            error.principal = _refused(client, token, token.purpose or header)
            raise
        _keep(self._bound if token.bound else self._kept, key, _Verdict(principal, token, client))
        return principal

    async def still(self, authorization: str | None, purpose: str | None) -> Principal:
        """The Principal of a stream that began with these headers, at this moment: as `authenticate`, but for the proof
        that was shown at its beginning."""
        now = self._clock()
        found = self.cached(authorization, purpose, now)
        if found is not None:
            return found
        credentials = None if authorization is None else _CREDENTIALS.fullmatch(authorization)
        if credentials is None:
            raise bad_token()
        token, client = await self._known(credentials[2], now)
        return decide(client, token, None if purpose is None else parse_header(purpose))

    async def _known(self, text: str, now: float) -> tuple[AccessToken, Client]:
        """The token and its client, if it is the client's now. Raises Unauthenticated, StorageUnavailable."""
        issuer = None if self._issuers is None else self._issuers.of(text)
        if self._issuers is None or issuer is None:
            token = self._tokens.verify(text, now=now)
        else:
            token = await self._issuers.verify(issuer, text, now=now)
        client = await self._clients.get(token.client_id)
        if client is None or client.disabled or client.token_issuer != token.issuer:
            raise bad_token()
        if token.issuer is None and client.version != token.version:
            raise bad_token()
        return token, client

    def _stands(self, verdict: _Verdict, now: float) -> bool:
        return now < verdict.token.expires_at and self._clients.fresh(verdict.client)


def _keep(kept: _Kept, key: tuple[str, str | None], verdict: _Verdict) -> None:
    kept[key] = verdict
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)


def decide(client: Client, token: AccessToken, header: Purpose | None) -> Principal:
    """What the token gives its client now. Pure: the same registration, token and header give the same Principal."""
    if not token.scopes <= client.scopes:
        raise Unauthenticated(
            "the client is no longer registered for a scope of this token; request a new one",
            "客户端登记已不包含该令牌的权限范围，请重新申请令牌",
        )
    stated = agree(token.purpose, header)
    if SUBJECT_SELF in token.scopes:
        return _own_account(client, token, stated)
    if not token.scopes:
        return Principal(
            PUBLIC,
            client_id=client.id,
            organisation_uscc=client.organisation_uscc,
            only_registered=client.only_registered,
            documents=client.documents,
            limits=client.limits,
        )
    purpose = _required(stated)
    matter = granted(client, purpose, own=False)
    return _principal(client, purpose, matter, _access(client, token.scopes, matter))


def _refused(client: Client, token: AccessToken, purpose: Purpose | None) -> Principal:
    """Who was refused, for the account: the client, the view that its token asks for, the purpose that it states."""
    access = INTERNAL if VIEW_INTERNAL in token.scopes else SELF if SUBJECT_SELF in token.scopes else RESTRICTED
    return Principal(
        access if token.scopes else PUBLIC,
        client_id=client.id,
        organisation_uscc=client.organisation_uscc,
        matter=None if purpose is None else purpose.matter,
        case_number=None if purpose is None else purpose.case_number,
        on_behalf_of=None if purpose is None else purpose.on_behalf_of,
    )


def granted(client: Client, purpose: Purpose, *, own: bool) -> Matter:
    """The matter of the purpose, if the client is registered for it and it is in force; `own` for subject:self.

    Raises MatterNotGranted, the same for a matter that does not exist.
    """
    matter = client.matters.get(purpose.matter)
    # SELF shows what was repaired and revoked: in a view it would show everybody's, whatever a row of a client says.
    if matter is None or (purpose.matter == SELF_MATTER) != own:
        raise MatterNotGranted(
            "the client is not registered for this matter, or there is no such matter; use one that it has",
            "客户端未登记该事项，或该事项不存在，请使用已登记的事项",
        )
    return matter


def _access(client: Client, scopes: frozenset[str], matter: Matter) -> Access:
    if VIEW_INTERNAL in scopes:
        return INTERNAL
    if VIEW_RESTRICTED in scopes:
        return RESTRICTED_SCOPED if client.narrowed or matter.opens else RESTRICTED
    raise Unauthenticated("the token has a scope that is not known here", "令牌含有未知的权限范围")


def _own_account(client: Client, token: AccessToken, stated: Purpose | None) -> Principal:
    if token.scopes != {SUBJECT_SELF}:
        raise Unauthenticated(
            "the scope subject:self stands alone; request a token without a view",
            "权限范围 subject:self 不能与其他视图同时使用，请重新申请令牌",
        )
    purpose = self_purpose() if stated is None else stated
    matter = granted(client, purpose, own=True)
    if client.subject_id is None:
        raise Forbidden(
            "the subject of this account is not on record here, so there is nothing of its own to see",
            "该账户所属主体未在本库登记，没有可供查询的本单位信息",
        )
    return _principal(client, purpose, matter, SELF)


def _required(stated: Purpose | None) -> Purpose:
    if stated is None:
        raise PurposeRequired(
            "above the public view a request needs a purpose; give authorization_details in the token, or the header "
            'Credit-Purpose: matter="…", case="…"',
            "公开视图以外的查询必须说明用途：在令牌的 authorization_details 或请求头 "
            'Credit-Purpose: matter="…", case="…" 中给出',
        )
    return stated


def _principal(client: Client, purpose: Purpose, matter: Matter, access: Access) -> Principal:
    narrowing: dict[str, Any] = {}
    if access is not SELF:  # its one subject is all that it sees; its view knows no narrowing
        given = {"regions": client.regions, "kinds": client.kinds, "list": client.list}
        narrowing = {name: value for name, value in given.items() if value is not None}
    scope: dict[str, Any] = {
        "client": client.id,
        "uscc": client.organisation_uscc,
        "matter": matter.code,
        "case": purpose.case_number,
    }
    if client.organisation_id is not None:
        scope["organisation"] = client.organisation_id
    if access is SELF:
        scope["subject"] = client.subject_id
    return Principal(
        access=access,
        client_id=client.id,
        organisation_uscc=client.organisation_uscc,
        matter=matter.code,
        case_number=purpose.case_number,
        on_behalf_of=purpose.on_behalf_of,
        max_subjects=purpose.max_subjects,
        sources=matter.sources,
        identifies_persons=matter.identifies_persons,
        reveals_identity=matter.reveals_identity,
        scope=_json(scope | narrowing) if access.scoped else None,
        own_scope=None if access.scoped else _json(scope),
        withheld=_json(narrowing),
        only_registered=client.only_registered,
        documents=client.documents,
        limits=client.limits,
        legal_basis=matter.legal_basis,
    )


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

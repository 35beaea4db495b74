"""What a view's role may change: functions of its schema that run with their owner's rights (decision 0015).

In: the accesses. Out: CREATE FUNCTION, applied with the views; and for the engine each function's parameters. Who asks
is read from gateway.scope alone, never from a parameter: organisation, client, matter, case, own subject, narrowing. A
function checks, writes, and returns JSON text: what the payload needs and whom it concerns (`subject`, null where
nobody of that code, `uscc`, is on record), or {"refused": …} with nothing written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.storage.catalogue import CONSENT, IDENTIFIES_PERSONS, REVEALS_IDENTITY, SCOPE, SCOPE_USCC, SUBJECT
from gateway.storage.conditions import HAS_SCOPE, base, conditions, narrowing
from gateway.storage.levels import INTERNAL, RESTRICTED_SCOPED, SELF, Access

MOST_YEARS = 3  # that a consent may hold
SWEEP_REPLIES = "delete from core.idempotent_reply where expires_at <= now()"  # as the role `service`
_CLIENT = f"({SCOPE} ->> 'client')"
_CASE = f"({SCOPE} ->> 'case')"
_MATTER = f"({SCOPE} ->> 'matter')"


@dataclass(frozen=True, slots=True)
class Write:
    """A function: its parameters with their types, the accesses that have it, its statement in each of them."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    accesses: tuple[Access, ...]
    statement: Callable[[Access], str]

    def call(self, access: Access) -> str:
        """The statement that calls it: one row, column `written`."""
        values = ", ".join(f"${number}::{type_}" for number, (_, type_) in enumerate(self.parameters, 1))
        return f"select {access.schema}.{self.name}({values}) as written"


def _record_consent(_: Access) -> str:
    given = "record_consent."
    subject = f"(select n.id from core.subject n where n.uscc = {given}subject_uscc)"
    within = " and ".join(f"({condition})" for condition in narrowing(subject))
    return f"""\
    with asked as (
        select case
            when not {HAS_SCOPE} then 'SCOPE'
            when {given}valid_to < {given}valid_from then 'PERIOD'
            when {given}valid_to < core.today() then 'ENDED'
            when {given}valid_to > {given}valid_from + interval '{MOST_YEARS} years' then 'TOO_LONG'
            when exists (select from unnest({given}scope) u(code) where not exists (
                select from core.code_label l where l.list = 'ConsentScope' and l.code = u.code
                    and (l.valid_from is null or l.valid_from <= core.today())
                    and (l.valid_to is null or l.valid_to >= core.today()))) then 'SCOPE'
            when ({within}) is not true then 'OUTSIDE'
            end as refused
    ), made as (
        insert into core.consent (subject_uscc, grantee_uscc, matter, scope, valid_from, valid_to, document_sha256,
            method, client_id, case_number)
        select {given}subject_uscc, {SCOPE_USCC}, {_MATTER}, {given}scope, {given}valid_from, {given}valid_to,
            {given}document_sha256, {given}method, {_CLIENT}, {_CASE}
        from asked where asked.refused is null
        returning external_id, node_id
    )
    select coalesce((select json_build_object('consent', made.external_id, 'consent_id', made.node_id,
            'uscc', {given}subject_uscc, 'subject', {subject.replace("n.id", "n.external_id")})::text from made),
        (select json_build_object('refused', asked.refused)::text from asked));
"""


def _revoke_consent(access: Access) -> str:
    given = "revoke_consent."
    own = "\n            and ".join(f"({condition})" for condition in conditions(CONSENT, access))
    party = "SUBJECT" if access is SELF else "GRANTEE"
    return f"""\
    with own as (
        select c.id, c.external_id, c.subject_uscc from {base(CONSENT, access)}
        where c.external_id = {given}consent
            and {own}
    ), made as (
        insert into core.consent_revocation (consent_id, revoked_by, client_id, organisation_uscc, case_number, reason)
        select own.id, '{party}', {_CLIENT}, {SCOPE_USCC}, {_CASE}, {given}reason from own
        on conflict do nothing
    )
    select coalesce((select json_build_object('consent', own.external_id, 'uscc', own.subject_uscc, 'subject',
            (select n.external_id from core.subject n where n.uscc = own.subject_uscc))::text from own),
        '{{"refused":"CONSENT"}}');
"""


def _reveal_identity(access: Access) -> str:
    """Writes nothing: that the number may be revealed, and whose it is. The ciphertext is not for a view's role."""
    seen = "\n            and ".join(f"({condition})" for condition in (REVEALS_IDENTITY, *conditions(SUBJECT, access)))
    return f"""\
    select coalesce((select json_build_object('subject', s.external_id)::text from {base(SUBJECT, access)}
        where s.external_id = reveal_identity.subject and pi.subject_id is not null
            and {seen}), '{{"refused":"SUBJECT"}}');
"""


def person(access: Access) -> str:
    """CREATE FUNCTION: the internal id of the person with this blind index and folded name, null where the view hides
    it. Who asks for a number that nobody has is answered after the same work: some person's name is looked at then.
    """
    seen = "\n        and ".join(f"({condition})" for condition in (IDENTIFIES_PERSONS, *conditions(SUBJECT, access)))
    # `coalesce` is not strict: with a plain comparison no row of core.subject would be read for an unknown number.
    return f"""\
create function {access.schema}.person(blind text, folded text) returns bigint
    language sql stable security definer
begin atomic
    select s.id from (values (decode(person.blind, 'hex'))) k(blind)
    left join core.person_identity p on p.blind_index = k.blind
    join core.subject s on s.id = coalesce(p.subject_id, (select o.subject_id from core.person_identity o limit 1))
    where s.name_folded = person.folded and coalesce(p.subject_id = s.id, false)
        and {seen};
end;
"""


# A subject's own account records none: a consent is what the organisation that asks has in hand.
_WRITES = (
    Write(
        "record_consent",
        (
            ("subject_uscc", "text"),
            ("scope", "text[]"),
            ("valid_from", "date"),
            ("valid_to", "date"),
            ("document_sha256", "text"),
            ("method", "text"),
        ),
        (RESTRICTED_SCOPED, INTERNAL),
        _record_consent,
    ),
    Write(
        "revoke_consent",
        (("consent", "uuid"), ("reason", "text")),
        (RESTRICTED_SCOPED, SELF, INTERNAL),
        _revoke_consent,
    ),
    Write("reveal_identity", (("subject", "uuid"),), (INTERNAL,), _reveal_identity),
)
WRITES: Mapping[str, Write] = {write.name: write for write in _WRITES}


def _function(write: Write, access: Access) -> str:
    parameters = ", ".join(f"{name} {type_}" for name, type_ in write.parameters)
    return (
        f"create function {access.schema}.{write.name}({parameters}) returns text\n"
        f"    language sql volatile security definer\nbegin atomic\n{write.statement(access)}end;\n"
    )


def _replies(access: Access) -> str:
    """The kept replies of the asker's own client.

    claim_key: NEW (the key is this transaction's now), KEPT (with the reply), OTHER (it was used for another request).
    A second transaction with the same key waits in it for the end of the first: each statement of a function sees what
    was committed before it. keep_reply returns how many it kept: one.
    """
    own = f"r.client_id = {_CLIENT} and r.key_hash = decode({{}}.key_hash, 'hex')"
    claim, keep = own.format("claim_key"), own.format("keep_reply")
    same = "r.request_hash = decode(claim_key.request_hash, 'hex')"
    return f"""\
create function {access.schema}.claim_key(key_hash text, request_hash text)
    returns table (state text, reply text, shown text)
    language sql volatile security definer
begin atomic
    delete from core.idempotent_reply r where {claim} and r.expires_at <= now();
    insert into core.idempotent_reply (client_id, key_hash, request_hash)
    values ({_CLIENT}, decode(claim_key.key_hash, 'hex'), decode(claim_key.request_hash, 'hex'))
    on conflict do nothing;
    select case when not ({same}) then 'OTHER' when r.reply is null then 'NEW' else 'KEPT' end,
        case when {same} then r.reply end, case when {same} then r.shown end
    from core.idempotent_reply r where {claim};
end;
create function {access.schema}.keep_reply(key_hash text, reply text, shown text) returns bigint
    language sql volatile security definer
begin atomic
    with kept as (
        update core.idempotent_reply r set reply = keep_reply.reply, shown = keep_reply.shown
        where {keep} and r.reply is null returning 1
    )
    select count(*) from kept;
end;
"""


def functions(access: Access) -> list[str]:
    """All of them in one view schema; none in those without a scope."""
    if not (access.scoped and access.disclosed):
        return []
    return [*(_function(write, access) for write in _WRITES if access in write.accesses), _replies(access)]

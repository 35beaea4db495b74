-- Consents under which a bank may be asked about a subject, what is still pending at a source, and kept replies of
-- mutations. Consents and their revocations are append-only: neither is ever changed, a revocation is a row of its own.
create table core.consent (
    id bigint generated always as identity primary key,
    external_id uuid not null unique default gen_random_uuid(),
    node_id text not null generated always as (core.node_id('C', external_id)) stored,
    subject_uscc text not null check (subject_uscc ~ '^[0-9A-HJ-NPQRTUWXY]{18}$'),    -- may not be on record here
    grantee_uscc text not null check (grantee_uscc ~ '^[0-9A-HJ-NPQRTUWXY]{18}$'),    -- the organisation that may ask
    matter text not null references auth.matter (code),
    scope text[] not null check (cardinality(scope) between 1 and 20 and array_position(scope, null) is null),
    valid_from date not null,
    valid_to date not null,                        -- inclusive
    document_sha256 text not null check (document_sha256 ~ '^[0-9a-f]{64}$'),
    method text not null check (method in ('PAPER_SIGNED', 'ELECTRONIC_SIGNATURE', 'SUBJECT_ACCOUNT')),
    client_id text not null,                       -- who recorded it, in which case
    case_number text not null,
    recorded_at timestamptz not null default now(),
    recorded_on date not null default core.today(),
    check (valid_to >= valid_from)
);
create index on core.consent (grantee_uscc, recorded_on desc, external_id desc);
create index on core.consent (subject_uscc, recorded_on desc, external_id desc);

create table core.consent_revocation (
    consent_id bigint primary key references core.consent (id),
    revoked_at timestamptz not null default now(),
    revoked_by text not null check (revoked_by in ('GRANTEE', 'SUBJECT')),
    client_id text not null,
    organisation_uscc text not null,
    case_number text not null,
    reason text
);

-- A question that a source answers later: by which request id it is taken up again, by any process.
create table core.pending_request (
    source_code text not null references core.source (code),
    uscc text not null,
    consent_id uuid not null references core.consent (external_id),
    request_id uuid not null,
    until date not null,                           -- the consent's last day
    primary key (source_code, uscc, consent_id)
);
create index on core.pending_request (until);

-- What a mutation answered under an Idempotency-Key. Written in the mutation's own transaction; a row that others can
-- see has its reply. Identity numbers stand in it masked.
create table core.idempotent_reply (
    client_id text not null,
    key_hash bytea not null,                       -- SHA-256 of the key
    request_hash bytea not null,                   -- HMAC-SHA-256 of the request under the key
    reply text,
    shown text,                                    -- JSON: subjects and snapshot of each disclosure
    expires_at timestamptz not null default now() + interval '24 hours',
    primary key (client_id, key_hash)
);
create index on core.idempotent_reply (expires_at);

insert into core.code_label (list, code, zh, en, position, level) values
    ('ConsentScope', 'BANKS', '银行信用信息', 'Credit information of banks', 1, 'RESTRICTED'),
    ('ConsentMethod', 'PAPER_SIGNED', '纸质签署', 'Signed on paper', 1, 'RESTRICTED'),
    ('ConsentMethod', 'ELECTRONIC_SIGNATURE', '电子签名', 'Electronic signature', 2, 'RESTRICTED'),
    ('ConsentMethod', 'SUBJECT_ACCOUNT', '主体账户确认', 'By the subject''s own account', 3, 'RESTRICTED'),
    ('ConsentParty', 'GRANTEE', '被授权单位', 'The organisation that was allowed to ask', 1, 'RESTRICTED'),
    ('ConsentParty', 'SUBJECT', '信息主体', 'The subject', 2, 'RESTRICTED');

grant select on core.consent, core.consent_revocation to @service@;
grant select, insert, update, delete on core.pending_request to @service@;
grant select (expires_at), delete on core.idempotent_reply to @service@;

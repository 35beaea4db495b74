-- Subjects, records and the reference data they stand on.
-- A role between at signs is replaced by the quoted role of this database (roles are global to a cluster, hence named after it).

create extension if not exists pg_trgm with schema public;
create extension if not exists btree_gist with schema public;

create schema core;
revoke all on schema core from public;
alter default privileges in schema core revoke execute on functions from public;

-- The day in Asia/Shanghai. Plain SQL so that it is inlined: no SET, no SECURITY DEFINER, no table.
create function core.today() returns date language sql stable parallel safe
    as $$ select (now() at time zone 'Asia/Shanghai')::date $$;

-- base64url of a type's letter and a UUID: 17 bytes, 23 characters, no padding.
create function core.node_id(letter text, id uuid) returns text language sql immutable parallel safe strict
    as $$ select rtrim(translate(encode(convert_to(letter, 'UTF8') || uuid_send(id), 'base64'), '+/', '-_'), '=') $$;

-- Reference data ----------------------------------------------------------------------------------------------------

create table core.region (
    code text primary key check (code ~ '^[0-9A-Z]{2,12}$'),
    name text not null,
    level text not null check (level in ('PROVINCE', 'PREFECTURE', 'COUNTY', 'TOWNSHIP', 'LOCAL')),
    parent text references core.region (code) deferrable initially deferred,
    local boolean not null default false           -- a code of our own, not of GB/T 2260
);
comment on table core.region is 'Administrative divisions (GB/T 2260) and local areas without a division code';

-- Every region with all that lie above it, itself included; kept by the import of divisions.
create table core.region_closure (
    ancestor text not null references core.region (code) deferrable initially deferred,
    code text not null references core.region (code) deferrable initially deferred,
    primary key (ancestor, code)
);
create index on core.region_closure (code);

create table core.court (
    code text primary key,                         -- court code of the case-number grammar, 新2701
    name text not null,
    division_code text,
    level smallint
);

create table core.source (
    code text primary key check (code ~ '^[A-Z0-9_]+$'),
    name text not null,
    name_en text not null,
    kind text not null check (kind in ('LOCAL', 'COURTS', 'BANKS', 'REGION_PLATFORM', 'PEER_REGION')),
    region_code text references core.region (code) deferrable initially deferred,
    position smallint not null default 100
);

-- What the gateway knows of a source's health: written by its processes on change, read by every view.
create table core.source_health (
    source_code text primary key references core.source (code),
    healthy boolean not null default true,
    last_answer_at timestamptz
);

create table core.code_label (
    list text not null,
    code text not null,
    zh text not null,
    en text not null,
    position smallint not null default 100,
    level text not null default 'PUBLIC' check (level in ('PUBLIC', 'RESTRICTED', 'INTERNAL')),
    valid_from date,
    valid_to date,
    unique nulls not distinct (list, code, valid_from)
);

create table core.catalogue_item (
    code text primary key,
    name text not null,
    catalogue text not null check (catalogue in ('NATIONAL', 'LOCAL')),
    basis text not null,
    valid_from date not null,
    valid_to date
);

create table core.catalogue_default (              -- the item that allows a kind of record where the row names none
    kind text not null,
    item text not null references core.catalogue_item (code),
    valid_from date not null,
    valid_to date,
    primary key (kind, valid_from)
);

-- Dated law: class of a penalty and terms of publication. Changing the law is an insert here, never a change of code.
create table core.penalty_class_rule (
    penalty_kind text,                             -- null: whatever the kind
    fine_from numeric(20, 2),                      -- yuan, fine and confiscation together; null: whatever the amount
    severity text not null check (severity in ('MINOR', 'GENERAL', 'SERIOUS')),
    basis text not null,
    valid_from date not null,
    valid_to date,
    check (penalty_kind is not null or fine_from is not null)
);

create table core.publication_term (
    severity text not null check (severity in ('MINOR', 'GENERAL', 'SERIOUS')),
    shortest_months smallint not null,
    longest_months smallint not null,
    published_by_default boolean not null,         -- MINOR is normally not published
    basis text not null,
    valid_from date not null,
    valid_to date,
    primary key (severity, valid_from)
);

-- Subjects ----------------------------------------------------------------------------------------------------------

create table core.subject (
    id bigint generated always as identity primary key,
    external_id uuid not null unique,
    node_id text not null generated always as (core.node_id('S', external_id)) stored,
    class text not null check (class in ('ORGANISATION', 'PERSON', 'SERVANT')),   -- what row visibility goes by
    kind text not null,
    uscc text unique check (uscc ~ '^[0-9A-HJ-NPQRTUWXY]{18}$'),
    name text not null check (name <> ''),
    name_folded text not null,
    region_code text references core.region (code),
    legal_representative text,
    registered_on date,
    address text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (id, class),
    check ((class = 'SERVANT') = (kind = 'CIVIL_SERVANT') and (class = 'PERSON') = (kind = 'NATURAL_PERSON')),
    check (class = 'ORGANISATION' or uscc is null)
);
create index subject_name_folded on core.subject (name_folded text_pattern_ops);
create index subject_region on core.subject (region_code);

create table core.identifier (
    subject_id bigint not null references core.subject (id),
    scheme text not null,                          -- USCC, USCC_INVALID, ORGANISATION_CODE, FORMER_USCC, ROW (a source's own key)
    value text not null,
    valid_from date,
    valid_to date,
    primary key (scheme, value, subject_id)
);
create index on core.identifier (subject_id);

create table core.former_name (
    subject_id bigint not null references core.subject (id),
    name text not null,
    name_folded text not null,
    used_until date,
    primary key (subject_id, name)
);

create table core.succession (                     -- of an organ merged or renamed: records and promises pass on
    predecessor_id bigint not null references core.subject (id),
    successor_id bigint not null references core.subject (id),
    effective_on date,
    basis text,
    primary key (predecessor_id, successor_id),
    check (predecessor_id <> successor_id)
);
create index on core.succession (successor_id);

create table core.subject_role (
    subject_id bigint not null references core.subject (id),
    role text not null,
    valid_from date,
    valid_to date,
    primary key (subject_id, role)
);

-- Identity numbers: encrypted (AES-GCM under a data key of the subject, itself wrapped), found by a blind index.
create table core.person_identity (
    subject_id bigint primary key references core.subject (id),
    masked text not null,                          -- 6527**********1234
    blind_index bytea not null unique,
    ciphertext bytea not null,
    wrapped_key bytea not null,
    key_id text not null
);

create table core.publication_order (              -- opens a civil servant's record beyond its matters, for a time
    subject_id bigint not null references core.subject (id),
    basis text not null,
    valid_from date not null,
    valid_until date not null,
    primary key (subject_id, valid_from)
);

-- Records -----------------------------------------------------------------------------------------------------------

create table core.record (
    id bigint generated always as identity primary key,
    external_id uuid not null unique,
    node_id text not null generated always as (core.node_id('R', external_id)) stored,
    subject_id bigint not null,
    subject_class text not null,                   -- held equal to the subject's by the foreign key below
    kind text not null check (kind in ('PENALTY', 'LICENCE', 'JUDGMENT', 'DISCIPLINARY_ACTION', 'ACCOUNTABILITY',
                                       'CONTRACT_BREACH', 'PROMISE_BREACH', 'HONOUR', 'LIST_ENTRY')),
    area text not null check (area in ('GENERAL', 'PROCUREMENT', 'PPP', 'TENDERING', 'INVESTMENT_PROMOTION',
                                       'GOVERNMENT_DEBT', 'TOWNSHIP')),
    severity text check (severity in ('MINOR', 'GENERAL', 'SERIOUS')),
    status text not null check (status in ('ACTIVE', 'CORRECTED', 'REVOKED', 'REPAIRED')),  -- EXPIRED is computed
    published boolean not null,                    -- false: a MINOR one that its authority did not publish
    under_objection boolean not null default false,
    version integer not null default 1,
    authority_id bigint references core.subject (id),
    source_code text not null references core.source (code),
    catalogue_item text not null references core.catalogue_item (code),
    decided_on date not null,
    published_from date not null,
    published_until date,                          -- inclusive
    repairable_from date,
    amount numeric(20, 2),
    title text not null,
    document_number text,
    basis text,
    facts text,
    detail jsonb not null default '{}',            -- the kind's own fields; keys: gateway/storage/catalogue.py
    natural_key text not null,                     -- what makes a row of its source the same row again
    known_at timestamptz not null default now(),
    foreign key (subject_id, subject_class) references core.subject (id, class) on update cascade,
    unique (source_code, natural_key)
);
create index record_subject_decided on core.record (subject_id, decided_on, external_id);
create index record_subject_published on core.record (subject_id, published_from, external_id);
create index record_decided on core.record (decided_on, external_id);
create index record_published on core.record (published_from, external_id);
create index record_authority on core.record (authority_id);

create table core.record_version (                 -- append-only: content, legal time and system time of every version
    record_id bigint not null references core.record (id),
    subject_id bigint not null references core.subject (id),
    version integer not null,
    status text not null,
    content jsonb not null,
    content_hash bytea not null,                   -- SHA-256 of the canonical content: the same row again changes nothing
    decided_on date not null,
    published_from date not null,
    published_until date,
    reason text,
    entered_by text not null,
    received_at timestamptz not null,
    original text,                                 -- the row as received, identity numbers masked
    known_at timestamptz not null default now(),
    transaction_id xid8 not null default pg_current_xact_id(),
    primary key (record_id, version)
);

create table core.withdrawal (                     -- a revoked publication: that and why, not what it said
    id bigint generated always as identity primary key,
    subject_id bigint not null references core.subject (id),
    record_id bigint not null references core.record (id),
    authority_id bigint not null references core.subject (id),
    withdrawn_on date not null,
    reason text not null,
    unique (record_id, withdrawn_on)
);
create index on core.withdrawal (subject_id, withdrawn_on);

create table core.import_run (
    id bigint generated always as identity primary key,
    kind text not null,
    file_name text not null,
    file_hash bytea not null,
    entered_by text not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    rows_read integer not null default 0,
    rows_new integer not null default 0,
    rows_changed integer not null default 0,
    rows_same integer not null default 0,
    rows_rejected integer not null default 0
);

-- Answers of sources --------------------------------------------------------------------------------------------------

create table core.source_answer (                  -- append-only until its retention ends; partitions by month
    id bigint generated always as identity,
    asked_at timestamptz not null,
    source_code text not null,
    part text not null,
    uscc text not null,
    rows jsonb not null,
    primary key (asked_at, id)
) partition by range (asked_at);
create table core.source_answer_rest partition of core.source_answer default;
create index on core.source_answer (uscc, source_code, part, asked_at);

-- Who asks, and what for ------------------------------------------------------------------------------------------------

create schema auth;
revoke all on schema auth from public;

create table auth.matter (
    code text primary key check (code ~ '^[A-Z_]{2,40}$'),
    name text not null,
    name_en text not null,
    legal_basis text not null,
    sources_allowed text[] not null,
    sources_required text[] not null,
    shows_servants boolean not null default false, -- APPOINTMENT, SUPERVISION
    shows_withdrawn boolean not null default false,-- SUPERVISION: repaired and revoked rows
    opens text[] not null default '{}',            -- what it opens beyond the view, read under a scope (DEBT)
    identifies_persons boolean not null default false,
    valid_from date not null,
    valid_to date
);

create table auth.client (
    id text primary key check (id ~ '^[A-Za-z0-9._-]{1,80}$'),
    name text not null,
    organisation_uscc text not null,
    scopes text[] not null,                        -- view:restricted, view:internal, subject:self
    matters text[] not null default '{}',
    subject_uscc text,                             -- bound to its own subject: scope subject:self alone
    regions text[],                                -- narrowing: region codes, everything below included
    kinds text[],                                  -- narrowing: kinds of subject
    list text,                                     -- narrowing: name of a list of subjects
    jwks jsonb,                                    -- public keys for private_key_jwt
    secret_hash bytea,                             -- SHA-256 of a random 256-bit secret (development)
    disabled_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    check (jwks is not null or secret_hash is not null),
    check ((subject_uscc is not null) = ('subject:self' = any (scopes)))
);

create table auth.client_list (
    list text not null,
    subject_id bigint not null references core.subject (id),
    primary key (list, subject_id)
);

create table auth.used_assertion (                 -- jti of client assertions, used once
    issuer text not null,
    jti text not null,
    expires_at timestamptz not null,
    primary key (issuer, jti)
);
create index on auth.used_assertion (expires_at);

-- The account ------------------------------------------------------------------------------------------------------------

create schema ledger;
revoke all on schema ledger from public;

create table ledger.disclosure (
    id uuid not null,                              -- 128 random bits
    at timestamptz not null default now(),
    client_id text not null,
    organisation_uscc text not null,
    view text not null,
    matter text not null,
    case_number text not null,
    on_behalf_of text,
    outcome text not null,                         -- ANSWERED, or the code of a refusal
    operation_name text,
    document_hash bytea,                           -- SHA-256 of the document
    variables text,                                -- JSON as sent, identity numbers as blind index
    subject_ids uuid[] not null,
    snapshot text,                                 -- pg_snapshot of the body statement
    sources text not null,                         -- JSON: status, time and parts by source and subject
    withheld text not null,                        -- JSON: the narrowing that applied
    primary key (at, id)
) partition by range (at);
create table ledger.disclosure_rest partition of ledger.disclosure default;
create index on ledger.disclosure (id);

-- Rights. View roles get theirs with the views (views.sql); nothing here is for them. -------------------------------------

grant usage on schema core to @import@, @service@;
grant usage on schema auth to @service@, @import@;
grant usage on schema ledger to @ledger@;
grant select, insert, update on all tables in schema core to @import@;
grant delete on core.region_closure, core.former_name, core.subject_role to @import@;
revoke update on core.record_version, core.source_answer, core.withdrawal from @import@;
revoke all on core.source_answer from @import@;
grant execute on function core.today(), core.node_id(text, uuid) to @import@, @service@;
grant select, insert on core.source_answer to @service@;
grant select on core.subject, core.source, core.region to @service@;
grant select, insert, update on core.source_health to @service@;
grant select on auth.matter to @service@, @import@;
grant select, insert, update on auth.client, auth.client_list to @service@;
grant delete on auth.client_list to @service@;
grant select, insert, delete on auth.used_assertion to @service@;
grant insert on ledger.disclosure to @ledger@;

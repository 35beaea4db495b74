-- Who may read a subject's entries besides itself, and what an entry is called at /receipts/ (docs/ledger.md, Access).

create table ledger.access_request (                 -- a subject asked an authority for its entries, or the law does
    id bigint generated always as identity primary key,
    subject_id uuid not null,                        -- core.subject.external_id
    organisation_uscc text not null,                 -- the authority that acts on it, under this case number alone
    case_number text not null check (case_number <> ''),
    requester text not null check (requester <> ''), -- who asked for it
    basis text not null check (basis <> ''),
    valid_until date not null,                       -- inclusive
    recorded_at timestamptz not null default now(),
    ended_at timestamptz
);
create index on ledger.access_request (subject_id);
create index on ledger.access_request (organisation_uscc, case_number);

create table ledger.access_key (                     -- one row: what makes an entry's receipt id, which nobody can guess
    one boolean primary key default true check (one),
    key bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
);
insert into ledger.access_key default values;

-- The receipt id of one subject's entry: 16 bytes of the subject, 8 of the number, 16 of a keyed hash, base64url. It leads
-- to the entry's place in the log and to what became of this subject's records, and to no other subject of the request.
create function ledger.entry_receipt(subject uuid, number bigint) returns text language sql stable security definer
begin atomic
    select rtrim(translate(encode(uuid_send(subject) || int8send(number)
        || substr(sha256(k.key || uuid_send(subject) || int8send(number)), 1, 16), 'base64'), e'+/\n', '-_'), '=')
    from ledger.access_key k;
end;
revoke execute on function ledger.entry_receipt(uuid, bigint) from public;
grant execute on function ledger.entry_receipt(uuid, bigint) to @log@;

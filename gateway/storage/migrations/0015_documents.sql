-- Documents that an operator has registered for a client or for the public view, and what a client may ask for at most.

alter table auth.client
    add column documents text not null default 'ANY' check (documents in ('ANY', 'REGISTERED')),   -- what it may send
    add column limits json;                        -- its own limits by name, in place of its contract's (gateway/limits.py)

create table auth.document_set (
    owner text primary key check (owner = '@public' or owner ~ '^[A-Za-z0-9._-]{1,80}$'),   -- auth.client.id
    version bigint not null default 1              -- one more with each change: what processes keep goes by it
);

create table auth.document (
    owner text not null references auth.document_set,
    id text not null check (id ~ '^[A-Za-z0-9._~-]{1,200}$'),      -- as its owner's requests name it
    sha256 text not null check (sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')),
    name text not null,                            -- of its operation, for people; may be empty
    body text not null,
    added_at timestamptz not null default now(),
    primary key (owner, id)
);
create index on auth.document (owner, sha256);

grant select, insert, update on auth.document_set to @service@;
grant select, insert, delete on auth.document to @service@;

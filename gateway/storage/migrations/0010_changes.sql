-- The feed of changes that a source has: how far it was read, what its rows became here, and what could not be applied.

create table core.feed_cursor (
    source_code text primary key references core.source (code),
    cursor text not null default '',               -- as the source gave it; empty: from the beginning
    rereading boolean not null default false,      -- from the beginning again, since the source refused the cursor
    moved_at timestamptz not null default now()
);
comment on table core.feed_cursor is 'How far the feed of a source was read; moved in the transaction that writes the page';

create table core.source_row (                     -- what a row of a source is here
    source_code text not null references core.source (code),
    natural_key text not null,
    record_id bigint not null references core.record (id),
    linked boolean not null,                       -- the record is another source's: a report of our own that came back
    said_at timestamptz,                           -- when the source last changed it, as it says
    primary key (source_code, natural_key)
);
create index on core.source_row (record_id);

create table core.feed_change (                    -- what was applied: read again from the beginning it changes nothing
    source_code text not null references core.source (code),
    natural_key text not null,
    digest bytea not null,                         -- SHA-256 of the whole change
    primary key (source_code, natural_key, digest)
);

create table core.feed_reject (                    -- changes that were put aside: why, and never what they said
    id bigint generated always as identity primary key,
    source_code text not null references core.source (code),
    cursor text not null,                          -- the one that its page was asked by
    place integer not null,                        -- in that page, from 1
    natural_key text not null,                     -- as much of it as could be read, identity numbers masked
    op text not null,
    reason text not null,
    rejected_at timestamptz not null default now(),
    resolved_at timestamptz                        -- a later change of the same row could be applied
);
create index on core.feed_reject (source_code, natural_key);

grant select, insert, update on core.feed_cursor to @import@;
grant select, insert on core.source_row, core.feed_change to @import@;
grant update (said_at) on core.source_row to @import@;
grant select, insert on core.feed_reject to @import@;
grant update (resolved_at) on core.feed_reject to @import@;

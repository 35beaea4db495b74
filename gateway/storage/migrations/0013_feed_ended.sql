-- Rows of a source that it has withdrawn, whether anything of them is stored here or not: what it said before, in kept
-- answers and late ones, is shown to nobody. And what the feed said apart from when: the same said again later is an echo.

create table core.source_ended (
    source_code text not null references core.source (code),
    natural_key text not null,
    ended_at timestamptz not null,                 -- when the source last said so; an echo of what had ended counts
    primary key (source_code, natural_key)
);
comment on table core.source_ended is
    'Rows that a source has repaired, revoked or corrected; gone again where a later change puts the row in force';

alter table core.feed_change add column content bytea;   -- SHA-256 of the row without its time and origin

grant select, insert, update, delete on core.source_ended to @import@;

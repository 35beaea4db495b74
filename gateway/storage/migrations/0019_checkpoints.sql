-- What the log publishes and witnesses. A row of ledger.tile is now the root of a full tile, from level 0 up: the hashes
-- of every level above the leaves, so that partial tiles are read as they are, and not computed out of 65,280 leaves.
delete from ledger.tile;
alter table ledger.tile drop column hashes;
alter table ledger.tile add column hash bytea not null check (octet_length(hash) = 32);
comment on table ledger.tile is 'root of each full tile: of 256 leaves at level 0, of 256 rows of the level below above';

create table ledger.cosignature (                    -- what other regions have cosigned of our log
    size bigint not null,
    root bytea not null,
    name text not null,                              -- of the witness
    line text not null,                              -- C2SP signature line, verified before it came here
    at timestamptz not null default now(),
    primary key (size, name, line)
);
create table ledger.witnessed (                      -- what we have cosigned of other regions' logs
    origin text not null,
    size bigint not null,
    root bytea not null,
    note text not null,                              -- their checkpoint with our cosignature
    at timestamptz not null default now(),
    primary key (origin, size, at)
);
grant select, insert on ledger.cosignature, ledger.witnessed to @log@;

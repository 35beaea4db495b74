-- The transparency log over the disclosures (decision 0029, docs/ledger.md). Disclosures are written as before; afterwards
-- ledger.sequence takes what is committed, exactly once, by the transactions that a snapshot had not seen yet, and makes a
-- leaf of each row; ledger.fan_out gives each subject's entries their numbers.

-- Nothing on the way of an answer looks a disclosure up: random inserts into indices cost a tenth of its time. (xid) grows
-- at its end alone.
alter table ledger.disclosure drop constraint disclosure_pkey;
drop index ledger.disclosure_id_idx;
alter table ledger.disclosure
    add column salt uuid default gen_random_uuid(),  -- null once a subject in it was erased: ledger.kept_salt has the rest
    add column xid xid8 not null default pg_current_xact_id(),
    add column fields_hash bytea,                    -- of ledger.told: what was released, by view level, and withheld
    add column basis_hash bytea;                     -- of ledger.told: the matter's legal basis as it stood
create index disclosure_xid on ledger.disclosure (xid);

create table ledger.told (                           -- texts that many disclosures point to
    hash bytea primary key,                          -- SHA-256 of the text
    text text not null
);

create table ledger.event (                          -- what else is in the log
    id uuid not null default gen_random_uuid(),
    at timestamptz not null default now(),
    xid xid8 not null default pg_current_xact_id(),
    kind text not null check (kind in ('ERASURE', 'RETENTION', 'SEAL', 'UNSEAL', 'KEY')),
    content text not null,                           -- RFC 8785 JSON
    salt uuid not null default gen_random_uuid()
);
create index event_xid on ledger.event (xid);

create table ledger.leaf (
    index bigint primary key,                        -- from 0, without gaps
    at timestamptz not null,                         -- the row's
    xid xid8 not null,                               -- the row's: it is found by (at, xid, id)
    id uuid not null unique,
    kind text not null check (kind in ('D', 'E')),   -- a disclosure, an event
    entry bytea not null,                            -- the commitment: the log entry's bytes
    hash bytea not null                              -- SHA-256 of 0x00 and the entry
);

create table ledger.log_state (                      -- one row: who sequences holds it
    one boolean primary key default true check (one),
    size bigint not null default 0,
    snapshot pg_snapshot not null default '3:3:',    -- what it has seen was taken; the first sees nothing
    cluster bigint,                                  -- whose transactions the snapshot counts
    fanned bigint not null default 0                 -- the first leaf that fan-out has not done yet
);
insert into ledger.log_state default values;

create table ledger.tile (                           -- full tiles above level 0, whose hashes are leaf.hash
    level smallint not null,
    n bigint not null,
    hashes bytea not null,                           -- 256 times 32 bytes
    primary key (level, n)
);
create table ledger.checkpoint (                     -- each that was signed
    size bigint not null,
    at timestamptz not null default now(),
    root bytea not null,
    note text not null,                              -- C2SP signed note
    primary key (size, at)
);
create table ledger.subject_entry (
    subject_id uuid not null,
    number bigint not null,                          -- from 1, without gaps
    leaf_index bigint not null,
    disclosure_id uuid not null,
    at timestamptz not null,                         -- the disclosure's
    primary key (subject_id, number)
);

create table ledger.erased (                         -- tombstones: a leaf of a disclosure's small tree
    disclosure_id uuid not null,
    place integer not null,
    leaf_hash bytea not null,
    primary key (disclosure_id, place)
);
create table ledger.kept_salt (                      -- of a disclosure whose salt is gone; place -1: of its entry
    disclosure_id uuid not null,
    place integer not null,
    salt bytea not null,
    primary key (disclosure_id, place)
);

-- A snapshot that sees what `seen` does among the transactions below `until`, without `own`, the asking one.
create function ledger.snapshot_below(seen pg_snapshot, until xid8, own xid8) returns pg_snapshot
    language sql immutable
begin atomic
    select (coalesce(min(r.x), until)::text || ':' || until || ':' || coalesce(string_agg(r.x::text, ',' order by r.x), ''))
        ::pg_snapshot
    from (
        select x from pg_snapshot_xip(seen) x where x < until
        union
        select own where own < until
    ) r;
end;

-- The root of a small tree (RFC 9162, 2.1.1) over hashes of 32 bytes each, one after the other. A level's pairs are
-- hashed, an odd last one goes up as it is: the same shape.
create function ledger.root_of(hashes bytea) returns bytea language plpgsql immutable strict
    set search_path = pg_catalog as $$
declare
    level bytea := hashes;
    count integer := octet_length(hashes) / 32;
begin
    while count > 1 loop
        select string_agg(case when 2 * i + 1 < count then sha256('\x01'::bytea || substr(level, 64 * i + 1, 64))
            else substr(level, 64 * i + 1, 32) end, ''::bytea order by i)
        into level from generate_series(0, (count - 1) / 2) i;
        count := (count + 1) / 2;
    end loop;
    return level;
end $$;

-- The root over the first hashes (header, variables, sources) and one leaf for each subject.
create function ledger.root_with(first bytea, salt bytea, subjects uuid[]) returns bytea language plpgsql immutable
    set search_path = pg_catalog as $$
declare
    leaves bytea;
    count integer := cardinality(subjects);
begin
    if count = 0 then
        return ledger.root_of(first);
    end if;
    select first || string_agg(
        sha256('\x00'::bytea || substr(b.salts, ((s.k + 2) % 4)::integer * 16 + 1, 16)
            || convert_to('{"subject":"' || s.id || '"}', 'UTF8')), ''::bytea order by s.k)
    into leaves
    from unnest(subjects) with ordinality s(id, k)
    join (select n, sha512(salt || int4send(n)) as salts from generate_series(0, (count + 2) / 4) n offset 0) b
        on b.n = (s.k + 2) / 4;
    return ledger.root_of(leaves);
end $$;

-- Leaves of what was committed since the last call, in the order of (at, id). At most `most` disclosures, where no one
-- transaction wrote more. Returns how many leaves were made; -1 where somebody else is at it. A transaction counts as
-- taken if the new snapshot sees it, its rows were taken if the old one did not: exact, whatever is still running, and
-- nothing that was taken is looked at again. In a transaction of its own.
create function ledger.sequence(most integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_generic_plan set enable_seqscan = off
    set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    was ledger.log_state;
    seen pg_snapshot;
    since xid8;
    until xid8;
    cut xid8;
    running xid8[];
    made bigint;
begin
    select * into was from ledger.log_state for update skip locked;
    if not found then
        return -1;
    end if;
    select pg_current_snapshot() into seen;
    since := pg_snapshot_xmax(was.snapshot);
    until := pg_snapshot_xmax(seen);
    running := array(select pg_snapshot_xip(was.snapshot));
    select d.xid into cut from ledger.disclosure d where d.xid >= since and d.xid < until
        order by d.xid offset most limit 1;
    if cut is not null then
        -- The first one is taken whole, however much it wrote.
        if not exists (select from ledger.disclosure d where d.xid >= since and d.xid < cut) then
            select d.xid into cut from ledger.disclosure d where d.xid > cut and d.xid < until order by d.xid limit 1;
        end if;
        until := coalesce(cut, until);
    end if;
    seen := ledger.snapshot_below(seen, until, pg_current_xact_id());

    insert into ledger.leaf (index, at, xid, id, kind, entry, hash)
    select was.size + row_number() over (order by e.at, e.id) - 1, e.at, e.xid, e.id, e.kind, e.entry,
        sha256('\x00'::bytea || e.entry)
    from (
        select r.at, r.xid, r.id, 'D' as kind, sha256('credit-disclosure/v1\012'::bytea
            || substr(sha256(r.salt || 'entry'::bytea), 1, 16)
            || case r.subjects
                when 1 then sha256('\x01'::bytea
                    || sha256('\x01'::bytea || r.header || r.variables)
                    || sha256('\x01'::bytea || r.sources || sha256('\x00'::bytea || substr(r.salts, 49)
                        || convert_to('{"subject":"' || r.subject_ids[1] || '"}', 'UTF8'))))
                else ledger.root_with(r.header || r.variables || r.sources, r.salt, r.subject_ids)
            end) as entry
        from (
            select d.at, d.xid, d.id, d.salt, d.salts, d.subjects, d.subject_ids,
                sha256('\x00'::bytea || substr(d.salts, 1, 16) || convert_to(concat(
                    '{"at":"', to_char(d.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    '","basis_hash":', coalesce('"' || encode(d.basis_hash, 'hex') || '"', 'null'),
                    ',"case_number":', to_json(d.case_number),
                    ',"client_id":', to_json(d.client_id),
                    ',"document_hash":', coalesce('"' || encode(d.document_hash, 'hex') || '"', 'null'),
                    ',"fields_hash":', coalesce('"' || encode(d.fields_hash, 'hex') || '"', 'null'),
                    ',"id":"', d.id,
                    '","matter":', to_json(d.matter),
                    ',"on_behalf_of":', coalesce(to_json(d.on_behalf_of), 'null'),
                    ',"operation_name":', coalesce(to_json(d.operation_name), 'null'),
                    ',"organisation_uscc":', to_json(d.organisation_uscc),
                    ',"outcome":', to_json(d.outcome),
                    ',"snapshot":', coalesce(to_json(d.snapshot), 'null'),
                    ',"subjects":', d.subjects,
                    ',"version":1,"view":', to_json(d.view),
                    ',"withheld":', to_json(d.withheld), '}'), 'UTF8')) as header,
                sha256('\x00'::bytea || substr(d.salts, 17, 16) || convert_to(
                    concat('{"variables":', coalesce(to_json(d.variables), 'null'), '}'), 'UTF8')) as variables,
                sha256('\x00'::bytea || substr(d.salts, 33, 16) || convert_to(
                    concat('{"sources":', to_json(d.sources), '}'), 'UTF8')) as sources
            from (
                select n.at, n.xid, n.id, n.basis_hash, n.case_number, n.client_id, n.document_hash, n.fields_hash,
                    n.matter, n.on_behalf_of, n.operation_name, n.organisation_uscc, n.outcome, n.snapshot, n.view,
                    n.withheld, n.variables, n.sources, n.subject_ids, cardinality(n.subject_ids) as subjects,
                    uuid_send(n.salt) as salt, sha512(uuid_send(n.salt) || '\x00000000'::bytea) as salts
                from (
                    select * from ledger.disclosure d where d.xid >= since and d.xid < until
                    union all
                    select * from ledger.disclosure d where d.xid = any (running)
                ) n
                where pg_visible_in_snapshot(n.xid, seen)
                offset 0
            ) d
            offset 0
        ) r
        union all
        select n.at, n.xid, n.id, 'E', sha256('credit-event/v1\012'::bytea
            || substr(sha256(uuid_send(n.salt) || 'entry'::bytea), 1, 16)
            || sha256('\x00'::bytea || substr(sha512(uuid_send(n.salt) || '\x00000000'::bytea), 1, 16)
                || convert_to(n.content, 'UTF8')))
        from ledger.event n
        where (n.xid >= since and n.xid < until or n.xid = any (running)) and pg_visible_in_snapshot(n.xid, seen)
    ) e;
    get diagnostics made = row_count;
    update ledger.log_state s set size = was.size + made, snapshot = seen;
    return made;
end $$;

revoke execute on function ledger.snapshot_below(pg_snapshot, xid8, xid8), ledger.root_of(bytea),
    ledger.root_with(bytea, bytea, uuid[]), ledger.sequence(integer) from public;

-- The writer says what was disclosed; when, in which transaction and with which salt it can't.
revoke insert on ledger.disclosure from @ledger@;
grant insert (id, client_id, organisation_uscc, view, matter, case_number, on_behalf_of, outcome, operation_name,
    document_hash, variables, subject_ids, snapshot, sources, withheld, fields_hash, basis_hash)
    on ledger.disclosure to @ledger@;
grant insert on ledger.told to @ledger@;

grant usage on schema ledger to @log@;
grant select on ledger.disclosure, ledger.told, ledger.event, ledger.leaf, ledger.log_state, ledger.tile,
    ledger.checkpoint, ledger.subject_entry, ledger.erased, ledger.kept_salt to @log@;
grant insert on ledger.tile, ledger.checkpoint to @log@;
grant execute on function ledger.sequence(integer) to @log@;

-- Sealed disclosures (docs/ledger.md, Sealing): in the log at once, numbered for their subjects when the seal has ended.
-- What may be known of them meanwhile is one total of the whole system, once a day.

create table ledger.seal (
    id uuid primary key default gen_random_uuid(),
    authority text not null check (authority <> ''), -- who ordered it
    basis text not null check (basis <> ''),
    client_id text,                                  -- one of these four: whose requests, or which
    matter text,
    case_number text,
    disclosure_id uuid,
    until timestamptz not null,
    sealed_at timestamptz not null default now(),
    ended_at timestamptz,                            -- set in the transaction that gives the numbers
    check (num_nonnulls(client_id, matter, case_number, disclosure_id) = 1)
);
create index seal_in_force on ledger.seal (until) where ended_at is null;

create table ledger.sealed_entry (                   -- leaves that fan-out has passed over
    leaf_index bigint primary key,
    at timestamptz not null                          -- the disclosure's
);
create table ledger.sealed_total (                   -- what is public: how many there were when the day began
    day date primary key,
    total bigint not null
);

-- Whether a seal in force covers a disclosure. Ended ones count until their numbers are given.
create function ledger.sealed(d ledger.disclosure) returns boolean language sql stable
begin atomic
    select exists (
        select from ledger.seal s
        where s.ended_at is null
            and (s.client_id = d.client_id or s.matter = d.matter or s.case_number = d.case_number
                 or s.disclosure_id = d.id)
    );
end;

-- RFC 8785 JSON of a seal.
create function ledger.seal_event(kind text, s ledger.seal) returns text language sql stable
begin atomic
    select concat('{"authority":', to_json(s.authority), ',"basis":', to_json(s.basis),
        ',"case_number":', coalesce(to_json(s.case_number), 'null'), ',"client_id":', coalesce(to_json(s.client_id), 'null'),
        ',"disclosure":', coalesce('"' || s.disclosure_id || '"', 'null'), ',"id":"', s.id, '","kind":"', seal_event.kind,
        '","matter":', coalesce(to_json(s.matter), 'null'),
        ',"until":"', to_char(s.until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '"}');
end;

-- Seals, and puts into the log that it did. Entries that have their numbers keep them. Returns its id; null where the one
-- disclosure is not there, or has its number.
create function ledger.add_seal(authority text, basis text, client_id text, matter text, case_number text,
    disclosure_id uuid, until timestamptz) returns uuid language plpgsql security definer set search_path = pg_catalog as $$
declare
    made ledger.seal;
begin
    perform from ledger.log_state for update;        -- no fan-out is under way
    if disclosure_id is not null and (
        not exists (select from ledger.disclosure d where d.id = add_seal.disclosure_id)
        or exists (select from ledger.subject_entry e join ledger.leaf l on l.index = e.leaf_index
            where l.id = add_seal.disclosure_id)
    ) then
        return null;
    end if;
    insert into ledger.seal (authority, basis, client_id, matter, case_number, disclosure_id, until)
    values (add_seal.authority, add_seal.basis, add_seal.client_id, add_seal.matter, add_seal.case_number,
        add_seal.disclosure_id, add_seal.until)
    returning * into made;
    insert into ledger.event (kind, content) values ('SEAL', ledger.seal_event('SEAL', made));
    return made.id;
end $$;

-- Ends seals whose time is over, and gives the entries that no other seal covers their numbers, in the order of the log,
-- after those that their subjects have. At most one seal in a call; `which`: this one, whatever its time. Returns how many
-- leaves got theirs; -1 where there was nothing to end.
create function ledger.end_seal(which uuid) returns bigint language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan as $$
declare
    was ledger.log_state;
    ending ledger.seal;
    given bigint;
begin
    select * into was from ledger.log_state for update;
    select * into ending from ledger.seal s
        where s.ended_at is null and case when which is null then s.until <= now() else s.id = which end
        order by s.until limit 1;
    if not found then
        return -1;
    end if;
    update ledger.seal s set ended_at = now() where s.id = ending.id;
    insert into ledger.event (kind, content) values ('UNSEAL', ledger.seal_event('UNSEAL', ending));
    with opened as (
        delete from ledger.sealed_entry h using ledger.leaf l, ledger.disclosure d
        where l.index = h.leaf_index and d.xid = l.xid and d.at = l.at and d.id = l.id and not ledger.sealed(d)
        returning l.index, l.id, l.at, d.subject_ids
    ), made as (
        insert into ledger.subject_entry (subject_id, number, leaf_index, disclosure_id, at)
        select s.subject, coalesce(b.number, 0) + row_number() over (partition by s.subject order by s.index),
            s.index, s.id, s.at
        from (
            select distinct u.subject, o.index, o.id, o.at from opened o cross join lateral unnest(o.subject_ids) u(subject)
            where u.subject <> '00000000-0000-0000-0000-000000000000'
        ) s
        left join lateral (
            select e.number from ledger.subject_entry e where e.subject_id = s.subject order by e.number desc limit 1
        ) b on true
    )
    select count(*) into given from opened;
    return given;
end $$;

-- Once a day: what may be known. The first of the day counts, whatever happens later.
create function ledger.count_sealed() returns void language sql volatile security definer
begin atomic
    insert into ledger.sealed_total (day, total)
    select core.today(), (select count(*) from ledger.sealed_entry)
    where not exists (select from ledger.sealed_total t where t.day = core.today())
    on conflict do nothing;
end;

-- As it was, but for what is sealed.
create or replace function ledger.fan_out(most integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan set enable_seqscan = off
    set enable_mergejoin = off as $$
declare
    was ledger.log_state;
    until bigint;
    written xid8[];
    first timestamptz;
    last timestamptz;
    sealing boolean := exists (select from ledger.seal s where s.ended_at is null);
begin
    select * into was from ledger.log_state for update skip locked;
    if not found then
        return -1;
    end if;
    until := least(was.size, was.fanned + most);
    if until <= was.fanned then
        return 0;
    end if;
    select array_agg(distinct l.xid), min(l.at), max(l.at) into written, first, last
        from ledger.leaf l where l.index >= was.fanned and l.index < until and l.kind = 'D';
    if sealing then
        insert into ledger.sealed_entry (leaf_index, at)
        select l.index, l.at
        from ledger.leaf l join ledger.disclosure d on d.id = l.id and d.at = l.at
        where l.index >= was.fanned and l.index < until and l.kind = 'D' and cardinality(d.subject_ids) > 0
            and d.xid = any (written) and d.at >= first and d.at <= last and ledger.sealed(d);
    end if;
    insert into ledger.subject_entry (subject_id, number, leaf_index, disclosure_id, at)
    select s.subject, coalesce(b.number, 0) + row_number() over (partition by s.subject order by s.index),
        s.index, s.id, s.at
    from (
        select distinct u.subject, l.index, l.id, l.at
        from ledger.leaf l join ledger.disclosure d on d.id = l.id and d.at = l.at
        cross join lateral unnest(d.subject_ids) u(subject)
        where l.index >= was.fanned and l.index < until and l.kind = 'D'
            and d.xid = any (written) and d.at >= first and d.at <= last
            and u.subject <> '00000000-0000-0000-0000-000000000000'
            and (not sealing or not exists (select from ledger.sealed_entry h where h.leaf_index = l.index))
    ) s
    left join lateral (
        select e.number from ledger.subject_entry e where e.subject_id = s.subject order by e.number desc limit 1
    ) b on true;
    update ledger.log_state s set fanned = until;
    return until - was.fanned;
end $$;

-- As it was; a month waits for those of its entries that are sealed.
create or replace function ledger.let_go() returns bigint language plpgsql security definer
    set search_path = pg_catalog set lock_timeout = '1s' as $$
declare
    was ledger.log_state;
    kept integer := (select r.months from ledger.retention r);
    part record;
    gone bigint;
    from_text text;
    until_text text;
begin
    if kept is null then
        return 0;
    end if;
    select * into was from ledger.log_state for update skip locked;
    if not found then
        return 0;
    end if;
    select q.name, q.first, q.ended into part from (
        select c.relname as name, to_timestamp(right(c.relname, 7) || ' +08', 'YYYY_MM TZH') as first,
            to_timestamp(right(c.relname, 7) || ' +08', 'YYYY_MM TZH') + interval '1 month' as ended
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ledger.disclosure'::regclass and c.relname ~ '^disclosure_[0-9]{4}_[0-9]{2}$'
    ) q
    where q.ended <= (date_trunc('month', core.today()::timestamp) - make_interval(months => kept)) at time zone
        'Asia/Shanghai'
    order by q.first limit 1;
    if part is null then
        return 0;
    end if;
    execute format('select count(*) from ledger.%I', part.name) into gone;
    if gone <> (select count(*) from ledger.leaf l where l.kind = 'D' and l.at >= part.first and l.at < part.ended
            and l.index < was.fanned) then
        return 0;  -- not all of it is in the log yet
    end if;
    if exists (select from ledger.sealed_entry h where h.at >= part.first and h.at < part.ended) then
        return 0;  -- whose subjects have not been told yet
    end if;
    execute format('delete from ledger.erased e using ledger.%I d where e.disclosure_id = d.id', part.name);
    execute format('delete from ledger.kept_salt k using ledger.%I d where k.disclosure_id = d.id', part.name);
    execute format('drop table ledger.%I', part.name);
    if gone > 0 then
        from_text := to_char(part.first at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
        until_text := to_char(part.ended at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
        insert into ledger.event (kind, content) values ('RETENTION', format(
            '{"disclosures":%s,"from":"%s","kind":"RETENTION","until":"%s"}', gone, from_text, until_text));
    end if;
    return gone;
end $$;

revoke execute on function ledger.sealed(ledger.disclosure), ledger.seal_event(text, ledger.seal),
    ledger.add_seal(text, text, text, text, text, uuid, timestamptz), ledger.end_seal(uuid), ledger.count_sealed()
    from public;
grant execute on function ledger.end_seal(uuid), ledger.count_sealed() to @log@;
grant execute on function ledger.seal_event(text, ledger.seal) to @log@;
grant select on ledger.seal, ledger.sealed_total, ledger.sealed_entry to @log@;

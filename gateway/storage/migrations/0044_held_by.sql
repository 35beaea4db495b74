-- What is sealed says which seal holds it: the end of one looks at its own entries, not at all that are sealed. And a call
-- of fan-out is bounded in entries, not in leaves alone: a check of ten thousand subjects is one leaf.

-- The seal in force that covers a disclosure, of several the one that ends last; null: none.
create function ledger.sealed_by(d ledger.disclosure) returns uuid language sql stable
begin atomic
    select s.id from ledger.seal s
    where s.ended_at is null
        and (s.client_id = d.client_id or s.matter = d.matter or s.case_number = d.case_number
             or s.disclosure_id = d.id)
    order by s.until desc, s.id limit 1;
end;
revoke execute on function ledger.sealed_by(ledger.disclosure) from public;

alter table ledger.sealed_entry
    add column seal_id uuid not null default '00000000-0000-0000-0000-000000000000';  -- what nothing covers, verify finds
update ledger.sealed_entry h set seal_id = ledger.sealed_by(d)
    from ledger.leaf l join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id
    where l.index = h.leaf_index and ledger.sealed_by(d) is not null;
alter table ledger.sealed_entry alter column seal_id drop default;
create index sealed_entry_seal on ledger.sealed_entry (seal_id);

-- As it was, of its own entries alone; those that another seal covers are held by it from now on.
create or replace function ledger.end_seal(which uuid) returns bigint language plpgsql security definer
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
    with held as materialized (
        select l.index, l.id, l.at, d.subject_ids, ledger.sealed_by(d) as other
        from ledger.sealed_entry h join ledger.leaf l on l.index = h.leaf_index
        join ledger.disclosure d on d.xid = l.xid and d.at = l.at and d.id = l.id
        where h.seal_id = ending.id
    ), passed_on as (
        update ledger.sealed_entry h set seal_id = o.other from held o
        where h.leaf_index = o.index and o.other is not null
    ), opened as (
        delete from ledger.sealed_entry h using held o where h.leaf_index = o.index and o.other is null
        returning o.index, o.id, o.at, o.subject_ids
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

drop function ledger.sealed(ledger.disclosure);

-- As it was; but at most `most` leaves that have, unless the first alone has more, at most as many entries together.
create or replace function ledger.fan_out(most integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan set enable_seqscan = off
    set enable_mergejoin = off as $$
declare
    was ledger.log_state;
    until bigint;
    written xid8[];
    first timestamptz;
    last timestamptz;
    clients text[];
    matters text[];
    cases text[];
    single uuid[];
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
    select array_agg(s.client_id) filter (where s.client_id is not null),
        array_agg(s.matter) filter (where s.matter is not null),
        array_agg(s.case_number) filter (where s.case_number is not null),
        array_agg(s.disclosure_id) filter (where s.disclosure_id is not null)
    into clients, matters, cases, single from ledger.seal s where s.ended_at is null;
    with found as materialized (
        select l.index, l.id, l.at, d.subject_ids, row_number() over w as n, sum(cardinality(d.subject_ids)) over w as entries,
            -- Asked of arrays first: of the function alone, row by row, it took five times as long as all the rest.
            case when cardinality(d.subject_ids) > 0 and (d.client_id = any (clients) or d.matter = any (matters)
                or d.case_number = any (cases) or d.id = any (single)) then ledger.sealed_by(d) end as seal_id
        from ledger.leaf l join ledger.disclosure d on d.id = l.id and d.at = l.at
        where l.index >= was.fanned and l.index < until and l.kind = 'D'
            and d.xid = any (written) and d.at >= first and d.at <= last
        window w as (order by l.index)
    ), taken as materialized (
        select * from found f where f.entries <= most or f.n = 1
    ), held as (
        insert into ledger.sealed_entry (leaf_index, at, seal_id)
        select t.index, t.at, t.seal_id from taken t where t.seal_id is not null
    ), made as (
        insert into ledger.subject_entry (subject_id, number, leaf_index, disclosure_id, at)
        select s.subject, coalesce(b.number, 0) + row_number() over (partition by s.subject order by s.index),
            s.index, s.id, s.at
        from (
            select distinct u.subject, t.index, t.id, t.at
            from taken t cross join lateral unnest(t.subject_ids) u(subject)
            where t.seal_id is null and u.subject <> '00000000-0000-0000-0000-000000000000'
        ) s
        left join lateral (
            select e.number from ledger.subject_entry e where e.subject_id = s.subject order by e.number desc limit 1
        ) b on true
    )
    select coalesce(min(f.index) filter (where f.entries > most and f.n > 1), until) into until from found f;
    update ledger.log_state s set fanned = until;
    return until - was.fanned;
end $$;

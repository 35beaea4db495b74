-- Which disclosures are sealed is asked of arrays, made once for each call: of the function's rows one by one it took five
-- times as long as the fan-out itself.

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
    if sealing then
        select array_agg(s.client_id) filter (where s.client_id is not null),
            array_agg(s.matter) filter (where s.matter is not null),
            array_agg(s.case_number) filter (where s.case_number is not null),
            array_agg(s.disclosure_id) filter (where s.disclosure_id is not null)
        into clients, matters, cases, single from ledger.seal s where s.ended_at is null;
        insert into ledger.sealed_entry (leaf_index, at)
        select l.index, l.at
        from ledger.disclosure d join ledger.leaf l on l.id = d.id and l.at = d.at
        where d.xid = any (written) and d.at >= first and d.at <= last and cardinality(d.subject_ids) > 0
            and (d.client_id = any (clients) or d.matter = any (matters) or d.case_number = any (cases)
                 or d.id = any (single))
            and l.index >= was.fanned and l.index < until and l.kind = 'D';
        sealing := found;
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

-- What the log's runner needs beside ledger.sequence: a ledger that was put back from a dump, numbers for each subject,
-- partitions of the months ahead, and what is no longer kept (docs/ledger.md).

alter table ledger.log_state add column restored boolean not null default false;  -- xids may be of another cluster

create table ledger.retention (                      -- one row, the operator's: how long disclosures are kept
    one boolean primary key default true check (one),
    months integer check (months > 0)                -- whole months after the one they were made in; null: for ever
);
insert into ledger.retention default values;

-- As it was; of a ledger that was restored each row is looked up among the leaves, too.
create or replace function ledger.sequence(most integer) returns bigint language plpgsql security definer
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
                    and (not was.restored or not exists (select from ledger.leaf l where l.id = n.id))
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
            and (not was.restored or not exists (select from ledger.leaf l where l.id = n.id))
    ) e;
    get diagnostics made = row_count;
    update ledger.log_state s set size = was.size + made, snapshot = seen;
    return made;
end $$;

-- A snapshot counts one cluster's transactions. In another one (a dump that was put back) it says nothing: all rows are
-- looked at again, once, by slices of ledger.sequence. Rows that the other cluster wrote in transactions that are still to
-- come here count as written now. Returns whether that was so. Called by who begins to lead.
create function ledger.adopt() returns boolean language plpgsql security definer set search_path = pg_catalog as $$
declare
    was ledger.log_state;
    here bigint := (select system_identifier from pg_control_system());
    ahead xid8;
begin
    select * into was from ledger.log_state for update;
    ahead := pg_snapshot_xmax(pg_current_snapshot());
    if was.cluster = here and pg_snapshot_xmax(was.snapshot) <= ahead then
        return false;
    end if;
    if was.cluster is null and was.size = 0 and was.snapshot::text = '3:3:' then
        update ledger.log_state s set cluster = here;  -- nothing was taken yet
        return false;
    end if;
    update ledger.disclosure d set xid = pg_current_xact_id()
        where d.xid > pg_current_xact_id() and not exists (select from ledger.leaf l where l.id = d.id);
    update ledger.event d set xid = pg_current_xact_id()
        where d.xid > pg_current_xact_id() and not exists (select from ledger.leaf l where l.id = d.id);
    update ledger.log_state s set cluster = here, restored = true, snapshot = '3:3:';
    return true;
end $$;

-- Gives the entries of at most `most` more leaves their numbers: of each subject one after the other, in the order of the
-- leaves. Returns how many leaves were done; -1 where somebody else is at it.
create function ledger.fan_out(most integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan set enable_seqscan = off
    set enable_mergejoin = off as $$
declare
    was ledger.log_state;
    until bigint;
    written xid8[];
    first timestamptz;
    last timestamptz;
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
    ) s
    left join lateral (
        select e.number from ledger.subject_entry e where e.subject_id = s.subject order by e.number desc limit 1
    ) b on true;
    update ledger.log_state s set fanned = until;
    return until - was.fanned;
end $$;

-- Partitions of this month and the `months` - 1 after it, where they are lacking: attached, which readers and writers do not
-- wait for. One whose rows came before it is left to `migrate`, which moves them. Returns how many were made.
create function ledger.add_partitions(months integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog set lock_timeout = '1s' as $$
declare
    made bigint := 0;
    kept record;
begin
    for kept in
        select t.schema, t.name, t.name || to_char(m.first, '_YYYY_MM') as part, t.parameters,
            to_char(m.first, 'YYYY-MM-DD 00:00+08') as first,
            to_char(m.first + interval '1 month', 'YYYY-MM-DD 00:00+08') as ended
        from (values ('ledger', 'disclosure', ' with (toast_tuple_target = 8160)'), ('core', 'source_answer', ''))
            t(schema, name, parameters)
        cross join lateral (select (date_trunc('month', core.today()::timestamp) + make_interval(months => n)) as first
            from generate_series(0, months - 1) n) m
        where to_regclass(format('%I.%I', t.schema, t.name || to_char(m.first, '_YYYY_MM'))) is null
    loop
        begin
            execute format('create table %I.%I (like %I.%I including all excluding indexes)%s',
                kept.schema, kept.part, kept.schema, kept.name, kept.parameters);
            execute format('alter table %I.%I attach partition %I.%I for values from (%L) to (%L)',
                kept.schema, kept.name, kept.schema, kept.part, kept.first, kept.ended);
            made := made + 1;
        exception when check_violation then
            null;
        end;
    end loop;
    return made;
end $$;

-- Lets go of the disclosures of months that are no longer kept, one month at a time, and puts into the log that it did and
-- how many they were. Their leaves stay, and the subjects' numbers. Only what is in the log and has its numbers goes.
-- Returns how many went; 0 where there is nothing to do.
create function ledger.let_go() returns bigint language plpgsql security definer
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

revoke execute on function ledger.adopt(), ledger.fan_out(integer), ledger.add_partitions(integer), ledger.let_go()
    from public;
grant execute on function ledger.adopt(), ledger.fan_out(integer), ledger.add_partitions(integer), ledger.let_go()
    to @log@;
grant select on ledger.retention to @log@;

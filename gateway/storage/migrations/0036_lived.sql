-- A month is let go by days that were lived through, and not by one look at a clock (decision 0038). Each day on which the
-- ledger is alive is a row that says which months were due then. A month goes once it was found due on seven days of the
-- last fourteen: a clock that is set ahead by a year, or a retention that is shortened by mistake, takes a week, in which
-- somebody can see it.

create table ledger.lived (
    day date primary key,                            -- as the database's clock read it, in Asia/Shanghai
    due date                                         -- months that ended by this day were due then; null: none ever
);

-- How long a month is kept after its end; null: for ever, which least would pass over.
create function ledger.kept() returns interval language sql stable security definer
begin atomic
    select case when r.months is not null then make_interval(months => least(r.months, 12000)) end
    from ledger.retention r;
end;

-- By which day a month must have ended to be kept no longer, as of today; null: all is kept.
create function ledger.due() returns date language sql stable security definer
begin atomic
    select (date_trunc('month', core.today()::timestamp) - ledger.kept())::date;
end;

-- On how many days a month must have been due before it goes.
create function ledger.days_due() returns integer language sql immutable return 7;

-- The day of today, if it is not there yet: the first look of the day counts, whatever is set later. Days that lie ahead
-- are taken out: then the clock was set back. Returns how many these were, and the last day that was lived before today.
create function ledger.live(out today date, out before date, out ahead bigint, out fresh boolean)
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    today := core.today();
    delete from ledger.lived l where l.day > live.today;
    get diagnostics ahead = row_count;
    select max(l.day) into before from ledger.lived l where l.day < live.today;
    insert into ledger.lived (day, due) values (today, ledger.due()) on conflict do nothing;
    fresh := found;
end $$;

-- Every month that has a partition, the oldest first: whether it is due by the clock, on how many days it was found to be,
-- and the day on which it goes at the earliest (null: never).
create function ledger.months(out part text, out first timestamptz, out ended timestamptz, out due boolean,
    out days bigint, out earliest date) returns setof record language sql stable security definer
begin atomic
    select n.name, n.month::timestamp at time zone 'Asia/Shanghai', n.next::timestamp at time zone 'Asia/Shanghai',
        coalesce(n.next <= ledger.due(), false), w.days,
        case when n.next <= ledger.due()
            then core.today() + greatest(ledger.days_due() - w.days - case when w.today then 0 else 1 end, 0)::integer
            else (n.next + ledger.kept())::date + greatest(ledger.days_due() - 1, 0)
        end
    from (
        select c.relname::text as name, to_date(right(c.relname, 7), 'YYYY_MM') as month,
            (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month')::date as next
        from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ledger.disclosure'::regclass and c.relname ~ '^disclosure_[0-9]{4}_[0-9]{2}$'
    ) n
    cross join lateral (
        select count(*) filter (where l.due >= n.next) as days, coalesce(bool_or(l.day = core.today()), false) as today
        from ledger.lived l where l.day > core.today() - 14 and l.day <= core.today()
    ) w
    order by n.month;
end;

-- Why a month that is due is kept all the same: DAYS, it was not found due on days enough; LOG, not all of it is in the
-- log with its numbers; SEALED, subjects have not been told yet. Null: nothing keeps it. With how many disclosures it has.
create function ledger.held(part text, out why text, out disclosures bigint) language plpgsql stable security definer
    set search_path = pg_catalog as $$
declare
    month record;
begin
    select * into strict month from ledger.months() m where m.part = held.part;
    execute format('select count(*) from ledger.%I', month.part) into disclosures;
    why := case
        when month.days < ledger.days_due() then 'DAYS'
        when disclosures <> (select count(*) from ledger.leaf l, ledger.log_state s
            where l.kind = 'D' and l.at >= month.first and l.at < month.ended and l.index < s.fanned) then 'LOG'
        when exists (select from ledger.sealed_entry h where h.at >= month.first and h.at < month.ended) then 'SEALED'
    end;
end $$;

-- As it was; the oldest month that is due goes if nothing holds it, after those before it that have nothing in them.
create or replace function ledger.let_go() returns bigint language plpgsql security definer
    set search_path = pg_catalog set lock_timeout = '1s' as $$
declare
    month record;
    found_of record;
    from_text text;
    until_text text;
begin
    for month in select m.* from ledger.months() m where m.due and m.days >= ledger.days_due() order by m.first loop
        perform from ledger.log_state for update skip locked;
        if not found then
            return 0;
        end if;
        select * into found_of from ledger.held(month.part);
        if found_of.why is not null then
            return 0;
        end if;
        execute format('delete from ledger.erased e using ledger.%I d where e.disclosure_id = d.id', month.part);
        execute format('delete from ledger.kept_salt k using ledger.%I d where k.disclosure_id = d.id', month.part);
        execute format('drop table ledger.%I', month.part);
        if found_of.disclosures > 0 then
            from_text := to_char(month.first at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
            until_text := to_char(month.ended at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
            insert into ledger.event (kind, content) values ('RETENTION', format(
                '{"disclosures":%s,"from":"%s","kind":"RETENTION","until":"%s"}', found_of.disclosures, from_text,
                until_text));
            return found_of.disclosures;
        end if;
    end loop;
    return 0;
end $$;

-- As it was, but for identities: a partition has none of its own, and one that has is not attached (PostgreSQL 17).
create or replace function ledger.add_partitions(months integer) returns bigint language plpgsql security definer
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
            execute format('create table %I.%I (like %I.%I including all excluding indexes excluding identity)%s',
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

revoke execute on function ledger.kept(), ledger.due(), ledger.days_due(), ledger.live(), ledger.months(),
    ledger.held(text) from public;
grant execute on function ledger.days_due(), ledger.live(), ledger.months(), ledger.held(text) to @log@;
grant select on ledger.lived to @log@;

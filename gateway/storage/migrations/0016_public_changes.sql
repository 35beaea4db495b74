-- What changes of what the public may see is told to every process, in the transaction that changes it (channel `credit`,
-- topic `public`): the codes of the subjects whose answers may differ, none where only lists and searches may, `*` for
-- all. Triggers do it, so no writer can forget it; of whole statements, so that an import pays once for a batch.
-- docs/decisions has what follows from it; tests hold that every table of the public view has them.

create index on core.withdrawal (authority_id);

-- Whether this transaction has said "all" already: then nothing it could add is news.
create function core.told_all() returns boolean language sql stable
    as $$ select coalesce(current_setting('gateway.told_all', true) = pg_current_xact_id_if_assigned()::text, false) $$;

create function core.tell_all() returns void language plpgsql as $$
begin
    perform pg_notify('credit', 'public *');
    perform set_config('gateway.told_all', pg_current_xact_id()::text, true);
end $$;

create function core.tell_public(ids bigint[], codes text[] default '{}') returns void language plpgsql as $$
begin
    codes := array (select distinct c from (select unnest(codes) union all
                    select s.uscc from core.subject s where s.id = any (ids)) found(c) where c is not null order by c);
    if cardinality(ids) > 100 or cardinality(codes) > 100 then
        perform core.tell_all();
    else
        perform pg_notify('credit', 'public ' || array_to_string(codes, ','));
    end if;
end $$;

-- Whether other subjects' answers show one of these: as authority, predecessor or successor.
create function core.shown_elsewhere(ids bigint[]) returns boolean language sql stable as $$
    select exists (select from core.record where authority_id = any (ids))
        or exists (select from core.withdrawal where authority_id = any (ids))
        or exists (select from core.succession where predecessor_id = any (ids))
        or exists (select from core.succession where successor_id = any (ids)) $$;

create function core.all_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    if not core.told_all() then
        perform core.tell_all();
    end if;
    return null;
end $$;

-- Endings of names: what searches read, and nothing else.
create function core.name_part_changed() returns trigger language plpgsql security definer set search_path = pg_catalog
as $$
begin
    if not core.told_all() then
        perform pg_notify('credit', 'public ');
    end if;
    return null;
end $$;

-- Tables whose rows belong to subjects: `added` and `removed` are the rows of the statement. What neither was nor is
-- for the public is not told.

create function core.record_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    ids bigint[];
begin
    if core.told_all() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        ids := array (select distinct r.subject_id from added r
                      where r.subject_class = 'ORGANISATION' and r.published and r.status in ('ACTIVE', 'CORRECTED') limit 101);
    elsif tg_op = 'DELETE' then
        ids := array (select distinct r.subject_id from removed r
                      where r.subject_class = 'ORGANISATION' and r.published and r.status in ('ACTIVE', 'CORRECTED') limit 101);
    else
        ids := array (select distinct r.subject_id from (select * from added union all select * from removed) r
                      where r.subject_class = 'ORGANISATION' and r.published and r.status in ('ACTIVE', 'CORRECTED') limit 101);
    end if;
    if cardinality(ids) > 0 then
        perform core.tell_public(ids);
    end if;
    return null;
end $$;

create function core.withdrawal_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    ids bigint[];
begin
    if core.told_all() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        ids := array (select distinct w.subject_id from added w limit 101);
    elsif tg_op = 'DELETE' then
        ids := array (select distinct w.subject_id from removed w limit 101);
    else
        ids := array (select distinct w.subject_id from (select * from added union all select * from removed) w limit 101);
    end if;
    if cardinality(ids) > 0 then
        perform core.tell_public(ids);
    end if;
    return null;
end $$;

create function core.succession_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    ids bigint[];
begin
    if core.told_all() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        ids := array (select distinct u.id from added c
                      cross join lateral (values (c.predecessor_id), (c.successor_id)) u(id) limit 101);
    elsif tg_op = 'DELETE' then
        ids := array (select distinct u.id from removed c
                      cross join lateral (values (c.predecessor_id), (c.successor_id)) u(id) limit 101);
    else
        ids := array (select distinct u.id from (select * from added union all select * from removed) c
                      cross join lateral (values (c.predecessor_id), (c.successor_id)) u(id) limit 101);
    end if;
    if cardinality(ids) > 100 or core.shown_elsewhere(ids) then
        perform core.tell_all();
    elsif cardinality(ids) > 0 then
        perform core.tell_public(ids);
    end if;
    return null;
end $$;

create function core.subject_part_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    ids bigint[];
begin
    if core.told_all() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        ids := array (select distinct p.subject_id from added p
                      join core.subject s on s.id = p.subject_id and s.class = 'ORGANISATION' limit 101);
    elsif tg_op = 'DELETE' then
        ids := array (select distinct p.subject_id from removed p
                      join core.subject s on s.id = p.subject_id and s.class = 'ORGANISATION' limit 101);
    else
        ids := array (select distinct p.subject_id from (select * from added union all select * from removed) p
                      join core.subject s on s.id = p.subject_id and s.class = 'ORGANISATION' limit 101);
    end if;
    if cardinality(ids) > 100 or core.shown_elsewhere(ids) then
        perform core.tell_all();
    elsif cardinality(ids) > 0 then
        perform core.tell_public(ids);
    end if;
    return null;
end $$;

-- Of a subject its old code is told, too: it may be asked for by either. A new one is shown nowhere yet.
create function core.subject_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    ids bigint[];
    codes text[];
begin
    if core.told_all() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        select array_agg(id), array_agg(uscc) into ids, codes from (
            select id, uscc from added where class = 'ORGANISATION' limit 101) s;
    elsif tg_op = 'DELETE' then
        select array_agg(id), array_agg(uscc) into ids, codes from (
            select id, uscc from removed where class = 'ORGANISATION' limit 101) s;
    else
        select array_agg(distinct id), array_agg(uscc) into ids, codes from (
            select id, uscc from (select * from added union all select * from removed) r
            where class = 'ORGANISATION' limit 201) s;
    end if;
    if cardinality(ids) > 100 or (tg_op = 'UPDATE' and core.shown_elsewhere(ids)) then
        perform core.tell_all();
    elsif cardinality(ids) > 0 then
        perform core.tell_public(ids, codes);
    end if;
    return null;
end $$;

-- The public sees of a source's health whether it is healthy, not when it last answered.
create function core.source_health_changed() returns trigger language plpgsql security definer set search_path = pg_catalog
as $$
declare
    changed boolean;
begin
    if tg_op = 'INSERT' then
        changed := exists (select from added where not healthy);
    elsif tg_op = 'DELETE' then
        changed := exists (select from removed where not healthy);
    else
        changed := exists (select from added a full join removed r on r.source_code = a.source_code
                           where coalesce(a.healthy, true) is distinct from coalesce(r.healthy, true));
    end if;
    if changed and not core.told_all() then
        perform core.tell_all();
    end if;
    return null;
end $$;

revoke execute on all functions in schema core from public;

-- A statement has the rows that it added or removed only where its trigger is for that kind of statement alone. Always:
-- what is copied in by replication is told as well.
do $$
declare
    part record;
    kind record;
begin
    for part in
        select * from (values
            ('record', 'record_changed', true),
            ('subject', 'subject_changed', true),
            ('former_name', 'subject_part_changed', true),
            ('subject_role', 'subject_part_changed', true),
            ('succession', 'succession_changed', true),
            ('withdrawal', 'withdrawal_changed', true),
            ('source_health', 'source_health_changed', true),
            ('name_part', 'name_part_changed', false),
            ('name_part_organisation', 'name_part_changed', false),
            ('name_part_person', 'name_part_changed', false),
            ('region', 'all_changed', false),
            ('region_closure', 'all_changed', false),
            ('source', 'all_changed', false),
            ('code_label', 'all_changed', false)) t(name, function, rows)
    loop
        for kind in
            select * from (values
                ('insert', 'referencing new table as added'),
                ('update', 'referencing old table as removed new table as added'),
                ('delete', 'referencing old table as removed')) k(event, rows)
        loop
            execute format('create trigger public_%s after %s on core.%I %s for each statement execute function core.%I()',
                           kind.event, kind.event, part.name, case when part.rows then kind.rows else '' end, part.function);
            execute format('alter table core.%I enable always trigger public_%s', part.name, kind.event);
        end loop;
        execute format('create trigger public_truncate after truncate on core.%I for each statement execute function'
                       ' core.all_changed()', part.name);
        execute format('alter table core.%I enable always trigger public_truncate', part.name);
    end loop;
end $$;

-- What stands among the endings of organisations' names is an organisation's: searches of the public and the restricted
-- view read that partition without looking each ending's subject up. The writer (gateway/storage/names.py) takes
-- `personal` from the subject's class; here nobody else can do otherwise, and a subject that is none any more, or is
-- gone, is not found until its names are written anew.

create function core.name_part_of_organisation() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    if exists (select from added a where not a.personal and not exists (
            select from core.subject s where s.id = a.subject_id and s.class = 'ORGANISATION')) then
        raise exception 'names of who is no organisation among those of organisations' using errcode = '23514';
    end if;
    return null;
end $$;

create function core.no_organisation_any_more() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
declare
    ids bigint[];
begin
    ids := array (select r.id from removed r where r.class = 'ORGANISATION'
                  and not exists (select from core.subject s where s.id = r.id and s.class = 'ORGANISATION'));
    if cardinality(ids) > 0 then  -- a statement that deletes nothing is told to the public's caches all the same
        delete from core.name_part_organisation where subject_id = any (ids);
    end if;
    return null;
end $$;

create function core.no_organisations() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    delete from core.name_part_organisation;
    return null;
end $$;

revoke execute on function core.name_part_of_organisation(), core.no_organisation_any_more(), core.no_organisations()
    from public;

do $$
declare
    part text;
    trigger record;
begin
    foreach part in array array['name_part', 'name_part_organisation'] loop
        execute format('create trigger organisation_insert after insert on core.%I referencing new table as added'
                       ' for each statement execute function core.name_part_of_organisation()', part);
        execute format('create trigger organisation_update after update on core.%I referencing new table as added'
                       ' for each statement execute function core.name_part_of_organisation()', part);
    end loop;
    create trigger organisation_update after update on core.subject referencing old table as removed
        for each statement execute function core.no_organisation_any_more();
    create trigger organisation_delete after delete on core.subject referencing old table as removed
        for each statement execute function core.no_organisation_any_more();
    create trigger organisation_truncate after truncate on core.subject
        for each statement execute function core.no_organisations();
    -- Always: what is copied in by replication is held to it as well.
    for trigger in select t.tgname, t.tgrelid::regclass as of from pg_trigger t
                   where t.tgname like 'organisation\_%' and t.tgrelid::regclass::text like 'core.%' loop
        execute format('alter table %s enable always trigger %I', trigger.of, trigger.tgname);
    end loop;
end $$;

-- What was written before.
delete from core.name_part_organisation p
    where not exists (select from core.subject s where s.id = p.subject_id and s.class = 'ORGANISATION');

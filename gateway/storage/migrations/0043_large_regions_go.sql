-- A large region (0042) goes when its subjects do: one that should not be noted any more has its few records looked for
-- among all, for each page. What is no organisation is passed by in the index, however many of them a region has.
drop index core.subject_region;
create index subject_region on core.subject (region_code, class) include (id, kind);

drop trigger region_insert on core.subject;
drop trigger region_update on core.subject;
drop function core.region_grew();

-- Looks at regions again. Two that note the same ones would wait for each other, perhaps in a circle: the second leaves it to
-- whoever is next; and who reads a snapshot of before would fail at what it does not see.
create function core.note_regions(regions text[]) returns void language plpgsql set search_path = pg_catalog as $$
begin
    if cardinality(regions) > 0 and current_setting('transaction_isolation') = 'read committed'
            and pg_try_advisory_xact_lock(hashtextextended('core.large_region', 0)) then
        delete from core.large_region l where l.code = any (regions) and not core.has_many(l.code);
        insert into core.large_region select r from unnest(regions) r where core.has_many(r) on conflict do nothing;
    end if;
end $$;

-- Of these regions, with all above them, those that have gained organisations and are not noted, and those that have lost
-- some and are.
create function core.note_changed_regions(gained text[], lost text[]) returns void language sql set search_path = pg_catalog
begin atomic
    select core.note_regions(array (
        select distinct c.ancestor from unnest(note_changed_regions.gained) g(code)
        join core.region_closure c on c.code = g.code
        where not exists (select from core.large_region l where l.code = c.ancestor)
        union
        select c.ancestor from unnest(note_changed_regions.lost) g(code)
        join core.region_closure c on c.code = g.code
        join core.large_region l on l.code = c.ancestor));
end;

create function core.subjects_came_or_went() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    if tg_op = 'INSERT' then
        perform core.note_changed_regions(
            array (select distinct a.region_code from added a where a.class = 'ORGANISATION'), '{}');
    elsif tg_op = 'DELETE' then
        perform core.note_changed_regions(
            '{}', array (select distinct r.region_code from removed r where r.class = 'ORGANISATION'));
    else
        delete from core.large_region;
    end if;
    return null;
end $$;

-- Planned anew each time: whether one row or ten thousand were changed decides on the join.
create function core.subjects_moved() returns trigger language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan as $$
declare
    gained text[];
    lost text[];
begin
    select array_agg(distinct n.region_code) filter (where n.class = 'ORGANISATION'),
        array_agg(distinct o.region_code) filter (where o.class = 'ORGANISATION')
    into gained, lost
    from removed o join added n on n.id = o.id
    where (o.region_code, o.class) is distinct from (n.region_code, n.class);
    if gained is not null or lost is not null then
        perform core.note_changed_regions(gained, lost);
    end if;
    return null;
end $$;

create function core.regions_moved() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    perform core.note_regions(array (select r.code from core.region r));
    return null;
end $$;

revoke execute on function core.note_regions(text[]), core.note_changed_regions(text[], text[]),
    core.subjects_came_or_went(), core.subjects_moved(), core.regions_moved() from public;

create trigger region_insert after insert on core.subject referencing new table as added
    for each statement execute function core.subjects_came_or_went();
create trigger region_update after update on core.subject referencing old table as removed new table as added
    for each statement execute function core.subjects_moved();
create trigger region_delete after delete on core.subject referencing old table as removed
    for each statement execute function core.subjects_came_or_went();
create trigger region_truncate after truncate on core.subject
    for each statement execute function core.subjects_came_or_went();
create trigger large_regions after insert or update or delete or truncate on core.region_closure
    for each statement execute function core.regions_moved();

delete from core.large_region;
insert into core.large_region select r.code from core.region r where core.has_many(r.code);

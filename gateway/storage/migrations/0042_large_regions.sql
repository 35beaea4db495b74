-- Which regions have more than 200 organisations, themselves or below: a page of a region's records is then found in the
-- order of all, and need not count first (decisions 0025, 0043). A hint and nothing else: of a region that is not here the
-- statement counts, and one that is no longer so large is only read in the other way.
create table core.large_region (code text primary key);
comment on table core.large_region is 'Regions known to have more than 200 organisations, those below included';

create function core.has_many(region text) returns boolean language sql stable set search_path = pg_catalog
begin atomic
    select count(*) > 200 from (
        select from core.region_closure c
        cross join lateral (
            select from core.subject s where s.region_code = c.code and s.class = 'ORGANISATION' limit 201
        ) s
        where c.ancestor = has_many.region limit 201
    ) n;
end;

create function core.region_grew() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    fresh text[];
begin
    fresh := array (
        select distinct c.ancestor from (select distinct a.region_code from added a where a.class = 'ORGANISATION') r
        join core.region_closure c on c.code = r.region_code
        where not exists (select from core.large_region l where l.code = c.ancestor)
    );
    -- Two that note the same ones would wait for each other, perhaps in a circle: the second leaves it to whoever is next.
    if cardinality(fresh) > 0 and pg_try_advisory_xact_lock(hashtextextended('core.large_region', 0)) then
        insert into core.large_region select f from unnest(fresh) f where core.has_many(f) on conflict do nothing;
    end if;
    return null;
end $$;

revoke execute on function core.region_grew(), core.has_many(text) from public;

create trigger region_insert after insert on core.subject referencing new table as added
    for each statement execute function core.region_grew();
create trigger region_update after update on core.subject referencing new table as added
    for each statement execute function core.region_grew();

insert into core.large_region select distinct c.ancestor from core.region_closure c where core.has_many(c.ancestor);

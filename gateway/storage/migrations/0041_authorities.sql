-- Whose name may have been printed as an authority's: who has ever been one. Whether a record names a subject at the
-- moment of its renaming is not enough: the record may come later and find the old name still kept, or be committed by
-- another transaction before the renaming is.
create table core.authority (subject_id bigint primary key references core.subject (id) on delete cascade);
comment on table core.authority is 'Subjects that are or have been the authority of a record';

create function core.authority_used() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
    fresh bigint[];
begin
    fresh := array (select distinct r.authority_id from added r where r.authority_id is not null
                    and not exists (select from core.authority a where a.subject_id = r.authority_id) order by 1);
    if cardinality(fresh) > 0 then
        -- Waits for who is renaming one, and makes the next who does wait: either this sees the new name, or they see this.
        perform from core.subject s where s.id = any (fresh) order by s.id for share;
        insert into core.authority select unnest(fresh) on conflict do nothing;
        insert into core.reference_news default values on conflict do nothing;
    end if;
    return null;
end $$;
revoke execute on function core.authority_used() from public;
create trigger authority_insert after insert on core.record referencing new table as added
    for each statement execute function core.authority_used();
create trigger authority_update after update on core.record referencing new table as added
    for each statement execute function core.authority_used();
alter table core.record enable always trigger authority_insert, enable always trigger authority_update;
insert into core.authority select distinct r.authority_id from core.record r where r.authority_id is not null;

-- Who reads a snapshot of before does not see whom another transaction has made an authority since: it takes all for one.
create or replace function core.authority_changed() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    if exists (select from removed o
               where (exists (select from core.authority a where a.subject_id = o.id)
                      or current_setting('transaction_isolation') <> 'read committed')
               and not exists (select from added n where n.id = o.id
                               and (n.class, n.node_id, n.uscc, n.name, n.kind, n.region_code)
                                   is not distinct from (o.class, o.node_id, o.uscc, o.name, o.kind, o.region_code))) then
        insert into core.reference_news default values on conflict do nothing;
    end if;
    return null;
end $$;

create or replace function core.shown_elsewhere(ids bigint[]) returns boolean language sql stable as $$
    select exists (select from core.authority where subject_id = any (ids))
        or exists (select from core.withdrawal where authority_id = any (ids))
        or exists (select from core.succession where predecessor_id = any (ids))
        or exists (select from core.succession where successor_id = any (ids)) $$;

-- What was kept by the old rule is printed anew.
insert into core.reference_news default values on conflict do nothing;

-- How new must be what the gateway fills into an answer: names of authorities and sources, which it has printed before. The
-- version is read in the snapshot of the answer's rows, so what was printed of another state is known to be. A time, in
-- microseconds, and always a later one: after a return to a backup it does not come to a number that it had before.
create table core.reference_version (
    single boolean primary key default true check (single),
    version bigint not null
);
create function core.next_version(version bigint) returns bigint language sql volatile
    as $$ select greatest(version + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint) $$;
insert into core.reference_version (version) values (core.next_version(0));
comment on table core.reference_version is 'Raised by each transaction that changes what is printed once and filled in';

-- The row is locked at the commit alone: whoever changes a name holds nobody up before that, and waits for nobody.
create table core.reference_news (xid xid8 primary key default pg_current_xact_id());

create function core.raise_reference_version() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    delete from core.reference_news where xid = new.xid;
    update core.reference_version set version = core.next_version(version);
    return null;
end $$;
create constraint trigger reference_news after insert on core.reference_news deferrable initially deferred
    for each row execute function core.raise_reference_version();
alter table core.reference_news enable always trigger reference_news;

create function core.references_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into core.reference_news default values on conflict do nothing;
    return null;
end $$;

-- A subject that is nobody's authority is nothing that was printed.
create function core.authority_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    if exists (select from (select id, class, node_id, uscc, name, kind, region_code from removed
                            except select id, class, node_id, uscc, name, kind, region_code from added) s
               where exists (select from core.record r where r.authority_id = s.id)) then
        insert into core.reference_news default values on conflict do nothing;
    end if;
    return null;
end $$;

revoke execute on function core.next_version(bigint), core.raise_reference_version(), core.references_changed(), core.authority_changed() from public;

create trigger reference_update after update on core.subject referencing old table as removed new table as added
    for each statement execute function core.authority_changed();
create trigger reference_delete after delete on core.subject for each statement execute function core.references_changed();
create trigger reference_truncate after truncate on core.subject for each statement execute function core.references_changed();
create trigger reference_change after insert or update or delete or truncate on core.region
    for each statement execute function core.references_changed();
create trigger reference_change after insert or update or delete or truncate on core.source
    for each statement execute function core.references_changed();
alter table core.subject enable always trigger reference_update, enable always trigger reference_delete,
    enable always trigger reference_truncate;
alter table core.region enable always trigger reference_change;
alter table core.source enable always trigger reference_change;

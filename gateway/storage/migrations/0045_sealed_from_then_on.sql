-- A seal covers what comes behind its own event in the log, and, where it is of one disclosure, that one: so anybody who
-- recomputes the log can tell what it may hold back. What was told before it was made has no excuse to be gone.

alter table ledger.seal add column event_id uuid;  -- of ledger.event, kind SEAL
update ledger.seal s set event_id = e.id from ledger.event e where e.kind = 'SEAL' and e.content::jsonb ->> 'id' = s.id::text;

-- The seal in force that covers a disclosure, of several the one that ends last; null: none.
create or replace function ledger.sealed_by(d ledger.disclosure) returns uuid language sql stable
begin atomic
    select s.id from ledger.seal s
    where s.ended_at is null
        and (s.disclosure_id = d.id
             or (s.client_id = d.client_id or s.matter = d.matter or s.case_number = d.case_number)
                and (select e.index from ledger.leaf e where e.id = s.event_id)
                    < (select l.index from ledger.leaf l where l.id = d.id))
    order by s.until desc, s.id limit 1;
end;

-- As it was, with the event that it makes. Who waits until that is in the log knows that all that comes then is covered.
create or replace function ledger.add_seal(authority text, basis text, client_id text, matter text, case_number text,
    disclosure_id uuid, until timestamptz) returns uuid language plpgsql security definer set search_path = pg_catalog as $$
declare
    made ledger.seal;
    told uuid;
begin
    perform from ledger.log_state for update;        -- no fan-out is under way
    if disclosure_id is not null and (
        not exists (select from ledger.disclosure d where d.id = add_seal.disclosure_id)
        or exists (select from ledger.subject_entry e join ledger.leaf l on l.index = e.leaf_index
            where l.id = add_seal.disclosure_id)
    ) then
        return null;
    end if;
    insert into ledger.seal (authority, basis, client_id, matter, case_number, disclosure_id, until)
    values (add_seal.authority, add_seal.basis, add_seal.client_id, add_seal.matter, add_seal.case_number,
        add_seal.disclosure_id, add_seal.until)
    returning * into made;
    insert into ledger.event (kind, content) values ('SEAL', ledger.seal_event('SEAL', made)) returning id into told;
    update ledger.seal s set event_id = told where s.id = made.id;
    return made.id;
end $$;

-- A text that disclosures point to is what its hash says: whoever may write one can't put another in its place. Rows that
-- are there already are left to `ledger verify`, which looks at each.
alter table ledger.told
    add constraint told_is_what_its_hash_says check (hash = sha256(convert_to(text, 'UTF8'))) not valid;

-- A ledger that was restored looks each row up among the leaves, since transactions of the other cluster may have the ids of
-- ones that are still to come here. Once no row has such an id, and none waits, it need not any more. Returns whether it
-- goes without.
create function ledger.settle() returns boolean language plpgsql security definer set search_path = pg_catalog as $$
declare
    was ledger.log_state;
begin
    select * into was from ledger.log_state for update;
    if was.restored and not ledger.waits() then
        update ledger.log_state s set restored = false;
        return true;
    end if;
    return not was.restored;
end $$;
revoke execute on function ledger.settle() from public;
grant execute on function ledger.settle() to @log@;

-- Whether anything was committed that is not in the log yet. Asked first, without a lock: a gateway that nobody asks writes
-- nothing, second for second.
create function ledger.waits() returns boolean language sql stable security definer
    set search_path = pg_catalog set enable_seqscan = off  -- by the index, whatever the planner knows of the rows
begin atomic
    select exists (select from ledger.disclosure d where d.xid >= pg_snapshot_xmax(s.snapshot))
        or exists (select from ledger.disclosure d where d.xid = any (array(select pg_snapshot_xip(s.snapshot))))
        or exists (select from ledger.event e where e.xid >= pg_snapshot_xmax(s.snapshot))
        or exists (select from ledger.event e where e.xid = any (array(select pg_snapshot_xip(s.snapshot))))
    from ledger.log_state s;
end;
revoke execute on function ledger.waits() from public;
grant execute on function ledger.waits() to @log@;

-- Who leads, publishes or witnesses holds a lock that nobody else can take. An advisory lock is anybody's, the roles of views
-- included, and so was the standstill of the log (decision 0035). Locked are views of nothing: unlike a table they are never
-- vacuumed, so a lock that is held for months is in nobody's way.
create view ledger.leading as select;
create view ledger.publishing as select;
create view ledger.witnessing as select;

-- Takes one of the three until the end of the transaction; without `waiting` false where another has it. The transaction
-- gets no number and keeps no snapshot by that: one that stays open holds up no vacuum.
create function ledger.hold(what text, waiting boolean) returns boolean language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    case what
        when 'leading' then
            if waiting then lock table ledger.leading in exclusive mode;
            else lock table ledger.leading in exclusive mode nowait; end if;
        when 'publishing' then
            if waiting then lock table ledger.publishing in exclusive mode;
            else lock table ledger.publishing in exclusive mode nowait; end if;
        when 'witnessing' then
            if waiting then lock table ledger.witnessing in exclusive mode;
            else lock table ledger.witnessing in exclusive mode nowait; end if;
    end case;
    return true;
exception when lock_not_available then
    return false;
end $$;
revoke execute on function ledger.hold(text, boolean) from public;
grant execute on function ledger.hold(text, boolean) to @log@;

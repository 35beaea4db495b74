-- That a seal was made, or has ended, is told to every process (channel `credit`, topic `seal`), in the transaction that
-- does it; never which: anybody may listen. Of an update of many rows it is told once. What is pending at a bank is found
-- again by those alone who share it: `apart` is '' for all, else stands for one who asks under a seal.

create function ledger.seal_changed() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    perform pg_notify('credit', 'seal ');
    return null;
end $$;
revoke execute on function ledger.seal_changed() from public;

create trigger seal_told after insert or update or delete or truncate on ledger.seal
    for each statement execute function ledger.seal_changed();
alter table ledger.seal enable always trigger seal_told;

alter table core.pending_request
    add column apart text not null default '',
    drop constraint pending_request_pkey,
    add primary key (source_code, uscc, consent_id, apart);

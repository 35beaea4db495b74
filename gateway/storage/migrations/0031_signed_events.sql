-- Events are signed by the gateway, whose key the database has not (decision 0036): whoever owns the database writes no
-- erasure, seal or retention that verification believes. The first signed one, of kind KEY, is in the log itself: what
-- comes after it has a signature.

alter table ledger.event
    add column number bigint unique,                 -- from 1, of those that are signed; also in the content
    add column signature text;                       -- C2SP signature line over the content; null: from before

-- Writes the event from which on events are signed; `key`: the verifier key of that time. In the caller's transaction.
create function ledger.begin_signing(key text) returns void language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    perform from ledger.log_state for update;
    insert into ledger.event (kind, content) values ('KEY', concat('{"key":', to_json(key), '}'));
end $$;

-- Puts time, number, kind and signature to an event that this very transaction has written. What it says stays.
create function ledger.sign_event(which uuid, content text, number bigint, signature text) returns void
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    update ledger.event e
        set content = sign_event.content, number = sign_event.number, signature = sign_event.signature
        where e.id = which and e.xid = pg_current_xact_id() and e.signature is null
            and sign_event.content::jsonb - 'at' - 'kind' - 'number' = e.content::jsonb - 'kind';
    if not found then
        raise exception 'no event of this transaction says this' using errcode = 'check_violation';
    end if;
end $$;

-- Nobody leaves an event without a signature by mistake, where there are any with one: verification would say so for ever.
create function ledger.check_signed() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
begin
    if exists (select from ledger.event e where e.id = new.id and e.signature is null)
        and exists (select from ledger.event e where e.number is not null) then
        raise exception 'an event of the log must be signed; let credit-gateway do it' using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger signed after insert on ledger.event deferrable initially deferred for each row
    when (new.signature is null) execute function ledger.check_signed();

revoke execute on function ledger.begin_signing(text), ledger.sign_event(uuid, text, bigint, text), ledger.check_signed()
    from public;
grant execute on function ledger.begin_signing(text), ledger.sign_event(uuid, text, bigint, text) to @log@;

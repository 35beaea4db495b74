-- What a disclosure says of sources is a JSON object, whoever writes it: a view's role may write disclosures, and subjects
-- read them. What stands there already is read as far as it can be: it is in the log as it is.
alter table ledger.disclosure
    add constraint disclosure_sources_are_an_object
    check (sources = '{}' or jsonb_typeof(sources::jsonb) = 'object') not valid;

-- The object in a text; null where it is none. For what was written before.
create function ledger.as_object(told text) returns jsonb language plpgsql stable strict
    set search_path = pg_catalog as $$
declare
    made jsonb;
begin
    made := told::jsonb;
    return case when jsonb_typeof(made) = 'object' then made end;
exception when others then
    return null;
end $$;

-- The moment in a text; null where it is none.
create function ledger.as_moment(told text) returns timestamptz language plpgsql stable strict
    set search_path = pg_catalog as $$
begin
    return told::timestamptz;
exception when others then
    return null;
end $$;
revoke execute on function ledger.as_object(text), ledger.as_moment(text) from public;

-- What is computed for each row of an answer, as cheaply as PostgreSQL can; both are inlined, as they were.

-- The day in Asia/Shanghai. By an interval: a zone's name is looked up at each evaluation, which is at each row, and costs as
-- much as printing five columns. China has kept UTC+8 without summer time since 1992, and this is only ever asked of now().
create or replace function core.today() returns date language sql stable parallel safe
    as $$ select (now() at time zone interval '8 hours')::date $$;

-- A text as a JSON string. PostgreSQL 17 brought json_scalar (SQL:2023), which knows its argument's type when the statement is
-- prepared; to_json finds it out anew at each row. A database that is upgraded from an older release keeps to_json.
do $do$ begin
    execute format(
        'create function core.json_text(value text) returns text language sql stable parallel safe as $$ select %s($1)::text $$',
        case when current_setting('server_version_num')::int >= 170000 then 'json_scalar' else 'to_json' end);
end $do$;

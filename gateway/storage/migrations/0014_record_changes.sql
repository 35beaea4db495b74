-- The outbox of records: what was changed, in one order that every reader can follow. A row is written by a trigger, in
-- the transaction of the change itself, so that no writer can forget it; what it was and is in each view is judged there
-- and then. core.number_changes gives positions afterwards, to rows that are committed, one caller at a time: whoever has
-- seen a position has seen all before it (decision 0020). Trigger functions can't be SQL: these are in plpgsql, which
-- their maker alone may use.

create table core.record_change (
    id bigint generated always as identity,        -- in the order of writing: of one record, that of its changes
    position bigint,                               -- null until it is numbered
    record_id bigint not null,
    subject_id bigint not null,                    -- whose it was; of a record that moved, each of the two has a row
    subject_class text not null,
    area text not null,
    status text not null,                          -- after the change
    expired boolean not null,                      -- after the change its term is over
    moved boolean not null,                        -- it went to another subject
    was_public boolean not null,                   -- before the change: in the public view
    is_public boolean not null,                    -- after it
    was_in_force boolean not null,
    is_in_force boolean not null,
    at timestamptz not null default now()
);
create index record_change_pending on core.record_change (id) where position is null;
create unique index record_change_position on core.record_change (position) where position is not null;
create index record_change_subject on core.record_change (subject_id, position) where position is not null;
create index record_published_until on core.record (published_until) where published_until is not null;

create table core.change_end (                     -- one row: who numbers holds it
    one boolean primary key default true check (one),
    position bigint not null default 0,            -- the last that was given
    swept bigint not null default 0                -- the last that is no longer kept
);
create table core.change_day (                     -- one row: the day that the outbox stands at; terms begin and end by it
    one boolean primary key default true check (one),
    day date not null default core.today()
);
create table core.change_key (                     -- one row: seals cursors, which tell nothing of what lies between them
    one boolean primary key default true check (one),
    key bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
);
insert into core.change_end default values;
insert into core.change_day default values;
insert into core.change_key default values;

create function core.in_public(class text, status text, published boolean, first date, last date, day date)
    returns boolean language sql immutable parallel safe
    as $$ select class = 'ORGANISATION' and status in ('ACTIVE', 'CORRECTED') and published and first <= day
        and (last is null or last >= day) $$;

-- Terms that begin or end between the outbox's day and today are changes, too. Returns false where another transaction
-- holds the day, and `wait` is false.
create function core.turn_day(wait boolean) returns boolean language plpgsql security definer
    set search_path = pg_catalog as $$
declare
    was date;
    today date := core.today();
begin
    if wait then
        select d.day into was from core.change_day d for update;
    else
        select d.day into was from core.change_day d for update skip locked;
    end if;
    if was is null then
        return false;
    end if;
    if was >= today then
        return true;
    end if;
    insert into core.record_change (record_id, subject_id, subject_class, area, status, expired, moved, was_public,
        is_public, was_in_force, is_in_force, at)
    select q.id, q.subject_id, q.subject_class, q.area, q.status,
        coalesce(q.last < today, false), false, q.was_public, q.is_public, true,
        true, (case when q.last < today then q.last + 1 else q.first end)::timestamp at time zone 'Asia/Shanghai'
    from (
        select r.id, r.subject_id, r.subject_class, r.area, r.status, r.published_from as first,
            r.published_until as last,
            core.in_public(r.subject_class, r.status, r.published, r.published_from, r.published_until, was)
                as was_public,
            core.in_public(r.subject_class, r.status, r.published, r.published_from, r.published_until, today)
                as is_public
        from core.record r
        where r.status in ('ACTIVE', 'CORRECTED')
            and (r.published_until >= was and r.published_until < today
                 or r.published_from > was and r.published_from <= today)
    ) q
    where q.was_public <> q.is_public or q.last < today
    order by q.id;
    update core.change_day d set day = today;
    return true;
end $$;

-- Before a change: the outbox stands at today, and stays there until the change is committed. The row of the day is locked
-- for the whole day's turn only, so writers wait for each other once a day at most.
create function core.hold_day() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    if (select d.day < core.today() from core.change_day d) then
        perform core.turn_day(true);
    end if;
    perform from core.change_day d for share;
    return null;
end $$;

create function core.note_new() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into core.record_change (record_id, subject_id, subject_class, area, status, expired, moved, was_public,
        is_public, was_in_force, is_in_force)
    select n.id, n.subject_id, n.subject_class, n.area, n.status, coalesce(n.published_until < d.day, false), false, false,
        core.in_public(n.subject_class, n.status, n.published, n.published_from, n.published_until, d.day),
        false, n.status in ('ACTIVE', 'CORRECTED')
    from made n cross join core.change_day d
    order by n.id;
    if found then
        perform pg_notify('credit', 'outbox changed');
    end if;
    return null;
end $$;

-- Planned anew each time: whether one row or ten thousand were changed decides on the join.
create function core.note_changed() returns trigger language plpgsql security definer
    set search_path = pg_catalog set plan_cache_mode = force_custom_plan set enable_nestloop = off as $$
begin
    insert into core.record_change (record_id, subject_id, subject_class, area, status, expired, moved, was_public,
        is_public, was_in_force, is_in_force)
    select q.id, case when e.leaves then q.was_subject else q.subject_id end,
        case when e.leaves then q.was_class else q.subject_class end, q.area, q.status, q.expired, e.leaves,
        q.was_public and not e.comes, q.is_public and not e.leaves,
        q.was_in_force and not e.comes, q.is_in_force and not e.leaves
    from (
        select n.id, o.subject_id as was_subject, o.subject_class as was_class, n.subject_id, n.subject_class, n.area,
            n.status, coalesce(n.published_until < d.day, false) as expired,
            core.in_public(o.subject_class, o.status, o.published, o.published_from, o.published_until, d.day)
                as was_public,
            core.in_public(n.subject_class, n.status, n.published, n.published_from, n.published_until, d.day)
                as is_public,
            o.status in ('ACTIVE', 'CORRECTED') as was_in_force, n.status in ('ACTIVE', 'CORRECTED') as is_in_force
        from before o join after n on n.id = o.id cross join core.change_day d
        where (o.subject_id, o.status, o.published, o.under_objection, o.version, o.authority_id, o.area, o.severity,
               o.catalogue_item, o.decided_on, o.published_from, o.published_until, o.repairable_from, o.amount, o.title,
               o.document_number, o.basis, o.facts, o.detail, o.source_code, o.kind)
            is distinct from
              (n.subject_id, n.status, n.published, n.under_objection, n.version, n.authority_id, n.area, n.severity,
               n.catalogue_item, n.decided_on, n.published_from, n.published_until, n.repairable_from, n.amount, n.title,
               n.document_number, n.basis, n.facts, n.detail, n.source_code, n.kind)
    ) q
    cross join lateral (
        select false as leaves, false as comes where q.subject_id = q.was_subject
        union all
        select l.leaves, not l.leaves from (values (true), (false)) l(leaves) where q.subject_id <> q.was_subject
    ) e
    order by q.id, e.comes;
    if found then
        perform pg_notify('credit', 'outbox changed');
    end if;
    return null;
end $$;

create trigger hold_day before insert or update on core.record for each statement execute function core.hold_day();
create trigger note_new after insert on core.record referencing new table as made
    for each statement execute function core.note_new();
create trigger note_changed after update on core.record referencing old table as before new table as after
    for each statement execute function core.note_changed();

-- Gives positions to at most `most` changes that are committed, in the order of their writing. Returns how many; -1 where
-- somebody else is at it. Run as often as one likes, by as many as one likes.
create function core.number_changes(most integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog as $$
declare
    last bigint;
    given bigint;
begin
    select e.position into last from core.change_end e for update skip locked;
    if last is null then
        return -1;
    end if;
    if (select d.day < core.today() from core.change_day d) then
        perform core.turn_day(false);
    end if;
    with next as (
        select n.id, last + row_number() over (order by n.id) as position
        from (select c.id from core.record_change c where c.position is null order by c.id limit most) n
    )
    update core.record_change c set position = next.position from next where c.id = next.id and c.position is null;
    get diagnostics given = row_count;
    if given > 0 then
        update core.change_end e set position = last + given;
        perform pg_notify('credit', 'outbox numbered');
    end if;
    return given;
end $$;

-- Deletes at most 10,000 changes that are older than `days`, from the beginning, never with a gap. Returns how many.
create function core.sweep_changes(days integer) returns bigint language plpgsql security definer
    set search_path = pg_catalog as $$
declare
    was bigint;
    until bigint;
begin
    select e.swept, e.position into was, until from core.change_end e for update skip locked;
    if was is null then
        return -1;
    end if;
    until := least(was + 10000, until, (select c.position - 1 from core.record_change c
        where c.position > was and c.at >= now() - make_interval(days => days) order by c.position limit 1));
    if until <= was then
        return 0;
    end if;
    delete from core.record_change c where c.position > was and c.position <= until;
    update core.change_end e set swept = until;
    return until - was;
end $$;

-- A position, sealed: 8 random bytes, the position under a keystream of theirs, 8 bytes of a keyed hash; base64url. Two
-- cursors of one place differ, so that none tells whether anything lies between it and another.
create function core.change_cursor(place bigint) returns text language sql volatile security definer
    set search_path = pg_catalog as $$
    select translate(encode(s.nonce || s.sealed || substr(sha256(k.key || '\x02'::bytea || s.nonce || s.sealed), 1, 8),
        'base64'), '+/', '-_')
    from core.change_key k
    cross join lateral (select substr(sha256(uuid_send(gen_random_uuid())), 1, 8) as nonce offset 0) n
    cross join lateral (select n.nonce, int8send(place # ('x' || encode(substr(
        sha256(k.key || '\x01'::bytea || n.nonce), 1, 8), 'hex'))::bit(64)::bigint) as sealed) s $$;

-- The position in a cursor; null: where what is kept begins. SQLSTATE 34000 where it is none of ours, 72000 where changes
-- that lie behind it are no longer kept, or where it is ahead of all (of a database that was put back since).
create function core.change_place(cursor text) returns bigint language plpgsql stable security definer
    set search_path = pg_catalog as $$
declare
    text_of bytea;
    nonce bytea;
    place bigint;
    ours core.change_end;
    sealing bytea;
begin
    select * into ours from core.change_end;
    if cursor is null then
        return ours.swept;
    end if;
    if cursor !~ '^[A-Za-z0-9_-]{32}$' then
        raise exception 'not a cursor of changes' using errcode = '34000';
    end if;
    select k.key into sealing from core.change_key k;
    text_of := decode(translate(cursor, '-_', '+/'), 'base64');
    nonce := substr(text_of, 1, 8);
    if substr(sha256(sealing || '\x02'::bytea || substr(text_of, 1, 16)), 1, 8) <> substr(text_of, 17, 8) then
        raise exception 'not a cursor of changes' using errcode = '34000';
    end if;
    place := ('x' || encode(substr(text_of, 9, 8), 'hex'))::bit(64)::bigint
        # ('x' || encode(substr(sha256(sealing || '\x01'::bytea || nonce), 1, 8), 'hex'))::bit(64)::bigint;
    if place < ours.swept or place > ours.position then
        raise exception 'changes are no longer kept' using errcode = '72000';
    end if;
    return place;
end $$;

revoke execute on function core.in_public(text, text, boolean, date, date, date), core.turn_day(boolean),
    core.hold_day(), core.note_new(), core.note_changed(), core.number_changes(integer), core.sweep_changes(integer),
    core.change_cursor(bigint), core.change_place(text) from public;
grant execute on function core.number_changes(integer), core.sweep_changes(integer) to @service@;
grant select on core.change_end to @service@;

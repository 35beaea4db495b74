-- Search by name: every ending of every name, so that whatever stands in a name is the beginning of a row (a range of a
-- btree), two Chinese characters included, which pg_trgm does not index. Kept by gateway/storage/names.py.

create table core.name_part (
    subject_id bigint not null,                    -- of core.subject; views join it, so a row without one is never seen
    tier smallint not null check (tier in (0, 1)), -- 0 where a name or a code begins, 1 inside of a name
    personal boolean not null,                     -- of a person; a part of its own, which public searches never read
    repeated boolean not null,                     -- an earlier row of the subject begins with the same two characters
    kind text not null,                            -- of the subject, and its region: conditions are met in the index
    region_code text,
    suffix text collate "C" not null check (suffix <> '')
) partition by list (personal);
create table core.name_part_organisation partition of core.name_part for values in (false);
create table core.name_part_person partition of core.name_part for values in (true);
create index name_part_suffix on core.name_part (tier, suffix, subject_id)
    include (personal, repeated, kind, region_code);
create index name_part_subject on core.name_part (subject_id);
comment on table core.name_part is 'Endings of names and codes, as names.py folds them: what searchSubjects reads';

-- Which folding the rows above have: another one in the program, and migrate makes them anew.
create table core.name_folding (
    one boolean primary key default true check (one),
    version integer not null
);

-- A search among few holders of a role begins with them instead of with the names.
create index subject_role_role on core.subject_role (role);

grant select, insert, delete on core.name_part to @import@;

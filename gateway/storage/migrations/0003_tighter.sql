-- What the views print without escaping is held to characters that need none (catalogue: columns of kind "code").
alter table core.subject add check (kind ~ '^[A-Z_]{1,40}$');
alter table core.subject_role add check (role ~ '^[A-Z_]{1,40}$');
alter table core.person_identity add check (masked ~ '^[0-9X*]{1,18}$');
alter table core.record_version add check (status ~ '^[A-Z_]{1,40}$');

-- "All tables" in 0001 took the default partition with it, and functions are executable by everybody unless said.
revoke all on core.source_answer, core.source_answer_rest from @import@;
revoke execute on all functions in schema core from public;
grant execute on function core.today(), core.node_id(text, uuid) to @import@, @service@;

-- Persons by identity number: which matter reveals one, who reads its ciphertext (decision 0031). Matters that find persons by number: identifies_persons, since the beginning.

alter table auth.matter add column reveals_identity boolean not null default false;
update auth.matter set reveals_identity = true where code = 'SUPERVISION';

-- One number for an answer: not for a view's role, which decides that it may be revealed and never has it.
create function core.sealed_identity(subject uuid) returns table (ciphertext bytea, wrapped_key bytea)
    language sql stable security definer
begin atomic
    select p.ciphertext, p.wrapped_key from core.subject s join core.person_identity p on p.subject_id = s.id
    where s.external_id = sealed_identity.subject;
end;

revoke execute on function core.sealed_identity(uuid) from public;
grant execute on function core.sealed_identity(uuid) to @service@;

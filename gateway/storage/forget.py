"""What is stored of a person, taken away: identity, names, and what their records say.

In: a connection of the migrate role, in a transaction, and the person's id in answers. Out: nothing is left by which
the person is known. The subject's row and those of records stay without content: versions, changes and counts point to
them, and partners who follow changes are told by the revocation. The data key goes with its row, so that what backups
have of the number can't be read with the keys of today's database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from gateway.errors import OperatorError

GONE: Final = "（已删除）"

_SUBJECT: Final = "select id, class, kind, name from core.subject where external_id = $1 for update"
_IDENTITY: Final = "select blind_index, masked from core.person_identity where subject_id = $1"
# By the subject's own key, $1.
_STATEMENTS: Final = (
    """delete from core.idempotent_reply r using core.subject s where s.id = $1
        and (r.reply like '%' || s.node_id || '%' or r.shown like '%' || s.external_id || '%')""",
    "delete from core.person_identity where subject_id = $1",
    "delete from core.name_part where subject_id = $1",
    "delete from core.former_name where subject_id = $1",
    "delete from core.identifier where subject_id = $1",
    "delete from core.subject_role where subject_id = $1",
    "delete from core.publication_order where subject_id = $1",
    "delete from auth.client_list where subject_id = $1",
    f"""update core.withdrawal set reason = '{GONE}' where subject_id = $1""",
    """delete from core.feed_change c using core.source_row s join core.record r on r.id = s.record_id
        where r.subject_id = $1 and c.source_code = s.source_code and c.natural_key = s.natural_key""",
    """update core.source_row s set natural_key = 'erased:' || s.record_id
        from core.record r where r.id = s.record_id and r.subject_id = $1""",
    """update core.record_version set content = '{}', content_hash = '', original = null, reason = null
        where subject_id = $1""",
    f"""update core.record set status = 'REVOKED', title = '{GONE}', document_number = null, basis = null, facts = null,
        amount = null, detail = '{{}}', natural_key = 'erased:' || id where subject_id = $1""",
    f"""update core.subject set external_id = gen_random_uuid(), name = '{GONE}', name_folded = '{GONE}',
        region_code = null, legal_representative = null, registered_on = null, address = null, updated_at = now()
        where id = $1""",
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person on record. `blind_index` is None where no identity number is stored; `who`: for whoever has to be sure,
    not enough for who does not know already."""

    key: int
    blind_index: bytes | None
    who: str = ""


async def find(connection: asyncpg.Connection[asyncpg.Record], subject: UUID) -> Person | None:
    """The person, locked; None where nobody has that id. Raises OperatorError for an organisation."""
    row = await connection.fetchrow(_SUBJECT, subject)
    if row is None:
        return None
    if row["class"] == "ORGANISATION":
        raise OperatorError(
            "this subject is an organisation: what is public of it by law is not erased, it is corrected or repaired"
        )
    identity = await connection.fetchrow(_IDENTITY, int(row["id"]))
    index, masked = identity or (None, "no identity number")
    name = row["name"] or ""
    return Person(int(row["id"]), index, f"{row['kind']} {name[:1]}{'*' * (len(name) - 1)}, {masked}")


async def forget(connection: asyncpg.Connection[asyncpg.Record], person: Person) -> int:
    """Take everything away; returns how many records were emptied."""
    records = int(await connection.fetchval("select count(*) from core.record where subject_id = $1", person.key))
    for statement in _STATEMENTS:
        await connection.execute(statement, person.key)
    return records

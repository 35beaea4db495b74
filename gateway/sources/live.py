"""What the gateway itself says of the rows of a source: ids of records and of whom they are about.

In: rows as connectors give them. Out: the same rows with `external_id`, `node_id` and those of subject and authority.
A record of a source has the UUIDv5 over source and natural key, so that it is the same record wherever it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.storage.identifiers import live_record_id, named_authority_id, node_id, organisation_uuid, valid_uscc


def as_given(source: str, uscc: str, row: Any) -> Any:
    """The row as it is."""
    return row


def platform_record(source: str, uscc: str, row: Any) -> dict[str, Any]:
    """A record of the regional platform. Raises KeyError, ValueError where it has no natural key."""
    table, _, number = row["natural_key"].split("|", 2)
    # A code that could be an identity number as well was masked with the rest of the row; whose row it is is known.
    key = f"{table}|{uscc}|{number}"
    return _record(source, uscc, {**row, "natural_key": key}, key)


def passed_records(source: str, uscc: str, row: Any) -> dict[str, Any]:
    """What another region says of a subject, its records by their ids there. Raises KeyError where one has none."""
    return {**row, "records": [_record(source, uscc, record, record["id"]) for record in row["records"]]}


def _record(source: str, uscc: str, row: Mapping[str, Any], key: str) -> dict[str, Any]:
    external = live_record_id(source, key)
    subject = organisation_uuid(uscc)
    made = {
        **row,
        "external_id": str(external),
        "node_id": node_id("R", external),
        "subject_external_id": str(subject),
        "subject_node_id": node_id("S", subject),
    }
    code, name = row.get("authority_uscc"), row.get("authority_name")
    if not (isinstance(code, str) and valid_uscc(code)):
        code = made["authority_uscc"] = None
    if code or name:
        authority = organisation_uuid(code) if code else named_authority_id(str(name))
        made |= {"authority_external_id": str(authority), "authority_node_id": node_id("S", authority)}
    return made

"""What the floor's statements have in common: which rows each view has, and JSON put together as text.

Aliases: `r` a record, `a` its authority, `o` its source, `s` a subject.
"""

from __future__ import annotations

ROWS = {
    "restricted": "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED')",
    "public": "r.subject_class = 'ORGANISATION' and r.status in ('ACTIVE', 'CORRECTED') and r.published"
    " and r.published_from <= core.today() and (r.published_until is null or r.published_until >= core.today())",
}
STATUS = {
    "restricted": "case when r.published_until < core.today() then 'EXPIRED' else r.status end",
    "public": "r.status",
}


def masked(view: str, column: str) -> str:
    """A column that the public view shows of some kinds alone."""
    if view == "public":
        return f"case when r.kind in ('DISCIPLINARY_ACTION', 'ACCOUNTABILITY') then null else r.{column} end"
    return f"r.{column}"


def text(key: str, sql: str) -> str:
    """A member of a JSON object: text, escaped, or null."""
    return f""" || (',"{key}":' || coalesce(json_scalar({sql})::text, 'null'))"""


def bare(key: str, sql: str) -> str:
    """The same of what needs no escaping."""
    return f""" || (',"{key}":' || coalesce('"' || {sql} || '"', 'null'))"""


TO_ONE = (
    """ || (',"authority":' || case when a.id is null then 'null' else"""
    """ '{"uscc":' || coalesce('"' || a.uscc || '"', 'null')"""
    """ || ',"name":' || json_scalar(a.name)::text || '}' end)"""
    """ || (',"source":{"code":"' || o.code || '","name":' || json_scalar(o.name)::text"""
    """ || ',"kind":"' || o.kind || '"}')"""
)

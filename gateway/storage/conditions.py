"""What a row must meet to be in a view: the scope, the view's own rows, the asker's narrowing.

In: a relation of the catalogue, an access. Out: SQL conditions over the relation's base tables, for the views
(views.py) and for what the functions of a view may change (writes.py).
"""

from __future__ import annotations

from gateway.storage.catalogue import SCOPE, Relation
from gateway.storage.levels import Access

HAS_SCOPE = f"(select 1 / (jsonb_typeof({SCOPE}) = 'object' and {SCOPE} ? 'matter')::int = 1)"


def narrowing(subject: str) -> list[str]:
    """The registration's narrowing, from the scope: for the one subject with that id, not for the rows of a view."""
    found = f"(select n.{{}} from core.subject n where n.id = {subject})"
    return _within(found.format("region_code"), found.format("kind"), subject)


def _within(region: str, kind: str, subject: str) -> list[str]:
    """Regions with all below them, kinds of subject, a list."""
    # Regions are hashed once for a statement: an array is looked through for each row.
    regions = f"(select rc.code from core.region_closure rc where rc.ancestor = any ({_texts('regions')}))"
    return [
        f"(select {SCOPE} -> 'regions' is null) or {region} in {regions}",
        f"(select {SCOPE} -> 'kinds' is null) or {kind} = any ({_texts('kinds')})",
        f"(select {SCOPE} -> 'list' is null)"
        f" or (select true from auth.client_list cl where cl.subject_id = {subject}"
        f" and cl.list = (select {SCOPE} ->> 'list')) is true",
    ]


def _texts(key: str) -> str:
    return f"array (select jsonb_array_elements_text({SCOPE} -> '{key}'))"


def base(relation: Relation, access: Access) -> str:
    """The relation's base tables, with the subject that narrowing goes by where they lack it.

    An outer join, so that no plan begins with it: rows keep the order of their index. Of the records of one subject it
    is looked at once, since PostgreSQL knows then which it is (decision 0021).
    """
    if not access.scoped and access.name in relation.plain:
        return relation.plain[access.name]
    if not _narrows(relation, access) or _has_subject(relation):
        return relation.base
    within = " and ".join(f"({condition})" for condition in _within("n.region_code", "n.kind", "n.id"))
    return f"{relation.base} left join core.subject n on n.id = {relation.subject} and {within}"


def conditions(relation: Relation, access: Access) -> list[str]:
    """All that a row of `base` must meet to be in the view; for scoped ones first of all that there is a scope."""
    found = []
    if access.scoped:
        # A condition without columns is checked before any row is read: no scope is an error, never an empty answer.
        # One that is no object, or names no matter, divides by zero.
        found.append(HAS_SCOPE)
    name = "restricted" if access.name == "restricted_scoped" else access.name
    if name in relation.rows:
        found.append(relation.rows[name])
    if _narrows(relation, access):
        if _has_subject(relation):
            found.extend(_within("s.region_code", "s.kind", "s.id"))
        else:
            found.append(f"coalesce(n.id = {relation.subject}, false)")  # not strict: it must stay an outer join
    return found


def _narrows(relation: Relation, access: Access) -> bool:
    return access.scoped and access.name != "self" and relation.subject is not None


def _has_subject(relation: Relation) -> bool:
    return relation.subject == "s.id"

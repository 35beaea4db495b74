"""What a row must meet to be in a view: the scope, the view's own rows, the asker's narrowing.

In: a relation of the catalogue, an access. Out: SQL conditions over the relation's base tables, for the views
(views.py) and for what the functions of a view may change (writes.py).
"""

from __future__ import annotations

from gateway.storage.catalogue import SCOPE, Relation
from gateway.storage.levels import Access


def narrowing(subject: str) -> list[str]:
    """The registration's narrowing, from the scope: regions with all below them, kinds of subject, a list."""
    # Scalar subqueries, each a probe by key: EXISTS would let the planner hash all subjects for a page of twenty.
    regions = f"array (select rc.code from core.region_closure rc where rc.ancestor = any ({_texts('regions')}))"
    return [
        f"(select {SCOPE} -> 'regions' is null)"
        f" or (select n.region_code from core.subject n where n.id = {subject}) = any ({regions})",
        f"(select {SCOPE} -> 'kinds' is null)"
        f" or (select n.kind from core.subject n where n.id = {subject}) = any ({_texts('kinds')})",
        f"(select {SCOPE} -> 'list' is null)"
        f" or (select true from auth.client_list cl where cl.subject_id = {subject}"
        f" and cl.list = (select {SCOPE} ->> 'list')) is true",
    ]


def _texts(key: str) -> str:
    return f"array (select jsonb_array_elements_text({SCOPE} -> '{key}'))"


def conditions(relation: Relation, access: Access) -> list[str]:
    """All that a row must meet to be in the view of `access`; for scoped ones first of all that there is a scope."""
    found = []
    if access.scoped:
        # A condition without columns is checked before any row is read: no scope is an error, never an empty answer.
        # One that is no object, or names no matter, divides by zero.
        found.append(f"(select 1 / (jsonb_typeof({SCOPE}) = 'object' and {SCOPE} ? 'matter')::int = 1)")
    name = "restricted" if access.name == "restricted_scoped" else access.name
    if name in relation.rows:
        found.append(relation.rows[name])
    if access.scoped and access.name != "self" and relation.subject is not None:
        found.extend(narrowing(relation.subject))
    return found

"""Whose rows an asker may read, looked up before they are: the refusal is an error, not an empty list.

In: what the plan wants looked up (Rows.permitted), who asks. Out: what stands for SOLE; or Forbidden, the same for what
is not there and for what is not allowed. The view of the rows themselves goes by the same condition: the second wall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine.bindings import SOLE
from gateway.engine.fragments import under_scope
from gateway.engine.reading import Reader
from gateway.engine.values import Value
from gateway.errors import BadUserInput, Forbidden
from gateway.storage.pool import same

_ENOUGH = 2  # of those that might be the only one


async def permitted(
    permits: Sequence[tuple[str, Value]], variables: Mapping[str, Any], principal: Principal, pool: Reader, until: float
) -> dict[str, Any]:
    """What the statement is fed. Raises Forbidden, BadUserInput where there are several and none was named."""
    fed: dict[str, Any] = {}
    schema = principal.access.schema
    for relation, value in permits:
        given = None if value is SOLE else value.resolve(variables, principal, {})
        which = "" if given is None else " where v.external_id = $2::uuid"
        sql = (
            f"select x.id::text as id from (values ({under_scope('0', '$1::text')})) k(n) cross join lateral"
            f" (select v.external_id as id from {schema}.{relation} v{which} limit {_ENOUGH}) x"
        )
        arguments = [principal.scope, *([] if given is None else [str(given)])]
        found = await pool.fetch(sql, arguments, until=until, read=_ids, again=same)
        if not found:
            raise Forbidden(
                "no recorded access request allows this under the case number of this request; have the operator"
                " record it",
                "没有与本次请求案号相符的查阅申请记录，请联系运维人员登记",
            )
        if len(found) > 1:
            raise BadUserInput(
                "the requests of this case are about several subjects; give subject one of their ids",
                "本案涉及多个主体的查阅申请，请在 subject 中指定其一",
            )
        if value is SOLE:
            fed["sole"] = found[0]
    return fed


def _ids(rows: Sequence[Any]) -> list[str]:
    return [row["id"].decode() for row in rows]

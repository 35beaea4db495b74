"""Changes that are refused: nothing was done. The client `restricted` asks in the matter GRANT."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from tests.bad_input.cases import FORBIDDEN, GRAPHQL, INPUT, JSON_BODY, VALID, Case, Known, Make, Sent, ask

_TODAY = dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date()
_RECORD = "mutation ($input: RecordConsentInput!) { recordConsent(input: $input) { consentId } }"
_REVOKE = "mutation ($id: ID!) { revokeConsent(input: {consentId: $id}) { consent { id } } }"


def _record(view: str = "restricted", query: str = _RECORD, **changes: Any) -> Make:
    whole = {
        "uscc": "@USCC",
        "granteeUscc": "@ORGAN",
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": _TODAY.isoformat(),
        "validTo": (_TODAY + dt.timedelta(days=90)).isoformat(),
        "documentSha256": "0" * 64,
        "method": "PAPER_SIGNED",
    }

    def make(known: Known) -> Sent:
        text = json.dumps({"query": query, "variables": {"input": whole | changes}})
        body = text.replace("@USCC", known.uscc).replace("@ORGAN", known.organ)
        token = (("authorization", f"Bearer {known.tokens[view]}"),) if view else ()
        return Sent(body.encode(), (JSON_BODY, *token, ("accept", GRAPHQL)))

    return make


CASES: tuple[Case, ...] = (
    Case("change-public", "a change without a token: the public's contract has none", "未带令牌的变更：公开契约中没有",
         _record(""), VALID),
    Case("consent-grantee", "a consent that another organisation was given", "被授权单位是其他单位",
         _record(granteeUscc="@USCC"), FORBIDDEN, 403),
    Case("consent-scope", "a subject outside the client's registration, or not on record",
         "主体不在登记范围内，或无记录",
         _record("scoped", uscc="@ORGAN"), FORBIDDEN, 403),
    Case("consent-matter", "another matter than that of the request", "事项与本次请求不一致",
         _record(matter="TENDERING"), INPUT),
    Case("consent-period", "a consent that ends before it begins", "授权的截止日早于起始日",
         _record(validFrom="2027-01-02", validTo="2027-01-01"), INPUT),
    Case("consent-ended", "a consent that has ended", "授权已过期",
         _record(validFrom="2020-01-01", validTo="2020-12-31"), INPUT),
    Case("consent-long", "a consent of ten years", "授权期限十年",
         _record(validTo=(_TODAY + dt.timedelta(days=3_650)).isoformat()), INPUT),
    Case("consent-code", "a scope that is not known", "未知的授权范围", _record(scope=["TAXES"]), INPUT),
    Case("consent-no-code", "no scope at all", "没有授权范围", _record(scope=[]), INPUT),
    Case("consent-hash", "a hash that is none", "哈希格式错误", _record(documentSha256="xyz"), INPUT),
    Case("consent-method", "a method that does not exist", "不存在的取得方式", _record(method="PHONE"), INPUT),
    Case("consent-source", "what sources say, asked in a change", "在变更中查询来源",
         _record(query=_RECORD.replace("consentId", "consent { subject { courts { answer { status } } } }")), INPUT),
    Case("revoke-unknown", "a consent that does not exist, or another's: it reads the same",
         "授权不存在或属于他人：答复相同", ask(_REVOKE, "restricted", id="QwAAAAAAAEAAgAAAAAAAAAA"), FORBIDDEN, 403),
    Case("revoke-record", "the id of something else", "其他对象的标识",
         ask(_REVOKE, "restricted", id="@RECORD"), INPUT),
)  # fmt: skip

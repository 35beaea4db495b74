"""Promises: one question in three views has the fields and rows that the law gives each, over real HTTP; what lies
above a view does not exist in it; who asks without token, purpose or matter is told so by code; nonsense means 4xx."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from e2e_stack import CASE, GRAPHQL, Reply, Stack, purpose_header

COMMON = """subject(uscc: $uscc) { id uscc name onRecord
  records(first: 100) { totalCount edges { node { id status area kind %s } } }
  courts { answer { status %s } dishonestListings { caseNumber } %s } }"""
ABOVE = "enforcementCases { caseNumber amount } consumptionOrders { caseNumber } judgments { caseNumber }"
QUESTION = {
    "public": f"query Q($uscc: Uscc!) {{ {COMMON % ('', '', '')} }}",
    "restricted": f"query Q($uscc: Uscc!) {{ {COMMON % ('version', 'reason', ABOVE)} }}",
    "internal": f"query Q($uscc: Uscc!) {{ {COMMON % ('version history { version status }', 'reason', ABOVE)} }}",
}
NAME = "query N($uscc: Uscc!) { subject(uscc: $uscc) { name } viewer { view clientId } }"
BY_GET = "query N($uscc: Uscc!) { subject(uscc: $uscc) { name } }"
JSON_BODY = {"content-type": "application/json", "accept": GRAPHQL}


@pytest.fixture(scope="module")
async def busiest(stack: Stack) -> str:
    """An enterprise with records that are live, over and withdrawn."""
    found = await stack.owner.fetchval(
        "select s.uscc from core.record r join core.subject s on s.id = r.subject_id where s.kind = 'ENTERPRISE'"
        " group by 1 having bool_or(r.status in ('REPAIRED', 'REVOKED'))"
        " and bool_or(r.status = 'ACTIVE' and r.published"
        " and coalesce(r.published_until >= core.today(), true)) and bool_or(r.published_until < core.today())"
        " order by count(*) desc, 1 limit 1"
    )
    return str(found)


async def truth(stack: Stack, uscc: str) -> dict[str, set[str]]:
    """Node ids by status, EXPIRED computed, of records that are published."""
    rows = await stack.owner.fetch(
        "select core.node_id('R', r.external_id) node, r.published, r.severity,"
        " case when r.status in ('ACTIVE', 'CORRECTED') and r.published_until < core.today() then 'EXPIRED'"
        " else r.status end status from core.record r join core.subject s on s.id = r.subject_id where s.uscc = $1",
        uscc,
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        hidden = row["severity"] == "MINOR" and not row["published"]
        found.setdefault("MINOR" if hidden and row["status"] in ("ACTIVE", "CORRECTED") else row["status"], set()).add(
            row["node"]
        )
    return found


async def test_the_same_question_in_three_views(stack: Stack, busiest: str) -> None:
    by_status = await truth(stack, busiest)
    first = (await stack.ask(QUESTION["public"], {"uscc": busiest})).data["subject"]
    assert first["courts"] == {"answer": {"status": "NOT_CONSULTED"}, "dishonestListings": []}

    answers = {v: (await stack.ask(QUESTION[v], {"uscc": busiest}, v)).data["subject"] for v in QUESTION}
    ids = {v: {edge["node"]["id"] for edge in s["records"]["edges"]} for v, s in answers.items()}
    live = by_status.get("ACTIVE", set()) | by_status.get("CORRECTED", set())
    minor, expired = by_status.get("MINOR", set()), by_status.get("EXPIRED", set())
    assert ids["public"] == live
    assert ids["restricted"] == live | minor | expired
    assert ids["public"] < ids["restricted"] < ids["internal"]
    statuses = {v: {e["node"]["status"] for e in s["records"]["edges"]} for v, s in answers.items()}
    assert statuses["public"] <= {"ACTIVE", "CORRECTED"}
    assert "EXPIRED" in statuses["restricted"]
    assert statuses["restricted"] <= {"ACTIVE", "CORRECTED", "EXPIRED"}
    assert statuses["internal"] & {"REPAIRED", "REVOKED"}
    for view, subject in answers.items():
        assert subject["records"]["totalCount"] == len(ids[view])
        nodes = [edge["node"] for edge in subject["records"]["edges"]]
        assert all(("version" in node) == (view != "public") for node in nodes)
        assert all(("history" in node) == (view == "internal") for node in nodes)
    assert len({s["id"] for s in answers.values()}) == 1  # the same id in every view
    # PUBLIC reads what is kept; whoever asks first above it asks the courts, the next reads their answer.
    assert answers["restricted"]["courts"]["answer"]["status"] in ("ANSWERED", "CACHED")
    assert answers["internal"]["courts"]["answer"] == {"status": "CACHED", "reason": None}
    assert len(answers["restricted"]["courts"]["enforcementCases"]) == 12
    again = (await stack.ask(QUESTION["public"], {"uscc": busiest})).data["subject"]
    assert again["courts"]["answer"]["status"] == "CACHED"
    assert len(again["courts"]["dishonestListings"]) == 2


@pytest.mark.parametrize(
    ("view", "above", "field"),
    [
        ("public", "records { edges { node { version } } }", "version"),
        ("public", "courts { enforcementCases { caseNumber } }", "enforcementCases"),
        ("public", "courts { answer { reason } }", "reason"),
        ("public", "identityNumber", "identityNumber"),
        ("restricted", "identityNumber", "identityNumber"),
        ("restricted", "records { edges { node { history { version } } } }", "history"),
    ],
)
async def test_a_field_above_the_view_fails_like_a_misspelt_one(
    stack: Stack, view: str, above: str, field: str
) -> None:
    uscc = stack.enterprises()[0]
    misspelt = above.replace(field, field + "x")
    replies = [
        await stack.ask(f"query Q($uscc: Uscc!) {{ subject(uscc: $uscc) {{ {text} }} }}", {"uscc": uscc}, view)
        for text in (above, misspelt)
    ]
    assert [(r.status, r.code) for r in replies] == [(400, "GRAPHQL_VALIDATION_FAILED")] * 2
    shown = [json.loads(r.body.decode().replace(f"'{field}x'", f"'{field}'")) for r in replies]
    assert shown[0] == shown[1]
    assert b"did you mean" not in replies[1].body.lower()


async def test_tokens_that_do_not_hold(stack: Stack) -> None:
    uscc = {"uscc": stack.enterprises()[0]}
    good = stack.tokens["restricted"]
    head, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    raised = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "view:internal"}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    for token in ("garbage", "", good[:-4], f"{head}.{raised}.{signature}", f"{none}.{payload}.", "a" * 9_000):
        reply = await stack.ask(NAME, uscc, token=token)
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), token[:20]
        assert reply.headers["www-authenticate"].startswith("Bearer")
    for header in ("Basic Zm9vOmJhcg==", good, "Bearer", f"Bearer {good} {good}"):
        reply = await stack.send("POST", json.dumps({"query": NAME}).encode(), {**JSON_BODY, "authorization": header})
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), header[:20]


async def test_purpose_and_matter(stack: Stack) -> None:
    uscc = {"uscc": stack.enterprises()[0]}
    bare = await stack.fetch_token(stack.clients["restricted"], case=None)

    async def ask(header: str | None, token: str = bare) -> Reply:
        return await stack.ask(NAME, uscc, token=token, headers={} if header is None else {"credit-purpose": header})

    missing = await ask(None)
    assert (missing.status, missing.code) == (403, "PURPOSE_REQUIRED")
    for matter in ("SUPERVISION", "NO_SUCH_MATTER", "SELF"):
        refused = await ask(f'matter="{matter}", case="2026-11"')
        assert (refused.status, refused.code) == (403, "MATTER_NOT_GRANTED")
    assert (await ask(purpose_header("GRANT", "2026-11"))).data["viewer"]["view"] == "RESTRICTED"
    chinese = purpose_header("TENDERING", CASE)
    assert "%e5%8d%9a" in chinese
    assert (await ask(chinese)).data["viewer"]["clientId"] == "restricted"
    assert [r["matter"] for r in await stack.disclosures(CASE) if r["client_id"] == "restricted"][-1] == "TENDERING"
    for header in (
        "GRANT",
        'matter="GRANT"',
        'matter="GRANT", case="a", more="b"',
        f'matter="GRANT", case="{"x" * 201}"',
    ):
        assert (await ask(header)).code == "BAD_USER_INPUT"
    fixed = stack.tokens["restricted"]  # its purpose is in the token
    assert (await ask(purpose_header("GRANT", CASE), fixed)).status == 200
    for header in (purpose_header("GRANT", "other"), purpose_header("TENDERING", CASE)):
        disagreeing = await ask(header, fixed)
        assert (disagreeing.status, disagreeing.code) == (400, "BAD_USER_INPUT")


async def test_get_is_for_the_public_view(stack: Stack) -> None:
    uscc = stack.enterprises()[0]
    query = f"?query={quote(BY_GET)}&variables={quote(json.dumps({'uscc': uscc}))}"
    public = await stack.send("GET", None, {"accept": GRAPHQL}, query)
    assert public.data["subject"]["name"]
    assert public.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
    for view in ("restricted", "internal"):
        headers = {"accept": GRAPHQL, "authorization": f"Bearer {stack.tokens[view]}"}
        refused = await stack.send("GET", None, headers, query)
        assert refused.status == 405
        assert b"data" not in refused.body
        assert "POST" in refused.headers["allow"]
    above = await stack.ask(NAME, {"uscc": uscc}, "restricted")
    assert above.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer { view clientId } }",
        "{ sources { code } mine: viewer { __typename } }",
        "query Q { ...a } fragment a on Query { ...b ... on Query { sources { code } } } fragment b on Query {"
        " viewer { view } ...c } fragment c on Query { __typename }",
        "{ sources { code } viewer @skip(if: true) { view } }",
    ],
)
async def test_who_asks_is_told_by_post_alone(stack: Stack, document: str) -> None:
    """A GET can be kept by caches and logs."""
    for language, word in (("en", "POST alone"), ("zh", "只接受 POST")):
        for accept in (GRAPHQL, "application/json", "text/event-stream"):
            headers = {"accept": accept, "accept-language": language}
            refused = await stack.send("GET", None, headers, f"?query={quote(document)}")
            assert (refused.status, refused.code, refused.headers["allow"]) == (405, "BAD_USER_INPUT", "POST")
            assert word in refused.json["errors"][0]["message"]
            assert "etag" not in refused.headers
            assert refused.headers["cache-control"] == "no-store"
    assert (await stack.ask(document)).status == 200
    several = f"?query={quote('query A { sources { code } } query B { viewer { view } }')}&operationName="
    assert (await stack.send("GET", None, {"accept": GRAPHQL}, several + "A")).status == 200
    assert (await stack.send("GET", None, {"accept": GRAPHQL}, several + "B")).status == 405


async def test_media_types(stack: Stack) -> None:
    body = json.dumps({"query": "{ viewer { view } }"}).encode()
    wrong = json.dumps({"query": "{ nothing }"}).encode()
    for accept, kind, status in (
        (GRAPHQL, GRAPHQL, 400),
        ("application/json", "application/json", 200),
        ("*/*", "application/json", 200),
        (f"{GRAPHQL}, application/json;q=0.9", GRAPHQL, 400),
        (f"text/html;q=0.1, {GRAPHQL}", GRAPHQL, 400),
    ):
        headers = {"content-type": "application/json", "accept": accept}
        good, bad = await stack.send("POST", body, headers), await stack.send("POST", wrong, headers)
        assert good.data == {"viewer": {"view": "PUBLIC"}}
        assert good.headers["content-type"] == f"{kind}; charset=utf-8"
        assert (bad.status, bad.code) == (status, "GRAPHQL_VALIDATION_FAILED")
    assert (await stack.send("POST", body, {"content-type": "application/json"})).status == 200
    assert (await stack.send("POST", body, {**JSON_BODY, "accept": "text/plain"})).status == 406
    assert (await stack.send("POST", body, {**JSON_BODY, "accept": "application/xml, text/html"})).status == 406
    for content in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=gbk",
        "application/graphql",
    ):
        assert (await stack.send("POST", body, {**JSON_BODY, "content-type": content})).status == 415, content
    assert (await stack.send("POST", body, {"accept": GRAPHQL})).status == 415
    assert (await stack.send("POST", body, {**JSON_BODY, "content-encoding": "gzip"})).status == 415
    assert (
        await stack.send("POST", body, {**JSON_BODY, "content-type": "application/json; charset=UTF-8"})
    ).status == 200
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        refused = await stack.send(method, None, JSON_BODY)
        assert refused.status == 405, method
        assert "POST" in refused.headers["allow"]


def bodies() -> list[tuple[str, bytes]]:
    deep = 100_000
    query = json.dumps({"query": "{ viewer { view } }"}).encode()
    return [
        ("empty", b""),
        ("no JSON", b"{"),
        ("cut", query[:-3]),
        ("invalid UTF-8", query.replace(b"view }", b"\xff\xfe }")),
        ("UTF-16", query.decode().encode("utf-16")),
        ("a batch", b"[" + query + b"]"),
        ("null", b"null"),
        ("a number", b"1" + b"0" * 5_000),
        ("deep JSON", b"[" * deep + b"]" * deep),
        ("deep objects", b'{"a":' * deep + b"1" + b"}" * deep),
        ("deep variables", b'{"query":"{ viewer { view } }","variables":{"a":' + b"[" * deep + b"]" * deep + b"}}"),
        ("no query", b"{}"),
        ("query no string", b'{"query":1}'),
        ("query null", b'{"query":null}'),
        ("variables a list", b'{"query":"{ viewer { view } }","variables":[]}'),
        ("extensions a text", b'{"query":"{ viewer { view } }","extensions":"x"}'),
        ("operationName a number", b'{"query":"{ viewer { view } }","operationName":1}'),
        ("unknown operation", b'{"query":"query A { viewer { view } }","operationName":"B"}'),
        ("two operations", b'{"query":"query A { viewer { view } } query B { viewer { view } }"}'),
        ("no operation", b'{"query":"fragment F on Query { viewer { view } }"}'),
        ("not GraphQL", b'{"query":"{{{"}'),
        ("lone surrogate", b'{"query":"{ viewer { view } } # \\ud800"}'),
        ("lone surrogate in a name", b'{"query":"{ view\\ud800er { view } }"}'),
        ("NUL", b'{"query":"{ viewer { view } \\u0000 }"}'),
        ("deep query", json.dumps({"query": "{ a" * 5_000 + "}" * 5_000}).encode()),
        (
            "deep list value",
            json.dumps({"query": f"{{ subjects(usccs: {'[' * 5_000}{']' * 5_000}) {{ id }} }}"}).encode(),
        ),
        ("many fields", json.dumps({"query": "{ viewer { " + "view " * 50_000 + "} }"}).encode()),
        ("fragment cycle", b'{"query":"{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"}'),
        ("wide fragments", json.dumps({"query": _bomb()}).encode()),
        ("huge int", b'{"query":"query Q($n: Int) { records(first: $n) { totalCount } }","variables":{"n":1e400}}'),
        ("NaN", b'{"query":"query Q($n: Int) { records(first: $n) { totalCount } }","variables":{"n":NaN}}'),
        ("bad code", b'{"query":"{ subject(uscc: \\"91\\") { id } }"}'),
        ("NUL in a code", b'{"query":"query Q($u: Uscc!) { subject(uscc: $u) { id } }","variables":{"u":"9\\u0000"}}'),
        ("bad id", b'{"query":"{ node(id: \\"???\\") { id } }"}'),
        ("bad cursor", b'{"query":"{ records(after: \\"???\\") { totalCount } }"}'),
        ("first 0", b'{"query":"{ records(first: 0) { totalCount } }"}'),
        ("first 101", b'{"query":"{ records(first: 101) { totalCount } }"}'),
        ("a mutation", b'{"query":"mutation { a }"}'),
        ("a subscription", b'{"query":"subscription { a }"}'),
        ("too large", b'{"query":"' + b" " * 1_100_000 + b'"}'),
    ]


def _bomb() -> str:
    levels = 25
    parts = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return "{ ...F0 } " + " ".join(parts) + f" fragment F{levels} on Query {{ viewer {{ nothing }} }}"


@pytest.mark.parametrize(("name", "body"), bodies(), ids=[name for name, _ in bodies()])
async def test_what_is_malformed_is_a_4xx_and_never_a_5xx(stack: Stack, name: str, body: bytes) -> None:
    for headers in (JSON_BODY, {**JSON_BODY, "authorization": f"Bearer {stack.tokens['restricted']}"}):
        reply = await stack.send("POST", body, headers)
        assert 400 <= reply.status < 500 or (name, reply.status) in {
            ("many fields", 200),
            ("lone surrogate", 200),
        }, (reply.status, reply.body[:300])
        assert b"INTERNAL" not in reply.body
        assert reply.seconds < 2, reply.seconds
        assert reply.json.get("errors") or reply.json.get("data")


async def test_query_strings(stack: Stack) -> None:
    for query in (
        "",
        "?query=",
        "?query=%ff",
        "?query={a&query={b}",
        "?query={viewer{view}}&variables=[",
        "?x=" + "y" * 9_000,
    ):
        reply = await stack.send("GET", None, {"accept": GRAPHQL}, query)
        assert 400 <= reply.status < 500, (query[:20], reply.status)


async def test_messages_in_the_language_asked_for(stack: Stack) -> None:
    found: dict[str, Any] = {}
    for language in ("zh-CN,zh;q=0.9", "en-GB"):
        reply = await stack.ask(NAME, {"uscc": "91"}, headers={"accept-language": language})
        found[language[:2]] = reply.json["errors"][0]
    assert found["zh"]["extensions"] == found["en"]["extensions"] == {"code": "BAD_USER_INPUT"}
    assert not found["zh"]["message"].isascii()
    assert found["en"]["message"].isascii()

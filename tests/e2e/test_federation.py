"""Promises about the federation, over HTTP: what the compatibility suite of Apollo's subgraphs asks of one, as far as
this subgraph has it (docs/federation.md says what does not apply), and the rules of /graphql for it all the same.

The long test runs scripts/federation_check.py: two composers, two routers, two prefectures as processes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from e2e_stack import ROOT, STRANGER, Stack
from graphql import parse, print_ast

from scripts.federation_npm import EXAMPLE, NotThere, installed

PAGE = (ROOT / "docs" / "federation.md").read_text(encoding="utf-8")
SERVICE = "{ _service { sdl } }"
# As routers write it: the keys in one variable, a fragment for each type, __typename of each.
ROUTED = """query Archive__bortala__1($representations: [_Any!]!) {
  _entities(representations: $representations) { ... on Subject { __typename uscc name onRecord } }
}"""


def of(*usccs: str) -> list[dict[str, Any]]:
    return [{"__typename": "Subject", "uscc": uscc} for uscc in usccs]


async def test_service_sdl_of_each_view(stack: Stack) -> None:
    told = {}
    for view in ("public", "restricted", "internal"):
        sdl = (await stack.ask(SERVICE, token=stack.tokens.get(view))).data["_service"]["sdl"]
        told[view] = {print_ast(node).partition("{")[0] for node in parse(sdl).definitions}
        assert 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9"' in sdl
        assert re.search(r'^type Subject implements Node @key\(fields: "uscc"\) \{', sdl, re.MULTILINE)
        assert ("identityNumber" in sdl) == (view == "internal")
        assert ("@requiresScopes(scopes:" in sdl) == (view != "public")
    assert len(told["public"]) < len(told["restricted"]) < len(told["internal"])


async def test_entities_by_key_in_order_with_their_type(stack: Stack) -> None:
    first, second = stack.enterprises()[:2]
    asked = {"representations": of(second, STRANGER, first)}
    found = (await stack.ask(ROUTED, asked)).data["_entities"]
    assert [one and (one["__typename"], one["uscc"]) for one in found] == [
        ("Subject", second),
        None,
        ("Subject", first),
    ]
    found = (await stack.ask(ROUTED, asked, token=stack.tokens["restricted"])).data["_entities"]
    assert [(one["uscc"], one["onRecord"]) for one in found] == [(second, True), (STRANGER, False), (first, True)]
    literal = f'{{ _entities(representations: [{{__typename: "Subject", uscc: "{first}"}}]) {{ __typename }} }}'
    assert (await stack.ask(literal)).data["_entities"] == [{"__typename": "Subject"}]


async def test_introspection_has_the_federations_own_types(stack: Stack) -> None:
    kinds = '{ any: __type(name: "_Any") { kind } service: __type(name: "_Service") { fields { name } } }'
    assert (await stack.ask(kinds)).data == {"any": {"kind": "SCALAR"}, "service": {"fields": [{"name": "sdl"}]}}
    members = '{ __type(name: "_Entity") { kind possibleTypes { name } } }'
    assert (await stack.ask(members)).data["__type"] == {"kind": "UNION", "possibleTypes": [{"name": "Subject"}]}


async def test_a_narrowed_client_is_told_at_each_element(stack: Stack) -> None:
    """Its scope holds for keys that a router brings as for its own."""
    organ, enterprise = stack.organ, stack.enterprises()[0]
    answer = await stack.ask(ROUTED, {"representations": of(organ, enterprise)}, token=stack.tokens["scoped"])
    assert [one and one["uscc"] for one in answer.json["data"]["_entities"]] == [None, enterprise]
    assert [(e["path"], e["extensions"]["code"]) for e in answer.json["errors"]] == [(["_entities", 0], "FORBIDDEN")]


async def test_what_was_shown_is_in_the_ledger(stack: Stack) -> None:
    uscc = stack.enterprises()[0]
    before = await stack.owner.fetchval("select count(*) from ledger.disclosure")
    await stack.ask(ROUTED, {"representations": of(uscc, uscc)}, token=stack.tokens["restricted"])
    await stack.ask(SERVICE, token=stack.tokens["restricted"])
    rows = await stack.owner.fetch("select * from ledger.disclosure order by at desc limit 2")
    assert await stack.owner.fetchval("select count(*) from ledger.disclosure") == before + 2
    shown = {str(one) for row in rows for one in row["subject_ids"] or ()}
    (known,) = await stack.owner.fetch("select external_id from core.subject where uscc = $1", uscc)
    assert shown == {str(known["external_id"])}
    assert [row["outcome"] for row in rows] == ["ANSWERED"] * 2


async def test_above_the_public_view_a_router_asks_by_post(stack: Stack) -> None:
    """And for nobody without a token: a router has no view of its own."""
    url = f"{stack.base}/graphql"
    async with stack.session.get(url, params={"query": SERVICE}) as reply:
        assert reply.status == 200
    headers = {"authorization": f"Bearer {stack.tokens['restricted']}"}
    async with stack.session.get(url, params={"query": SERVICE}, headers=headers) as reply:
        assert reply.status == 405
    above = ROUTED.replace("onRecord", "peers { onRecord }")
    assert (await stack.ask(above, {"representations": of(STRANGER)})).code == "GRAPHQL_VALIDATION_FAILED"


def test_the_example_is_pinned_and_the_page_shows_it() -> None:
    versions = json.loads((EXAMPLE / "package.json").read_text(encoding="utf-8"))["dependencies"].values()
    assert all(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) for version in versions)
    for path in EXAMPLE.iterdir():
        assert path.name in PAGE, path.name


@pytest.mark.long
def test_composers_and_routers() -> None:
    try:
        installed()
    except NotThere as error:
        pytest.skip(f"the npm packages can't be had: {error}")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.federation_check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "as it should be" in done.stdout

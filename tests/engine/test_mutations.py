"""Promises of mutations: what is changed, what is answered and its disclosure are one transaction, root fields run in
their order, a refusal changes nothing; and a consent is seen and revoked by its two sides alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.principal import Principal
from gateway.engine import mutate
from gateway.engine.execute import Engine, Limits, Request
from gateway.engine.scans import LARGE_ONES
from gateway.errors import Refused
from gateway.storage.database import Database
from tests.engine import small_world
from tests.engine.conftest import World
from tests.engine.mutating import (
    LIST,
    NODE,
    RECORD,
    REVOKE,
    TODAY,
    WHOLE,
    Connection,
    ask,
    count,
    day,
    given,
    other,
    process,
    recorded,
    waiting,
)
from tests.engine.small_world import FIRM, OLD_ORGAN, ORGAN, SHOP, STRANGER
from tests.machine import stopwatch


@pytest.fixture(scope="module")
async def engine(database: Database, world: World) -> AsyncIterator[Engine]:
    async with process(database) as made:
        yield made


# What is recorded, and who sees it ---------------------------------------------------------------------------------


async def test_a_consent_is_recorded_and_answered(engine: Engine, world: World, owner: Connection) -> None:
    who = replace(world.principal("restricted"), case_number="recorded whole")
    who = replace(who, own_scope=json.dumps(json.loads(who.own_scope or "") | {"case": "recorded whole"}))
    found = await ask(engine, who, WHOLE, {"input": given(documentSha256="AB" * 32, scope=["BANKS", "BANKS"])})
    payload = found["recordConsent"]
    consent = payload["consent"]
    assert consent.pop("id") == payload["consentId"]
    assert consent == {
        "uscc": FIRM,
        "subject": {"name": '示例"引号"有限公司'},
        "granteeUscc": ORGAN,
        "grantee": {"name": "示例博州财政局"},
        "matter": "GRANT",
        "scope": ["BANKS"],
        "validFrom": day(0),
        "validTo": day(100),
        "method": "PAPER_SIGNED",
        "documentSha256": "ab" * 32,
        "revokedAt": None,
        "revokedBy": None,
        "revocationReason": None,
    }
    row = await owner.fetchrow("select * from core.consent where node_id = $1", payload["consentId"])
    assert (row["client_id"], row["case_number"], row["grantee_uscc"]) == ("client", "recorded whole", ORGAN)
    assert row["external_id"].version == 4
    (disclosed,) = await owner.fetch("select * from ledger.disclosure where case_number = 'recorded whole'")
    assert (disclosed["view"], disclosed["outcome"], disclosed["operation_name"]) == ("RESTRICTED", "ANSWERED", None)
    assert {*disclosed["subject_ids"]} == {small_world.organisation_uuid(FIRM)}
    assert disclosed["snapshot"].count(":") == 2
    assert json.loads(disclosed["variables"])["input"]["uscc"] == FIRM


async def test_a_subject_that_is_not_on_record_can_consent_too(engine: Engine, world: World) -> None:
    found = await ask(engine, world.principal("restricted"), WHOLE, {"input": given(uscc=STRANGER)})
    assert found["recordConsent"]["consent"]["uscc"] == STRANGER
    assert found["recordConsent"]["consent"]["subject"] is None


async def test_whom_a_change_concerns_is_told_whatever_is_selected(
    engine: Engine, world: World, owner: Connection
) -> None:
    """So is whom consents were asked about, by code, whether there are any or none."""
    told = "select subject_ids from ledger.disclosure where case_number = $1 order by at desc limit 1"

    async def names(case: str, query: str, variables: dict[str, Any]) -> list[Any]:
        found = await ask(engine, replace(world.principal("restricted"), case_number=case), query, variables)
        assert isinstance(found, dict), found
        return [found, {*await owner.fetchval(told, case)}]

    for code in (SHOP, STRANGER):
        whom = {small_world.organisation_uuid(code)}
        count = "query C($u: Uscc!) { viewer { consents(uscc: $u) { totalCount } } }"
        before, shown = await names(f"count {code}", count, {"u": code})
        assert shown == whom
        recorded, shown = await names(f"record {code}", RECORD, {"input": given(uscc=code)})
        assert shown == whom
        revoke = "mutation R($id: ID!) { revokeConsent(input: {consentId: $id}) { __typename } }"
        _, shown = await names(f"revoke {code}", revoke, {"id": recorded["recordConsent"]["consentId"]})
        assert shown == whom
        after, _ = await names(f"again {code}", count, {"u": code})
        assert [one["viewer"]["consents"]["totalCount"] for one in (after, before)] == [
            before["viewer"]["consents"]["totalCount"] + 1,
            before["viewer"]["consents"]["totalCount"],
        ]


async def test_the_two_sides_see_it_and_nobody_else(engine: Engine, world: World) -> None:
    consent = await recorded(engine, world.principal("restricted"), uscc=SHOP)

    async def seen(who: Principal) -> tuple[bool, bool]:
        listed = await ask(engine, who, LIST)
        node = (await ask(engine, who, NODE, {"id": consent}))["node"]
        assert node in (None, {"__typename": "Consent", "id": consent, "uscc": SHOP})
        edges = listed["viewer"]["consents"]["edges"]
        return consent in {edge["node"]["id"] for edge in edges}, node is not None

    yes, no = (True, True), (False, False)
    assert await seen(world.principal("restricted")) == yes
    assert await seen(world.principal("restricted_scoped")) == yes
    assert await seen(world.principal("internal")) == yes
    assert await seen(world.principal("restricted_scoped", regions=["652701"])) == yes
    assert await seen(world.principal("restricted_scoped", kinds=["ENTERPRISE"])) == no
    assert await seen(world.principal("self", own=SHOP)) == yes
    assert await seen(world.principal("self", own=FIRM)) == no
    assert await seen(other(world)) == no
    assert await seen(other(world, "internal")) == no
    assert (await ask(engine, world.principal("public"), NODE.replace("... on Consent { uscc }", ""), {"id": consent}))[
        "node"
    ] is None
    assert (await ask(engine, world.principal("public"), LIST))[0][0] == "GRAPHQL_VALIDATION_FAILED"
    unscoped = engine._pools["restricted"]
    assert await unscoped.fetch(
        "select to_regclass('v_restricted.consent') is null as gone", (), read=lambda r: r[0][0]
    )


async def test_pages_of_consents(engine: Engine, world: World) -> None:
    ids = {await recorded(engine, world.principal("restricted"), uscc=ORGAN) for _ in range(3)}
    page = """query P($u: Uscc!, $after: String) { viewer { consents(uscc: $u, first: 2, after: $after) { totalCount
      pageInfo { hasNextPage endCursor } edges { node { id } } } } }"""
    first = (await ask(engine, world.principal("restricted"), page, {"u": ORGAN}))["viewer"]["consents"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], len(first["edges"])) == (3, True, 2)
    after = {"u": ORGAN, "after": first["pageInfo"]["endCursor"]}
    second = (await ask(engine, world.principal("restricted"), page, after))["viewer"]["consents"]
    assert {edge["node"]["id"] for edge in first["edges"] + second["edges"]} == ids
    records = "d2026-01-31" + small_world.FIRST_RECORD_ID
    refused = await ask(engine, world.principal("restricted"), page, {"u": OLD_ORGAN, "after": records})
    assert refused[0][0] == "BAD_USER_INPUT"


# Refusals ------------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another grantee": ({"granteeUscc": OLD_ORGAN}, "FORBIDDEN", "granteeUscc must be"),
    "another matter": ({"matter": "TENDERING"}, "BAD_USER_INPUT", "matter differs"),
    "ends before it begins": ({"validFrom": day(5), "validTo": day(4)}, "BAD_USER_INPUT", "validTo is before"),
    "ended": ({"validFrom": day(-9), "validTo": day(-1)}, "BAD_USER_INPUT", "validTo is in the past"),
    "too long": ({"validTo": day(3 * 366)}, "BAD_USER_INPUT", "3 years at most"),
    "unknown scope": ({"scope": ["BANKS", "COURTS"]}, "BAD_USER_INPUT", "scope has a code"),
    "no scope": ({"scope": []}, "BAD_USER_INPUT", "scope must have"),
    "hash": ({"documentSha256": "g" * 64}, "BAD_USER_INPUT", "documentSha256 is no"),
    "short hash": ({"documentSha256": "ab" * 31}, "BAD_USER_INPUT", "documentSha256 is no"),
    "code": ({"uscc": FIRM[:-1] + "Z"}, "BAD_USER_INPUT", "$input.uscc: not a unified"),
    "method": ({"method": "TELEPHONE"}, "BAD_USER_INPUT", "$input.method"),
    "missing": ({"validTo": None}, "BAD_USER_INPUT", "$input.validTo is required"),
    "not a day": ({"validTo": "2026-02-30"}, "BAD_USER_INPUT", "$input.validTo: not a day"),
    "surrogate": ({"matter": "\ud800"}, "BAD_USER_INPUT", "text must not have"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_is_refused_changes_nothing(engine: Engine, world: World, owner: Connection, name: str) -> None:
    changes, code, message = REFUSALS[name]
    before = await count(owner)
    refused = await ask(
        engine, world.principal("restricted"), RECORD, {"input": given(**changes)}, idempotency_key=name
    )
    assert isinstance(refused, list), refused
    assert refused[0][0] == code
    assert refused[0][1].startswith(message) or message in refused[0][1]
    assert await count(owner) == before
    assert await count(owner, "core.idempotent_reply where reply is null") == 0


async def test_the_longest_and_the_shortest_term(engine: Engine, world: World) -> None:
    last = TODAY.replace(year=TODAY.year + 3) if (TODAY.month, TODAY.day) != (2, 29) else TODAY + dt.timedelta(1095)
    assert await recorded(engine, world.principal("restricted"), validTo=last.isoformat())
    assert await recorded(engine, world.principal("restricted"), validFrom=day(0), validTo=day(0))
    assert await recorded(engine, world.principal("restricted"), validFrom=day(-50), validTo=day(0))


@pytest.mark.parametrize("narrowing", [{"kinds": ["ORGAN"]}, {"regions": ["65"]}, {"list": "none"}])
async def test_narrowing_decides_whose_consent_can_be_recorded(
    engine: Engine, world: World, owner: Connection, narrowing: dict[str, Any]
) -> None:
    who = world.principal("restricted_scoped", **narrowing)
    within = {FIRM} if "regions" in narrowing else set()
    before = await count(owner)
    for uscc in (FIRM, STRANGER):
        found = await ask(engine, who, RECORD, {"input": given(uscc=uscc)})
        assert isinstance(found, dict) == (uscc in within), (uscc, found)
        if uscc not in within:
            assert found[0][0] == "FORBIDDEN"
    assert await count(owner) == before + len(within)


async def test_a_subjects_own_account_records_none(engine: Engine, world: World, owner: Connection) -> None:
    before = await count(owner)
    account = replace(world.principal("self"), organisation_uscc=FIRM)
    refused = await ask(engine, account, RECORD, {"input": given(granteeUscc=FIRM, matter="SELF")})
    assert refused == [("FORBIDDEN", refused[0][1])]
    assert await count(owner) == before


async def test_no_source_is_asked_and_nothing_comes_by_get(engine: Engine, world: World, owner: Connection) -> None:
    before = await count(owner)
    deep = RECORD.replace("{ consentId }", "{ consent { subject { courts { answer { status } } } } }")
    refused = await ask(engine, world.principal("restricted"), deep, {"input": given()})
    assert refused == [("BAD_USER_INPUT", refused[0][1])]
    assert "no source" in refused[0][1]
    request = Request(RECORD, None, {"input": given()}, reads_only=True)
    with pytest.raises(Refused) as caught:
        await engine.answer(world.principal("restricted"), request)
    assert caught.value.status == 405
    many = "mutation M($input: RecordConsentInput!) { " + " ".join(
        f"a{n}: recordConsent(input: $input) {{ consentId }}" for n in range(11)
    )
    assert (await ask(engine, world.principal("restricted"), many + " }", {"input": given()}))[0][
        0
    ] == "QUERY_TOO_COSTLY"
    assert await count(owner) == before


async def test_a_name_alone_is_answered_and_disclosed(engine: Engine, world: World, owner: Connection) -> None:
    who = replace(world.principal("restricted"), case_number="a name alone")
    assert await ask(engine, who, "mutation { a: __typename }") == {"a": "Mutation"}
    assert await owner.fetchval("select count(*) from ledger.disclosure where case_number = 'a name alone'") == 1


# Revocation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["restricted", "internal", "self"])
async def test_each_side_revokes_once_and_for_good(engine: Engine, world: World, owner: Connection, side: str) -> None:
    consent = await recorded(engine, world.principal("restricted"))
    who = world.principal(side)
    why = "主体 652701199001011234 来函"
    first = (await ask(engine, who, REVOKE, {"id": consent, "why": why}))["revokeConsent"]["consent"]
    assert first["revokedBy"] == ("SUBJECT" if side == "self" else "GRANTEE")
    assert first["revocationReason"] == "主体 6527**********1234 来函"
    assert first["revokedAt"].endswith("+08:00")
    again = (await ask(engine, world.principal("restricted"), REVOKE, {"id": consent}))["revokeConsent"]["consent"]
    assert again == first
    rows = await owner.fetch(
        "select 1 from core.consent_revocation r join core.consent c on c.id = r.consent_id where c.node_id = $1",
        consent,
    )
    assert len(rows) == 1


async def test_nobody_else_revokes(engine: Engine, world: World, owner: Connection) -> None:
    consent = await recorded(engine, world.principal("restricted"))
    before = await count(owner, "core.consent_revocation")
    unknown = small_world.node_id("C", small_world.RECORD_IDS[0])
    strangers = [
        (other(world), consent),
        (other(world, "internal"), consent),
        (world.principal("self", own=SHOP), consent),
        (world.principal("restricted_scoped", kinds=["ORGAN"]), consent),
        (world.principal("restricted"), unknown),
    ]
    told = [await ask(engine, who, REVOKE, {"id": id}) for who, id in strangers]
    assert told == [told[0]] * len(strangers)  # unknown and another's read the same
    assert told[0][0][0] == "FORBIDDEN"
    for id in ("x", small_world.FIRM_ID, small_world.FIRST_RECORD_ID):
        assert (await ask(engine, world.principal("restricted"), REVOKE, {"id": id}))[0][0] == "BAD_USER_INPUT"
    long = {"id": consent, "why": "x" * 501}
    assert (await ask(engine, world.principal("restricted"), REVOKE, long))[0][0] == "BAD_USER_INPUT"
    assert await count(owner, "core.consent_revocation") == before


# One transaction -----------------------------------------------------------------------------------------------------


async def test_root_fields_run_one_after_the_other(engine: Engine, world: World, owner: Connection) -> None:
    """The payload of a field shows what the fields before it did, and nothing of those after it."""
    consent = await recorded(engine, world.principal("restricted"))
    twice = """mutation T($input: RecordConsentInput!, $id: ID!, $no: Boolean!) {
      b: recordConsent(input: $input) { consentId } t: __typename
      skipped: recordConsent(input: $input) @include(if: $no) { consentId }
      a: revokeConsent(input: {consentId: $id, reason: "一"}) { consent { revocationReason } }
      c: revokeConsent(input: {consentId: $id, reason: "二"}) { consent { revocationReason } } }"""
    before = await count(owner)
    who = replace(world.principal("restricted"), case_number="in order")
    body = await engine.answer(who, Request(twice, None, {"input": given(), "id": consent, "no": False}))
    found = json.loads(body)["data"]
    assert list(found) == ["b", "t", "a", "c"]
    assert found["a"] == found["c"] == {"consent": {"revocationReason": "一"}}
    assert found["t"] == "Mutation"
    assert await count(owner) == before + 1
    rows = await owner.fetch("select * from ledger.disclosure where case_number = 'in order'")
    assert len(rows) == 3  # a snapshot for each payload


async def test_the_second_is_refused_and_the_first_is_undone(engine: Engine, world: World, owner: Connection) -> None:
    two = """mutation T($input: RecordConsentInput!, $id: ID!) { a: recordConsent(input: $input) { consentId }
      b: revokeConsent(input: {consentId: $id}) { consent { id } } }"""
    before = await count(owner)
    who = replace(world.principal("restricted"), case_number="undone")
    unknown = small_world.node_id("C", small_world.RECORD_IDS[0])
    with pytest.raises(Refused) as caught:
        await engine.answer(who, Request(two, None, {"input": given(), "id": unknown}, idempotency_key="undone"))
    assert caught.value.code == "FORBIDDEN"
    assert caught.value.errors[0].locations == [(2, 7)] or caught.value.errors[0].locations == ((2, 7),)
    assert await count(owner) == before
    outcomes = await owner.fetch("select outcome from ledger.disclosure where case_number = 'undone'")
    assert [row[0] for row in outcomes] == ["FORBIDDEN"]


async def test_without_its_disclosure_nothing_is_changed(
    engine: Engine, world: World, owner: Connection, database: Database
) -> None:
    before = await count(owner)
    role = f'"{database.prefix}_restricted_scoped"'
    await owner.execute("alter function v_restricted_scoped.disclose_one rename to gone")
    try:
        refused = await ask(engine, world.principal("restricted"), RECORD, {"input": given()})
    finally:
        await owner.execute("alter function v_restricted_scoped.gone rename to disclose_one")
    assert refused[0][0] == "STORAGE_UNAVAILABLE"
    name = "v_restricted_scoped.disclose_one"
    await owner.execute(f"revoke execute on function {name} from {role}")
    try:
        refused = await ask(engine, world.principal("restricted"), RECORD, {"input": given()})
    finally:
        await owner.execute(f"grant execute on function {name} to {role}")
    assert refused[0][0] == "LEDGER_UNAVAILABLE"
    assert await count(owner) == before


async def test_more_subjects_than_the_token_allows_undo_it(engine: Engine, world: World, owner: Connection) -> None:
    query = """mutation T($input: RecordConsentInput!) { recordConsent(input: $input) { consent { subject { name
      records(first: 9) { edges { node { authority { uscc name records(first: 1) { totalCount } } } } } } } } }"""
    who = replace(world.principal("restricted"), max_subjects=1)
    before = await count(owner)
    assert (await ask(engine, who, query, {"input": given()}))[0][0] == "BAD_USER_INPUT"
    assert await count(owner) == before
    assert isinstance(await ask(engine, replace(who, max_subjects=9), query, {"input": given()}), dict)


async def test_a_client_that_leaves_takes_it_along(database: Database, world: World, owner: Connection) -> None:
    """While the mutation waits for a lock its client leaves: nothing is written, and the connection serves on."""
    before = await count(owner)
    async with process(database) as engine:
        async with owner.transaction():
            await owner.execute("lock table core.consent in exclusive mode")
            task = asyncio.ensure_future(ask(engine, world.principal("restricted"), RECORD, {"input": given()}))
            await waiting(owner)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.2)
        assert await count(owner) == before
        await recorded(engine, world.principal("restricted"))


async def test_its_deadline_holds(database: Database, world: World, owner: Connection) -> None:
    async with process(database) as engine, owner.transaction():
        await owner.execute("lock table core.consent in exclusive mode")
        began = asyncio.get_running_loop().time()
        with stopwatch() as seconds:
            refused = await ask(engine, world.principal("restricted"), RECORD, {"input": given()}, deadline=0.3)
            assert seconds() < 1.0
        assert asyncio.get_running_loop().time() - began > 0.25
    assert refused[0][0] == "STORAGE_UNAVAILABLE"
    assert "nothing was disclosed" in refused[0][1]


async def test_large_payloads_wait_for_their_turn(
    engine: Engine, world: World, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payload may read as much as any question."""
    who, before = world.principal("restricted"), await count(owner)
    view = who.under_scope().access.name
    monkeypatch.setattr(mutate, "LARGE", 1)
    monkeypatch.setattr(engine._mutations, "_limits", Limits(cost=50_000, cost_public=5_000, storage=0.4))
    async with contextlib.AsyncExitStack() as stack:
        for number in range(LARGE_ONES):
            await stack.enter_async_context(engine._scans.large(view, time.monotonic() + 60, str(number)))
        refused = await ask(engine, who, WHOLE, {"input": given()})
    assert refused[0][0] == "RATE_LIMITED"
    assert await count(owner) == before
    assert "recordConsent" in await ask(engine, who, WHOLE, {"input": given()})

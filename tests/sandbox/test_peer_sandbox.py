"""The sandbox keeps the peers' wire contract: assertions, purposes, documents by hash, pages, each of its faults."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from courts_sandbox_client import Clock
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey
from peer_sandbox_client import (
    ASKER,
    FEW,
    GIVEN,
    LISTING,
    MANY,
    NOBODY,
    PAGE_HASH,
    REFUSED,
    SUBJECTS_HASH,
    PeerClient,
    persisted,
    sign_p256,
)

from sandbox.peer_answers import ANSWER_FAULTS, ERRORS
from sandbox.peer_data import GivenSubjects, SyntheticPeer
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_PRIVATE_JWK, DEV_PEER_PUBLIC_JWK, PeerRegion
from sandbox.peer_tokens import public_keys
from sandbox.server import Running, start_peer_region
from sandbox.subjects import make_uscc

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "contract"


def test_documents_are_the_contract_s_byte_for_byte() -> None:
    for name, expected in (("peer.graphql", SUBJECTS_HASH), ("peer-page.graphql", PAGE_HASH)):
        assert hashlib.sha256((ROOT / "sandbox" / "documents" / name).read_bytes()).hexdigest() == expected
        if (SHARED / name).exists():
            assert hashlib.sha256((SHARED / name).read_bytes()).hexdigest() == expected


# --- tokens


async def test_token(peer_client: PeerClient) -> None:
    reply = await peer_client.fetch_token()
    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "Bearer", 300)
    assert (reply.json["scope"], reply.json["authorization_details"][0]["matter"]) == ("view:restricted", "GRANT")
    assert reply.headers["Cache-Control"] == "no-store"


async def test_audience_as_a_list_of_one(peer_client: PeerClient) -> None:
    assert (await peer_client.fetch_token(claims={"aud": [peer_client.base]})).status == 200


async def test_es256(session: aiohttp.ClientSession, clock: Clock) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = ECKey.import_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    keys = {DEV_PEER_CLIENT_ID: public_keys({"keys": [public.as_dict(private=False), dict(DEV_PEER_PUBLIC_JWK)]})}
    async with await start_peer_region(keys=keys, clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        sign = partial(sign_p256, private)
        assert (await caller.fetch_token(client_assertion=caller.assertion(sign, "ES256"))).status == 200
        assert (await caller.fetch_token(client_assertion=caller.assertion(sign, "EdDSA"))).status == 401
        assert (await caller.fetch_token()).status == 200  # the other key of the set
        for kid, status in (("dev-peer-1", 200), ("other", 401)):
            assert (await caller.fetch_token(client_assertion=caller.assertion(kid=kid))).status == status


WRONG_CLAIMS: dict[str, Callable[[int], Any]] = {
    "iss": lambda now: "other",
    "sub": lambda now: "other",
    "aud": lambda now: "https://other.example",
    "jti": lambda now: None,
    "iat": lambda now: None,
    "exp": lambda now: None,
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
async def test_a_wrong_claim(peer_client: PeerClient, name: str) -> None:
    reply = await peer_client.fetch_token(claims={name: WRONG_CLAIMS[name](0)})
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")


async def test_wrong_times_and_audiences(peer_client: PeerClient, clock: Clock) -> None:
    now, base = int(clock.now), peer_client.base
    for claims in (
        {"exp": now + 301},
        {"exp": now},
        {"exp": str(now + 60)},
        {"exp": True},
        {"iat": now + 120},
        {"aud": [base, base]},
        {"aud": [base, "https://other.example"]},
        {"aud": []},
        {"aud": base + "/"},
        {"aud": base + "/oauth/token"},
    ):
        assert (await peer_client.fetch_token(claims=claims)).status == 401, claims
    assert (await peer_client.fetch_token(claims={"exp": now + 300})).status == 200


async def test_an_assertion_is_used_once(peer_client: PeerClient, clock: Clock) -> None:
    assertion = peer_client.assertion(jti="one")
    assert (await peer_client.fetch_token(client_assertion=assertion)).status == 200
    clock.now += 200
    assert (await peer_client.fetch_token(client_assertion=assertion)).status == 401
    assert (await peer_client.fetch_token(claims={"jti": "one"})).status == 401
    assert (await peer_client.fetch_token(claims={"jti": "two"})).status == 200


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "断言.断言.断言", "..", "e30.e30." + "A" * 20_000])
async def test_what_is_no_assertion(peer_client: PeerClient, assertion: str) -> None:
    form = peer_client.form() | {"client_assertion": assertion}
    reply = await peer_client.send("POST", "/oauth/token", data=form)
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")


async def test_signatures_that_do_not_hold(peer_client: PeerClient) -> None:
    assert (await peer_client.fetch_token(client_assertion=peer_client.assertion()[:-8] + "AAAAAAAA")).status == 401
    for alg in ("none", "HS256", "Ed25519", "RS256"):
        assertion = peer_client.assertion(alg=alg)
        assert (await peer_client.fetch_token(client_assertion=assertion)).status == 401, alg
    unsigned = peer_client.assertion(lambda _: b"", "none")
    assert (await peer_client.fetch_token(client_assertion=unsigned)).status == 401


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 400, "invalid_request"),
        ({"scope": None}, 400, "invalid_scope"),
        ({"scope": "view:internal"}, 400, "invalid_scope"),
        ({"scope": "view:restricted view:internal"}, 400, "invalid_scope"),
        ({"authorization_details": None}, 400, "invalid_authorization_details"),
        ({"authorization_details": "x"}, 400, "invalid_authorization_details"),
        ({"details": []}, 400, "invalid_authorization_details"),
        ({"details": [{"type": "payment"}]}, 400, "invalid_authorization_details"),
        ({"detail": {"matter": "APPOINTMENT"}}, 400, "invalid_authorization_details"),
        ({"detail": {"matter": ["GRANT"]}}, 400, "invalid_authorization_details"),
        ({"detail": {"case_number": ""}}, 400, "invalid_authorization_details"),
        ({"detail": {"on_behalf_of": "x"}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": 51}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": 0}}, 400, "invalid_authorization_details"),
        ({"detail": {"max_subjects": "50"}}, 400, "invalid_authorization_details"),
    ],
)
async def test_forms_that_are_refused(
    peer_client: PeerClient, changes: dict[str, Any], status: int, error: str
) -> None:
    reply = await peer_client.fetch_token(**changes)
    assert (reply.status, reply.json["error"]) == (status, error)


async def test_a_parameter_twice_is_refused(peer_client: PeerClient) -> None:
    pairs = [*peer_client.form().items(), ("scope", "view:restricted")]
    data = aiohttp.FormData(pairs)
    assert (await peer_client.send("POST", "/oauth/token", data=data)).json["error"] == "invalid_request"


async def test_deny_by_default(session: aiohttp.ClientSession, clock: Clock) -> None:
    async with await start_peer_region(matters=(), clock=clock) as running:
        reply = await PeerClient(running.url, session, clock).fetch_token()
        assert reply.json["error"] == "invalid_authorization_details"
    async with await start_peer_region(keys={}, clock=clock) as running:
        assert (await PeerClient(running.url, session, clock).fetch_token()).status == 401
    async with await start_peer_region(issuer="https://peer.example", clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        assert (await caller.fetch_token()).status == 401
        assert (await caller.fetch_token(claims={"aud": "https://peer.example"})).status == 200


async def test_a_key_registered_without_a_kid_fits_any(session: aiohttp.ClientSession, clock: Clock) -> None:
    jwk = {name: value for name, value in DEV_PEER_PUBLIC_JWK.items() if name != "kid"}
    async with await start_peer_region(keys={DEV_PEER_CLIENT_ID: public_keys(jwk)}, clock=clock) as running:
        caller = PeerClient(running.url, session, clock)
        assert (await caller.fetch_token(client_assertion=caller.assertion(kid="k1"))).status == 200


@pytest.mark.parametrize("jwk", [{}, {"kty": "OKP", "crv": "Ed448"}, {"kty": "RSA"}, dict(DEV_PEER_PRIVATE_JWK), [], 1])
def test_keys_that_are_none(jwk: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|private|read"):
        public_keys(jwk)


# --- queries


async def test_subjects_in_the_shape_of_the_document(peer_client: PeerClient) -> None:
    reply = await peer_client.subjects(FEW, NOBODY)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/graphql-response+json; charset=utf-8")
    assert list(reply.json) == ["data"]
    few, nobody = reply.json["data"]["subjects"]
    assert list(few) == ["uscc", "onRecord", "name", "kind", "region", "records", "courts"]
    assert (few["uscc"], few["onRecord"], few["name"], few["kind"]) == (FEW, True, "示例邻州公司", "ENTERPRISE")
    assert few["region"] == {"code": "654200", "name": "塔城地区"}
    assert list(few["records"]) == ["totalCount", "pageInfo", "edges"]
    assert few["records"]["totalCount"] == 2
    assert few["records"]["pageInfo"]["hasNextPage"] is False
    first, second = [edge["node"] for edge in few["records"]["edges"]]
    names = "__typename id kind area severity catalogueItem title documentNumber authority decidedOn publishedFrom"
    names += " publishedUntil status underObjection basis amount facts version"
    assert list(first) == names.split()
    assert list(first["authority"]) == ["uscc", "name"]
    assert (first["title"], first["decidedOn"], first["amount"]) == ("示例处罚", "2024-01-02", "12345.67")
    assert (first["__typename"], second["__typename"], second["kind"]) == ("Penalty", "Honour", "HONOUR")
    assert few["courts"] == {"answer": {"status": "CACHED", "asOf": None}, "dishonestListings": [LISTING]}
    assert (nobody["uscc"], nobody["onRecord"], nobody["name"]) == (NOBODY, False, None)
    nothing = {"totalCount": 0, "pageInfo": {"hasNextPage": False, "endCursor": None}, "edges": []}
    assert nobody["records"] == nothing


async def test_length_and_order_are_those_asked_and_refused_ones_are_null(peer_client: PeerClient) -> None:
    reply = await peer_client.subjects(NOBODY, FEW, REFUSED, NOBODY, MANY)
    codes = [each and each["uscc"] for each in reply.json["data"]["subjects"]]
    assert codes == [NOBODY, FEW, None, NOBODY, MANY]


async def test_further_pages(peer_client: PeerClient) -> None:
    [subject] = (await peer_client.subjects(MANY)).json["data"]["subjects"]
    records, titles = subject["records"], []
    assert records["totalCount"] == 230
    for length in (100, 100, 30):
        assert len(records["edges"]) == length
        titles += [edge["node"]["title"] for edge in records["edges"]]
        if records["pageInfo"]["hasNextPage"]:
            reply = await peer_client.page(MANY, records["pageInfo"]["endCursor"])
            assert list(reply.json["data"]["subject"]) == ["records"]
            records = reply.json["data"]["subject"]["records"]
            assert list(records) == ["pageInfo", "edges"]
    assert titles == [f"示例{n}" for n in range(230)]


def _codes(count: int) -> list[str]:
    return [make_uscc("91", "652799", serial) for serial in range(1000, 1000 + count)]


BAD = (400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (persisted(SUBJECTS_HASH, usccs=[]), BAD),
        (persisted(SUBJECTS_HASH, usccs=_codes(51)), BAD),
        (persisted(SUBJECTS_HASH, usccs=[FEW, "x"]), BAD),
        (persisted(SUBJECTS_HASH, usccs=[FEW[:17] + ("0" if FEW[17] != "0" else "1")]), BAD),
        (persisted(SUBJECTS_HASH, usccs=[None]), BAD),
        (persisted(SUBJECTS_HASH, usccs=FEW), BAD),
        (persisted(SUBJECTS_HASH), BAD),
        (persisted(SUBJECTS_HASH, usccs=[FEW], more=1), BAD),
        (persisted(PAGE_HASH, uscc=MANY, after="x"), BAD),
        (persisted(PAGE_HASH, uscc=MANY, after=""), BAD),
        (persisted(PAGE_HASH, uscc="x", after="x"), BAD),
        (persisted(PAGE_HASH, uscc=MANY), BAD),
        ({"query": "{ subjects { uscc } }"}, BAD),
        (persisted(SUBJECTS_HASH, usccs=[FEW]) | {"query": "query PeerSubjects { x }"}, BAD),
        (persisted(SUBJECTS_HASH, usccs=[FEW]) | {"operationName": "Other"}, BAD),
        ({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": SUBJECTS_HASH}}}, BAD),
        ({"extensions": [], "variables": {"usccs": [FEW]}}, BAD),
        ([], BAD),
        ("text", BAD),
        (persisted("00" * 32, usccs=[FEW]), (400, "PERSISTED_DOCUMENT_NOT_FOUND")),
    ],
)
async def test_bad_requests(peer_client: PeerClient, body: Any, refused: tuple[int, str]) -> None:
    reply = await peer_client.graphql(body)
    assert list(reply.json) == ["errors"]  # no data
    assert (reply.status, reply.json["errors"][0]["extensions"]["code"]) == refused


async def test_a_cursor_is_of_its_subject(peer_client: PeerClient) -> None:
    [subject] = (await peer_client.subjects(MANY)).json["data"]["subjects"]
    assert (await peer_client.page(FEW, subject["records"]["pageInfo"]["endCursor"])).status == 400


async def test_no_more_subjects_than_the_token_says(peer_client: PeerClient) -> None:
    await peer_client.fetch_token(detail={"max_subjects": 2})
    assert (await peer_client.subjects(FEW, NOBODY)).status == 200
    assert (await peer_client.subjects(FEW, NOBODY, MANY)).status == 400
    await peer_client.fetch_token()
    assert (await peer_client.subjects(*_codes(50))).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Credit_Hops": "2"}, 400),
        ({"Credit_Hops": "one"}, 400),
        ({"Credit_Hops": "-1"}, 400),
        ({"Credit_Hops": ""}, 400),
        ({"Credit_Hops": None}, 200),
        ({"Credit_Hops": "0"}, 200),
        ({"Credit_Deadline_Ms": "3.5"}, 400),
        ({"Credit_Deadline_Ms": "-1"}, 400),
        ({"Credit_Deadline_Ms": None}, 200),
        ({"Content_Type": "text/plain"}, 415),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "application/*"}, 200),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer made-up"}, 401),
        ({"Authorization": "Basic made-up"}, 401),
    ],
)
async def test_headers(peer_client: PeerClient, headers: dict[str, str | None], status: int) -> None:
    reply = await peer_client.subjects(FEW, **headers)
    assert reply.status == status
    if status == 401:
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_token_ends(peer_client: PeerClient, clock: Clock) -> None:
    assert (await peer_client.subjects(FEW)).status == 200
    clock.now += 300
    assert (await peer_client.subjects(FEW)).json["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_calls_tell_what_matters_and_no_secret(peer_client: PeerClient) -> None:
    await peer_client.subjects(FEW, MANY)
    await peer_client.subjects(FEW, Authorization=None, Credit_Hops="2")
    token, first, second = await peer_client.calls()
    purpose = {"matter": "GRANT", "case_number": "博发改审〔2026〕7号", "on_behalf_of": ASKER}
    assert {name: token[name] for name in ("service", "scope", *purpose)} == {
        "service": "token",
        "scope": "view:restricted",
        **purpose,
    }
    assert {name: first[name] for name in purpose} == purpose
    assert (first["service"], first["usccs"], first["uscc"]) == ("subjects", [FEW, MANY], None)
    assert (first["hops"], first["deadline_ms"], first["sent_query"]) == ("1", "3500", False)
    assert (first["hash"], first["accept"]) == (SUBJECTS_HASH, "application/graphql-response+json")
    assert (second["uscc"], second["hops"], second["matter"]) == (FEW, "2", None)
    text = json.dumps(await peer_client.calls())
    assert peer_client.token not in text
    assert "eyJ" not in text


# --- faults


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_on_request(peer_client: PeerClient, name: str) -> None:
    await peer_client.fetch_token()
    await peer_client.fault(name, text="MARK-7")
    for reply in (await peer_client.subjects(FEW), await peer_client.page(FEW, "x")):
        status, code = ERRORS[name]
        assert reply.status == status
        assert reply.json == {"errors": [{"message": "MARK-7", "extensions": {"code": code}}]}


def _nodes(subject: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in subject["records"]["edges"]]


FALSE: dict[str, Callable[[Any], bool]] = {
    "errors_with_data": lambda json: bool(json.get("errors")) and bool(json["data"]["subjects"]),
    "execution_error": lambda json: bool(json.get("errors")) and json["data"] is None,
    "wrong_length": lambda json: len(json["data"]["subjects"]) != 2,
    "wrong_order": lambda json: [each["uscc"] for each in json["data"]["subjects"]] == [NOBODY, FEW],
    "null_element": lambda json: json["data"]["subjects"] == [None, None],
    "foreign_subject": lambda json: not {FEW, NOBODY} & {each["uscc"] for each in json["data"]["subjects"]},
    "other_region": lambda json: {each["region"]["code"] for each in json["data"]["subjects"]} == {"650100"},
    "wrong_total": lambda json: [each["records"]["totalCount"] for each in json["data"]["subjects"]] == [3, 1],
    "repeated_record": lambda json: all(
        len(_nodes(each)) == each["records"]["totalCount"] == len({node["id"] for node in _nodes(each)}) + 1
        for each in json["data"]["subjects"]
    ),
    "unknown_kind": lambda json: all(node["kind"] == "RUMOUR" for each in _all(json) for node in _nodes(each)),
    "unknown_status": lambda json: all(node["status"] == "HIDDEN" for each in _all(json) for node in _nodes(each)),
    "bad_date": lambda json: all(node["decidedOn"] == "2017-13-45" for each in _all(json) for node in _nodes(each)),
    "bad_amount": lambda json: all(node["amount"] == "1,200.00" for each in _all(json) for node in _nodes(each)),
    "missing_key": lambda json: all("records" not in each for each in json["data"]["subjects"]),
    "wrong_type": lambda json: all(isinstance(each["records"]["edges"], dict) for each in json["data"]["subjects"]),
    "endless_pages": lambda json: all(len(_nodes(each)) == 100 for each in _all(json)),
    "empty_pages": lambda json: all(each["records"]["pageInfo"]["hasNextPage"] for each in _all(json)),
    "repeated_cursor": lambda json: all(each["records"]["pageInfo"]["hasNextPage"] for each in _all(json)),
}


def _all(answer: Any) -> list[dict[str, Any]]:
    return [each for each in answer["data"]["subjects"] if each is not None]


@pytest.mark.parametrize("name", FALSE)
async def test_false_answers(peer_client: PeerClient, name: str) -> None:
    true = (await peer_client.subjects(FEW, NOBODY)).json
    assert not _holds(FALSE[name], true)
    await peer_client.fault(name, "subjects", times=1)
    reply = await peer_client.subjects(FEW, NOBODY)
    assert reply.status == 200
    assert FALSE[name](reply.json)
    assert (await peer_client.subjects(FEW, NOBODY)).json == true  # what the peer knows is not spoiled


def _holds(check: Callable[[Any], bool], answer: Any) -> bool:
    try:
        return check(answer)
    except (KeyError, TypeError):
        return False


@pytest.mark.parametrize("name", ["null_element", "foreign_subject", "wrong_total", "endless_pages", "bad_amount"])
async def test_a_fault_of_one_subject_leaves_the_others(peer_client: PeerClient, name: str) -> None:
    true = (await peer_client.subjects(FEW, MANY)).json["data"]["subjects"]
    await peer_client.fault(name, "subjects", uscc=MANY)
    first, second = (await peer_client.subjects(FEW, MANY)).json["data"]["subjects"]
    assert first == true[0]
    assert second != true[1]


async def test_one_alone_in_wrong_order_and_length(peer_client: PeerClient) -> None:
    await peer_client.fault("wrong_order", "subjects", times=1)
    [subject] = (await peer_client.subjects(FEW)).json["data"]["subjects"]
    assert subject["uscc"] != FEW
    await peer_client.fault("wrong_length", "subjects", times=1)
    assert len((await peer_client.subjects(FEW)).json["data"]["subjects"]) == 2


async def test_pages_that_never_end(peer_client: PeerClient) -> None:
    for name, length in (("endless_pages", 100), ("empty_pages", 0)):
        await peer_client.fault(name, "subjects", times=1)
        [subject] = (await peer_client.subjects(FEW)).json["data"]["subjects"]
        records, cursors, ids = subject["records"], set(), []
        for _ in range(5):
            assert (len(records["edges"]), records["pageInfo"]["hasNextPage"]) == (length, True)
            ids += [edge["node"]["id"] for edge in records["edges"]]
            cursors.add(records["pageInfo"]["endCursor"])
            reply = await peer_client.page(FEW, records["pageInfo"]["endCursor"])
            records = reply.json["data"]["subject"]["records"]
        assert (len(cursors), len(set(ids))) == (5, 5 * length)


async def test_a_cursor_that_repeats(peer_client: PeerClient) -> None:
    await peer_client.fault("repeated_cursor", "subjects", times=1)
    [subject] = (await peer_client.subjects(FEW)).json["data"]["subjects"]
    after = subject["records"]["pageInfo"]["endCursor"]
    records = (await peer_client.page(FEW, after)).json["data"]["subject"]["records"]
    assert records["pageInfo"] == {"hasNextPage": True, "endCursor": after}


async def test_false_further_pages(peer_client: PeerClient) -> None:
    [subject] = (await peer_client.subjects(MANY)).json["data"]["subjects"]
    after = subject["records"]["pageInfo"]["endCursor"]
    for name, wrong in (
        ("errors_with_data", lambda json: "errors" in json and json["data"]["subject"]),
        ("execution_error", lambda json: "errors" in json and json["data"] is None),
        ("bad_amount", lambda json: json["data"]["subject"]["records"]["edges"][0]["node"]["amount"] == "1,200.00"),
        ("missing_key", lambda json: "records" not in json["data"]["subject"]),
        ("wrong_type", lambda json: isinstance(json["data"]["subject"]["records"]["edges"], dict)),
        ("repeated_cursor", lambda json: json["data"]["subject"]["records"]["pageInfo"]["endCursor"] == after),
    ):
        await peer_client.fault(name, "page", times=1)
        assert wrong((await peer_client.page(MANY, after)).json), name


async def test_faults_of_the_token(peer_client: PeerClient) -> None:
    for name, wrong in (
        ("token_refused", lambda json: json["error"] == "invalid_client"),
        ("matter_refused", lambda json: json["error"] == "invalid_authorization_details"),
        ("wrong_token_type", lambda json: json["token_type"] == "DPoP"),
        ("wrong_scope", lambda json: json["scope"] == "view:public"),
        ("missing_key", lambda json: "access_token" not in json),
        ("wrong_type", lambda json: isinstance(json["expires_in"], dict)),
    ):
        await peer_client.fault(name, "token", times=1)
        assert wrong((await peer_client.fetch_token()).json), name
    await peer_client.fetch_token()
    await peer_client.fault("token_refused", "subjects", times=1)
    assert [(await peer_client.subjects(FEW)).status for _ in range(2)] == [401, 401]


def test_every_fault_is_tried_here() -> None:
    tokens = {"token_refused", "matter_refused", "wrong_token_type", "wrong_scope"}
    assert set(ANSWER_FAULTS) == {*FALSE, *ERRORS, *tokens}


# --- data


def test_made_up_subjects_are_the_same_every_time() -> None:
    firms = {make_uscc("91", "652799", serial): f"示例公司{serial}" for serial in range(2000)}
    data, again, other = SyntheticPeer(firms), SyntheticPeer(firms), SyntheticPeer(firms, "2")
    known = {uscc: found for uscc in firms if (found := data.of(uscc)) is not None}
    assert 300 < len(known) < 500
    assert all(again.of(uscc) == found for uscc, found in known.items())
    assert any(other.of(uscc) != found for uscc, found in known.items())
    assert max(len(found.records) for found in known.values()) == 230
    ids = [record["id"] for found in known.values() for record in found.records]
    assert len(set(ids)) == len(ids)
    for found in known.values():
        days = [record["decidedOn"] for record in found.records]
        assert days == sorted(days, reverse=True)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"x": []},
        {"subjects": [{}]},
        {"subjects": [{"uscc": "x", "name": "示例"}]},
        {"subjects": [{"uscc": FEW, "name": "示例", "x": 1}]},
    ],
)
def test_given_subjects_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|has a uscc|unknown"):
        GivenSubjects(wrong)


async def test_given_subjects_can_be_changed(peer_client: PeerClient, peer: Running[PeerRegion]) -> None:
    peer.upstream.data = GivenSubjects({"refused": GIVEN["refused"]})
    assert (await peer_client.subjects(FEW)).json["data"]["subjects"][0]["onRecord"] is False

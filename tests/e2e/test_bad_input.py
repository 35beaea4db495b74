"""Promises about bad input: each kind of it (tests/bad_input) has over HTTP the status and the code that the design
gives it, in Chinese and in English, and a message that is ours: no raw error text, nothing of a higher view, the same
as docs/errors.md shows. What is refused is never answered in part.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

import pytest
import pytest_asyncio
from e2e_stack import CASE, Gateway, Stack, valid

from gateway.auth.clients import ClientStore
from gateway.auth.keys import KeyStore
from gateway.auth.purpose import Purpose
from gateway.auth.registration import Registration, register
from gateway.auth.tokens import Tokens
from gateway.storage.pool import Pool
from tests.bad_input import ANSWERS, CASES, FILE, RECORD
from tests.bad_input.cases import Answer, Case, Known, Sent, send

IDS = [case.name for case in CASES]
# Words of Python, of its libraries and of PostgreSQL, which no message of ours has.
RAW = re.compile(
    r"Traceback|Error\b|Exception|(?-i:\bNone\b|\bTrue\b|\bFalse\b)|\bdict\b|<class|\.py\b|asyncpg|asyncio|graphql[-_]core"
    r"|postgres|\bpg_|\bSQL|relation \"|column \"|line \d+, in|Expecting|codec can't|v_(?:public|restricted|internal)",
    re.IGNORECASE,
)
RECORD_QUERY = "{ records(first: 1) { edges { cursor node { id } } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(stack: Stack) -> Known:
    """What the cases know of the gateway."""
    found = (await stack.ask(RECORD_QUERY)).data["records"]["edges"][0]
    codes = [row["uscc"] for row in stack.organisations]
    codes += [valid(f"91652799YL{number:07}") for number in range(1_001 - len(codes))]
    tokens = dict(stack.tokens) | await bad_tokens(stack)
    tokens["bare"] = await stack.fetch_token(stack.clients["restricted"], case=None)
    return Known(tokens, stack.enterprises()[0], tuple(codes), found["node"]["id"], found["cursor"], stack.organ)


async def bad_tokens(stack: Stack) -> dict[str, str]:
    """Tokens that do not hold, made with the gateway's own key; and the secret of a client."""
    pool = Pool(stack.database.dsn("service"), size=1)
    store = ClientStore(pool)
    wanted = Registration(
        "secretive", "secretive", stack.organ, scopes=("view:restricted",), matters=("GRANT",), secret=True
    )
    secret = await register(store, wanted)
    client = await store.get("restricted")
    await pool.close()
    assert secret is not None
    assert client is not None
    purpose, now = Purpose("GRANT", CASE), time.time()

    def token(at: float = now, **changes: Any) -> str:
        made = {"issuer": stack.base, "audience": stack.settings.audience} | changes
        return Tokens(KeyStore(stack.settings.data_dir / "keys"), **made).issue(
            client, frozenset({"view:restricted"}), purpose, now=at
        )

    good = token()
    assert (await stack.ask("{ viewer { view } }", token=good)).data == {"viewer": {"view": "RESTRICTED"}}
    head, body, signature = good.split(".")
    changed = ("B" if body[20] != "B" else "C").join((body[:20], body[21:]))
    return {
        "secret": secret,
        "expired": token(now - 3_600),
        "early": token(now + 600),
        "audience": token(audience="another-gateway"),
        "issuer": token(issuer="https://elsewhere.example"),
        "altered": f"{head}.{changed}.{signature}",
        "unsigned": f"eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{body}.",
    }


async def answers(stack: Gateway, known: Known, case: Case) -> dict[str, Answer]:
    return {language: await send(stack.session, stack.base, case.make(known), language) for language in ("en", "zh")}


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_case(stack: Stack, known: Known, case: Case) -> None:
    found = await answers(stack, known, case)
    told = {}
    for language, answer in found.items():
        assert answer.status == case.status, answer.body[:500]
        codes = {code for code, _ in answer.errors}
        assert codes == ({case.code} if case.code else set()), answer.body[:500]
        told[language] = [message for _, message in answer.errors]
    if os.environ.get(RECORD):
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        kept = {name: kept[name] for name in IDS if name in kept} | {case.name: told}
        FILE.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        assert told == ANSWERS.get(case.name), "run: python -m tests.bad_input --write, and read what it changed"


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=lambda case: case.name)
def test_messages_are_ours_and_say_what_to_do(case: Case) -> None:
    told = ANSWERS[case.name]
    assert len(told["en"]) == len(told["zh"]) > 0
    if case.name == "persisted":  # words of Apollo's protocol, which its clients compare the message with
        assert told["en"] == told["zh"] == ["PersistedQueryNotSupported"]
        return
    for en, zh in zip(told["en"], told["zh"], strict=True):
        assert not RAW.search(en), en
        assert not RAW.search(zh), zh
        assert len(en) < 400
        if case.code.isupper():  # OAuth has ASCII alone (RFC 6749 §5.2)
            assert "; " in en, f"what is wrong; what to do: {en}"
            assert re.search("[\u4e00-\u9fff]", zh), zh
            assert not re.search("[\u4e00-\u9fff]", en), en


def test_every_case_has_its_answer_and_every_answer_its_case() -> None:
    assert len(IDS) == len(set(IDS))
    assert len(IDS) >= 60
    assert list(ANSWERS) == IDS


@pytest.mark.parametrize(
    ("hidden", "misspelt"),
    [
        (
            "{ records(filter: {statuses: [EXPIRED]}) { totalCount } }",
            "{ records(filter: {statuses: [XXXXXXX]}) { totalCount } }",
        ),
        ("{ viewer { matter { code } } }", "{ viewer { mattex { code } } }"),
        ("{ matters { code } }", "{ mattexx { code } }"),
        ("{ ... on Matter { code } }", "{ ... on Mattex { code } }"),
    ],
)  # fmt: skip
async def test_what_is_above_the_view_reads_like_what_does_not_exist(stack: Stack, hidden: str, misspelt: str) -> None:
    async def errors(query: str) -> list[tuple[str, str, Any]]:
        found = (await stack.ask(query)).json["errors"]
        return [(e["extensions"]["code"], e["message"], e["locations"]) for e in found]

    mask = re.compile(r"EXPIRED|XXXXXXX|\bmatte[rx]+s?\b|\bMatte[rx]\b")
    above, never = await errors(hidden), await errors(misspelt)
    assert above
    assert [(c, mask.sub("?", m), p) for c, m, p in above] == [(c, mask.sub("?", m), p) for c, m, p in never]


@pytest.mark.parametrize(
    ("query", "variables", "places"),
    [
        ("{ viewer { veiw } sourcs { code } records(size: 5) { totalCount } }", None, [(1, 12), (1, 19), (1, 43)]),
        (
            '{\n records(first: 0) { totalCount }\n b: records(first: 101, after: "x") { totalCount }\n}',
            None,
            [(2, 17), (3, 20), (3, 32)],
        ),
        (
            "query Q($c: Uscc!,\n $n: Int) { subject(uscc: $c) { records(first: $n) { totalCount } } }",
            {"c": "x", "n": "5"},
            [(1, 9), (2, 2)],
        ),
        ("query Q($n: Int) { records(first: $n) { totalCount } }", {"n": 0}, [(1, 35)]),
    ],
    ids=["document", "literals", "variables", "size in a variable"],
)
async def test_mistakes_in_several_places_are_each_told_with_their_place(
    stack: Stack, query: str, variables: dict[str, Any] | None, places: list[tuple[int, int]]
) -> None:
    errors = (await stack.ask(query, variables)).json["errors"]
    found = [(place["line"], place["column"]) for error in errors for place in error["locations"]]
    assert sorted(found) == places


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query Q($c: [Uscc!]!) { subjects(usccs: $c) { name } }", {"c": ["x"] * 900}),
        ("{ " + " ".join(f"a{n}: x{n}" for n in range(20)) + " }", None),
        ("{ " + " ".join(f"a{n}: records(first: 0) {{ totalCount }}" for n in range(20)) + " }", None),
    ],
    ids=["variables", "document", "literals"],
)
async def test_many_mistakes_are_told_up_to_a_bound(stack: Stack, query: str, variables: dict[str, Any] | None) -> None:
    assert 5 <= len((await stack.ask(query, variables)).json["errors"]) <= 6


async def test_a_bad_value_is_refused_before_any_source_is_asked(stack: Stack) -> None:
    query = """query Q($c: Uscc!, $a: String) {
        subject(uscc: $c) { records(after: $a) { totalCount } courts { answer { status } } } }"""
    await stack.courts.heal()
    refused = await stack.ask(query, {"c": stack.enterprises()[1], "a": "x"}, "restricted")
    assert refused.code == "BAD_USER_INPUT"
    assert await stack.courts.calls() == []
    await stack.ask(query, {"c": stack.enterprises()[1]}, "restricted")  # the same with a good value does ask
    assert await stack.courts.calls() != []


@pytest.mark.parametrize("name", ["unclosed", "unknown-field", "check-digit", "aliases"])
async def test_plain_json_has_status_200_for_errors_of_the_document(stack: Stack, known: Known, name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    sent = case.make(known)
    plain = Sent(sent.body, (*sent.headers, ("accept", "application/json")))
    answer = await send(stack.session, stack.base, plain, "en")
    assert (answer.status, answer.errors[0][0]) == (200, case.code)

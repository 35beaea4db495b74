"""Promises: a peer's subjects come out typed and in the order asked; what the documents name must be there, and what
doesn't fit fails, one subject or all of them; a subject that is not there is never one without records.

Against the hostile peer of hostile_peer.py; a test sets `reply` to what it wants to go wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile import K, changed, returns, without
from hostile_peer import KINDS, RECORD, ROW, Asker, Peer, each, off_record, records, subject

from connectors.base import Answer, Failure, FailureKind

ROOT = Path(__file__).resolve().parents[2]

# ---- rows


async def test_a_subject_comes_out_as_a_row(peer: Peer, asker: Asker) -> None:
    assert await asker.ask() == Answer(
        (
            {
                "on_record": True, "name": "示例公司", "kind": "ENTERPRISE", "region_code": "659007",
                "region_name": "双河市", "records": [ROW],
                "courts": {
                    "status": "CACHED", "as_of": "2026-01-01T08:00:00+08:00",
                    "dishonest": [
                        {
                            "case_number": "（2025）新2701执1号", "court": "示例法院", "published_on": "2025-05-01",
                            "performance": "全部未履行",
                        }
                    ],
                },
            },
        ),
        peer.now,
    )  # fmt: skip


async def test_not_on_record_is_a_row_that_says_so(peer: Peer, asker: Asker) -> None:
    peer.reply = each(off_record)
    row = await asker.row()
    assert (row["on_record"], row["name"], row["kind"], row["region_code"]) == (False, None, None, None)
    assert (row["records"], len(row["courts"]["dishonest"])) == ([], 1)


async def test_every_type_has_its_kind(peer: Peer, asker: Asker) -> None:
    nodes = [{**RECORD, "id": kind, "__typename": name, "kind": kind} for name, kind in KINDS.items()]
    peer.reply = each(lambda uscc: subject(uscc, records=records(nodes)))
    assert [(row["type"], row["kind"]) for row in (await asker.row())["records"]] == list(KINDS.items())
    for name in KINDS:
        peer.reply = each(
            lambda uscc, name=name: subject(uscc, records=records([{**RECORD, "__typename": name, "kind": "LICENCE"}]))  # type: ignore[misc]
        )
        assert isinstance(await asker.ask(), Answer if name == "Licence" else Failure)


async def test_subjects_are_asked_fifty_a_call_in_order(peer: Peer, asker: Asker) -> None:
    codes = [f"{n:018}" for n in range(120)]
    outcomes = await asker.all([*codes, *codes[:7]])
    assert list(outcomes) == codes
    assert all(isinstance(outcome, Answer) for outcome in outcomes.values())
    assert sorted(asked["usccs"] for asked in peer.asked) == [codes[:50], codes[50:100], codes[100:]]
    assert len(peer.forms) == 1
    assert await asker.all([]) == {}


async def test_a_null_element_is_refused_and_the_others_are_not(peer: Peer, asker: Asker) -> None:
    peer.reply = each(lambda uscc: None if uscc == "b" else subject(uscc))
    outcomes = await asker.all(["a", "b", "c"])
    assert [type(outcomes[uscc]) for uscc in "ac"] == [Answer, Answer]
    assert outcomes["b"] == Failure(K.FORBIDDEN, detail="the peer refused this subject")


async def test_what_is_wrong_with_one_subject_is_its_own(peer: Peer, asker: Asker) -> None:
    peer.reply = each(lambda uscc: subject(uscc, kind="UNHEARD_OF") if uscc == "b" else subject(uscc))
    outcomes = await asker.all(["a", "b", "c"])
    assert [type(outcomes[uscc]) for uscc in "abc"] == [Answer, Failure, Answer]
    assert outcomes["b"] == Failure(K.MALFORMED, detail="kind is unknown")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ([subject("b"), subject("a")], K.FOREIGN_ROWS),
        ([subject("a"), subject("c")], K.FOREIGN_ROWS),
        ([None, subject("c")], K.FOREIGN_ROWS),
        ([subject("a")], K.MALFORMED),
        ([subject("a"), subject("b"), subject("b")], K.MALFORMED),
        ([], K.MALFORMED),
        ([subject("a"), "b"], K.MALFORMED),
        ([subject("a"), {**subject("b"), "uscc": None}], K.MALFORMED),
        (None, K.MALFORMED),
        ({"a": subject("a")}, K.MALFORMED),
    ],
)
async def test_another_list_than_asked_for_fails_all(peer: Peer, asker: Asker, made: Any, kind: FailureKind) -> None:
    peer.reply = returns({"data": {"subjects": made}})
    outcomes = await asker.all(["a", "b"])
    assert [outcome.kind for outcome in outcomes.values()] == [kind, kind]  # type: ignore[union-attr]


# ---- what the contract names


NULLABLE = {
    ("region",), ("kind",), ("courts", "answer", "asOf"), ("courts", "dishonestListings", 0, "publishedOn"),
    ("courts", "dishonestListings", 0, "performance"), ("records", "pageInfo", "endCursor"),
    *(
        ("records", "edges", 0, "node", key)
        for key in (
            "severity", "documentNumber", "authority", "publishedFrom", "publishedUntil", "basis", "amount", "facts",
        )
    ),
    ("records", "edges", 0, "node", "authority", "uscc"), ("records", "edges", 0, "node", "authority", "name"),
}  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        path = (*before, step)
        found += ([path] if isinstance(step, str) else []) + paths(below, path)
    return found


FREE = {  # any text will do
    "name", "code", "id", "catalogueItem", "title", "documentNumber", "uscc", "basis", "facts", "caseNumber", "court",
    "performance", "endCursor",
}  # fmt: skip
PATHS = [path for path in paths(subject()) if path != ("uscc",)]


def test_the_paths_are_those_of_the_document() -> None:
    """Every field that peer.graphql selects stands among what is tried below."""
    text = (ROOT / "connectors" / "documents" / "peer.graphql").read_text(encoding="utf-8")
    words = set(text.replace("{", " ").replace("}", " ").partition(")")[2].split()) - {"subjects(usccs:", "$usccs)"}
    named = {str(path[-1]) for path in PATHS} | {"uscc"}
    assert {word for word in words if word.isidentifier()} | {"records"} == named


@pytest.mark.parametrize("path", PATHS, ids=str)
async def test_every_named_key_must_be_there(peer: Peer, asker: Asker, path: tuple[Any, ...]) -> None:
    for new in (..., [True], 1.5, None, {}, "?", -1):
        made = without(subject(), path) if new is ... else changed(subject(), path, new)
        peer.reply = each(lambda uscc, made=made: made)  # type: ignore[misc]
        outcome = await asker.ask()
        if (new is None and path in NULLABLE) or (new == "?" and path[-1] in FREE):
            assert isinstance(outcome, Answer), (new, outcome)
        else:
            assert isinstance(outcome, Failure), (new, outcome)
            assert outcome.kind is K.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "penalty"}, {"kind": "LICENCE"}, {"__typename": "CreditRecord"}, {"area": "SPORTS"},
        {"severity": "minor"}, {"status": "DELETED"}, {"decidedOn": "2026-02-30"}, {"decidedOn": "20260101"},
        {"decidedOn": "2026-01-01T00:00:00Z"}, {"publishedFrom": ""}, {"amount": 1200}, {"amount": "1,200"},
        {"amount": "1e3"}, {"amount": "万"}, {"amount": "1" + "0" * 15}, {"version": "3"}, {"version": True},
        {"version": 2**31}, {"underObjection": "false"}, {"underObjection": 0}, {"id": ""}, {"id": "x" * 1001},
        {"id": 7}, {"title": " "}, {"authority": "示例局"},
    ],
)  # fmt: skip
async def test_wrong_values_fail_the_subject(peer: Peer, asker: Asker, change: dict[str, Any]) -> None:
    peer.reply = each(lambda uscc: subject(uscc, records=records([{**RECORD, **change}])))
    assert (await asker.failure()).kind is K.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"onRecord": False, "name": None},  # with a record
        {"name": None},
        {"onRecord": None},
        {"kind": "PERSON"},
        {"courts": {"answer": {"status": "FINE", "asOf": None}, "dishonestListings": []}},
        {"courts": {"answer": {"status": "CACHED", "asOf": "2026-01-01"}, "dishonestListings": []}},
        {"records": records([], total=1)},
        {"records": records([RECORD], total=0)},
        {"records": records([RECORD], total=2)},
        {"records": records([RECORD, RECORD])},
        {"records": {**records([RECORD]), "edges": [None]}},
        {"records": {**records([RECORD]), "edges": [{"node": None}]}},
        {"records": {**records([RECORD]), "totalCount": 1.0}},
        {"records": records([{**RECORD, "id": str(n)} for n in range(101)])},
    ],
)
async def test_a_subject_that_contradicts_itself_fails(peer: Peer, asker: Asker, change: dict[str, Any]) -> None:
    peer.reply = each(lambda uscc: subject(uscc, **change))
    assert (await asker.failure()).kind is K.MALFORMED

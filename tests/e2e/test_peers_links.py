"""Promises: whatever becomes of the way to another region, or of that region, the answer comes within the budget with
our own data whole, and says that the region did not answer. What was kept is shown as STALE within its limit, and all
is well again when the region is. No fault of it ever reads as "no record"."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from e2e_stack import make_client
from peers_stack import BUDGET, ORGAN, SLACK, Region, befriend, penalty, put_in, region, subject

from gateway.source_settings import PeerSource
from gateway.storage.database import Database
from gateway.storage.embedded import RunningServer
from sandbox.faults import Fault
from sandbox.peer_data import GivenSubjects
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_PRIVATE_JWK, PeerRegion
from sandbox.server import Running, start_peer_region

OWN = "uscc onRecord name records(first: 100) { totalCount edges { node { id title status } } }"
QUESTION = f"""query Q($uscc: Uscc!) {{ subject(uscc: $uscc) {{ {OWN}
  peers {{ onRecord answer {{ status asOf reason }} records {{ title status publishedUntil }}
    courts {{ answer {{ status }} dishonestListings {{ caseNumber }} }} }} }} }}"""
LOCAL = f"query Q($uscc: Uscc!) {{ subject(uscc: $uscc) {{ {OWN} }} }}"
SUBJECTS = [subject(80_000 + number) for number in range(120)]  # each with one record here and one there
PAGED, REVOKED_THERE = subject(81_000), subject(81_001)  # known to the sandbox alone
NOTHING: dict[str, Any] = {"onRecord": None, "records": [], "courts": None}


class Pair:
    """A, and B that can be stopped and started."""

    def __init__(self, a: Region, b: Region) -> None:
        self.a = a
        self.b = b
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> None:
        await self._running.enter_async_context(self.b.served())

    async def stop(self) -> None:
        await self._running.aclose()

    async def break_it(self, how: str) -> None:
        match how:
            case "refused":
                await self.b.link.cut()
            case "black hole":
                self.b.link.swallow()
            case "stopped":
                await self.stop()

    async def mend(self, how: str) -> None:
        match how:
            case "stopped":
                await self.start()
            case "black hole":  # connections of that time stay dead
                await self.b.link.cut()
        await self.b.link.open()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    postgres: RunningServer, template: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("links")
    async with (
        aiohttp.ClientSession() as session,
        region("A", postgres, template, folder, session) as a,
        region("B", postgres, template, folder, session) as b,
    ):
        await put_in(a, [penalty(uscc, f"1{number:03}") for number, uscc in enumerate(SUBJECTS)], "records")
        await put_in(b, [penalty(uscc, f"2{number:03}") for number, uscc in enumerate(SUBJECTS)], "records")
        await befriend(a, b, ("GRANT",), ("GRANT",))
        a.clients["GRANT"] = await make_client(a.database, "dep", "view:restricted", "GRANT", organisation=ORGAN["A"])
        made = Pair(a, b)
        await made.start()
        yield made
        await made.stop()


@pytest.fixture(scope="module")
def cold() -> Iterator[str]:
    """Subjects that nobody has asked about yet."""
    return iter(SUBJECTS)


@contextlib.asynccontextmanager
async def asking(a: Region, peer: PeerSource) -> AsyncIterator[Region]:
    """A gateway of A with that peer alone, and a token."""
    async with a.another(peer) as made:
        made.tokens["GRANT"] = await made.fetch_token(made.clients["GRANT"])
        yield made


async def ask(one: Region, uscc: str) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Our own part, the peer's, and seconds."""
    reply = await one.ask(QUESTION, {"uscc": uscc}, "GRANT")
    own = reply.data["subject"]
    (said,) = own.pop("peers")
    return own, said, reply.seconds


async def local(one: Region, uscc: str) -> dict[str, Any]:
    found: dict[str, Any] = (await one.ask(LOCAL, {"uscc": uscc}, "GRANT")).data["subject"]
    return found


def without_answer(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != "answer"}


FAULTS = {"refused": {"UNREACHABLE"}, "black hole": {"TIMEOUT"}, "stopped": {"UNREACHABLE"}}


@pytest.mark.parametrize("how", FAULTS)
async def test_a_cut_link_says_unavailable(pair: Pair, cold: Iterator[str], how: str) -> None:
    async with asking(pair.a, pair.a.peers["B"]) as other:
        warm = next(cold)
        assert (await ask(other, warm))[1]["answer"]["status"] == "ANSWERED"  # there is a token, and a connection
        await pair.break_it(how)
        try:
            for _ in range(3):  # the machine may be busy with something else, but not every time
                uscc = next(cold)
                own, said, seconds = await ask(other, uscc)
                assert own == await local(other, uscc)
                assert (own["onRecord"], own["records"]["totalCount"]) == (True, 1)
                assert (said["answer"]["status"], said["answer"]["asOf"]) == ("UNAVAILABLE", None)
                assert said["answer"]["reason"] in FAULTS[how]
                assert without_answer(said) == NOTHING
                if seconds < BUDGET + SLACK:
                    break
            assert seconds < BUDGET + SLACK
            print(f"{how}: {seconds:.3f} s")
            kept = (await ask(other, warm))[1]
            assert (kept["answer"]["status"], kept["onRecord"]) == ("CACHED", True)
        finally:
            await pair.mend(how)
        said = (await ask(other, uscc))[1]
        assert (said["answer"]["status"], said["onRecord"], len(said["records"])) == ("ANSWERED", True, 1)


@pytest.mark.parametrize("how", FAULTS)
async def test_what_was_kept_is_stale_within_its_limit_and_nothing_beyond(
    pair: Pair, cold: Iterator[str], how: str
) -> None:
    """Two gateways over one database: what is within the limit of one is beyond the other's."""
    long, brief = (
        pair.a.peers["B"].model_copy(update={"fresh_seconds": 0, "negative_fresh_seconds": 0, "stale_seconds": seconds})
        for seconds in (3600, 1)
    )
    uscc = next(cold)
    async with asking(pair.a, long) as other, asking(pair.a, brief) as strict:
        own, first, _ = await ask(other, uscc)
        assert (first["answer"]["status"], len(first["records"])) == ("ANSWERED", 1)
        began = time.monotonic()
        await pair.break_it(how)
        try:
            found, said, seconds = await ask(other, uscc)
            assert seconds < BUDGET + SLACK
            assert (found, without_answer(said)) == (own, without_answer(first))
            assert (said["answer"]["status"], said["answer"]["asOf"]) == ("STALE", first["answer"]["asOf"])
            assert said["answer"]["reason"] in FAULTS[how]
            await asyncio.sleep(max(0.0, began + 1.1 - time.monotonic()))
            found, said, _ = await ask(strict, uscc)
            assert (found, without_answer(said)) == (own, NOTHING)
            assert said["answer"]["status"] == "UNAVAILABLE"
            assert (await ask(other, uscc))[1]["answer"]["status"] == "STALE"  # it is there: the limit hid it
        finally:
            await pair.mend(how)
        said = (await ask(other, uscc))[1]
        assert (said["answer"]["status"], without_answer(said)) == ("ANSWERED", without_answer(first))


async def test_the_breaker_answers_at_once_and_closes_again(pair: Pair, cold: Iterator[str]) -> None:
    few = pair.a.peers["B"].model_copy(update={"breaker_failures": 2, "breaker_seconds": 2.0})
    async with asking(pair.a, few) as other:
        await pair.break_it("black hole")
        try:
            reasons = []
            taken = []
            for _ in range(3):
                _, said, _ = await ask(other, next(cold))
                taken.append(pair.b.link.taken)
                reasons.append(said["answer"]["reason"])
                assert (said["answer"]["status"], without_answer(said)) == ("UNAVAILABLE", NOTHING)
            assert reasons == ["TIMEOUT", "TIMEOUT", "BREAKER_OPEN"]
            assert taken[0] < taken[1] == taken[2]  # at once: it has not tried
        finally:
            await pair.mend("black hole")
        deadline = time.monotonic() + 60
        uscc = next(cold)
        while (said := (await ask(other, uscc))[1])["answer"]["status"] != "ANSWERED":
            assert (time.monotonic() < deadline, without_answer(said)) == (True, NOTHING)
            await asyncio.sleep(0.1)


async def test_hurried_askers_open_no_breaker_for_others(pair: Pair, cold: Iterator[str]) -> None:
    few = pair.a.peers["B"].model_copy(update={"breaker_failures": 2})
    async with asking(pair.a, few) as other:
        assert (await ask(other, next(cold)))[1]["answer"]["status"] == "ANSWERED"  # its statement is prepared
        pair.b.link.swallow()
        hurry = {"credit-deadline-ms": "600"}
        try:
            for _ in range(3):
                reply = await other.ask(QUESTION, {"uscc": next(cold)}, "GRANT", headers=hurry)
                (said,) = reply.data["subject"]["peers"]
                assert (said["answer"]["reason"], reply.seconds < BUDGET) == ("TIMEOUT", True)
        finally:
            await pair.mend("black hole")
        assert (await ask(other, next(cold)))[1]["answer"]["status"] == "ANSWERED"


# A region that answers wrongly ----------------------------------------------------------------------------------------

# fault, service, its options, reason; the statuses follow from the reason (docs/faults.md).
WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("foreign_subject", "subjects", {}, "FOREIGN_ROWS"),
    ("wrong_order", "subjects", {}, "FOREIGN_ROWS"),
    ("errors_with_data", "subjects", {}, "SERVER_ERROR"),
    ("errors_with_data", "page", {}, "SERVER_ERROR"),
    ("execution_error", "subjects", {}, "SERVER_ERROR"),
    ("execution_error", "page", {}, "SERVER_ERROR"),
    ("wrong_length", "subjects", {}, "MALFORMED"),
    ("wrong_total", "subjects", {}, "MALFORMED"),
    ("repeated_record", "subjects", {}, "MALFORMED"),
    ("endless_pages", "subjects", {}, "MALFORMED"),
    ("empty_pages", "subjects", {}, "MALFORMED"),
    ("repeated_cursor", "subjects", {}, "MALFORMED"),
    ("unknown_kind", "subjects", {}, "MALFORMED"),
    ("unknown_status", "subjects", {}, "MALFORMED"),
    ("bad_date", "page", {}, "MALFORMED"),
    ("bad_amount", "subjects", {}, "MALFORMED"),
    *[("missing_key", "subjects", {"key": key}, "MALFORMED") for key in ("onRecord", "records", "courts", "edges")],
    ("missing_key", "page", {}, "MALFORMED"),
    ("wrong_type", "subjects", {}, "MALFORMED"),
    ("null_element", "subjects", {}, "FORBIDDEN"),
    ("forbidden", "subjects", {}, "FORBIDDEN"),
    ("matter_refused", "token", {}, "FORBIDDEN"),
    ("wrong_scope", "token", {}, "FORBIDDEN"),
    ("token_refused", "token", {}, "CREDENTIALS"),
    ("wrong_token_type", "token", {}, "MALFORMED"),
    ("missing_key", "token", {"key": "access_token"}, "MALFORMED"),
    ("unauthenticated", "subjects", {}, "CREDENTIALS"),
    ("bad_user_input", "subjects", {}, "REJECTED"),
    ("document_not_found", "subjects", {}, "REJECTED"),
    ("rate_limited", "page", {}, "THROTTLED"),
    ("storage_unavailable", "subjects", {}, "SERVER_ERROR"),
    ("html", "subjects", {}, "MALFORMED"),
    ("null_body", "subjects", {}, "MALFORMED"),
    ("empty_list", "subjects", {}, "MALFORMED"),
    ("redirect_away", "subjects", {}, "THROTTLED"),
    ("down", "page", {}, "UNREACHABLE"),
    ("black_hole", "page", {}, "TIMEOUT"),
]
REFUSED = {"FORBIDDEN", "REJECTED", "THROTTLED"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Running[PeerRegion]]:
    """A region that goes wrong on request. It knows a subject with two pages, and one with what it should not tell."""
    told = [
        {"title": "示例在期", "status": "ACTIVE", "publishedUntil": None},
        {"title": "示例期满", "status": "CORRECTED", "publishedUntil": "2020-12-31"},
        {"title": "示例撤销", "status": "REVOKED"},
        {"title": "示例修复", "status": "REPAIRED"},
    ]
    known = [
        {"uscc": PAGED, "name": "示例多页有限公司", "records": [{"title": f"示例{i}"} for i in range(150)]},
        {"uscc": REVOKED_THERE, "name": "示例撤销有限公司", "records": told},
    ]
    async with await start_peer_region(GivenSubjects({"subjects": known})) as running:
        yield running


@pytest.fixture(scope="module")
def wrong(pair: Pair, sandbox: Running[PeerRegion]) -> PeerSource:
    """The sandbox as A's peer; nothing of it is fresh for long."""
    file = pair.a.folder / "sandbox.jwk"
    file.write_text(json.dumps(dict(DEV_PEER_PRIVATE_JWK)), encoding="utf-8")
    changes = {"base_url": sandbox.url, "issuer": sandbox.url, "client_id": DEV_PEER_CLIENT_ID, "key_file": file}
    changes |= {"code": "PEER_SANDBOX", "fresh_seconds": 0, "negative_fresh_seconds": 0, "stale_seconds": 0}
    return pair.a.peers["B"].model_copy(update=changes)


NAMES = [f"{fault}-{service}-{number}" for number, (fault, service, _, _) in enumerate(WRONG)]


@pytest.mark.parametrize(("fault", "service", "options", "reason"), WRONG, ids=NAMES)
async def test_a_region_that_answers_wrongly_has_not_answered(
    pair: Pair,
    sandbox: Running[PeerRegion],
    wrong: PeerSource,
    fault: str,
    service: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    async with asking(pair.a, wrong) as other:
        sandbox.upstream.faults.add(Fault(service=service, fault=fault, **options))
        try:
            own, said, seconds = await ask(other, PAGED)
        finally:
            sandbox.upstream.faults.clear()
        assert seconds < BUDGET + SLACK
        assert own == {"uscc": PAGED, "onRecord": False, "name": None, "records": {"totalCount": 0, "edges": []}}
        status = "REFUSED" if reason in REFUSED else "UNAVAILABLE"
        assert said["answer"] == {"status": status, "asOf": None, "reason": reason}
        assert without_answer(said) == NOTHING


async def test_a_region_that_is_well_has(pair: Pair, sandbox: Running[PeerRegion], wrong: PeerSource) -> None:
    """What the faults above are faults of."""
    async with asking(pair.a, wrong) as other:
        _, said, _ = await ask(other, PAGED)
        assert (said["answer"]["status"], said["onRecord"], len(said["records"])) == ("ANSWERED", True, 150)


async def test_one_subject_that_goes_wrong_takes_no_other_along(
    pair: Pair, sandbox: Running[PeerRegion], wrong: PeerSource
) -> None:
    several = QUESTION.replace("$uscc: Uscc!", "$usccs: [Uscc!]!").replace(
        "subject(uscc: $uscc)", "subjects(usccs: $usccs)"
    )
    async with asking(pair.a, wrong) as other:
        for fault, status in (("wrong_total", "UNAVAILABLE"), ("null_element", "REFUSED")):
            sandbox.upstream.faults.add(Fault(service="subjects", fault=fault, uscc=PAGED))
            try:
                reply = await other.ask(several, {"usccs": [REVOKED_THERE, PAGED, SUBJECTS[0]]}, "GRANT")
            finally:
                sandbox.upstream.faults.clear()
            found = [subject["peers"][0] for subject in reply.data["subjects"]]
            assert [said["answer"]["status"] for said in found] == ["ANSWERED", status, "ANSWERED"]
            assert [said["onRecord"] for said in found] == [True, None, False]


async def test_nothing_above_our_view_is_passed_on(pair: Pair, sandbox: Running[PeerRegion], wrong: PeerSource) -> None:
    """A region that tells what was revoked or repaired is wrong; we show it to nobody. Terms go on where it is kept."""
    supervision = await make_client(
        pair.a.database, "supervision", "view:internal", "SUPERVISION", organisation=ORGAN["A"]
    )
    async with asking(pair.a, wrong.model_copy(update={"matters": ("GRANT", "SUPERVISION")})) as other:
        other.tokens["SUPERVISION"] = await other.fetch_token(supervision)
        for view in ("GRANT", "SUPERVISION"):
            reply = await other.ask(QUESTION, {"uscc": REVOKED_THERE}, view)
            (said,) = reply.data["subject"]["peers"]
            assert said["answer"]["status"] == "ANSWERED"
            assert [(record["title"], record["status"]) for record in said["records"]] == [
                ("示例在期", "ACTIVE"),
                ("示例期满", "EXPIRED"),
            ]
            assert "示例撤销" not in reply.body.decode()

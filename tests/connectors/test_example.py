"""The worked example of docs/connectors.md does what its contract says, and stands every fault of the wire."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from aiohttp import web
from hostile import PATIENCE, Fault, returns, serving, wire_faults

from connectors.base import Answer, Failure, FailureKind, SubjectRef

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "customs.py"
USCC, OTHER = "91652799YL0001402W", "91652701MA00000000"
GOOD = {"uscc": USCC, "ratings": [{"level": "高级认证企业", "validFrom": "2026-01-05", "unknown": 1}]}


def load() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("customs_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


customs = load()


class Upstream:
    """The customs: `handle` answers; `seen` has what was asked."""

    def __init__(self) -> None:
        self.handle = returns(GOOD)
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path, dict(request.headers)))
        return await self.handle(request, {})


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def connector(upstream: Upstream) -> AsyncIterator[Any]:
    async with serving(upstream.answer) as url:
        clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731 - 1767225600000, the vector's time
        settings = customs.CustomsSettings(url + "/", "gw-bortala-test", "s", clock=clock, nonce=lambda: "n1")
        made = customs.CustomsConnector(settings)
        yield made
        await made.close()


async def ask(connector: Any, *usccs: str, seconds: float = PATIENCE) -> Any:
    end = asyncio.get_running_loop().time() + seconds
    return await connector.ask("ratings", [SubjectRef(one) for one in usccs], None, end)


async def test_rows_and_the_signed_call(connector: Any, upstream: Upstream) -> None:
    answer = (await ask(connector, USCC))[USCC]
    assert isinstance(answer, Answer)
    assert [dict(row) for row in answer.rows] == [
        {"natural_key": "高级认证企业|2026-01-05", "level": "高级认证企业", "valid_from": "2026-01-05"}
    ]
    ((method, path, headers),) = upstream.seen
    assert (method, path) == ("GET", f"/v1/ratings/{USCC}")
    assert (headers["X-App-Key"], headers["X-Request-Time"]) == ("gw-bortala-test", "1767225600000")
    assert len(headers["X-Sign"]) == 64


async def test_unknown_is_an_answer_and_another_404_is_none(connector: Any, upstream: Upstream) -> None:
    upstream.handle = returns({"error": "unknown"}, status=404)
    assert (await ask(connector, USCC))[USCC].rows == ()
    upstream.handle = returns({"error": "no such page"}, status=404)
    assert (await ask(connector, USCC))[USCC] == Failure(FailureKind.REJECTED, detail="status 404")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({**GOOD, "uscc": OTHER}, FailureKind.FOREIGN_ROWS),
        ({"uscc": USCC}, FailureKind.MALFORMED),
        ({**GOOD, "ratings": [{"level": "甲", "validFrom": "2026-01-05"}]}, FailureKind.MALFORMED),
        ({**GOOD, "ratings": [{"level": "失信企业", "validFrom": "2026-02-30"}]}, FailureKind.MALFORMED),
    ],
)
async def test_what_the_contract_does_not_say_is_a_failure(
    connector: Any, upstream: Upstream, answer: dict[str, Any], kind: FailureKind
) -> None:
    upstream.handle = returns(answer)
    assert (await ask(connector, USCC))[USCC].kind is kind


@pytest.mark.parametrize("fault", wire_faults(json.dumps(GOOD).encode()))
async def test_wire_faults_are_told_apart(connector: Any, upstream: Upstream, fault: Fault) -> None:
    upstream.handle, kind, wait = fault
    failure = (await ask(connector, USCC))[USCC]
    assert isinstance(failure, Failure)
    assert failure.kind is kind
    assert wait is None or failure.retry_after == pytest.approx(wait, abs=1)


async def test_each_subject_has_its_own_outcome(connector: Any, upstream: Upstream) -> None:
    found = await ask(connector, USCC, OTHER, USCC)
    assert len(upstream.seen) == 2
    assert isinstance(found[USCC], Answer)
    assert found[OTHER].kind is FailureKind.FOREIGN_ROWS


def test_the_page_shows_the_example() -> None:
    page = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert "[examples/customs.py](examples/customs.py)" in page
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    shown = page.split("```python\n")[1].split("```")[0].rstrip()
    assert len(shown) > 500
    assert _bare(indent(shown, "    ")) in _bare(text)


def _bare(text: str) -> str:
    """Without empty lines: the page's formatter sets other ones."""
    return "\n".join(line for line in text.splitlines() if line)

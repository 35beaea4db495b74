"""What the four upstreams know of some subjects, the question about all of it, and how the gateway must show it.

In: codes of subjects. Out: files for the sandbox, the text of questions, sections of answers in a form that can be
compared. Used by scripts/source_stage.py and whoever stands on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.data import make_row
from sandbox.peer_region import DEV_PEER_REGION
from sandbox.platform_data import platform_row

COURTS, BANKS, PLATFORM = "COURTS", "BANKS", "REGION_PLATFORM"
PEER = f"PEER_{DEV_PEER_REGION['code']}"
NAMES = {COURTS: "courts", BANKS: "banks", PLATFORM: "region_platform", PEER: "peer_region"}  # as the sandbox has them
SOURCES = tuple(NAMES)
COURT_ROWS = {"dishonest": 2, "enforcement": 12, "consumption": 1, "judgments": 1}  # 12: two pages
LISTS = {
    "dishonest": "dishonestListings",
    "enforcement": "enforcementCases",
    "consumption": "consumptionOrders",
    "judgments": "judgments",
}

_ANSWER = "answer { status asOf reason }"
LOCAL = "uscc name onRecord records(first: 100) { totalCount edges { node { id title status } } }"
SECTIONS = {
    COURTS: f"courts {{ {_ANSWER} {' '.join(f'{name} {{ caseNumber }}' for name in LISTS.values())} }}",
    PLATFORM: f"regionPlatform {{ {_ANSWER} records {{ documentNumber }} }}",
    PEER: f"peers {{ {_ANSWER} region {{ code }} onRecord records {{ title }} }}",
    BANKS: f"bank(consentId: $consent) {{ {_ANSWER} loanBalance overdueBalance events {{ kind amount }} }}",
}


def question(*sources: str) -> str:
    """A subject's own records, and the sections of these sources."""
    consent = ", $consent: ID!" if BANKS in sources else ""
    sections = " ".join(SECTIONS[source] for source in sources)
    return f"query Whole($uscc: Uscc!{consent}) {{ subject(uscc: $uscc) {{ {LOCAL} {sections} }} }}"


WHOLE = question(*SOURCES)


@dataclass(frozen=True)
class Section:
    """What one source says of one subject: status, reason, and the rows in a form that can be compared."""

    status: str
    reason: str | None
    rows: Mapping[str, tuple[str, ...]]

    @property
    def empty(self) -> bool:
        return not any(self.rows.values())


def sections(subject: Mapping[str, Any]) -> dict[str, Section]:
    """The sections of an answer to `question`, by source."""
    found: dict[str, dict[str, list[Any]]] = {}
    told: dict[str, Any] = {}
    if (courts := subject.get("courts")) is not None:
        found[COURTS] = {name: [row["caseNumber"] for row in courts[name]] for name in LISTS.values()}
        told[COURTS] = courts
    if (platform := subject.get("regionPlatform")) is not None:
        found[PLATFORM] = {"records": [row["documentNumber"] for row in platform["records"]]}
        told[PLATFORM] = platform
    for peer in subject.get("peers", []):
        source = f"PEER_{peer['region']['code']}"
        on_record = [] if peer["onRecord"] is None else [str(peer["onRecord"])]
        found[source] = {"records": [row["title"] for row in peer["records"]], "onRecord": on_record}
        told[source] = peer
    if (bank := subject.get("bank")) is not None:
        amounts = [bank[name] for name in ("loanBalance", "overdueBalance") if bank[name] is not None]
        found[BANKS] = {"amounts": amounts, "events": [event["amount"] for event in bank["events"]]}
        told[BANKS] = bank
    return {
        source: Section(
            told[source]["answer"]["status"],
            told[source]["answer"]["reason"],
            {name: tuple(sorted(values)) for name, values in rows.items()},
        )
        for source, rows in found.items()
    }


class Knowledge:
    """What the upstreams know of some subjects, as files for the sandbox, and how the gateway must show it."""

    def __init__(self, usccs: Sequence[str]) -> None:
        self.usccs = usccs
        self.rows: dict[str, dict[str, Mapping[str, tuple[str, ...]]]] = {}  # subject → source → rows
        self._courts: dict[str, list[Any]] = {service: [] for service in COURT_ROWS}
        self._banks: dict[str, Any] = {}
        self._platform: list[Any] = []
        self._peer: list[Any] = []
        for number, uscc in enumerate(usccs, start=1):
            self.rows[uscc] = {
                COURTS: self._of_courts(uscc),
                BANKS: self._of_banks(uscc, number),
                PLATFORM: self._of_platform(uscc),
                PEER: self._of_peer(uscc),
            }

    def _of_courts(self, uscc: str) -> dict[str, tuple[str, ...]]:
        shown: dict[str, tuple[str, ...]] = {}
        for service, count in COURT_ROWS.items():
            rows = [make_row(service, uscc, f"样例{uscc}", index) for index in range(count)]
            self._courts[service] += rows
            wide = [row["caseCode"].replace("(", "（").replace(")", "）") for row in rows]
            shown[LISTS[service]] = tuple(sorted(wide))
        return shown

    def _of_banks(self, uscc: str, number: int) -> dict[str, tuple[str, ...]]:
        loan, event = f"{7_310_000 + number}.{number % 90 + 10}", f"{420_000 + number}.50"
        happened = {"kind": "展期", "amount": event, "occurredOn": "2026-01-05", "settledOn": None}
        self._banks[uscc] = {"summary": {"loanBalance": loan, "unit": "元", "events": [happened]}}
        return {"amounts": tuple(sorted((loan, "0.00"))), "events": (event,)}

    def _of_platform(self, uscc: str) -> dict[str, tuple[str, ...]]:
        numbers = tuple(f"示样罚字〔2026〕{index}号" for index in (1, 2))
        for index, number in enumerate(numbers):
            row = platform_row("xzcf", uscc, f"样例{uscc}", index)
            row["entity"]["CF_WSH"] = number
            self._platform.append(row)
        return {"records": numbers}

    def _of_peer(self, uscc: str) -> dict[str, tuple[str, ...]]:
        titles = tuple(f"样例邻区记录{index} {uscc}" for index in (1, 2))
        self._peer.append({"uscc": uscc, "name": f"样例{uscc}", "records": [{"title": title} for title in titles]})
        return {"records": titles, "onRecord": ("True",)}

    def say_of_banks(self, uscc: str, summary: Mapping[str, Any], **shown: tuple[str, ...]) -> None:
        """Let the banks say something else of a subject; `shown`: amounts and events, in yuan."""
        self._banks[uscc] = {"summary": summary}
        self.rows[uscc][BANKS] = {name: tuple(sorted(values)) for name, values in shown.items()}

    def say_of_cases(self, uscc: str, amount: str) -> None:
        """Let the courts' enforcement cases of a subject be of this amount."""
        for row in self._courts["enforcement"]:
            if row["pname"] == f"样例{uscc}":
                row["execMoney"] = amount

    def files(self, folder: Path) -> list[str]:
        """Write them into a folder; the sandbox's arguments."""
        made = {
            "--rows": self._courts,
            "--banks-rows": self._banks,
            "--platform-rows": self._platform,
            "--peer-rows": {"subjects": self._peer},
        }
        arguments = []
        for flag, known in made.items():
            path = folder / f"{flag.strip('-')}.json"
            path.write_text(json.dumps(known, ensure_ascii=False, default=str), encoding="utf-8")
            arguments += [flag, str(path)]
        return arguments

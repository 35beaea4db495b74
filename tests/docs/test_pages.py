"""Promises: what README and docs/ name exists: files, headings, commands, targets of make, tests, statuses and faults;
the first query is valid in the three contracts; and no file says where or by what it was written."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema
from typer.testing import CliRunner

from connectors.base import FailureKind
from gateway.cli import app
from gateway.engine.documents import prepare
from gateway.schema.contracts import build_contracts
from gateway.sources import told
from sandbox import banks_answers, courts_answers, peer_answers, platform_answers
from sandbox.faults import WIRE_FAULTS
from scripts.demo import sources
from scripts.make_docs import first_query

ROOT = Path(__file__).resolve().parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PAGES = (*READMES, ROOT / "CHANGELOG.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
_COMMAND = re.compile(r"(?:`|^|\$\()credit-gateway ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", re.MULTILINE)
_GROUPS = {group.name for group in app.registered_groups}
_FILE = re.compile(r"`((?:gateway|connectors|sandbox|scripts|data|docs|benchmarks|tests)/[\w./*-]*)`")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    """A path as the repository has it."""
    return path.relative_to(ROOT).as_posix()


@cache
def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@cache
def help_of(*command: str) -> str:
    """What a command says with --help; nothing where it fails."""
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    return done.output if done.exit_code == 0 else ""


@cache
def contracts() -> dict[str, GraphQLSchema]:
    """The contracts, made once."""
    return build_contracts()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name(page)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{name(page)} links to {target}"


def test_every_page_of_docs_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [READMES[0]]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += linked(page)
    assert set(PAGES) <= reached


def linked(page: Path) -> list[Path]:
    """The files that a page links to, a folder's README for the folder; a link within the page is to none."""
    found = _LINK.findall(page.read_text(encoding="utf-8"))
    files = [target.partition("#")[0] for target in found if "://" not in target]
    paths = [(page.parent / file).resolve() for file in files if file]
    return [path / "README.md" if path.is_dir() else path for path in paths]


def test_a_link_within_a_page_leads_to_no_other(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n[here](#a), [there](other.md#b), [folder](.), [away](https://x.example/#c)", encoding="utf-8")
    assert linked(page) == [tmp_path / "other.md", tmp_path / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for words in sorted(set(_COMMAND.findall(text))):
        command = words.split()
        known = {found.name for found in app.registered_commands} | _GROUPS
        assert command[0] in known, f"{name(page)}: credit-gateway {words}"
        if command[0] != "sandbox":  # another program: it would take this process's place
            assert help_of(*command[: 2 if command[0] in _GROUPS else 1]), f"{name(page)}: credit-gateway {words}"
    for target in re.findall(r"(?:`|^)make ([a-z-]+)\b", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
    for module in re.findall(r"python -m ((?:scripts|gateway|benchmarks|sandbox)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("page", READMES, ids=name)
def test_options_of_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(rf"credit-gateway ((?:{'|'.join(_GROUPS)}) [a-z-]+|[a-z]+)([^\n`)]*)", text)
    for command, rest in commands:
        options = set(re.findall(r"(?<=\s)--[a-z-]+", rest))
        if options and command == "sandbox":  # another program: it would take this process's place
            told = subprocess.run(
                [sys.executable, "-m", "sandbox", "--help"], capture_output=True, text=True, check=True
            )
            assert options <= set(re.findall(r"--[a-z-]+", told.stdout)), f"{command}: {options}"
        elif options:
            assert options <= set(re.findall(r"--[a-z-]+", help_of(*command.split()))), f"{command}: {options}"


@pytest.mark.parametrize("page", READMES, ids=name)
@pytest.mark.parametrize("contract", ["PUBLIC", "RESTRICTED", "INTERNAL"])
def test_the_first_query_is_valid_in_every_view(page: Path, contract: str) -> None:
    document = prepare(contract, contracts()[contract], first_query(page.read_text(encoding="utf-8")))
    assert list(document.operations) == ["Standing"]


@pytest.mark.parametrize("page", READMES, ids=name)
def test_the_request_that_is_there_to_be_sent_is_the_first_query(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    request = json.loads((ROOT / "docs" / "examples" / "standing.json").read_text(encoding="utf-8"))
    assert request["query"] == first_query(text)
    assert f"`{json.dumps(request['variables'])}`" in text
    assert "-d @docs/examples/standing.json" in text


def test_both_readmes_show_the_same_code() -> None:
    """Queries and answers word for word; shell and SQL but for their comments."""
    english, chinese = (_FENCE.findall(page.read_text(encoding="utf-8")) for page in READMES)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        if not ours.startswith("```mermaid"):
            assert _bare(ours) == _bare(theirs)


def _bare(block: str) -> list[str]:
    return [re.sub(r"\s*(?:#|-- ).*$", "", line) for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tests_exist(page: Path) -> None:
    for file, function in _TEST.findall(page.read_text(encoding="utf-8")):
        path = ROOT / file
        assert path.is_file(), f"{name(page)}: {file}"
        assert not function or function in functions(path), f"{name(page)}: {file}::{function}"


@cache
def functions(path: Path) -> set[str]:
    """Names of the functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_line_of_the_threats_has_a_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| ") and not row.startswith(("| ---", "| threat"))]
    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []


def test_files_that_pages_name_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(
            r"`((?:gateway|connectors|sandbox|scripts|data|docs|benchmarks|tests)/[\w./*-]*)`", text
        ):
            if path.startswith("benchmarks/results"):
                continue
            assert list(ROOT.glob(path.rstrip("/"))), f"{name(page)}: {path}"


def test_every_status_and_reason_is_explained() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    first = re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)
    own = [
        value
        for key, value in vars(told).items()
        if key.isupper() and isinstance(value, str) and key == value  # the reasons of told.py
    ]
    assert own, "told.py names no reasons any more"
    explained = [*told.STATUSES, *own, *(kind.value for kind in FailureKind)]
    assert sorted(first) == sorted(explained)


def test_statuses_of_reasons_are_the_codes() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+)", text, re.MULTILINE))
    for kind in FailureKind:
        assert rows[kind.value] == told.STATUSES[told.NoAnswer(kind.value).status]


def test_every_fault_of_the_sandbox_is_listed() -> None:
    text = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
    upstreams = {
        "Of the wire": WIRE_FAULTS,
        "Of the courts": courts_answers.ANSWER_FAULTS,
        "Of the banks": banks_answers.ANSWER_FAULTS,
        "Of the regional platform": platform_answers.ANSWER_FAULTS,
        "Of the peer region": peer_answers.ANSWER_FAULTS,
    }
    for heading, faults in upstreams.items():
        table = re.split(r"\n\n(?!\|)", text.split(f"\n{heading}", 1)[1], maxsplit=1)[0]
        rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        assert {fault for row in rows for fault in re.findall(r"`(\w+)`", row)} == set(faults), heading


def test_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in pages:
        title = path.read_text(encoding="utf-8").partition("\n")[0]
        assert title.startswith(f"# {path.name[:4]} "), path.name
        assert f"[{path.name[:4]}]({path.name}) | {title[7:]} |" in index


# What a file of the repository never says: paths of one machine, hosts of registries, how it came about.
_NEVER = re.compile(
    r"(?<![\w.-])/(?:work|root|home/\w+|Users/\w+)(?![\w-])"
    r"|\bpypi\.(?:org|io)\b|pythonhosted|npmjs|registry\.(?:npm|yarn)"
    r"|\bissue \d|\b(?:this|another|earlier|next|previous|lead|helper) session\b"
    r"|\bclaude\b|\banthropic\b|\bsubagent|\bchatgpt\b|\blanguage model\b",
    re.IGNORECASE,
)
_OWN = "tests/docs/test_pages.py"  # it has the words


def test_no_file_says_where_it_was_written() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone: git ls-files lists nothing")
    found = []
    for file in listed.stdout.decode().split("\0"):
        path = ROOT / file
        if not file or file == _OWN or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # no text
        for number, line in enumerate(text.splitlines(), 1):
            if match := _NEVER.search(line):
                found.append(f"{file}:{number}: {match[0]}")
    assert found == []


FOLLOW = "GATEWAY_REGION_PLATFORM__FOLLOW_CHANGES"  # the demo alone turns it off


def test_the_settings_for_the_sandbox_are_those_of_the_demo(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8").split("## The sandbox")[1]
    shown = dict(pair.split("=", 1) for pair in re.findall(r"GATEWAY_(?!PEERS)[A-Z_]+=\S+", text))
    ports = {"courts": 40123, "banks": 40124, "region_platform": 40125, "peer_region": 40126}
    wanted = sources(tmp_path, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()})
    assert shown == {name: value for name, value in wanted.items() if name not in ("GATEWAY_PEERS", FOLLOW)}

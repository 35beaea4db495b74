"""Pages of docs/ that are made from the code: settings, errors, a plan with its SQL, the figures of the last benchmark.

    python -m scripts.make_docs            # write them
    python -m scripts.make_docs --check    # status 1 where a page is not what the code makes

In: gateway/settings.py, the classes of gateway/errors.py, the advice in ADVICE below, the cases of tests/bad_input with
the answers that they got, the files of benchmarks/results/ where they exist. Out: docs/settings.md and docs/errors.md,
and what stands between two marks in docs/architecture.md (plan and SQL of its query), docs/performance.md (figures) and
docs/import.md (columns of each kind of file, figures).
tests/docs/test_generated.py holds pages and code together.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import CLIENT_ERRORS, ClientError
from gateway.settings import PREFIX, Settings
from gateway.source_settings import PeerSource
from scripts.bench_docs import grown, measured, of_peers, picture, remembered
from scripts.import_docs import columns_of_files, import_figures
from scripts.source_docs import black_hole_figures, source_figures
from tests.bad_input import ANSWERS, GROUPS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SEARCH_RESULTS = ROOT / "benchmarks" / "results" / "search.json"
NOTE = "<!-- Made by `python -m scripts.make_docs`. Don't edit. -->"
FIGURES = ("<!-- figures: made by `python -m scripts.make_docs` -->", "<!-- end of figures -->")
SEARCH = ("<!-- search: made by `python -m scripts.make_docs` -->", "<!-- end of search -->")
PEERS = ("<!-- peers: made by `python -m scripts.make_docs` -->", "<!-- end of peers -->")
GROWTH = ("<!-- growth: made by `python -m scripts.make_docs` -->", "<!-- end of growth -->")
MEMORY = ("<!-- memory: made by `python -m scripts.make_docs` -->", "<!-- end of memory -->")
COLD = ("<!-- cold subjects: made by `python -m scripts.make_docs` -->", "<!-- end of cold subjects -->")
BLACK_HOLE = ("<!-- black hole: made by `python -m scripts.make_docs` -->", "<!-- end of black hole -->")
IMPORT_FIGURES = ("<!-- import figures: made by `python -m scripts.make_docs` -->", "<!-- end of import figures -->")
COLUMNS = ("<!-- columns: made by `python -m scripts.make_docs` -->", "<!-- end of columns -->")
EXPLAIN = ("<!-- explain: made by `python -m scripts.make_docs` -->", "<!-- end of explain -->")
EXPLAINED = {"uscc": "91652799YL0001402W"}
WIDTH = 120
SETTING_HEADS = ("Name", "Meaning", "Value", "Default")

RESERVED = "Reserved: this version never answers it."

# What stands in the code says when an error comes (its docstring); what to do about it stands here, once for each code:
# code → (when, in Chinese; what to do, in English; what to do, in Chinese).
ADVICE: dict[str, tuple[str, str, str]] = {
    "UNAUTHENTICATED": (
        "没有令牌，或令牌无效",
        "Fetch a new token from `/oauth/token`. If that is refused too, ask the operator whether it is enabled.",
        "从 `/oauth/token` 重新获取令牌；仍被拒绝请向运维人员确认客户端是否已停用。",
    ),
    "FORBIDDEN": (
        "身份已确认，但无权查询",
        "Leave the field or the code out; of a change the message says whose it is to make. At a path beside `data`: "
        "the code is outside the client's registration or not on record; the two are not told apart.",
        "去掉该字段或代码。错误带有路径并同时返回 `data` 时：该代码不在客户端登记范围内，或无记录，二者不作区分。",
    ),
    "PURPOSE_REQUIRED": (
        "公开视图以外的查询缺少事项和案号",
        "Ask for the token with a matter and a case number, or send the header `Credit-Purpose`.",
        "申请令牌时写明事项和案号，或发送请求头 `Credit-Purpose`。",
    ),
    "MATTER_NOT_GRANTED": (
        "客户端未登记该事项，或该事项不存在",
        "Use a matter that the client is registered for; the operator sees them by `credit-gateway clients list`.",
        "使用已登记的事项；运维人员可用 `credit-gateway clients list` 查看。",
    ),
    "GRAPHQL_PARSE_FAILED": (
        "文档不是合法的 GraphQL",
        "Correct the document at the place given in `locations`.",
        "按 `locations` 指出的位置改正文档。",
    ),
    "GRAPHQL_VALIDATION_FAILED": (
        "文档不符合查询者自己的契约",
        "Compare with `/schema/{view}.graphql` of your own view. A field of a higher view does not exist in it.",
        "对照本视图的 `/schema/{view}.graphql`；更高视图的字段在其中不存在。",
    ),
    "BAD_USER_INPUT": (
        "取值不可用：编号、游标、数量、代码、日期、请求头",
        "Correct the value that the message names. Nothing was disclosed.",
        "改正提示中指出的取值；未披露任何信息。",
    ),
    "QUERY_TOO_COSTLY": (
        "查询超出单次请求的上限",
        "Ask for shorter lists or fewer subjects, and page with `after`. The limits are the operator's: "
        "[limits.md](limits.md).",
        "缩短列表或减少主体数量，用 `after` 分页；上限由运维人员设置。",
    ),
    "RATE_LIMITED": (
        "请求过多",
        "Wait as many seconds as `Retry-After` says, then go on more slowly. The limits are the operator's settings.",
        "按 `Retry-After` 给出的秒数等待，然后降低频率；上限由运维人员设置。",
    ),
    "PERSISTED_DOCUMENT_NOT_FOUND": (
        "该标识没有登记的文档，或只允许已登记的文档",
        "Send the document's text in `query`; clients that know the protocol send its hash, too ([clients.md]"
        "(clients.md#persisted-documents)). Where registered documents alone are answered, ask the operator to "
        "register it. To peers: this gateway lacks that version.",
        "在 `query` 中发送文档全文，支持该协议的客户端同时发送其哈希。只允许已登记文档时，请运维人员登记。"
        "其他地区的网关：本网关没有该版本的文档。",
    ),
    "STORAGE_UNAVAILABLE": (
        "数据库未答复；不返回部分数据",
        "Try again later; nothing was disclosed. A change may have been done where the message says so: send it again "
        "with the same `Idempotency-Key`, or look first. Operators: `/readyz` says which connection is down.",
        "稍后再试，未披露任何信息。提示变更可能已完成时：以同一 `Idempotency-Key` 重发，或先核实。运维人员：`/readyz` "
        "会指明哪个连接中断。",
    ),
    "LEDGER_UNAVAILABLE": (
        "披露记录无法写入，因此不披露任何信息",
        "Try again later; nothing was disclosed. Operators: see that the view's role may call `v_….disclose` and"
        " `disclose_one`, and that role `…_ledger` can write to `ledger.disclosure`.",
        "稍后再试，未披露任何信息。运维人员：检查该视图的角色能否执行 `v_….disclose` 和 `disclose_one`，"
        "角色 `…_ledger` 能否写入 `ledger.disclosure`。",
    ),
    "INTERNAL": (
        "未预见的错误，内容已屏蔽",
        "Quote the id in the message to the operator, who finds it in the log as `incident`.",
        "将提示中的编号告知运维人员；日志中以 `incident` 记录。",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or only compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where a page differs")
    check = parser.parse_args(arguments).check
    differs = 0
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        differs += 1
        if check:
            print(f"{path.relative_to(ROOT)} differs; run: python -m scripts.make_docs", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(check and differs > 0)


def pages() -> dict[Path, str]:
    """Every page that is made, by its path."""
    performance, architecture = DOCS / "performance.md", DOCS / "architecture.md"
    text = architecture.read_text(encoding="utf-8")
    imports = between((DOCS / "import.md").read_text(encoding="utf-8"), IMPORT_FIGURES, import_figures())
    return {
        DOCS / "import.md": between(imports, COLUMNS, columns_of_files()),
        DOCS / "settings.md": settings_page(),
        DOCS / "errors.md": errors_page(),
        performance: performance_page(performance.read_text(encoding="utf-8")),
        DOCS / "performance.svg": picture(),
        architecture: between(text, EXPLAIN, explained(first_query(text))),
    }


def performance_page(page: str) -> str:
    """docs/performance.md with the last figures of everything that is measured."""
    for marks, lines in (
        (FIGURES, measured()),
        (PEERS, of_peers()),
        (GROWTH, grown()),
        (MEMORY, remembered()),
        (SEARCH, searched()),
        (COLD, source_figures()),
        (BLACK_HOLE, black_hole_figures()),
    ):
        page = between(page, marks, lines)
    return page


# Settings -------------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """docs/settings.md."""
    own = [field for field in Settings.model_fields.items() if not _is_group(field[1])]
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        *_prose(
            f"Settings are environment variables that begin with `{PREFIX}`. They are read once, at the start. A name "
            "that is not listed here stops the program, and so does a value that can't be; an empty value counts as "
            "unset. `credit-gateway serve` takes `--workers`, `--host` and `--port` in place of three of them."
        ),
        "",
        *_table(SETTING_HEADS, (_setting(PREFIX, *field) for field in own)),
    ]
    for name, field in Settings.model_fields.items():
        if _is_group(field):
            group: Any = field.annotation
            prefix = f"{PREFIX}{name.upper()}__"
            lines += ["", f"## {field.description}: `{prefix}…`", "", *_paragraph(group.__doc__), ""]
            rows = (_setting(prefix, *inner) for inner in group.model_fields.items())
            lines += _table(SETTING_HEADS, rows)
    lines += ["", f"## Gateways of other regions: `{PREFIX}PEERS`", "", *_prose(PEERS_NOTE), "", *PEERS_EXAMPLE, ""]
    members = ((f"`{name}`", *_setting("", name, field)[1:]) for name, field in PeerSource.model_fields.items())
    lines += _table(("Member", *SETTING_HEADS[1:]), members)
    return "\n".join(lines) + "\n"


PEERS_NOTE = (
    "A JSON array with an object for each peer. The key is made by the operator (ES256 or EdDSA) and registered there "
    "with its public half; who may ask us is registered here like any client (clients.md). Without `matters` a peer is "
    "never asked."
)
PEERS_EXAMPLE = [
    "```json",
    '[{"code": "PEER_659007", "name": "双河市信用平台", "region_code": "659007", "region_name": "双河市",',
    '  "base_url": "https://credit.shuanghe.example", "issuer": "https://credit.shuanghe.example",',
    '  "client_id": "bortala", "key_file": "/etc/credit-gateway/peer-shuanghe.jwk", "matters": ["GRANT", "PPP"]}]',
    "```",
]


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _setting(prefix: str, name: str, field: FieldInfo) -> tuple[str, ...]:
    return f"`{prefix}{name.upper()}`", field.description or "", _kind(field), _default(field)


def _kind(field: FieldInfo) -> str:
    """The type as an operator reads it, with its limits."""
    found: Any = field.annotation
    if get_origin(found) in (Union, UnionType):
        found = next(kind for kind in get_args(found) if kind is not type(None))
    if get_origin(found) is tuple:
        return "list"
    if get_origin(found) is dict:
        return "JSON object"
    if get_origin(found) is Annotated:
        found = get_args(found)[0]
    if get_origin(found) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(found))
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    name = {**names, SecretStr: "secret"}[found]
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {getattr(limit, attribute)}"
        for limit in field.metadata
        for attribute, sign in signs.items()
        if getattr(limit, attribute, None) is not None
    ]
    return ", ".join((name, *limits))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    return "unset" if value is None else "empty" if value in ("", (), {}) else f"`{value}`"


# Errors ---------------------------------------------------------------------------------------------------------------


def errors_page() -> str:
    """docs/errors.md. KeyError where a code has no advice; ValueError where advice has no code."""
    codes = [error.code for error in CLIENT_ERRORS]
    if spare := set(ADVICE) - set(codes):
        raise ValueError(f"advice for codes that don't exist: {', '.join(sorted(spare))}")
    english = [(_code(e), str(e.status), " ".join(_paragraph(e.__doc__)), ADVICE[e.code][1]) for e in CLIENT_ERRORS]
    chinese = [(_code(e), str(e.status), ADVICE[e.code][0], ADVICE[e.code][2]) for e in CLIENT_ERRORS]
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        *_prose(
            "An error of `/graphql` has a code in `extensions.code`. Codes are stable and never used again for "
            "something else; messages may change. `Accept-Language` decides between Chinese and English."
        ),
        "",
        *_table(("Code", "HTTP", "When", "What to do"), english),
        "",
        *_prose(
            "- The status is that of the first error. A client whose Accept does not name "
            "`application/graphql-response+json` gets 200 for the errors of a document (parse, validation, input, "
            "cost), as GraphQL over HTTP has it."
        ),
        "- A request error comes without `data`. `FORBIDDEN` at a path comes beside `data`, with status 200.",
        "- A source that does not answer is no error: its section says so ([faults.md](faults.md)).",
        *_prose(
            "- A request that is refused before GraphQL begins has the code `BAD_USER_INPUT` and the status of HTTP: "
            "400 not JSON, 405 method, 406 media type of the answer, 413 body too long, 415 media type or encoding of "
            "the body."
        ),
        *_prose(
            "- What never becomes a request is refused in plain text, and the connection ends: 400 not HTTP/1.1, or to "
            "be read in two ways; 408 too slow; 413 body, 414 target, 431 headers too long; 503 too many connections."
        ),
        *_prose(
            "- `/oauth/token` answers with the errors of RFC 6749 §5.2 and RFC 9396: `invalid_request`, "
            "`invalid_client`, `unsupported_grant_type`, `invalid_scope`, `invalid_authorization_details`, "
            "`temporarily_unavailable` (503, or 429 with `Retry-After`)."
        ),
        "",
        *_prose(
            "What is wrong in several places is told at once, up to five errors, each with its `locations`. Every kind "
            "of bad input that the tests send, with what it is answered, stands below."
        ),
        "",
        "## Bad input",
        "",
        *_prose(
            "Each line is a case of `tests/bad_input`; the tests hold status, code and message. `/oauth/token` answers "
            "in English alone, since RFC 6749 §5.2 has ASCII."
        ),
        *_bad_input(0, "en", ("What is wrong", "HTTP", "Code", "Answer")),
        "",
        "## 错误代码",
        "",
        "`/graphql` 的错误代码在 `extensions.code` 中，长期不变；提示文字可能调整，语言由 `Accept-Language` 决定。",
        "",
        *_table(("代码", "HTTP", "何时出现", "如何处理"), chinese),
        "",
        "## 错误输入",
        "",
        "每一行都是 `tests/bad_input` 中的一个用例，均由测试核对。`/oauth/token` 只用英文（RFC 6749 §5.2）。",
        *_bad_input(1, "zh", ("错误", "HTTP", "代码", "答复")),
    ]
    return "\n".join(lines) + "\n"


def _bad_input(place: int, language: str, heads: Sequence[str]) -> list[str]:
    """The cases by group, in one language; several errors of one answer share a cell."""
    lines: list[str] = []
    for titles, cases in GROUPS.items():
        rows = [
            (
                _cell((case.en, case.zh)[place]),
                str(case.status),
                f"`{case.code}`" if case.code else "",
                "<br>".join(map(_cell, ANSWERS[case.name][language])),
            )
            for case in cases
        ]
        lines += ["", f"### {titles[place]}", "", *_table(heads, rows)]
    return lines


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\|<>_*`$\[\]])", r"\\\1", text)


def _code(error: type[ClientError]) -> str:
    return f"`{error.code}`"


# Figures --------------------------------------------------------------------------------------------------------------


def between(page: str, marks: tuple[str, str], lines: Sequence[str]) -> str:
    """The page with these lines between two marks. ValueError where it lacks them."""
    before, begin, rest = page.partition(marks[0])
    if not begin or marks[1] not in rest:
        raise ValueError(f"a page lacks the marks {marks[0]} and {marks[1]}")
    return before + begin + "\n\n" + "\n".join(lines) + "\n\n" + marks[1] + rest.partition(marks[1])[2]


def searched(results: Path = SEARCH_RESULTS) -> list[str]:
    """The figures of the last searches (benchmarks/search.py), or the word that there are none."""
    if not results.is_file():
        return ["No results yet."]
    found = json.loads(results.read_text(encoding="utf-8"))
    heads = ("view", "search", "asked", "p50 ms", "p95 ms", "longest ms", "with more than 1,000 matches")
    return [
        f"{found['names']:,} names; {found['machine']}; commit {found['commit'][:12]}.",
        "",
        *_table(heads, (tuple(str(value) for value in row.values()) for row in found["rows"])),
    ]


# Plan and SQL ---------------------------------------------------------------------------------------------------------


def first_query(page: str) -> str:
    """The first block of GraphQL in a page."""
    return page.partition("```graphql\n")[2].partition("```")[0]


def explained(query: str) -> list[str]:
    """What `credit-gateway explain --view restricted` prints for a query, long lines broken."""
    command = ["explain", "-", "--view", "restricted", "--variables", json.dumps(EXPLAINED)]
    done = CliRunner().invoke(app, command, input=query)
    if done.exit_code:
        raise ValueError(f"the query of docs/architecture.md: {done.output.strip()}")
    lines = [short for line in done.stdout.rstrip().splitlines() for short in _broken(line)]
    return ["```text", *lines, "```"]


def _broken(line: str) -> list[str]:
    """A statement's line, begun anew before joins and subselects, then wherever it is too long."""
    if len(line) <= WIDTH:
        return [line]
    made: list[str] = []
    for part in re.sub(r" (?=left join lateral|from \(select)", "\n  ", line).splitlines():
        rest = part
        while len(rest) > WIDTH and (cut := rest.rfind(" ", 8, WIDTH)) > 0:
            made.append(rest[:cut])
            rest = "    " + rest[cut + 1 :]
        made.append(rest)
    return made


# Markdown -------------------------------------------------------------------------------------------------------------


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    made = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in made]


def _prose(text: str) -> list[str]:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _paragraph(docstring: str | None) -> list[str]:
    return [line.strip() for line in (docstring or "").strip().splitlines()]


if __name__ == "__main__":
    sys.exit(main())

"""Bad input, case by case: what is sent, and the status and code that the design gives it.

cases.py says what a case is; the other modules have them, a list for each kind. answers.json keeps the messages as they
were really answered, for docs/errors.md; `python -m tests.bad_input --write` writes it, a test never does, and
tests/e2e/test_bad_input.py holds cases, answers and gateway together. A new case is one more entry in one of the lists.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.bad_input import change_cases, graphql_cases, header_cases, http_cases, json_cases, person_cases, value_cases
from tests.bad_input.cases import Case

FILE = Path(__file__).with_name("answers.json")
RECORD = "BAD_INPUT_WRITE"  # set: the test keeps what was answered, instead of comparing it

GROUPS: dict[tuple[str, str], tuple[Case, ...]] = {
    ("The body", "正文"): json_cases.CASES,
    ("The document", "查询文档"): graphql_cases.CASES,
    ("Values", "取值"): value_cases.CASES,
    ("Changes", "变更"): change_cases.CASES,
    ("Identity numbers", "证件号码"): person_cases.CASES,
    ("Headers: who asks, and what for", "请求头：查询者与用途"): header_cases.CASES,
    ("HTTP and the token endpoint", "HTTP 与令牌端点"): http_cases.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
# Case → language → messages of its errors.
ANSWERS: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}

"""Identity numbers where they must not stand, and who may not have one revealed. The client `internal` asks in the
matter SUPERVISION, which allows both."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.bad_input.cases import FORBIDDEN, INPUT, VALID, Case, Make, ask, http

_NUMBER = "659999197001010019"  # of nobody: there is no such division
_PERSON = "query P($n: String!, $x: String!) { person(identityNumber: $n, name: $x) { id } }"
_REVEAL = "mutation R($s: ID!, $w: String!) { revealIdentity(input: {subject: $s, reason: $w}) { identityNumber } }"
_URL = f"/graphql?query={quote(_PERSON)}&variables={quote(json.dumps({'n': _NUMBER, 'x': '示例'}))}"
_UNKNOWN = "UwAAAAAAAEAAgAAAAAAAAAA"


def _person(number: object, name: object = "示例") -> Make:
    return ask(_PERSON, "internal", n=number, x=name)


_ENTRIES = "query D($s: ID, $a: String) { viewer { disclosures(subject: $s, after: $a) { edges { cursor } } } }"

CASES: tuple[Case, ...] = (
    Case("entries-request", "who was shown what of a subject, without a recorded access request",
         "没有查阅申请记录而查询主体的披露记录", ask(_ENTRIES, "internal", s=_UNKNOWN), FORBIDDEN, 403),
    Case("entries-alone", "the same, without naming the subject", "同上，且未指定主体",
         ask(_ENTRIES, "internal"), FORBIDDEN, 403),
    Case("entries-subject", "the id of something else than a subject", "不是主体的标识",
         ask(_ENTRIES, "internal", s="RQAAAAAAAEAAgAAAAAAAAAA"), INPUT),
    Case("entries-cursor", "a cursor of another list", "其他列表的游标",
         ask(_ENTRIES, "internal", s=_UNKNOWN, a="d2026-01-01"), INPUT),
    Case("person-view", "a person, asked for below the internal view", "在内部视图以下查询自然人",
         ask(_PERSON, "restricted", n=_NUMBER, x="示例"), VALID),
    Case("person-literal", "an identity number in the document itself", "证件号码写在查询文档中",
         ask(f'{{ person(identityNumber: "{_NUMBER}", name: "示例") {{ id }} }}', "internal"), INPUT),
    Case("person-anywhere", "an identity number anywhere in the document: a comment, an alias, another field's value",
         "证件号码出现在查询文档的任何位置（注释、别名或其他字段的值）",
         ask(f'{{ searchSubjects(query: "{_NUMBER}") {{ totalCount }} }}', "internal"), INPUT),
    Case("person-default", "an identity number as a variable's default", "证件号码作为变量的默认值",
         ask(_PERSON.replace("$n: String!", f'$n: String! = "{_NUMBER}"'), "internal", x="示例"), INPUT),
    Case("person-shared", "an identity number's variable that is used for something else, too",
         "存放证件号码的变量另作他用",
         ask(_PERSON.replace("{ id } }", "{ id } searchSubjects(query: $n) { totalCount } }"), "internal",
             n=_NUMBER, x="示例"), INPUT),
    Case("person-get", "an identity number in a URL", "证件号码出现在 URL 中",
         http("GET", _URL, view="internal"), INPUT, 405),
    Case("person-digit", "an identity number whose check digit does not hold", "校验码错误的证件号码",
         _person(_NUMBER[:-1] + "0"), INPUT),
    Case("person-old", "an identity number of 15 digits", "15 位的旧证件号码", _person("659999700101001"), INPUT),
    Case("person-number", "an identity number that is no text", "证件号码不是文本", _person(659999197001010019), INPUT),
    Case("person-null", "null where an identity number is required", "必需的证件号码为 null", _person(None), INPUT),
    Case("person-name", "a name with a NUL in it", "姓名中含有 NUL", _person(_NUMBER, "示\x00例"), INPUT),
    Case("reveal-unknown", "a person that does not exist, is hidden, or is none: it reads the same",
         "自然人不存在、不可见或并非自然人：答复相同", ask(_REVEAL, "internal", s=_UNKNOWN, w="示例"), FORBIDDEN, 403),
    Case("reveal-record", "the id of something else", "其他对象的标识",
         ask(_REVEAL, "internal", s="@RECORD", w="示例"), INPUT),
    Case("reveal-reason", "no reason", "没有理由", ask(_REVEAL, "internal", s=_UNKNOWN, w=" "), INPUT),
    Case("reveal-long", "a reason of 501 characters", "理由有 501 个字符",
         ask(_REVEAL, "internal", s=_UNKNOWN, w="示" * 501), INPUT),
)  # fmt: skip

"""Values that can't be taken: codes, ids, cursors, sizes, dates, enums, filters, of a wrong type."""

from __future__ import annotations

import json

from tests.bad_input.cases import INPUT, JSON_BODY, VALID, Case, Known, Make, Sent, ask

_SUBJECT = "query Q($c: Uscc!) { subject(uscc: $c) { name } }"
_SUBJECTS = "query Q($c: [Uscc!]!) { subjects(usccs: $c) { name } }"
_NODE = "query Q($id: ID!) { node(id: $id) { id } }"
_ENTITIES = "query Q($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
_FIRST = "query Q($n: Int) { records(first: $n) { totalCount } }"
_LAST = "query Q($n: Int) { records(last: $n) { totalCount } }"
_AFTER = "query Q($a: String) { records(after: $a) { totalCount } }"
_FILTER = "query Q($f: RecordFilter) { records(filter: $f) { totalCount } }"
_SEARCH = """query Q($q: String!, $f: SubjectFilter, $n: Int, $a: String) {
  searchSubjects(query: $q, filter: $f, first: $n, after: $a) { totalCount } }"""
_WRONG = "91652701MA77777770"  # its check digit would be another


def _changed(change: str) -> Make:
    """A code on record, written otherwise."""

    def make(known: Known) -> Sent:
        code = known.uscc
        made = {
            "lower": code.lower(),
            "wide": "".join(chr(ord(char) + 0xFEE0) for char in code),
            "spaces": f"{code[:6]} {code[6:]}",
            "short": code[:17],
            "digit": code[:17] + ("0" if code[17] != "0" else "1"),
        }[change]
        return Sent(json.dumps({"query": _SUBJECT, "variables": {"c": made}}).encode(), (JSON_BODY,))

    return make


def _many(count: int, view: str = "") -> Make:
    def make(known: Known) -> Sent:
        token = (("authorization", f"Bearer {known.tokens[view]}"),) if view else ()
        body = {"query": _SUBJECTS, "variables": {"c": known.usccs[:count]}}
        return Sent(json.dumps(body).encode(), (JSON_BODY, *token))

    return make


CASES: tuple[Case, ...] = (
    Case("check-digit", "a code whose check digit does not hold", "校验码错误的代码", _changed("digit"), INPUT),
    Case("check-digit-literal", "the same in the document itself", "同上，直接写在文档中",
         ask(f'{{ subject(uscc: "{_WRONG}") {{ name }} }}'), INPUT),
    Case("lower-case", "a code in small letters", "小写的代码", _changed("lower"), INPUT),
    Case("wide-code", "a code in full-width characters", "全角的代码", _changed("wide"), INPUT),
    Case("spaced-code", "a code with a space in it", "含有空格的代码", _changed("spaces"), INPUT),
    Case("short-code", "a code of 17 characters", "17 位的代码", _changed("short"), INPUT),
    Case("code-number", "a number instead of a code", "数值而非代码", ask(_SUBJECT, c=91652701), INPUT),
    Case("code-null", "null where a code is required", "必需的代码为 null", ask(_SUBJECT, c=None), INPUT),
    Case("code-list", "a list where one code is meant", "应为一个代码却给出列表", ask(_SUBJECT, c=["@USCC"]), INPUT),
    Case("codes-empty", "an empty list of codes", "代码列表为空", ask(_SUBJECTS, c=[]), INPUT),
    Case("codes-mixed", "three bad codes among good ones: each is told with its place",
         "列表中三个错误代码：逐一指出位置",
         ask(_SUBJECTS, c=["@USCC", "x", "@USCC", None, 5]), INPUT),
    Case("codes-21", "21 codes in the public view", "公开视图一次 21 个代码", _many(21), INPUT),
    Case("codes-1001", "1,001 codes", "1,001 个代码", _many(1_001, "restricted"), INPUT),
    Case("entities-type", "a representation of a type that is no entity", "类型不是实体的实体表示",
         ask(_ENTITIES, r=[{"__typename": "Region", "code": "6527"}]), INPUT),
    Case("entities-key", "a representation without its key", "缺少键的实体表示",
         ask(_ENTITIES, r=[{"__typename": "Subject", "id": "@RECORD"}]), INPUT),
    Case("entities-code", "a representation with a bad code, and one that is no object",
         "代码错误的实体表示，以及非对象",
         ask(_ENTITIES, r=[{"__typename": "Subject", "uscc": "x"}, "x"]), INPUT),
    Case("entities-empty", "no representations", "实体表示列表为空", ask(_ENTITIES, r=[]), INPUT),
    Case("entities-10000", "10,000 representations", "10,000 个实体表示", ask(_ENTITIES, r=[1] * 10_000), INPUT),
    Case("variables-several", "two bad variables: each is told", "两个变量有误：逐一指出",
         ask("query Q($c: Uscc!, $n: Int) { subject(uscc: $c) { records(first: $n) { totalCount } } }",
             c="x", n="5"), INPUT),
    Case("id-empty", "an empty id", "标识为空", ask(_NODE, id=""), INPUT),
    Case("id-garbage", "an id that this gateway never gave", "不是本系统给出的标识",
         ask(_NODE, id="1; drop table"), INPUT),
    Case("id-uuid", "a UUID instead of an id", "UUID 而非标识",
         ask(_NODE, id="6a0c4d1e-5b0f-4c1c-9b57-6527d0c8a2f1"), INPUT),
    Case("id-padded", "an id with padding", "带填充符的标识", ask(_NODE, id="@RECORD="), INPUT),
    Case("id-short", "an id cut short", "被截断的标识", ask(_NODE, id="Ug"), INPUT),
    Case("id-number", "a number instead of an id", "数值而非标识", ask(_NODE, id=12), INPUT),
    Case("id-fraction", "a fraction instead of an id", "小数而非标识", ask(_NODE, id=1.5), INPUT),
    Case("id-object", "an object instead of an id", "对象而非标识", ask(_NODE, id={"a": 1}), INPUT),
    Case("id-literal", "a bad id in the document itself", "文档中的错误标识", ask('{ node(id: "x") { id } }'), INPUT),
    Case("first-0", "first: 0", "first 为 0", ask(_FIRST, n=0), INPUT),
    Case("first-negative", "first: -1", "first 为 -1", ask(_FIRST, n=-1), INPUT),
    Case("first-100000", "first: 100000", "first 为 100000", ask(_FIRST, n=100_000), INPUT),
    Case("first-1e3", "first: 1e3", "first 为 1e3", ask(_FIRST, n=1e3), INPUT),
    Case("first-text", 'first: "5"', 'first 为 "5"', ask(_FIRST, n="5"), INPUT),
    Case("first-true", "first: true", "first 为 true", ask(_FIRST, n=True), INPUT),
    Case("first-fraction", "first: 1.5", "first 为 1.5", ask(_FIRST, n=1.5), INPUT),
    Case("first-33-bits", "first beyond 32 bits", "first 超出 32 位", ask(_FIRST, n=2**32), INPUT),
    Case("first-literal", "first: 100000 in the document itself", "文档中 first 为 100000",
         ask("{ records(first: 100000) { totalCount } }"), INPUT),
    Case("first-literals", "two sizes that can't be: each is told with its place", "两处数量有误：逐一指出位置",
         ask('{ records(first: 0) { totalCount } subject(uscc: "@USCC") { records(first: 101) { totalCount } } }'),
         INPUT),
    Case("first-text-literal", 'first: "5" in the document itself', '文档中 first 为 "5"',
         ask('{ records(first: "5") { totalCount } }'), VALID),
    Case("first-digits", "first of 5,000 digits in the document itself", "文档中 first 为 5,000 位的数值",
         ask("{ records(first: " + "9" * 5_000 + ") { totalCount } }"), VALID),
    Case("first-digits-default", "the same as a variable's default", "同上，作为变量的默认值",
         ask("query Q($n: Int = " + "9" * 5_000 + ") { records(first: $n) { totalCount } }"), VALID),
    Case("first-and-last", "first and last", "同时使用 first 和 last",
         ask("{ records(first: 5, last: 5) { totalCount } }"), INPUT),
    Case("first-and-last-variables", "the same by variables", "同上，经由变量",
         ask("query Q($n: Int, $m: Int) { records(first: $n, last: $m) { totalCount } }", n=5, m=5), INPUT),
    Case("last-0", "last: 0", "last 为 0", ask(_LAST, n=0), INPUT),
    Case("last-101", "last: 101", "last 为 101", ask(_LAST, n=101), INPUT),
    Case("before-garbage", "a cursor before which nothing can be", "before 不是本系统给出的游标",
         ask("query Q($a: String) { records(last: 5, before: $a) { totalCount } }", a="x"), INPUT),
    Case("cursor-garbage", "a cursor that was never given", "不是本系统给出的游标", ask(_AFTER, a="x"), INPUT),
    Case("cursor-empty", "an empty cursor", "游标为空", ask(_AFTER, a=""), INPUT),
    Case("cursor-offset", "a negative offset as a cursor", "以负偏移量作游标", ask(_AFTER, a="-1"), INPUT),
    Case("cursor-other-order", "a cursor of a list in another order", "其他排序的游标",
         ask("query Q($a: String) { records(after: $a, orderBy: {field: PUBLISHED_FROM}) { totalCount } }",
             a="@CURSOR"), INPUT),
    Case("cursor-changed", "a cursor with a day that does not exist", "游标中的日期不存在",
         ask(_AFTER, a="d2026-02-30UgAAAAAAAAAAAAAAAAAAAAA"), INPUT),
    Case("cursor-behind-courts", "a bad cursor beside a question to the courts: nobody is asked",
         "错误游标与法院信息同查：不询问任何来源",
         ask('query Q($a: String) { subject(uscc: "@USCC") { records(after: $a) { totalCount } '
             "courts { answer { status } } } }", "restricted", a="x"), INPUT),
    Case("search-one-character", "a search by one character", "按一个字搜索", ask(_SEARCH, q="博"), INPUT),
    Case("search-nothing", "a search by spaces and characters that nobody sees", "按空格和不可见字符搜索",
         ask(_SEARCH, q=" \u3000\u200b"), INPUT),
    Case("search-too-long", "a search by 501 characters", "按 501 个字搜索", ask(_SEARCH, q="博" * 501), INPUT),
    Case("search-cursor", "a cursor of records in a search", "在搜索中使用信息列表的游标",
         ask(_SEARCH, q="博州", a="@CURSOR"), INPUT),
    Case("search-first", "first: 100000 in a search", "搜索时 first 为 100000",
         ask(_SEARCH, q="博州", n=100_000), INPUT),
    Case("search-region", "a search in a region by its name", "以名称指定搜索的行政区划",
         ask(_SEARCH, q="博州", f={"regionCode": "博乐市"}), INPUT),
    Case("search-hidden-kind", "a search for civil servants by the public", "公众搜索公务员",
         ask(_SEARCH, q="博州", f={"kinds": ["CIVIL_SERVANT"]}), INPUT),
    Case("search-without-text", "a search without what to search", "未给出搜索文字",
         ask("{ searchSubjects { totalCount } }"), VALID),
    Case("day", "30 February", "2 月 30 日", ask(_FILTER, f={"decidedFrom": "2026-02-30"}), INPUT),
    Case("day-slashes", "a date with slashes", "以斜线书写的日期", ask(_FILTER, f={"decidedTo": "2026/02/03"}), INPUT),
    Case("day-time", "a date with a time", "带时间的日期",
         ask(_FILTER, f={"decidedTo": "2026-02-03T00:00:00Z"}), INPUT),
    Case("day-literal", "a bad date in the document itself", "文档中的错误日期",
         ask('{ records(filter: {decidedFrom: "3.2.2026"}) { totalCount } }'), INPUT),
    Case("filter-unknown", "a filter that does not exist", "筛选条件不存在",
         ask(_FILTER, f={"kind": "PENALTY"}), INPUT),
    Case("filter-unknown-literal", "the same in the document itself", "同上，直接写在文档中",
         ask("{ records(filter: {kind: PENALTY}) { totalCount } }"), VALID),
    Case("filter-list", "a list instead of a filter", "列表而非筛选条件", ask(_FILTER, f=[]), INPUT),
    Case("filter-text", "text instead of a filter", "文本而非筛选条件", ask(_FILTER, f="PENALTY"), INPUT),
    Case("region", "a region code that can't be one", "不可能的行政区划代码",
         ask(_FILTER, f={"regionCode": "65%"}), INPUT),
    Case("enum", "a status that does not exist", "状态不存在", ask(_FILTER, f={"statuses": ["EXPIERD"]}), INPUT),
    Case("enum-hidden", "a status of a higher view: it reads like a misspelt one", "更高视图的状态：与拼写错误相同",
         ask(_FILTER, f={"statuses": ["EXPIRED"]}), INPUT),
    Case("enum-literal", "a misspelt status in the document itself", "文档中状态拼写错误",
         ask("{ records(filter: {statuses: [EXPIERD]}) { totalCount } }"), VALID),
    Case("enum-hidden-literal", "a status of a higher view in the document itself", "文档中更高视图的状态",
         ask("{ records(filter: {statuses: [REVOKED]}) { totalCount } }"), VALID),
    Case("enum-quoted", "an enum value in quotes", "枚举值带引号",
         ask('{ records(filter: {kinds: ["PENALTY"]}) { totalCount } }'), VALID),
    Case("enum-number", "a number instead of an enum value", "数值而非枚举值", ask(_FILTER, f={"kinds": [1]}), INPUT),
    Case("order", "an order that does not exist", "排序不存在",
         ask("query Q($o: RecordOrder) { records(orderBy: $o) { totalCount } }", o={"field": "AMOUNT"}), INPUT),
    Case("skip-text", "a condition that is text", "条件为文本",
         ask("query Q($s: Boolean!) { __typename @skip(if: $s) }", s="yes"), INPUT),
    Case("null-over-default", "null for a variable whose default would do", "以 null 覆盖变量默认值",
         ask('query Q($c: Uscc = "@USCC") { subject(uscc: $c) { name } }', c=None), INPUT),
    Case("null-in-list", "null among the codes, by a variable with a default",
         "经由有默认值的变量在代码列表中给出 null",
         ask('query Q($c: Uscc = "@USCC") { subjects(usccs: [$c]) { name } }', c=None), INPUT),
    Case("null-in-introspection", "null for the name of a type", "类型名为 null",
         ask('query Q($n: String = "Subject") { __type(name: $n) { name } }', n=None), INPUT),
    Case("null-condition", "null for a condition", "条件为 null",
         ask("query Q($s: Boolean = true) { __typename @skip(if: $s) }", s=None), INPUT),
    Case("null-in-object", "null for a required field of an object", "对象的必需字段为 null",
         ask("query Q($d: Direction = ASC) { records(orderBy: {direction: $d}) { totalCount } }", d=None), INPUT),
    Case("long-list", "5,000 values in a list", "5,000 个取值的列表",
         ask(_FILTER, f={"kinds": ["PENALTY"] * 5_000}), INPUT),
)  # fmt: skip

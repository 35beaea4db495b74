"""Bodies that are not the JSON object which GraphQL over HTTP asks for."""

from __future__ import annotations

import gzip

from tests.bad_input.cases import INPUT, PARSE, Case, ask, members, raw

GOOD = b'{"query":"{ __typename }"}'
_LIST = "query C($n: String!) { codeList(name: $n) { code } }"

CASES: tuple[Case, ...] = (
    Case("truncated", "JSON that ends too early", "JSON 不完整", raw(GOOD[:-1]), INPUT),
    Case("no-json", "a body that is not JSON", "正文不是 JSON", raw(b"{ __typename }"), INPUT),
    Case("empty-body", "an empty body", "正文为空", raw(b""), INPUT),
    Case("nan", "NaN as a number", "数值为 NaN", raw(b'{"query":"{ __typename }","variables":{"a":NaN}}'), INPUT),
    Case(
        "infinity",
        "-Infinity as a number",
        "数值为 -Infinity",
        raw(b'{"query":"{ __typename }","variables":{"a":-Infinity}}'),
        INPUT,
    ),
    Case(
        "huge-exponent",
        "a number beyond double precision (1e999)",
        "超出双精度范围的数值（1e999）",
        raw(b'{"query":"query Q($n: Int) { records(first: $n) { totalCount } }","variables":{"n":1e999}}'),
        INPUT,
    ),
    Case(
        "long-number",
        "a number of 5,000 digits",
        "5,000 位的数值",
        raw(b'{"query":"{ __typename }","variables":{"a":' + b"9" * 5_000 + b"}}"),
        INPUT,
    ),
    Case(
        "duplicate-key",
        "a name twice in one object",
        "同一对象中名称重复",
        raw(b'{"query":"{ __typename }","query":"{ viewer { view } }"}'),
        INPUT,
    ),
    Case(
        "duplicate-variable",
        "a variable twice",
        "变量重复给出",
        raw(b'{"query":"{ __typename }","variables":{"a":1,"a":2}}'),
        INPUT,
    ),
    Case("deep-array", "100,000 nested arrays", "100,000 层嵌套数组", raw(b"[" * 100_000), INPUT),
    Case(
        "deep-object",
        "100,000 nested objects in the variables",
        "变量中 100,000 层嵌套对象",
        raw(b'{"query":"{ __typename }","variables":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001),
        INPUT,
    ),
    Case(
        "surrogate-in-document",
        "half of a surrogate pair in the document",
        "文档中含有孤立代理字符",
        raw(b'{"query":"{ __typename } # \\ud800"}'),
        PARSE,
    ),
    Case("surrogate-in-variable", "half of a surrogate pair in a variable", "变量中含有孤立代理字符",
         ask(_LIST, n="Area\ud800"), INPUT),
    Case("nul-in-variable", "NUL in a variable", "变量中含有 NUL", ask(_LIST, n="Area\0"), INPUT),
    Case("nul-in-document", "NUL in the document", "文档中含有 NUL", raw(b'{"query":"{ __typename\\u0000 }"}'), PARSE),
    Case("nul-byte", "a NUL byte in the body", "正文中含有 NUL 字节", raw(b'{"query":"{ __typename }\0"}'), INPUT),
    Case("bom", "a byte order mark", "字节顺序标记（BOM）", raw(b"\xef\xbb\xbf" + GOOD), INPUT),
    Case("bad-utf8", "bytes that are not UTF-8", "不是 UTF-8 的字节", raw(b'{"query":"\xff"}'), INPUT),
    Case("gb18030", "a body in GB18030", "正文为 GB18030 编码", raw('{"query":"# 查询"}'.encode("gb18030")), INPUT),
    Case("null", "null instead of an object", "null 而非对象", raw(b"null"), INPUT),
    Case("batch", "a batch of requests", "批量请求", raw(b"[" + GOOD + b"," + GOOD + b"]"), INPUT),
    Case("text", "a string instead of an object", "字符串而非对象", raw(b'"{ __typename }"'), INPUT),
    Case("no-query", "no query", "缺少 query", members(variables={}), INPUT),
    Case("null-query", "query is null", "query 为 null", members(query=None), INPUT),
    Case("number-query", "query is a number", "query 为数值", members(query=1), INPUT),
    Case("name-number", "operationName is a number", "operationName 为数值",
         members(query="{ __typename }", operationName=1), INPUT),
    Case("variables-list", "variables is a list", "variables 为数组",
         members(query="{ __typename }", variables=[1]), INPUT),
    Case("variables-text", "variables is JSON in a string", "variables 为 JSON 字符串",
         members(query="{ __typename }", variables="{}"), INPUT),
    Case("extensions-list", "extensions is a list", "extensions 为数组",
         members(query="{ __typename }", extensions=[1]), INPUT),
    Case("persisted", "a hash of a document instead of its text", "仅给出文档哈希",
         members(extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}), INPUT),
    Case("text-plain", "Content-Type text/plain", "Content-Type 为 text/plain", raw(GOOD, "text/plain"), INPUT, 415),
    Case("no-content-type", "an empty Content-Type", "Content-Type 为空", raw(GOOD, ""), INPUT, 415),
    Case("form", "a form", "表单", raw(b"query=%7B__typename%7D", "application/x-www-form-urlencoded"), INPUT, 415),
    Case("multipart", "an upload of files", "文件上传", raw(b"--x--", "multipart/form-data; boundary=x"), INPUT, 415),
    Case("charset", "another charset", "其他字符集", raw(GOOD, "application/json; charset=gb18030"), INPUT, 415),
    Case("compressed", "a compressed body", "压缩的正文",
         raw(gzip.compress(GOOD), content_encoding="gzip"), INPUT, 415),
    Case("too-long", "a body of 2 MiB", "2 MiB 的正文", raw(b'{"query":"' + b" " * 2_097_152 + b'"}'), INPUT, 413),
)  # fmt: skip

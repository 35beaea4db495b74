"""The parameters of a GraphQL request, out of a body or a query string (GraphQL over HTTP).

In: bytes as they arrived. Out: a Request, or NotHttp with what is wrong and what to do. Read strictly: what another
reader of the same bytes (a proxy, a log) could understand otherwise is refused, not guessed at.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from gateway.auth.documents import DOCUMENT_ID
from gateway.engine.execute import Request

MOST_PARAMETERS = 20  # of a query string
MOST_LEVELS = 64  # of JSON within JSON: nothing has a tenth, and whoever walks it calls itself
MOST_VALUES = 25_000  # of a body, its texts' own commas counted along: it is told before any of them is read
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 40  # characters of a name that a message repeats


class NotHttp(Exception):
    """Refused before GraphQL begins: status, what is wrong and what to do in English and Chinese, headers."""

    def __init__(self, status: int, en: str, zh: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(en)
        self.status = status
        self.en = en
        self.zh = zh
        self.headers = headers

    def message(self, language: str) -> str:
        """The message in `language` (zh or en)."""
        return self.zh if language == "zh" else self.en


class _Refused(ValueError):
    """JSON that another reader could understand otherwise: (English, Chinese)."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en, zh)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Refused(
            f"has {twice[:_SHOWN]} twice in one object; leave one", f"同一对象中 {twice[:_SHOWN]} 重复，请只保留一个"
        )
    return made


def _constant(name: str) -> Any:
    raise _Refused(
        f"has {name}, which JSON does not know; send a number or null", f"含有 JSON 没有的 {name}，请使用数值或 null"
    )


def _number(text: str) -> float:
    made = float(text)
    if made in (math.inf, -math.inf):
        raise _Refused(
            f"has the number {text[:_SHOWN]}, which is beyond a double; send a smaller one",
            f"含有超出双精度范围的数值 {text[:_SHOWN]}，请使用较小的数值",
        )
    return made


# One decoder for all: json.loads makes a new one for each call that has hooks.
_DECODE = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant, parse_float=_number).decode


def from_body(body: bytes, language: str) -> Request:
    """The request in the body of a POST. Raises NotHttp."""
    if body.count(b",") > MOST_VALUES:
        raise NotHttp(
            413,
            f"the body may have at most {MOST_VALUES} values; ask in several requests",
            f"正文最多 {MOST_VALUES} 个值，请分多次查询",
        )
    return parameters(json_object(body, "the body", "正文"), language)


def from_query(query: bytes, language: str) -> Request:
    """The request in a query string. Raises NotHttp."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        raise NotHttp(
            400,
            f"the query string is not valid; give at most {MOST_PARAMETERS} parameters, percent-encoded in UTF-8",
            f"查询字符串无效，应为最多 {MOST_PARAMETERS} 个以百分号编码的 UTF-8 参数",
        ) from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotHttp(400, f"{name[:_SHOWN]} is given twice; leave one", f"{name[:_SHOWN]} 重复，请只保留一个")
        found[name] = value
    for name in ("variables", "extensions"):
        if found.get(name):
            found[name] = json_object(found[name].encode(), name, f"{name} ")
        else:
            found.pop(name, None)
    if not found.get("operationName"):
        found.pop("operationName", None)
    return replace(parameters(found, language), reads_only=True)


def token_elsewhere() -> NotHttp:
    """A token in a URL or a body: RFC 6750 §2.2 and §2.3 allow it, but these stand in logs, and two places would mean
    two answers."""
    return NotHttp(
        400,
        "send the access token in the Authorization header alone",
        "访问令牌只能放在 Authorization 请求头中",
        ((b"www-authenticate", b'Bearer error="invalid_request"'),),
    )


def json_object(body: bytes, what: str, zh: str) -> dict[str, Any]:
    """One JSON object, read strictly; `what` and `zh` name what has it. Raises NotHttp."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotHttp(
            400,
            f"{what} is not UTF-8 at byte {error.start + 1}; encode it as UTF-8",
            f"{zh}的第 {error.start + 1} 个字节不是 UTF-8，请使用 UTF-8 编码",
        ) from None
    try:
        found = _DECODE(text)
        if text.count("[") + text.count("{") > MOST_LEVELS and not _is_shallow(found):
            raise RecursionError
    except (ValueError, RecursionError) as error:
        raise NotHttp(400, *_told(error, text, what, zh)) from None
    if not isinstance(found, dict):
        raise NotHttp(
            400,
            f"{what} must be one JSON object; send the requests of a batch one by one",
            f"{zh}必须是一个 JSON 对象；批量请求请逐个发送",
        )
    return found


def _is_shallow(found: Any) -> bool:
    level = [found]
    for _ in range(MOST_LEVELS):
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return True
        level = [value for each in inner for value in (each.values() if isinstance(each, dict) else each)]
    return not any(isinstance(each, dict | list) for each in level)


def _told(error: Exception, text: str, what: str, zh: str) -> tuple[str, str]:
    """What is wrong with JSON, in our words."""
    if isinstance(error, _Refused):
        return f"{what} {error.args[0]}", f"{zh}{error.args[1]}"
    if isinstance(error, RecursionError):
        return f"{what} is nested too deeply; send fewer levels", f"{zh}嵌套过深，请减少层级"
    if not isinstance(error, json.JSONDecodeError):  # int() refuses more digits than its bound
        return f"{what} has a number of too many digits; shorten it", f"{zh}含有位数过多的数值，请缩短"
    if not text.strip():
        return f'{what} is empty; send {{"query": "…"}} as JSON', f'{zh}为空，请发送 JSON：{{"query": "…"}}'
    if text.startswith("\ufeff"):
        return f"{what} begins with a byte order mark; leave it out", f"{zh}以字节顺序标记（BOM）开头，请去掉"
    place = f"line {error.lineno}, column {error.colno}"
    return (
        f"{what} is not JSON from {place} on; correct it there",
        f"{zh}自第 {error.lineno} 行第 {error.colno} 列起不是 JSON，请在该处改正",
    )


def parameters(found: Mapping[str, Any], language: str) -> Request:
    """The request in the members of a JSON object (GraphQL over HTTP). Raises NotHttp."""
    if "access_token" in found:
        raise token_elsewhere()
    query, name = found.get("query"), found.get("operationName")
    variables, extensions = found.get("variables"), found.get("extensions")
    persisted, automatic = None, False
    if found.get("documentId") is not None or (isinstance(extensions, dict) and "persistedQuery" in extensions):
        persisted, automatic = _named(found.get("documentId"), extensions, query)
        query = "" if query is None else query
    if not isinstance(query, str):
        raise NotHttp(
            400,
            "query must be a string; send the document's text in it, or name a registered document in documentId",
            "query 必须是字符串，请在其中发送文档全文，或在 documentId 中给出已登记文档的标识",
        )
    if name is not None and not isinstance(name, str):
        raise NotHttp(
            400,
            "operationName must be a string; leave it out where the document has one operation",
            "operationName 必须是字符串；文档只有一个操作时可省略",
        )
    for value, what in ((variables, "variables"), (extensions, "extensions")):
        if value is not None and not isinstance(value, dict):
            raise NotHttp(
                400,
                f"{what} must be a JSON object; send no list and no text of JSON",
                f"{what} 必须是 JSON 对象，不能是数组或 JSON 文本",
            )
    return Request(query, name, variables or {}, language, persisted=persisted, automatic=automatic)


def _named(given: Any, extensions: Any, query: Any) -> tuple[str, bool]:
    """The document that the request names, and whether as automatic persisted queries do: `documentId` of GraphQL over
    HTTP, `extensions.persistedQuery`, or both where they say the same. A text beside it must have the hash."""
    automatic = isinstance(extensions, dict) and "persistedQuery" in extensions
    hash_ = _hash_of(extensions["persistedQuery"]) if automatic else None
    found = hash_ if given is None else _id_of(given)
    if found is None or (hash_ is not None and hash_ != found):
        raise NotHttp(
            400,
            "documentId and persistedQuery must name one document; send one of the two alone",
            "documentId 与 persistedQuery 必须指同一文档，请只发送其中之一",
        )
    if isinstance(query, str) and hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest() != found:
        what = "persistedQuery" if given is None else "documentId"
        raise NotHttp(
            400,
            f"query does not have the hash in {what}; send the document's own hash, or one of the two alone",
            f"query 的哈希与 {what} 不一致，请发送文档自身的哈希，或只发送其中之一",
        )
    return found, automatic


def _id_of(given: Any) -> str:
    """A document identifier (GraphQL over HTTP, appendix A): `sha256:` and the hash, or one without a prefix."""
    kind, colon, rest = given.partition(":") if isinstance(given, str) else ("", "", "")
    known = _SHA256.fullmatch(rest) if colon and kind == "sha256" else not colon and DOCUMENT_ID.fullmatch(kind)
    if not known:
        raise NotHttp(
            400,
            'documentId is malformed; send "sha256:" and the document\'s SHA-256 in small hex, or its registered id',
            "documentId 格式错误，应为 sha256: 加 64 位小写十六进制哈希，或登记时的标识",
        )
    return rest or kind


def _hash_of(given: Any) -> str:
    """The hash of `extensions.persistedQuery`."""
    found = given.get("sha256Hash") if isinstance(given, dict) else None
    version = given.get("version") if isinstance(given, dict) else None
    if type(version) is not int or version != 1 or not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise NotHttp(
            400,
            'persistedQuery is malformed; send {"version": 1, "sha256Hash": "…"}, the document\'s SHA-256 in small hex',
            'persistedQuery 格式错误，应为 {"version": 1, "sha256Hash": "…"}，其值为文档 SHA-256 的 64 位小写十六进制',
        )
    return found

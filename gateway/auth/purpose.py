"""What a request is for: a matter and a case number, from the token or from the header Credit-Purpose.

In: `authorization_details` (RFC 9396, type credit_purpose) or the header's text (RFC 9651, a Dictionary). Out: a
Purpose, or BadUserInput. Whether the client may act in the matter is decided in authenticate.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import http_sf

from gateway.errors import BadUserInput
from gateway.storage.identifiers import valid_uscc
from gateway.storage.nearly import masked

TYPE = "credit_purpose"
SELF_MATTER = "SELF"
MAX_MATTER = 40
MAX_CASE = 200
MAX_SUBJECTS = 100_000
MAX_HEADER = 4_096  # bytes: 200 Chinese characters are 1,800 as a Display String

_MEMBERS = frozenset({"type", "matter", "case_number", "max_subjects", "on_behalf_of"})
# Cc, Cs: never text. Cf, Zl, Zp: would let a case number look like another one in a log or on a page.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Purpose:
    """Matter and case; max_subjects and on_behalf_of come from tokens alone."""

    matter: str
    case_number: str
    max_subjects: int | None = None
    on_behalf_of: str | None = None

    def as_details(self) -> list[dict[str, Any]]:
        """The purpose as authorization_details (RFC 9396 §2)."""
        detail: dict[str, Any] = {"type": TYPE, "matter": self.matter, "case_number": self.case_number}
        if self.max_subjects is not None:
            detail["max_subjects"] = self.max_subjects
        if self.on_behalf_of is not None:
            detail["on_behalf_of"] = self.on_behalf_of
        return [detail]


def self_purpose() -> Purpose:
    """What a subject's own account acts in where it names nothing."""
    return Purpose(SELF_MATTER, SELF_MATTER)


def parse_header(text: str) -> Purpose:
    """The purpose in a Credit-Purpose header: exactly `matter` and `case`, each a String or a Display String.

    Raises BadUserInput for anything else.
    """
    # Latin-1 is how HTTP libraries hand over the bytes of a header; more can't have come over the wire.
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raise _bad_header() from None
    if len(raw) > MAX_HEADER:
        raise _bad_header()
    try:
        members = http_sf.parse(raw, tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    except (http_sf.StructuredFieldError, ValueError, ArithmeticError, RecursionError) as error:
        # The parser's own words may repeat the input; ours do not.
        raise _bad_header() from error
    if not isinstance(members, dict) or set(members) != {"matter", "case"}:
        raise _bad_header()
    return Purpose(_matter(_text(members["matter"])), _case(_text(members["case"])))


def parse_details(details: Any) -> Purpose:
    """The purpose in authorization_details: an array of one object of type credit_purpose, with no unknown members.

    Raises BadUserInput; its English text is ASCII, so that the token endpoint can use it as error_description.
    """
    if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], Mapping):
        raise BadUserInput(
            "authorization_details must be an array of one object", "authorization_details 必须是只含一个对象的数组"
        )
    detail = details[0]
    if detail.get("type") != TYPE:
        raise BadUserInput(f"the type must be {TYPE}", f"type 必须为 {TYPE}")
    if not set(detail) <= _MEMBERS:
        raise BadUserInput("unknown member in authorization_details", "authorization_details 含有未知成员")
    limit = detail.get("max_subjects")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_SUBJECTS):
        raise BadUserInput(
            f"max_subjects must be an integer from 1 to {MAX_SUBJECTS}",
            f"max_subjects 必须是 1 至 {MAX_SUBJECTS} 的整数",
        )
    asking = detail.get("on_behalf_of")
    if asking is not None and not (isinstance(asking, str) and valid_uscc(asking) and masked(asking) == asking):
        raise BadUserInput(
            "on_behalf_of must be a unified social credit code with a right check digit",
            "on_behalf_of 必须是校验位正确的统一社会信用代码",
        )
    return Purpose(_matter(detail.get("matter")), _case(detail.get("case_number")), limit, asking)


def agree(token: Purpose | None, header: Purpose | None) -> Purpose | None:
    """The one purpose of a request: where token and header both have one, they must be equal (else BadUserInput)."""
    if token is None:
        return header
    if header is not None and (header.matter, header.case_number) != (token.matter, token.case_number):
        raise BadUserInput(
            "the Credit-Purpose header differs from the purpose in the token; leave the header out or make them equal",
            "请求头 Credit-Purpose 与令牌中的用途不一致，请去掉该请求头或使二者一致",
        )
    return token


def _text(member: Any) -> Any:
    # An item without parameters comes as a bare value, one with parameters as a pair; neither member has any.
    value, parameters = member if isinstance(member, tuple) else (member, {})
    if parameters:
        raise _bad_header()
    if isinstance(value, http_sf.DisplayString):
        return str(value)
    if type(value) is not str:  # a Token (text without quotes), a number
        raise _bad_header()
    return value


def _matter(value: Any) -> str:
    if (
        not isinstance(value, str)
        or not 2 <= len(value) <= MAX_MATTER
        or not all(char == "_" or "A" <= char <= "Z" for char in value)
    ):
        raise BadUserInput(
            f"matter must be a code of at most {MAX_MATTER} capital letters and underscores; write one such as GRANT",
            f"事项（matter）必须是由大写字母和下划线组成的代码，最长 {MAX_MATTER} 个字符，例如 GRANT",
        )
    return value


def _case(value: Any) -> str:
    if (
        not isinstance(value, str)
        or not value.strip()
        or len(value) > MAX_CASE
        or any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in value)
    ):
        raise BadUserInput(
            f"the case number must have 1 to {MAX_CASE} characters and no control characters; write that of your file",
            f"案号（case）必须是 1 至 {MAX_CASE} 个字符且不含控制字符的文本，请填写办件编号",
        )
    if masked(value) != value:
        # It is kept in the account as it is, and shown to whoever may read that.
        raise BadUserInput(
            "the case number holds what reads as a resident identity number; leave identity numbers out of case"
            " numbers, and write the number of your file",
            "案号（case）中含有（或形似）居民身份证号码，案号不得含证件号码，请填写办件编号",
        )
    return value


def _refuse_duplicate(key: str, context: str) -> None:
    raise ValueError(f"a key occurs twice in a {context}")


def _bad_header() -> BadUserInput:
    return BadUserInput(
        'malformed Credit-Purpose header; it reads matter="GRANT", case="2026-11", and text that is not ASCII is a '
        'Display String (RFC 9651): case=%"%e5%8d%9a"',
        '请求头 Credit-Purpose 格式错误，应为 matter="GRANT", case="2026-11"；非 ASCII 文本使用 Display String'
        '（RFC 9651）：case=%"%e5%8d%9a"',
    )

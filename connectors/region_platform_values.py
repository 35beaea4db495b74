"""Single values of the regional platform's rows: texts, days, money, kinds and codes as departments write them.

In: one value of a row as JSON has it, and its key. Out: its canonical form, None for what stands for nothing;
UpstreamError or UnreadableDateError else. Called by region_platform_rows.py; the codes by its neighbours, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from connectors.base import FailureKind
from connectors.http import UnreadableDateError, fail, read_text

LONG_TERM: Final = "2099-12-31"  # how 双公示 writes that something has no end

NAME, NUMBER, SHORT, LIST, LONG = 200, 200, 500, 2_000, 20_000  # characters, as imported files have them
_MOST_KINDS: Final = 30
_MOST: Final = Decimal(10) ** 17  # yuan

_NULLS: Final = frozenset(
    (
        "", "/", "//", "\\", "无", "暂无", "暂无数据", "暂缺", "-", "--", "---", "—", "——", "_", "null", "none", "nil",
        "n/a", "na", "空", "不详", "不适用", "没有", "未填", "未填写", "*", ".", "。", "?",
    )
)  # fmt: skip
_LONGEST_NULL: Final = 12
_ENTITIES: Final = (("&nbsp;", " "), ("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_CJK = r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"
_BETWEEN_CJK: Final = re.compile(rf"(?<={_CJK})\s+(?={_CJK})")
_ZERO_WIDTH: Final = re.compile(r"[\u200b-\u200f\u2060\ufeff]")

_OPENING, _CLOSING = "〔【[(﹝［（", "〕】])﹞］）"
_BRACKETS: Final = str.maketrans(_OPENING + _CLOSING, "〔" * len(_OPENING) + "〕" * len(_CLOSING))
# Numbers of court cases, in both forms, keep round brackets (法〔2015〕137号).
_CASE: Final = re.compile(
    r"〔([0-9]{4})〕((?:最高法|[京津冀晋内辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川黔云藏陕甘青宁新兵军](?:[0-9A-Z]{2}){0,2})"
    r"[一-鿿]{1,8}[0-9]{1,8}号(?:之[一二三四五六七八九十0-9]+)?|[一-鿿0-9]{1,16}字第[0-9]{1,8}(?:-[0-9]+)?号)"
)

_DATE: Final = re.compile(
    r"([0-9]{4})(?:[-/.]|年)([0-9]{1,2})(?:[-/.]|月)([0-9]{1,2})[日号]?"
    r"(?:[ T]?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
)
_COMPACT: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{6})?")
_SERIAL: Final = re.compile(r"[1-9][0-9]{4}(?:\.[0-9]+)?")
_DAY_ZERO: Final = date(1899, 12, 30)  # of Excel
_FIRST_SERIAL: Final = 29_221  # 1980-01-01: what is smaller has lost digits
_FIRST, _LAST = date(1949, 1, 1), date(2999, 12, 31)
_NULL_DAY: Final = re.compile(
    r"(?:1900|0000|0001)[-/.年]0?[01][-/.月]0?[01]日?(?: 0?0:00(?::00)?)?|1899[-/.]12[-/.]3[01]"
)
_NO_DAYS: Final = frozenset(("0", "0000-00-00", "00000000", "19000101", "9999-12-31", "9999/12/31", "99991231"))
_WITHOUT_END: Final = frozenset(("长期", "长期有效", "永久", "永久有效", "无期限", "无固定期限", "9999-12-31"))
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.[0-9]+)?"
)

_AMOUNT: Final = re.compile(r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,20})(?:\.[0-9]{1,20})?)(万元|元)?")
_UNITS: Final = {"万元": Decimal(10_000), "元": Decimal(1)}

# Kinds of penalty (行政处罚法 Art. 9), the spellings that are met, and the digits of the older generation.
_PENALTY_KINDS: Final = {
    "暂扣许可证": "暂扣许可证件", "暂扣执照": "暂扣许可证件", "吊销许可证": "吊销许可证件", "吊销执照": "吊销许可证件",
    "吊销营业执照": "吊销许可证件", "停产停业": "责令停产停业", "拘留": "行政拘留", "0": "警告", "1": "罚款",
    "2": "没收违法所得、没收非法财物", "3": "责令停产停业", "5": "行政拘留", "6": "其他",
}  # fmt: skip
_LICENCE_KINDS: Final = frozenset(("普通", "特许", "认可", "核准", "登记", "其他"))

_USCC: Final = {character: value for value, character in enumerate("0123456789ABCDEFGHJKLMNPQRTUWXY")}


def valid_uscc(code: str) -> bool:
    """Is this a unified social credit code (GB 32100-2015) in its normal form, check digit included?"""
    if len(code) != 18 or any(character not in _USCC for character in code):
        return False
    total = sum(_USCC[character] * pow(3, place, 31) for place, character in enumerate(code[:17]))
    return _USCC[code[17]] == (31 - total % 31) % 31


def fold_brackets(text: str) -> str:
    """The text with every kind of bracket written 〔〕: what makes two document numbers one (UPSTREAMS §5)."""
    return text.strip().translate(_BRACKETS)


def document_number_of(text: str) -> str:
    """A document number as it is stored: brackets 〔〕 (of case numbers （）), half-width digits, no spaces."""
    plain = fold_brackets(re.sub(r"\s+", "", unicodedata.normalize("NFKC", fold_brackets(text))))
    case = _CASE.fullmatch(plain)
    return f"（{case[1]}）{case[2]}" if case else plain


def text_up_to(cap: int) -> Callable[[object, str], str | None]:
    """Text without what other programs left in it, cut at `cap` characters; null for the words that stand for it."""

    def read(value: object, key: str) -> str | None:
        text = read_text(value, key)
        if text is None:
            return None
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
        text = _ZERO_WIDTH.sub("", re.sub(r"(?i)<br\s*/?>", "\n", text)).strip()
        plain = unicodedata.normalize("NFKC", text).strip().casefold() if len(text) <= _LONGEST_NULL else text
        return None if plain.removeprefix("(").removesuffix(")").strip() in _NULLS else text[:cap]

    return read


def read_name(value: object, key: str) -> str | None:
    """A name on one line, without spaces inside Chinese. Cut short it would be another's: too long is a failure."""
    text = text_up_to(LONG)(value, key)
    if text is not None:
        text = " ".join(_BETWEEN_CJK.sub("", text).split())
        if len(text) > NAME:
            fail(FailureKind.MALFORMED, f"{key} is too long")
    return text


def read_number(value: object, key: str) -> str | None:
    """A document's number as written. Cut short it would be another's: too long is a failure."""
    text = text_up_to(LONG)(value, key)
    if text is not None and len(text) > NUMBER:
        fail(FailureKind.MALFORMED, f"{key} is too long")
    return text


def read_code(value: object, key: str) -> str | None:
    """The code of an organ; null where it doesn't hold, as its name tells who it is."""
    code = unicodedata.normalize("NFKC", text_up_to(LONG)(value, key) or "").strip().upper()
    return code if valid_uscc(code) else None


def read_day(value: object, key: str) -> str | None:
    """ISO 8601 from the forms that are met (DOMAIN §4), an Excel serial included. Raises UnreadableDateError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**8:
        value = str(value)
    text = text_up_to(LONG)(value, key)
    if text is None:
        return None
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if plain in _NO_DAYS or _NULL_DAY.fullmatch(plain):
        return None
    match = _DATE.fullmatch(plain) or _COMPACT.fullmatch(plain)
    try:
        if match is not None:
            day = date(int(match[1]), int(match[2]), int(match[3]))
        elif _SERIAL.fullmatch(plain) and int(plain[:5]) >= _FIRST_SERIAL:
            day = _DAY_ZERO + timedelta(days=int(plain[:5]))
        else:
            raise UnreadableDateError(key)
    except ValueError:
        raise UnreadableDateError(key) from None
    if not _FIRST <= day <= _LAST:
        raise UnreadableDateError(key)
    return day.isoformat()


def read_until(value: object, key: str) -> str | None:
    """A day until which something holds; 长期 is 2099-12-31."""
    if isinstance(value, str) and unicodedata.normalize("NFKC", value).strip() in _WITHOUT_END:
        return LONG_TERM
    return read_day(value, key)


def read_amount(value: object, key: str) -> str | None:
    """Yuan as decimal text with two decimals (half-even) from 万元 as a number or text, or text with its unit."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number, unit = Decimal(value), "万元"
    else:
        text = text_up_to(LONG)(value, key)
        if text is None:
            return None
        match = _AMOUNT.fullmatch(re.sub(r"\s+", "", unicodedata.normalize("NFKC", text[:100])))
        if match is None:
            fail(FailureKind.MALFORMED, f"{key} is not an amount")
        number, unit = Decimal(match[1].replace(",", "")), match[2] or "万元"
    # adjusted() first: an exponent of a million would be computed with all its digits.
    if number < 0 or (number and number.adjusted() > 18) or number * _UNITS[unit] >= _MOST:
        fail(FailureKind.MALFORMED, f"{key} is out of range")
    return f"{abs(number * _UNITS[unit]).quantize(Decimal('0.01'), ROUND_HALF_EVEN):f}"


def read_kinds(value: object, key: str) -> list[str] | None:
    """Kinds of penalty, each once; 其他-… is 其他, whatever follows."""
    text = text_up_to(LIST)(value, key)
    if text is None:
        return None
    kinds: dict[str, None] = {}
    for part in re.split("[;；、,，]", unicodedata.normalize("NFKC", text)):
        kind = part.strip(" \n。.")[:NAME]
        kind = "其他" if re.match("其[他它]", kind) else _PENALTY_KINDS.get(kind, kind)
        kinds |= dict.fromkeys(one for one in kind.split("、") if one)
    return list(kinds)[:_MOST_KINDS] or None


def read_licence_kind(value: object, key: str) -> str | None:
    """One of the six kinds of licence in its short form; another one, 其他-… included, as written."""
    text = text_up_to(SHORT)(value, key)
    if text is None:
        return None
    plain = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))
    short = "特许" if plain == "特别许可" else plain.removesuffix("许可").removesuffix("类")
    return short if short in _LICENCE_KINDS else text


def read_moment(value: object, key: str) -> str | None:
    """RFC 3339 with +08:00 from YYYY-MM-DD HH:MM:SS in Asia/Shanghai. Raises UnreadableDateError."""
    text = read_text(value, key)
    if text is None:
        return None
    match = _MOMENT.fullmatch(text)
    try:
        if match is not None:
            return f"{date.fromisoformat(match[1])}T{match[2]}+08:00"
    except ValueError:
        pass
    raise UnreadableDateError(key)

"""Cells become values: what a null looks like, dates, money, codes, lists; with reasons in Chinese and English.

In: the text of a cell and its column. Out: a typed value, None for an empty one, or CellError. No I/O, no database.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from gateway.storage.identifiers import (
    mask_identity_numbers,
    normal_case_number,
    normal_document_number,
    valid_resident_id,
    valid_uscc,
)
from gateway.storage.imports.definitions import Column

# What stands for nothing in the files of others.
NULLS = frozenset(("", "/", "\\", "无", "暂无", "-", "--", "—", "——", "null", "NULL", "n/a", "N/A", "空"))
_TRUE, _FALSE = frozenset(("是", "1", "true", "y", "yes")), frozenset(("否", "0", "false", "n", "no"))
_LISTED = re.compile(r"[;；,，、|/\n]+")
_NAMES = re.compile(r"[;；|\n]+")
_DATE = re.compile(r"(\d{4})(?:[-/.]|年)(\d{1,2})(?:[-/.]|月)(\d{1,2})日?(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_MONEY = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?\s*(万元|元|万)?")
_MOST = Decimal(10) ** 17  # yuan: the sum of a row's amounts still fits numeric(20, 2)
_EXCEL_DAY_ZERO = dt.date(1899, 12, 30)
_EARLIEST, _LATEST = dt.date(1900, 1, 2), dt.date(2999, 12, 31)  # 1900-1-1 is a null in the files of others


class CellError(Exception):
    """A cell that can't be taken, and why, in both languages. Never quotes an identity number."""

    def __init__(self, column: str, value: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.column = column
        self.value = value
        self.zh = zh
        self.en = en


class _RefusedError(Exception):
    """Why a value can't be taken: Chinese, English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def parse_cell(column: Column, text: str) -> object:
    """The typed value of a cell; None where it is empty or stands for nothing. Raises CellError."""
    if text in NULLS:
        return None
    try:
        if "\x00" in text:
            raise _RefusedError("含有空字符（NUL）", "contains a NUL character")
        stripped = text.strip()
        if stripped in NULLS:
            return None
        if len(stripped) > column.longest:
            raise _RefusedError(
                f"超过最大长度（{len(stripped)} 字，最多 {column.longest} 字）",
                f"too long: {len(stripped)} characters, at most {column.longest}",
            )
        return _PARSERS[column.type](column, stripped)
    except _RefusedError as refused:
        raise CellError(column.name, shown(column, text), refused.zh, refused.en) from None


def shown(column: Column | None, text: str) -> str:
    """A cell as it may stand in rejects and originals: identity numbers masked, short, without NUL."""
    if column is not None and column.type in ("identity", "dropped") and text.strip() not in NULLS:
        text = text.strip()
        return text[:4] + "*" * (len(text) - 8) + text[-4:] if len(text) >= 15 else "*" * len(text)
    return mask_identity_numbers(text.replace("\x00", "␀"))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def _text(_: Column, text: str) -> str:
    return mask_identity_numbers(text)


@lru_cache(maxsize=20_000)
def parse_date(text: str) -> dt.date | None:
    """A day: 2017-08-11, 2017/8/11, 2017年08月11日, 20170811, an Excel serial. None for 1900-1-1; ValueError else."""
    plain = unicodedata.normalize("NFKC", text).strip()
    match = _DATE.fullmatch(plain) or _COMPACT.fullmatch(plain)
    if match is not None:
        day = dt.date(int(match[1]), int(match[2]), int(match[3]))
    elif re.fullmatch(r"[1-9]\d{4}(\.0+)?", plain):
        day = _EXCEL_DAY_ZERO + dt.timedelta(days=int(plain.split(".")[0]))
    else:
        raise ValueError("not a date")
    if day > _LATEST:
        raise ValueError("too late")
    return day if day >= _EARLIEST else None


def _date(_: Column, text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        raise _RefusedError("不是日期（例：2026-03-01）", "not a date (2026-03-01)") from None


def _money(text: str, unit: str) -> Decimal:
    match = _MONEY.fullmatch(_plain(text))
    if match is None:
        raise _RefusedError("不是金额（非负数，如 1.5）", "not an amount (not negative, such as 1.5)")
    number = Decimal(match[1].replace(",", "") + (match[2] or ""))
    in_wan = (match[3] or unit) in ("万元", "万")
    yuan = number * 10_000 if in_wan else number
    rounded = yuan.quantize(Decimal("0.01")) if yuan < _MOST else None
    if rounded is None:
        raise _RefusedError("金额过大", "an amount that large can't be")
    if rounded != yuan:
        raise _RefusedError("金额精确到分，小数位过多", "more decimals than there are fen (0.01 yuan)")
    return rounded


def _flag(_: Column, text: str) -> bool:
    plain = _plain(text).lower()
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise _RefusedError("应为 是 或 否", "must be 是 or 否 (1 or 0)")


def _integer(_: Column, text: str) -> int:
    plain = _plain(text)
    if not re.fullmatch(r"[0-9]{1,4}", plain):
        raise _RefusedError("不是整数", "not a whole number")
    return int(plain)


def _choice(column: Column, text: str) -> str | None:
    plain = _plain(text)
    if plain in column.choice_codes():
        return plain
    found = column.choices.get(plain)
    if found is None:
        known = "、".join(dict.fromkeys(column.choices))
        raise _RefusedError(f"不在可用取值内：{known}", f"must be one of: {', '.join(sorted(column.choice_codes()))}")
    return found or None


def _choices(column: Column, text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in _LISTED.split(text)]
    found = [_choice(column, part) for part in parts if part]
    return tuple(dict.fromkeys(value for value in found if value))


def _penalties(column: Column, text: str) -> tuple[str, ...]:
    """Kinds of penalty (行政处罚法 Art. 9); 其他-… is 其他, whatever follows."""
    kinds = []
    for part in _LISTED.split(_plain(text)):
        part = part.strip()
        if not part:
            continue
        kind = "其他" if re.match(r"其他|其它", part) else column.choices.get(part)
        if kind is None:
            raise _RefusedError(
                f"“{mask_identity_numbers(part)}”不是行政处罚法第九条的种类；确属其他种类的，写作“其他-…”",
                "not a kind of penalty of Article 9; if it is none of them, write 其他-…",
            )
        kinds.append(kind)
    return tuple(dict.fromkeys(kinds))


def _names(column: Column, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in _NAMES.split(text) if part.strip()))
    if any(len(name) > 200 for name in names):
        raise _RefusedError("名称过长（最多 200 字）", "a name is too long (at most 200 characters)")
    return tuple(mask_identity_numbers(name) for name in names)


def normal_code(text: str) -> str:
    """A code as compared: half width, capitals, no spaces or hyphens."""
    return re.sub(r"[\s\-\u200b-\u200f\ufeff]+", "", unicodedata.normalize("NFKC", text)).upper()


def _uscc(_: Column, text: str) -> str:
    """The code as published, valid or not (an invalid one is kept as USCC_INVALID); never an identity number."""
    code = normal_code(text)
    if valid_uscc(code):
        return code
    if valid_resident_id(code) or mask_identity_numbers(code) != code:
        raise _RefusedError(
            "统一社会信用代码栏内是居民身份证号码，请移到证件号码栏",
            "an identity number stands in the column of the code; move it to the identity column",
        )
    return code


def _usccs(_: Column, text: str) -> tuple[str, ...]:
    codes = tuple(normal_code(part) for part in _LISTED.split(text) if part.strip())
    if not all(valid_uscc(code) for code in codes):
        raise _RefusedError("含有无效的统一社会信用代码", "holds an invalid unified social credit code")
    return codes


def _identity(_: Column, text: str) -> str:
    number = normal_code(text)
    if "*" in number:
        raise _RefusedError("证件号码已脱敏，请填写完整号码", "the identity number is masked; put in the whole one")
    if not valid_resident_id(number):
        raise _RefusedError("不是有效的公民身份号码（GB 11643）", "not a valid resident identity number (GB 11643)")
    return number


def _document(_: Column, text: str) -> str:
    try:
        return normal_case_number(text)  # a judgment's number keeps the brackets of case numbers
    except ValueError:
        return mask_identity_numbers(normal_document_number(text))


def _case(_: Column, text: str) -> str:
    try:
        return normal_case_number(text)
    except ValueError:
        raise _RefusedError("不是案号（例：（2023）新2701民初123号）", "not a case number") from None


def _source(_: Column, text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_]{1,40}", text):
        raise _RefusedError("不是来源代码", "not the code of a source")
    return text


def _region(_: Column, text: str) -> str:
    code = normal_code(text)
    if not re.fullmatch(r"[0-9A-Z]{2,12}", code):
        raise _RefusedError("不是行政区划代码", "not the code of a division")
    return code


def _dropped(_: Column, text: str) -> None:
    return None  # read so that it is masked in the original, kept nowhere


_PARSERS: dict[str, Callable[[Column, str], object]] = {
    "text": _text,
    "date": _date,
    "yuan": lambda _, text: _money(text, "元"),
    "wan": lambda _, text: _money(text, "万元"),
    "flag": _flag,
    "integer": _integer,
    "choice": _choice,
    "choices": _choices,
    "penalties": _penalties,
    "names": _names,
    "uscc": _uscc,
    "usccs": _usccs,
    "identity": _identity,
    "document": _document,
    "case": _case,
    "source": _source,
    "region": _region,
    "dropped": _dropped,
}

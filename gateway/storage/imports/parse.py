"""Cells become values: what a null looks like, names, kinds, codes, lists; with reasons in Chinese and English.

In: the text of a cell and its column. Out: a typed value, None for an empty one, or CellError. No I/O, no database.
Days and money: quantities.py.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from gateway.storage.identifiers import (
    mask_identity_numbers,
    normal_case_number,
    normal_document_number,
    valid_organisation_code,
    valid_resident_id,
    valid_uscc,
)
from gateway.storage.imports.columns import Column
from gateway.storage.imports.quantities import date_of, money_of, until_of
from gateway.storage.imports.refused import CellError, RefusedError
from gateway.storage.nearly import hide_nearly, hide_said, is_code_of_organisation, masked, nearly_identity_number

__all__ = ["CellError", "normal_code", "parse_cell", "shown"]

# What stands for nothing in the files of others; compared half width, in small letters, without brackets around it.
NULLS = frozenset(
    (
        "", "/", "//", "\\", "无", "暂无", "暂无数据", "暂缺", "-", "--", "---", "—", "——", "_", "null", "none", "nil",
        "n/a", "na", "空", "不详", "不适用", "没有", "未填", "未填写", "*", ".", "。", "?", "<空>", "undefined",
    )
)  # fmt: skip
_EXCEL_ERRORS = frozenset(
    (
        "#N/A",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "#NULL!",
        "#NUM!",
        "#SPILL!",
        "#CALC!",
        "#FIELD!",
        "#GETTING_DATA",
    )
)
_ROUNDED = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{2,3}")  # as Excel shows a number of more than eleven digits
_FORMULA_TEXT = re.compile(r'="([^"]*)"')  # ="0123": how exports keep Excel from changing a text
_CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_BREAKS = re.compile(r"(?i)<br\s*/?>")
_ENTITIES = (("&nbsp;", " "), ("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_CJK = r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"
_BETWEEN_CJK = re.compile(rf"(?<={_CJK})\s+(?={_CJK})")
_LOST = re.compile(r"\ufffd|锟斤拷|烫烫烫|\?{3,}")
_TRUE = frozenset(("是", "1", "true", "y", "yes", "√", "✓", "✔", "t"))
_FALSE = frozenset(("否", "0", "false", "n", "no", "×", "✗", "x", "f", "不"))
_LISTED = re.compile(r"[;；,，、|/+＋\n\r\t]+")
_NAMES = re.compile(r"[;；|\n]+")
_CODE_QUOTES = "'’‘`\"“”"
_MISTYPED = str.maketrans("OI", "01")  # letters that no such code has
# Where people put identity numbers, whole or mistyped, so that pieces of a cell are hidden; and where long numbers are
# something else.
_CODES = frozenset(("uscc", "usccs", "organisation_code", "key", "name", "names"))
_OTHER_NUMBERS = frozenset(("document", "case"))


def parse_cell(column: Column, text: str) -> object:
    """The typed value of a cell; None where it is empty or stands for nothing. Raises CellError."""
    try:
        if "\x00" in text:
            raise RefusedError("含有空字符（NUL）", "contains a NUL character")
        stripped = text.strip()
        if (match := _FORMULA_TEXT.fullmatch(stripped)) is not None:
            stripped = match[1].strip()
        if is_null(stripped):
            return None
        if stripped in _EXCEL_ERRORS or set(stripped) == {"#"}:
            raise RefusedError(
                "单元格是 Excel 的错误值，不是内容，请改正公式或填写内容",
                "an error value of Excel, no content; mend the formula",
            )
        if len(stripped) > column.longest:
            raise RefusedError(
                f"超过最大长度（{len(stripped)} 字，最多 {column.longest} 字）",
                f"too long: {len(stripped)} characters, at most {column.longest}",
            )
        if _ROUNDED.fullmatch(stripped):
            raise RefusedError(
                "该单元格被存为数字，后面的位数已丢失；请将该列设为文本后重新填写完整内容",
                "stored as a number, whose last digits are lost; make the column text and put the content in again",
            )
        return _PARSERS[column.type](column, stripped)
    except RefusedError as refused:
        raise CellError(column.name, shown(column, text), refused.zh, refused.en) from None


@lru_cache(maxsize=10_000)
def _is_null(text: str) -> bool:
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    if plain[:1] == "(" and plain[-1:] == ")":
        plain = plain[1:-1].strip()
    return plain.rstrip("。;；,，") in NULLS or plain in NULLS


def is_null(text: str) -> bool:
    """Does this stand for nothing?"""
    return len(text) <= 12 and _is_null(text)


def shown(column: Column | None, text: str) -> str:
    """A cell as it may stand in rejects and originals: identity numbers masked, mistyped ones too, without NUL."""
    if column is not None and column.type in ("identity", "dropped") and not is_null(text.strip()):
        text = text.strip().replace("\x00", "␀")
        return text[:4] + "*" * (len(text) - 8) + text[-4:] if len(text) >= 15 else "*" * len(text)
    hidden = hide_said(mask_identity_numbers(text.replace("\x00", "␀")))
    if column is not None and column.type in _OTHER_NUMBERS:
        return hidden
    return hide_nearly(hidden, pieces=column is not None and column.type in _CODES)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().strip("'’‘").strip()


def _clean(text: str) -> str:
    """Text without what other programs left in it: control characters, <br>, entities of HTML."""
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    if "<" in text:
        text = _BREAKS.sub("\n", text)
    if _LOST.search(text):
        raise RefusedError(
            "含有乱码（�、锟斤拷、???），原文在之前的转换中已丢失，请重新填写",
            "characters were lost in an earlier conversion; put the text in again",
        )
    return _CONTROLS.sub("", text).strip()


def _text(_: Column, text: str) -> str | None:
    return hide_said(mask_identity_numbers(_clean(text))) or None


def _name(_: Column, text: str) -> str | None:
    """A name: on one line, without spaces inside Chinese."""
    cleaned = _BETWEEN_CJK.sub("", _clean(text))
    return masked(" ".join(cleaned.split())) or None


def _noted(_: Column, text: str) -> None:
    return None  # known, and kept in the row as received alone


def _flag(_: Column, text: str) -> bool:
    plain = _plain(text).casefold()
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise RefusedError("应为 是 或 否", "must be 是 or 否 (1 or 0)")


def _integer(_: Column, text: str) -> int:
    plain = _plain(text)
    if not re.fullmatch(r"[0-9]{1,4}", plain):
        raise RefusedError("不是整数", "not a whole number")
    return int(plain)


def _choice(column: Column, text: str) -> str | None:
    plain = re.sub(r"\s+", "", _plain(text))
    if plain in column.choice_codes():
        return plain
    found = column.choices.get(plain)
    if found is None:
        known = "、".join(dict.fromkeys(column.choices))
        raise RefusedError(f"不在可用取值内：{known}", f"must be one of: {', '.join(sorted(column.choice_codes()))}")
    return found or None


def _choices(column: Column, text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in _LISTED.split(text)]
    found = [_choice(column, part) for part in parts if part]
    return tuple(dict.fromkeys(value for value in found if value))


_EITHER = re.compile(r"暂扣或者?吊销")
_NUMBER_BEFORE = re.compile(r"^[(]?[0-9一二三四五六七八九]{1,2}[).、．]\s*|^[0-9](?=[一-鿿])")
_MORE_BEHIND = re.compile(r"(?:人民币)?[0-9][0-9.,]*(?:万?元)?整?$|的?(?:行政)?处罚$")


def _penalties(column: Column, text: str) -> tuple[str, ...]:
    """Kinds of penalty (行政处罚法 Art. 9); 其他-… is 其他, whatever follows."""
    kinds: list[str] = []
    plain = re.sub(r"(?<=[^\d])[.、]?\s*(?=[1-9一二三四五六七八九][.、)]\s*[一-鿿])", ";", _plain(text))
    for part in re.split(r"[;；,，、|/+\s]+|并处?(?=罚款|没收|责令|吊销|暂扣|警告)", plain):
        kinds += _penalty(column, part.strip("。. "))
    return tuple(dict.fromkeys(kinds))


def _penalty(column: Column, part: str) -> list[str]:
    if not part:
        return []
    if part.isdigit() and part in column.choices:
        return column.choices[part].split("、")
    part = part if part == "4" else _NUMBER_BEFORE.sub("", part)
    if re.match(r"其他|其它", part):
        return ["其他"]
    if _EITHER.match(part) or part == "4":
        raise RefusedError(
            "“暂扣或吊销”是两种处罚，请写明是“暂扣许可证件”还是“吊销许可证件”",
            "suspended or revoked are two kinds of penalty: say which, 暂扣许可证件 or 吊销许可证件",
        )
    without = _MORE_BEHIND.sub("", re.sub(r"\([^)]*\)$", "", part))
    kind = column.choices.get(part) or column.choices.get(without)
    return [*kind.split("、")] if kind else _no_penalty(part)


def _no_penalty(part: str) -> list[str]:
    raise RefusedError(
        f"“{mask_identity_numbers(part)}”不是行政处罚法第九条的种类；确属其他种类的，写作“其他-…”",
        "not a kind of penalty of Article 9; if it is none of them, write 其他-…",
    )


def _licence_kind(column: Column, text: str) -> str:
    """The kind of licence: one of six; 其他-… keeps what follows."""
    plain = re.sub(r"\s+", "", _plain(text))
    if re.match(r"其他|其它", plain):
        return hide_said(mask_identity_numbers(_clean(text)))
    kind = column.choices.get(plain) or column.choices.get(plain.removesuffix("许可").removesuffix("类"))
    if kind is None:
        known = "、".join(dict.fromkeys(column.choices.values()))
        raise RefusedError(
            f"不是许可类别（{known}）；不属于前五类的，写作“其他-…”",
            "not a kind of licence; if it is none, write 其他-…",
        )
    return kind


def _names(column: Column, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in _NAMES.split(_clean(text)) if part.strip()))
    if any(len(name) > 200 for name in names):
        raise RefusedError("名称过长（最多 200 字）", "a name is too long (at most 200 characters)")
    return tuple(map(masked, names))


def normal_code(text: str) -> str:
    """A code as compared: half width, capitals, no spaces, hyphens or quotation marks."""
    plain = unicodedata.normalize("NFKC", text).strip().strip(_CODE_QUOTES)
    return re.sub(r"[\s\-‐-―\u200b-\u200f\u2060\ufeff]+", "", plain).upper()


def _refuse_identity_number(code: str) -> None:
    """An organisation with a person's number for its code would be public, and be found by that number."""
    if nearly_identity_number(code) or valid_resident_id(code) or mask_identity_numbers(code) != code:
        raise RefusedError(
            "统一社会信用代码栏内是居民身份证号码（或者有错漏的身份证号码），请核对后移到证件号码栏",
            "an identity number stands in the column of the code, whole or with a character wrong; move it to the"
            " identity column",
        )


_PASSPORT = re.compile(r"(?:E[0-9A-HJ-NP-Z][0-9]{7}|G[0-9]{8}|[DSP][E]?[0-9]{7,8}|[HMC][0-9]{8}(?:[0-9]{2})?)")
_PAPERS = re.compile(r"护照|通行证|居留证|港澳|台胞|PASSPORT")


def _refuse_papers(code: str) -> None:
    """Say what it is that stands in the column of a code, where it is a person's."""
    if re.fullmatch(r"[0-9A-Z]{2,8}[*＊✱X]{4,}[0-9A-Z]{0,6}", code) or "*" in code:
        raise RefusedError(
            "这是已脱敏（带 *）的号码，不能作为代码：请填写完整的统一社会信用代码；是个人证件号码的，"
            "移到证件号码栏并填写完整号码",
            "a masked number (with *) is no code: put in the whole unified social credit code; if it is a person's, put"
            " the whole number into the identity column",
        )
    if _PAPERS.search(code) or (_PASSPORT.fullmatch(code) and not valid_organisation_code(code)):
        raise RefusedError(
            "这像是护照或通行证号码，不是统一社会信用代码；目前只接受居民身份证号码，请核对后填写",
            "this reads as the number of a passport or a permit, no unified social credit code; of persons only"
            " resident identity numbers are taken",
        )


def _uscc(_: Column, text: str) -> str | None:
    """The code as published, valid or not (an invalid one is kept as USCC_INVALID); never an identity number."""
    code = normal_code(text)
    if is_code_of_organisation(code):
        return code
    if not code.strip("0X"):
        return None  # seventeen zeros and an X: how 双公示 writes that there is none
    _refuse_papers(code)
    _refuse_identity_number(code)
    # The standard has no letters O and I because they are taken for 0 and 1; the check digit says whether they were.
    if valid_uscc(mended := code.translate(_MISTYPED)):
        return mended
    if not re.fullmatch(r"[0-9A-Z]{6,20}", code):
        raise RefusedError(
            "不是一个统一社会信用代码（18 位数字和大写字母；一格只填一个）",
            "not one unified social credit code (18 digits and capital letters, one in a cell)",
        )
    return code


def _organisation_code(_: Column, text: str) -> str | None:
    """A code of nine characters, or the USCC that was put in its place; nothing where it does not hold."""
    code = normal_code(text)
    if valid_organisation_code(code) or valid_uscc(code):
        return None if nearly_identity_number(code) else code
    return None


def _key(column: Column, text: str) -> str | None:
    """A row's key in another system: kept in clear, so never an identity number."""
    _refuse_identity_number(normal_code(text))
    return _text(column, text)


def _usccs(_: Column, text: str) -> tuple[str, ...]:
    codes = tuple(normal_code(part) for part in _LISTED.split(text) if part.strip())
    for code in codes:
        if not valid_uscc(code) or nearly_identity_number(code):
            _refuse_identity_number(code)
    if not all(valid_uscc(code) for code in codes):
        raise RefusedError("含有无效的统一社会信用代码", "holds an invalid unified social credit code")
    return codes


def _identity(_: Column, text: str) -> str:
    number = normal_code(text)
    if "*" in number:
        raise RefusedError("证件号码已脱敏，请填写完整号码", "the identity number is masked; put in the whole one")
    if not valid_resident_id(number):
        raise RefusedError("不是有效的公民身份号码（GB 11643）", "not a valid resident identity number (GB 11643)")
    return number


def _document(_: Column, text: str) -> str | None:
    text = _clean(text).strip("'’‘")
    try:
        return normal_case_number(text)  # a judgment's number keeps the brackets of case numbers
    except ValueError:
        return mask_identity_numbers(normal_document_number(text)) or None


def _case(_: Column, text: str) -> str:
    try:
        return normal_case_number(text.strip("'’‘"))
    except ValueError:
        raise RefusedError("不是案号（例：（2023）新2701民初123号）", "not a case number") from None


def _source(_: Column, text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_]{1,40}", text):
        raise RefusedError("不是来源代码", "not the code of a source")
    return text


def _region(_: Column, text: str) -> str:
    """The code of a division; its name is looked up later."""
    code = normal_code(text)
    if re.fullmatch(r"[0-9A-Z]{2,12}", code):
        return code
    if re.fullmatch(r"[一-鿿·]{2,40}", code):
        return code
    raise RefusedError("不是行政区划代码", "not the code of a division")


def _dropped(_: Column, text: str) -> None:
    return None  # read so that it is masked in the original, kept nowhere


def _date(_: Column, text: str) -> dt.date | None:
    return date_of(text)


_PARSERS: dict[str, Callable[[Column, str], object]] = {
    "text": _text,
    "name": _name,
    "noted": _noted,
    "date": _date,
    "until": lambda _, text: until_of(text),
    "yuan": lambda _, text: money_of(text, "元"),
    "wan": lambda _, text: money_of(text, "万元"),
    "money": lambda _, text: money_of(text, None),
    "flag": _flag,
    "integer": _integer,
    "choice": _choice,
    "choices": _choices,
    "penalties": _penalties,
    "licence_kind": _licence_kind,
    "names": _names,
    "key": _key,
    "uscc": _uscc,
    "usccs": _usccs,
    "organisation_code": _organisation_code,
    "identity": _identity,
    "document": _document,
    "case": _case,
    "source": _source,
    "region": _region,
    "dropped": _dropped,
}

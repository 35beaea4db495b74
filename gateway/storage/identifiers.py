"""Identifiers and names: codes with check digits, numbers with a grammar, ids of nodes, and the folding of names.

In: text as found in files and queries. Out: a verdict, a normal form, or ValueError. No I/O; standards: GB 32100-2015
(USCC), GB 11714-1997 (organisation code), GB 11643-1999 (resident identity number), 法〔2015〕137号 (case numbers).
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
import uuid
from dataclasses import dataclass
from functools import lru_cache

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

# Fixed for ever: every organisation's id is a UUIDv5 in this namespace over its USCC.
ORGANISATION_NAMESPACE = uuid.UUID("6a0c4d1e-5b0f-4c1c-9b57-6527d0c8a2f1")

_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

# Kind of subject by the first two characters of the USCC; others exist and are OTHER until a row says more.
_KIND_BY_PREFIX = {
    "11": "ORGAN",
    "12": "PUBLIC_INSTITUTION",
    "13": "MASS_ORGANISATION",
    "51": "SOCIAL_ORGANISATION",
    "52": "SOCIAL_ORGANISATION",
    "53": "SOCIAL_ORGANISATION",
    "54": "VILLAGE_COMMITTEE",
    "55": "RESIDENTS_COMMITTEE",
    "91": "ENTERPRISE",
    "92": "INDIVIDUAL_BUSINESS",
    "93": "COOPERATIVE",
}

# Codes --------------------------------------------------------------------------------------------------------------


def uscc_check_digit(first: str) -> str:
    """The 18th character for the first 17 (GB 32100-2015). ValueError for characters outside the alphabet."""
    if len(first) != 17:
        raise ValueError("a unified social credit code has 17 characters before its check digit")
    try:
        total = sum(_USCC_VALUE[character] * weight for character, weight in zip(first, _USCC_WEIGHTS, strict=True))
    except KeyError:
        raise ValueError("a character that no unified social credit code has") from None
    return _USCC_ALPHABET[(31 - total % 31) % 31]


@lru_cache(maxsize=50_000)
def valid_uscc(code: str) -> bool:
    """Is this a unified social credit code in its normal form (upper case, no spaces), check digit included?

    Codes that begin with a letter (A1, N2, Y1 …) are valid too. The organisation code inside (positions 9-17) is not
    checked on its own: the standard's check digit covers it.
    """
    if len(code) != 18:
        return False
    try:
        return uscc_check_digit(code[:17]) == code[17]
    except ValueError:
        return False


def organisation_code_check_digit(first: str) -> str:
    """The 9th character for the first 8 of an organisation code (GB 11714-1997). ValueError for other characters."""
    if not re.fullmatch(r"[0-9A-Z]{8}", first):
        raise ValueError("an organisation code has 8 digits or capital letters before its check digit")
    total = sum(int(character, 36) * weight for character, weight in zip(first, _ORGANISATION_WEIGHTS, strict=True))
    check = 11 - total % 11
    return {10: "X", 11: "0"}.get(check, str(check))


def valid_organisation_code(code: str) -> bool:
    """Is this an organisation code of nine characters, without hyphen (GB 11714-1997)?"""
    return len(code) == 9 and code[:8].isascii() and _check_holds(code)


def _check_holds(code: str) -> bool:
    try:
        return organisation_code_check_digit(code[:8]) == code[8]
    except ValueError:
        return False


def valid_resident_id(number: str) -> bool:
    """Is this a resident identity number of 18 characters (GB 11643-1999): form, day of birth, ISO 7064 MOD 11-2?

    The division in front is not looked up: divisions are abolished, numbers are not.
    """
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", number):
        return False
    try:
        ric.get_birth_date(number)
        return bool(ric.calc_check_digit(number) == number[-1])
    except ValidationError:
        return False


def kind_of_uscc(code: str) -> str:
    """The kind of subject (SubjectKind) that the first two characters of a USCC tell; OTHER where they don't."""
    return _KIND_BY_PREFIX.get(code[:2], "OTHER")


def mask_identity_numbers(text: str) -> str:
    """Text with every resident identity number in it masked to 6527**********1234.

    What only looks like one (a day of birth in the right place) is masked too, a code that holds is not.
    """

    def masked(match: re.Match[str]) -> str:
        found = match[0]
        return found if valid_uscc(found.upper()) else found[:4] + "*" * 10 + found[14:]

    return _LOOKS_LIKE_ID.sub(masked, text) if len(text) >= 18 else text


_LOOKS_LIKE_ID = re.compile(
    r"(?<![0-9A-Za-z])[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]"
    r"(?![0-9A-Za-z])"
)


# Node ids -----------------------------------------------------------------------------------------------------------


def organisation_uuid(uscc: str) -> uuid.UUID:
    """The id of the organisation with this code, on record or not: UUIDv5 in a namespace of our own."""
    return uuid.uuid5(ORGANISATION_NAMESPACE, uscc)


def node_id(letter: str, external_id: uuid.UUID) -> str:
    """base64url of a type's letter and a UUID: 17 bytes, 23 characters, no padding (core.node_id in SQL)."""
    return base64.urlsafe_b64encode(letter.encode() + external_id.bytes).decode().rstrip("=")


def parse_node_id(text: str) -> tuple[str, uuid.UUID]:
    """The letter and the UUID of a node id. ValueError for anything but the canonical 23 characters."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{23}", text):
        raise ValueError("not an id of this gateway")
    try:
        packed = base64.urlsafe_b64decode(text + "=")
    except binascii.Error:
        raise ValueError("not an id of this gateway") from None
    letter = chr(packed[0])
    made = uuid.UUID(bytes=packed[1:])
    # The last character has two bits to spare: only one of its four spellings is ours.
    if not ("A" <= letter <= "Z") or node_id(letter, made) != text:
        raise ValueError("not an id of this gateway")
    return letter, made


# Numbers of cases and documents ---------------------------------------------------------------------------------------

_COURT = r"最高法|[京津冀晋内辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川黔云藏陕甘青宁新兵军](?:[0-9A-Z]{2}(?:[0-9A-Z]{2})?)?"
_CASE = re.compile(rf"\(([0-9]{{4}})\)({_COURT})([一-鿿]{{1,8}})([0-9]{{1,8}})号(?:之([一二三四五六七八九十0-9]+))?")
_OLD_CASE = re.compile(r"\(([0-9]{4})\)([一-鿿0-9]{1,16})字第([0-9]{1,8})(?:-([0-9]+))?号")
_OPENING, _CLOSING = "〔【[(﹝［（", "〕】])﹞］）"
_BRACKETS = str.maketrans(_OPENING + _CLOSING, "〔" * len(_OPENING) + "〕" * len(_CLOSING))
_CASE_BRACKETS = str.maketrans(_OPENING + _CLOSING, "(" * len(_OPENING) + ")" * len(_CLOSING))


@dataclass(frozen=True, slots=True)
class CaseNumber:
    """A court's case number. `court` is the court code, None in the older form (before 2016), whose court is a name."""

    text: str
    year: int
    court: str | None


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def parse_case_number(text: str) -> CaseNumber:
    """A case number in its normal form, （2023）新2701民初123号 or （2010）博民初字第123号. ValueError otherwise."""
    plain = _squeezed(text.translate(_CASE_BRACKETS)).translate(_CASE_BRACKETS)
    match = _CASE.fullmatch(plain) or _OLD_CASE.fullmatch(plain)
    if match is None:
        raise ValueError("not a case number")
    court = match[2] if match.re is _CASE else None
    return CaseNumber(plain.replace("(", "（").replace(")", "）"), int(match[1]), court)


def normal_case_number(text: str) -> str:
    """The normal form of a case number: full-width brackets, half-width digits, no spaces. ValueError otherwise."""
    return parse_case_number(text).text


def normal_document_number(text: str) -> str:
    """The number of a document as stored: brackets 〔〕, half-width digits and letters, no spaces."""
    return _squeezed(text.translate(_BRACKETS)).translate(_BRACKETS)


# Names ----------------------------------------------------------------------------------------------------------------

_DOTS = str.maketrans(dict.fromkeys("•・‧∙⋅●", "·"))
_SHORTER = (("有限责任公司", "有限公司"), ("新疆维吾尔自治区", "新疆"), ("博尔塔拉蒙古自治州", "博州"))


def fold_name(name: str) -> str:
    """A name as compared: half width, no spaces, one middle dot, the usual short forms. Folding twice changes nothing.

    Folded: （） and (), 有限责任公司/有限公司, 新疆维吾尔自治区/新疆, 博尔塔拉蒙古自治州/博州, the dots · • ・ ‧.
    """
    folded = unicodedata.normalize("NFKC", name).translate(_DOTS)
    folded = re.sub(r"[\s\x00-\x1f\x7f\u200b-\u200f\ufeff]+", "", folded)
    for long, short in _SHORTER:
        while long in folded:
            folded = folded.replace(long, short)
    return folded

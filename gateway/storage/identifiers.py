"""Identifiers and names: codes with check digits, numbers with a grammar, ids of nodes, and the folding of names.

In: text as found in files and queries. Out: a verdict, a normal form, or ValueError. No I/O; standards: GB 32100-2015
(USCC), GB 11714-1997 (organisation code), GB 11643-1999 (resident identity number), 法〔2015〕137号 (case numbers).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import mul

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

# Fixed for ever: every organisation's id is a UUIDv5 in this namespace over its USCC.
ORGANISATION_NAMESPACE = uuid.UUID("6a0c4d1e-5b0f-4c1c-9b57-6527d0c8a2f1")
LIVE_NAMESPACE = uuid.UUID("0f6d2a83-41c7-4d56-8a0e-6527b3f19c40")  # of rows that sources answer with
_NAMESPACE_HASHED = hashlib.sha1(ORGANISATION_NAMESPACE.bytes, usedforsecurity=False)

_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_USCC_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuvwxyz"[_USCC_VALUE[chr(byte)]] if chr(byte) in _USCC_VALUE else ord("~")
    for byte in range(256)
)
_LONGEST_TYPED = 60  # characters of what may be a number, however it was typed
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
        total = sum(map(mul, map(_USCC_VALUE.__getitem__, first), _USCC_WEIGHTS))
    except KeyError:
        raise ValueError("a character that no unified social credit code has") from None
    return _USCC_ALPHABET[(31 - total % 31) % 31]


def valid_uscc(code: str) -> bool:
    """Is this a unified social credit code in its normal form (upper case, no spaces), check digit included?

    Codes that begin with a letter (A1, N2, Y1 …) are valid too. The organisation code inside (positions 9-17) is not
    checked on its own: the standard's check digit covers it.
    """
    if len(code) != 18:
        return False
    try:
        # Weights are the powers of 3, and 3 = 34 modulo 31: the sum is the code backwards, read as digits to base 34.
        digits = code.encode("ascii").translate(_USCC_DIGITS)
        return (int(digits[16::-1], 34) + int(digits[17:], 34)) % 31 == 0
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


def normal_resident_id(text: str) -> str:
    """The normal form of a resident identity number as somebody typed it: half width, capital X, no spaces or hyphens.
    ValueError for what is none."""
    if len(text) > _LONGEST_TYPED:
        raise ValueError("not a resident identity number")
    plain = "".join(unicodedata.normalize("NFKC", text).upper().replace("-", "").split())
    if not valid_resident_id(plain):
        raise ValueError("not a resident identity number")
    return plain


def kind_of_uscc(code: str) -> str:
    """The kind of subject (SubjectKind) that the first two characters of a USCC tell; OTHER where they don't."""
    return _KIND_BY_PREFIX.get(code[:2], "OTHER")


# Masking ------------------------------------------------------------------------------------------------------------

# A view has as many characters as its text, each one a digit, a capital letter, ".", " " for what may stand between the
# digits, "\x01" for what is not seen at all, "\x00" for everything else.
_MORE_XS = "×✕ХхΧχ"  # of other alphabets, and the sign of multiplication
# Repeats of a group are not possessive: Python before 3.11.5 matches too much then (gh-106052).
_DIGITS = re.compile(r"[0-9](?>(?:\x01*+(?:[ .]\x01*+){0,3}[0-9])*)")
_PIECE = re.compile(r"[0-9](?>(?:\x01*+[0-9])*)")
_CHECK_X = re.compile(r"\x01*+(?:X|[ .](?:\x01*+[ .]){0,2}\x01*+X(?![0-9A-Z]))")
_CENTS = re.compile(r"\.[0-9]{1,2}(?![0-9])")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# The first digits of provinces (GB/T 2260), and 9 for residents from abroad.
_PROVINCE = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|9[0-9]")
# Digits at which a number may begin: a cheap superset of what _is_number and _is_old_number take.
_MONTH_AND_DAY = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_MAY_BEGIN = re.compile(
    rf"(?=[1-9][0-9]{{5}}(?:19|2[01])[0-9]{{2}}{_MONTH_AND_DAY}[0-9]{{3}}"
    rf"|(?:{_PROVINCE.pattern})[0-9]{{6}}{_MONTH_AND_DAY}[0-9]{{3}})"
)
_BETWEEN = {ord(between): None for between in " .\x01"}
_FIELD_ENDS = frozenset((2, 4, 6, 10, 12, 14, 17))  # of the division, the day of birth, the number of the day


class _View(dict[int, str]):
    """Code points to the characters of a view, by NFKC; filled as they are met. `small`: are ² and ② digits?

    What nobody writes numbers with is not kept: anybody can send every character there is, a million of them.
    """

    def __init__(self, *, small: bool) -> None:
        super().__init__()
        self._small = small

    def __missing__(self, point: int) -> str:
        if point >= 0x20000 and not 0xE0000 <= point < 0xE1000:  # ideographs, and planes for private use
            return "\x00"
        self[point] = made = _viewed(chr(point), self._small)
        return made


def _viewed(character: str, small: bool) -> str:
    if character in _MORE_XS:
        return "X"
    plain = unicodedata.normalize("NFKC", character)
    digits = [found for found in plain if found.isdigit()]
    if len(digits) == 1 and all(found.isdigit() or found in ".()," for found in plain):
        return str(unicodedata.digit(digits[0])) if small or character.isdecimal() else "\x00"
    plain = plain[:1] if plain.isspace() else plain
    if len(plain) != 1:
        return "\x00"
    if plain.isascii() and plain.isalpha():
        return plain.upper()
    if plain == ".":
        return "."
    category = unicodedata.category(plain)
    if category in ("Cf", "Mn", "Me"):
        return "\x01"
    return " " if plain.isspace() or category == "Pd" or plain in "−·•・‧∙⋅●/\\_⁄∕⧸∖⧵" else "\x00"


# A small digit behind a number is that of a note; a whole number of them is hidden.
_VIEW, _VIEW_OF_SMALL = _View(small=False), _View(small=True)


def mask_identity_numbers(text: str) -> str:
    """Text with every resident identity number in it masked to 6527**********1234, one of 15 digits to 6527*******1123.

    What only looks like one (a day of birth in the right place) is masked too, a code that holds is not. Digits of
    other widths, and spaces, hyphens, dots, slashes, underscores and characters without width between them, hide
    nothing. Linear.
    """
    if len(text) < 15:
        return text
    view = text.translate(_VIEW)
    masked = _masked_by(view, text)
    if not text.isascii():
        small = text.translate(_VIEW_OF_SMALL)
        if small != view:
            masked = _masked_by(masked.translate(_VIEW_OF_SMALL), masked)
    return masked


def mask_identity_numbers_in(value: object) -> object:
    """A JSON value without identity numbers, whether in texts, names of fields or whole numbers."""
    if isinstance(value, str):
        return mask_identity_numbers(value)
    if isinstance(value, list | tuple):
        return [mask_identity_numbers_in(inner) for inner in value]
    # dict by itself: to ask whether something is a Mapping costs more than to mask a short text.
    if isinstance(value, dict) or (value is not None and isinstance(value, Mapping)):
        return {mask_identity_numbers_in(name): mask_identity_numbers_in(inner) for name, inner in value.items()}
    if isinstance(value, int | float) and 10**14 <= abs(value) < 10**20:
        text = str(abs(int(value)))
        masked = mask_identity_numbers(text)
        return value if masked == text else masked
    return value


def holds_identity_number(text: str, most: int = 2_000) -> bool:
    """Whether mask_identity_numbers would hide something, found out in bounded work: more than `most` characters of
    digits with something between them count as a number, too."""
    if len(text) < 15:
        return False
    views = [text.translate(_VIEW)] if text.isascii() else [text.translate(_VIEW), text.translate(_VIEW_OF_SMALL)]
    for view in dict.fromkeys(views):
        apart = 0
        for run in _DIGITS.finditer(view):
            length = run.end() - run.start()
            if length < 15:
                continue
            apart += 0 if run[0].isdigit() else length
            if apart > most or next(_numbers(view, run.start(), run.end()), None) is not None:
                return True
    return False


def _masked_by(view: str, text: str) -> str:
    kept: list[str] = []
    done = 0
    for run in _DIGITS.finditer(view):
        if run.end() - run.start() < 15:
            continue
        for places in _numbers(view, run.start(), run.end()):
            kept += (text[done : places[3] + 1], "*" * (len(places) - 8))
            done = places[-4]
    if not kept:
        return text
    kept.append(text[done:])
    return "".join(kept)


def _numbers(view: str, start: int, end: int) -> Iterator[list[int]]:
    """Places of the characters of every identity number among these digits and what stands between them.

    A number begins where a piece of digits begins and ends where one ends.
    """
    digits = view[start:end].translate(_BETWEEN)
    if len(digits) < end - start and not _MAY_BEGIN.search(digits):
        return
    places = [place for place in range(start, end) if view[place].isdigit()]
    begins, ends, count = [], set(), 0
    for piece in _PIECE.finditer(view, start, end):
        begins.append(count)
        count += len(piece[0]) - piece[0].count("\x01")
        ends.add(count)
    check = _CHECK_X.match(view, end)
    free = 0  # digits before are of a number already
    for index, first in enumerate(begins):
        if first < free or not _MAY_BEGIN.match(digits, first):
            continue
        if first + 17 == count and check:
            breaks = [begin - first for begin in begins[index + 1 :]]
            if view[end : check.end()].strip("\x01") != "X":
                breaks.append(17)
            if _is_number(digits[first:] + "X", breaks):
                yield [*places[first:], check.end() - 1]
                return
        for length in (18, 15):
            last = first + length
            if last not in ends or digits[first] == "0":
                continue
            breaks = [begin - first for begin in begins[index + 1 : index + length] if begin < last]
            number = digits[first:last]
            if length == 18:
                found = _is_number(number, breaks)
            elif breaks == [3, 6, 9, 12] and (first, last) != (0, count):
                found = False  # from within the thousands of a larger amount
            else:
                found = _is_old_number(number, breaks, view, places[first])
            if found:
                yield places[first:last]
                free = last
                break


def _is_number(number: str, breaks: list[int]) -> bool:
    if number[0] == "0" or not 1900 <= int(number[6:10]) <= 2100 or not _is_day(number[10:12], number[12:14]):
        return False
    if number[:2] in ("19", "20") and _is_day(number[4:6], number[6:8]):
        return False  # begins with a day: a number made of a time; no division begins so
    if valid_resident_id(number):
        return True
    if valid_uscc(number):
        return False
    return not breaks or (_PROVINCE.match(number) is not None and _is_grouped(breaks, 18))


def _is_old_number(number: str, breaks: list[int], view: str, begin: int) -> bool:
    """Is this a number of 15 digits, as given out until 1999: of a person born in 19.., without check digit?"""
    if not _PROVINCE.match(number) or not _is_day(number[8:10], number[10:12]) or not _is_grouped(breaks, 15):
        return False
    # Nor an amount with its cents, or a part of a code that holds.
    return bool(breaks) or not (
        _CENTS.match(view, begin + 15)
        or any(valid_uscc(view[at : at + 18]) for at in range(max(0, begin - 3), begin + 1))
    )


def _is_day(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= _LONGEST_MONTH[int(month) - 1]


def _is_grouped(breaks: list[int], length: int) -> bool:
    """Are the digits grouped as people do: by the fields of the number, or in groups of one size?"""
    ends = _FIELD_ENDS if length == 18 else (2, 4, 6, 8, 10, 12)
    if all(place in ends for place in breaks):  # none at all too
        return True
    size = breaks[0]
    return size <= 6 and breaks == list(range(size, length, size))


# Node ids -----------------------------------------------------------------------------------------------------------


def organisation_uuid(uscc: str) -> uuid.UUID:
    """The id of the organisation with this code, on record or not: UUIDv5 in a namespace of our own."""
    return uuid.UUID(organisation_hash(uscc)[:32], version=5)


def organisation_hash(uscc: str) -> str:
    """The SHA-1 that organisation_uuid is made of (RFC 9562 §5.5), 40 hexadecimal digits.

    For lists of codes: the rest of uuid.uuid5 costs ten times as much, and PostgreSQL needs it only for codes that
    are not on record.
    """
    hashing = _NAMESPACE_HASHED.copy()
    hashing.update(uscc.encode())
    return hashing.hexdigest()


def live_record_id(source: str, natural_key: str) -> uuid.UUID:
    """The id of a source's row, stored or only answered: UUIDv5 over the source's code and the row's natural key.

    Both ways give the same, so a row that was stored is the same record to a reader as the one in a live answer.
    """
    return uuid.uuid5(LIVE_NAMESPACE, f"{source}|{natural_key}")


def named_authority_id(name: str) -> uuid.UUID:
    """The UUIDv5 of an authority that a source knows by name alone."""
    return uuid.uuid5(LIVE_NAMESPACE, f"authority|{fold_name(name)}")


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


def id_of(letter: str, text: str) -> uuid.UUID | None:
    """The UUID in a node id of that type; None for whatever is none."""
    try:
        found, external_id = parse_node_id(text)
    except ValueError:
        return None
    return external_id if found == letter else None


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


_ORDINAL = re.compile(r"第(?=[0-9〇零一二三四五六七八九十百千]+号)")


def same_document_number(text: str) -> str:
    """The number of a document as compared: 〔2026〕第102号 and 〔2026〕102号 of one organ are one document."""
    return _ORDINAL.sub("", text)


def loose_document_number(text: str) -> str:
    """A normal number without brackets and 第: what two spellings of one number have in common, for hints alone."""
    return text.translate(dict.fromkeys(map(ord, "〔〕（）()第 ")))


# Names ----------------------------------------------------------------------------------------------------------------

_DOTS = str.maketrans(dict.fromkeys("•・‧∙⋅●", "·"))
# Not seen: controls, marks without width, and those that turn the direction of what follows.
_INVISIBLE = re.compile(r"[\s\x00-\x1f\x7f\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]+")
# Long forms of names, and what they are folded to.
SHORTER = (("有限责任公司", "有限公司"), ("新疆维吾尔自治区", "新疆"), ("博尔塔拉蒙古自治州", "博州"))


def squeeze_name(name: str) -> str:
    """A name in half width (NFKC), without spaces and invisible characters, with one kind of middle dot; otherwise as
    written."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name).translate(_DOTS))
    return unicodedata.normalize("NFKC", plain)  # an accent that stood apart, as a space does, now meets its letter


def fold_name(name: str) -> str:
    """A name as compared: half width, no spaces, one middle dot, the usual short forms. Folding twice changes nothing.

    Folded: （） and (), 有限责任公司/有限公司, 新疆维吾尔自治区/新疆, 博尔塔拉蒙古自治州/博州, the dots · • ・ ‧.
    """
    folded = squeeze_name(name)
    for long, short in SHORTER:
        while long in folded:
            folded = folded.replace(long, short)
    return folded

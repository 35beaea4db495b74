"""Whose row it is, and who determined it: the values of a row become `SubjectSpec`s.

In: the values of a row, the reference data. Out: what a subject is found and made by, or CellError. No database.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.storage.identifiers import fold_name, kind_of_uscc, organisation_uuid, valid_organisation_code, valid_uscc
from gateway.storage.imports.columns import ORGANISATION
from gateway.storage.imports.refused import CellError
from gateway.storage.imports.rules import Rules

Values: TypeAlias = Mapping[str, Any]
# What a subject is found by: ("USCC", code), ("PERSON", blind index), ("ORGAN", folded name),
# ("USCC_INVALID" | "ORGANISATION_CODE", code, folded name), ("ROW", source and row key or folded name).
Key: TypeAlias = tuple[str, ...]

DEFAULT_SOURCE = "LOCAL"
PERSON_KINDS = {"NATURAL_PERSON": "PERSON", "CIVIL_SERVANT": "SERVANT"}


@dataclass(frozen=True, slots=True)
class Reference:
    """What rows refer to, read once a run."""

    regions: frozenset[str]
    sources: frozenset[str]
    rules: Rules
    received_on: dt.date
    region_names: Mapping[str, str] = field(default_factory=dict)  # names that one division alone has → its code


@dataclass(frozen=True, slots=True)
class SubjectSpec:
    """A subject as a row describes it. `number`: identity number of a person, never printed."""

    key: Key
    kind: str
    kind_given: bool
    name: str
    folded: str
    uscc: str | None = None
    region_code: str | None = None
    legal_representative: str | None = None
    registered_on: dt.date | None = None
    address: str | None = None
    number: str | None = field(default=None, repr=False)

    @property
    def subject_class(self) -> str:
        """ORGANISATION, PERSON or SERVANT: what the visibility of rows goes by."""
        return PERSON_KINDS.get(self.kind, "ORGANISATION")


def region_of_code(uscc: str, regions: frozenset[str]) -> str | None:
    """The division in positions 3-8 of a USCC, if it is a known one: 652701, 652700 → 6527, 650000 → 65."""
    return known_region(uscc[2:8], regions)


def known_region(code: str, regions: frozenset[str]) -> str | None:
    """The code as regions are stored (652701, 652700 → 6527, 652701000000 → 652701); None where there is none."""
    known = code
    while len(known) > 2:
        if known in regions:
            return known
        if not known.endswith("000" if len(known) == 12 or len(known) == 9 else "00"):
            return None
        known = known[:-3] if len(known) in (9, 12) else known[:-2]
    return known if known in regions else None


def is_person(values: Values) -> bool:
    """Is this row of a person: it says so, or has an identity number and neither a kind nor a code that holds."""
    kind = values.get("subject_kind")
    if kind is None:
        return "identity_number" in values and not valid_uscc(values.get("uscc", ""))
    return kind in PERSON_KINDS


def subject_spec(values: Values, reference: Reference, blind_index: Any) -> SubjectSpec:
    """Whose row this is. `blind_index` maps an identity number to bytes. Raises CellError."""
    kind, name = values.get("subject_kind"), values["name"]
    said = kind
    if kind is None and is_person(values):
        kind = "NATURAL_PERSON"
    elif kind == ORGANISATION:
        kind = None  # its code tells the kind more exactly
    region = _region(values, reference)
    if kind in PERSON_KINDS:
        return _person(values, kind, region, blind_index)
    code = values.get("uscc") or values.get("organisation_code")
    folded = fold_name(name)
    if not folded:
        raise CellError("name", name, "名称只有空白或符号", "the name has nothing in it")
    common = {
        "name": name,
        "folded": folded,
        "kind_given": kind is not None,
        "legal_representative": values.get("legal_representative"),
        "registered_on": values.get("registered_on"),
        "address": values.get("address"),
    }
    if code is not None and valid_uscc(code):
        region = region or region_of_code(code, reference.regions)
        return SubjectSpec(("USCC", code), kind or kind_of_uscc(code), uscc=code, region_code=region, **common)
    _check_organisation(values, said, folded)
    if code is None:
        key: Key = ("ROW", f"{values.get('source', DEFAULT_SOURCE)}:{_row_key(values, said, folded, region)}")
    else:
        key = ("ORGANISATION_CODE" if valid_organisation_code(code) else "USCC_INVALID", code, folded)
    return SubjectSpec(key, kind or "OTHER", region_code=region, **common)


# How names of shops end; a person's does not.
_SHOP = re.compile(
    r"(?:[店铺部行馆厂社室坊城院站吧屋园庄楼堂阁轩廊库场摊点档]|中心|超市|商[贸场号会]|公司|合作社|饭庄|餐[饮厅]|维修|美[容发甲]|理发|批发|零售|经营|"
    r"烧烤|养殖[户业]|工作室|服务[部社队]|队|委|会|局|所|处|厅|办|府|校|学|银行|集团|企业|农场|牧场|协会)$"
)
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_PERSONS_NAME = re.compile(r"[㐀-鿿]{2,4}|[㐀-鿿]{1,12}(?:·[㐀-鿿]{1,12})+")


def named_like_a_person(folded: str) -> bool:
    """Could this folded name be a person's: two to four characters, or parts with a dot between, and no shop's?"""
    name = _IN_BRACKETS.sub("", folded).removeprefix("个体工商户").removesuffix("个体工商户").removesuffix("个体户")
    return _PERSONS_NAME.fullmatch(name) is not None and not _SHOP.search(name)


def _check_organisation(values: Values, said: str | None, folded: str) -> None:
    """An organisation without a code that holds must not be a person by another name: it would be public."""
    if values.get("identity_number") is not None:
        raise CellError(
            "subject_kind",
            "",
            "写明是组织（或个体工商户），却只有个人的证件号码而无有效的统一社会信用代码：对组织的，补填代码并清空证件号码；对个人的，"
            "主体类别写“自然人”（公务员写“公务员”）",
            "it says organisation (or individual business), but has an identity number and no valid code: put in the"
            " code and take the number out; if it is the person's, say 自然人 (or 公务员) for the kind",
        )
    if said in ("INDIVIDUAL_BUSINESS", ORGANISATION) and named_like_a_person(folded):
        raise CellError(
            "name",
            "",
            "没有有效的统一社会信用代码，而名称像是个人姓名：请补填代码；对个人的，主体类别写“自然人”并填证件号码",
            "no valid code, and the name could be a person's: put in the code; if it is a person, say 自然人 for the"
            " kind and put in the identity number",
        )


def _row_key(values: Values, said: str | None, folded: str, region: str | None) -> str:
    """What tells a subject without any code from others of its source: the source's key, else its name; shops of one
    name are many, so there its place and owner, too."""
    if values.get("row_key"):
        return str(values["row_key"])
    if said != "INDIVIDUAL_BUSINESS":
        return folded
    owner = fold_name(values.get("legal_representative") or "")
    if region is None and not owner:
        raise CellError(
            "uscc",
            "",
            "个体工商户重名很多：没有代码的，至少填写经营者（法定代表人栏）或行政区划，以免并入他人名下",
            "many individual businesses have one name: without a code put in its owner (legal representative) or its"
            " division, else it would be taken for another one",
        )
    return f"{folded}@{region or ''}@{owner}"


def check_kind_said(values: Values, subject: SubjectSpec) -> None:
    """A name may be a person's, whatever it looks like, and organisations are public: without a valid code or an
    identity number a row must say whose it is, whatever kind of record it holds."""
    if subject.key[0] not in ("USCC", "PERSON") and values.get("subject_kind") in (None, "OTHER"):
        if subject.key[0] == "USCC_INVALID" and len(values.get("uscc", "")) == 18:  # mistyped: that cell is at fault
            raise CellError(
                "uscc",
                values["uscc"],
                "统一社会信用代码校验不通过，请核对；该主体确无有效代码的，写明主体类别：“法人及非法人组织”“个体工商户”等",
                "not a valid code by its check digit: correct it; where the subject has none that is, say the kind of"
                " subject, 法人及非法人组织, 个体工商户 or another",
            )
        raise CellError(
            "subject_kind",
            values.get("subject_kind") or "",
            "既无有效的统一社会信用代码又无证件号码，须写明主体类别：组织写“法人及非法人组织”“个体工商户”等，自然人补证件号码",
            "neither a valid code nor an identity number: say the kind of subject, for an organisation"
            " 法人及非法人组织, 个体工商户 or another; for a person put in the identity number",
        )


def _region(values: Values, reference: Reference) -> str | None:
    code = values.get("region_code")
    if code is None:
        return None
    region = known_region(code, reference.regions) or reference.region_names.get(code)
    if region is None:
        raise CellError(
            "region_code",
            code,
            "没有这个行政区划，或有几个同名的：请填写代码，或先导入区划",
            "no such division, or several of that name: put in its code, or import divisions first",
        )
    return region


def _person(values: Values, kind: str, region: str | None, blind_index: Any) -> SubjectSpec:
    if values.get("uscc") is not None:
        raise CellError(
            "uscc", values["uscc"], "自然人没有统一社会信用代码", "a person has no unified social credit code"
        )
    identity_type = values.get("identity_type")
    if identity_type is not None and "身份证" not in identity_type and identity_type not in ("111", "1", "01"):
        raise CellError("identity_type", identity_type, "只接受居民身份证", "only resident identity numbers are taken")
    number = values.get("identity_number")
    if number is None:
        raise CellError(
            "identity_number",
            "",
            "自然人和公务员须有证件号码，否则无法区分同名的人",
            "a person needs an identity number, names alone don't tell people apart",
        )
    name = values["name"]
    key = ("PERSON", blind_index(number).hex())
    return SubjectSpec(key, kind, True, name, fold_name(name) or name, region_code=region, number=number)


def authority_spec(values: Values, reference: Reference) -> SubjectSpec | None:
    """The determining organ: by its code, else by its exact folded name among organs. Raises CellError."""
    name, code = values.get("authority_name"), values.get("authority_uscc")
    if name is not None and not fold_name(name):
        raise CellError("authority_name", name, "名称只有空白或符号", "the name has nothing in it")
    if code is not None and valid_uscc(code):
        if name is None:
            raise CellError(
                "authority_name", "", "有机关代码而无机关名称", "an authority needs its name beside its code"
            )
        region = region_of_code(code, reference.regions)
        return SubjectSpec(
            ("USCC", code), kind_of_uscc(code), False, name, fold_name(name), uscc=code, region_code=region
        )
    if name is None:
        if code is not None:
            raise CellError(
                "authority_uscc", code, "机关代码无效且无机关名称", "an invalid code and no name of the authority"
            )
        return None
    return SubjectSpec(("ORGAN", fold_name(name)), "ORGAN", False, name, fold_name(name))


def external_id_of(key: Key) -> Any:
    """The id that a subject has by its key alone: that of its code; None where it is random."""
    return organisation_uuid(key[1]) if key[0] == "USCC" else None

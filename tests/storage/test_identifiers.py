"""Promises: codes, numbers and names are judged and folded by their standards; node ids have one spelling."""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
import time
import uuid
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import identifiers as ids
from gateway.storage.database import Database

ROOT = Path(__file__).resolve().parents[2]
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# GB 32100-2015, table 2: the weights, written out.
WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)

prefixes = st.text(ALPHABET, min_size=17, max_size=17)


@pytest.mark.parametrize(
    "code",
    [
        "91350100M000100Y43",  # the example of GB 32100-2015
        "91110000600037341L",
        "916501035688754161",
        "91653200MA77HXFG5T",
    ],
)
def test_known_codes_are_valid(code: str) -> None:
    assert ids.valid_uscc(code)


@pytest.mark.parametrize(
    "code",
    ["91350100M000100Y44", "91350100M000100y43", "9135010M000100Y43", "", "91350100I000100Y43", "９1350100M000100Y43"],
)
def test_other_codes_are_not(code: str) -> None:
    assert not ids.valid_uscc(code)


@given(prefixes)
def test_the_check_digit_is_that_of_the_standard(first: str) -> None:
    # The standard: the sum with the check digit itself (weight 1) is 0 modulo 31.
    code = first + ids.uscc_check_digit(first)
    total = sum(ALPHABET.index(c) * w for c, w in zip(first, WEIGHTS, strict=True)) + ALPHABET.index(code[17])
    assert total % 31 == 0
    assert ids.valid_uscc(code)


@given(prefixes, st.integers(0, 16), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(first: str, place: int, other: str) -> None:
    code = first + ids.uscc_check_digit(first)
    if code[place] != other:
        assert not ids.valid_uscc(code[:place] + other + code[place + 1 :])


@pytest.mark.parametrize("prefix", ["A1", "N2", "Y1"])
def test_codes_that_begin_with_a_letter_are_valid(prefix: str) -> None:
    first = prefix + "652701MA7ABCDE1"
    assert ids.valid_uscc(first + ids.uscc_check_digit(first))


def test_organisation_codes_by_the_standards_example() -> None:
    # GB 11714: D2143569-X. 13*3+2*7+1*9+4*10+3*5+5*8+6*4+9*2 = 199; 11 - 199 mod 11 = 10 → X
    assert ids.valid_organisation_code("D2143569X")
    assert not ids.valid_organisation_code("D21435691")
    assert not ids.valid_organisation_code("D2143569")


def test_resident_numbers_need_form_birthday_and_check_digit_but_no_division_table() -> None:
    assert ids.valid_resident_id("11010519491231002X")  # the example of GB 11643
    assert not ids.valid_resident_id("110105194912310021")
    assert not ids.valid_resident_id("11010519491331002X")
    assert ids.valid_resident_id("652799196009290017")  # no such division, and yet a number


def test_kinds_by_prefix() -> None:
    kinds = {
        p: ids.kind_of_uscc(p + "0" * 16) for p in ("11", "12", "13", "51", "52", "53", "54", "55", "91", "92", "93")
    }
    assert kinds == {
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
    assert ids.kind_of_uscc("N2" + "0" * 16) == "OTHER"


# Node ids


def test_a_node_id_by_hand() -> None:
    # 0x53 0x00 … = 010100 110000 000000 … = U w A …
    assert ids.node_id("S", uuid.UUID(int=0)) == "Uw" + "A" * 21


@given(st.sampled_from("ABCRSZ"), st.uuids())
def test_node_ids_round_trip(letter: str, external_id: uuid.UUID) -> None:
    text = ids.node_id(letter, external_id)
    assert len(text) == 23
    assert ids.parse_node_id(text) == (letter, external_id)


@given(st.text(max_size=30))
def test_anything_else_is_refused(text: str) -> None:
    try:
        letter, made = ids.parse_node_id(text)
    except ValueError:
        return
    assert ids.node_id(letter, made) == text


@pytest.mark.parametrize(
    "text", ["Uw" + "A" * 20 + "B", "Uw" + "A" * 21 + "=", "Uw" + "A" * 20, "AA" + "A" * 21, "U+" + "A" * 21]
)
def test_other_spellings_of_an_id_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        ids.parse_node_id(text)


async def test_node_ids_agree_with_the_database(database: Database) -> None:
    connection = await asyncpg.connect(database.migrate_dsn)
    try:
        for external_id in [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), *(uuid.uuid4() for _ in range(50))]:
            assert await connection.fetchval("select core.node_id('R', $1)", external_id) == ids.node_id(
                "R", external_id
            )
    finally:
        await connection.close()


def test_an_organisations_id_follows_from_its_code_for_ever() -> None:
    assert ids.organisation_uuid("91350100M000100Y43") == uuid.uuid5(
        uuid.UUID("6a0c4d1e-5b0f-4c1c-9b57-6527d0c8a2f1"), "91350100M000100Y43"
    )


# Case and document numbers


@pytest.mark.parametrize(
    ("text", "normal", "court"),
    [
        ("（2023）新2701民初123号", "（2023）新2701民初123号", "新2701"),
        ("(2023)新2701执恢 123号", "（2023）新2701执恢123号", "新2701"),
        ("〔2024〕新27行终1号", "（2024）新27行终1号", "新27"),
        ("（2021）最高法民申1号", "（2021）最高法民申1号", "最高法"),
        ("（2022）兵0501民初7号", "（2022）兵0501民初7号", "兵0501"),
        ("（２０１０）博民初字第１２３号", "（2010）博民初字第123号", None),
    ],
)
def test_case_numbers(text: str, normal: str, court: str | None) -> None:
    parsed = ids.parse_case_number(text)
    assert (parsed.text, parsed.court) == (normal, court)
    assert ids.normal_case_number(normal) == normal


def test_every_shipped_courts_code_stands_in_a_case_number() -> None:
    with (ROOT / "data/courts/courts.csv").open(encoding="utf-8") as file:
        codes = [row["court_code"] for row in csv.DictReader(file)]
    assert len(codes) == 3582
    assert all(ids.parse_case_number(f"（2024）{code}执1号").court == code for code in codes)


@pytest.mark.parametrize("text", ["", "博州政发〔2018〕4号", "（2023）新2701民初号", "2023新2701民初1号"])
def test_what_is_no_case_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a case number"):
        ids.normal_case_number(text)


@pytest.mark.parametrize(
    "text",
    ["博州政发〔2018〕4号", "博州政发【2018】4号", "博州政发[2018]4号", "博州政发(2018)4号", "博州政发（2018） ４ 号"],
)
def test_document_numbers_have_one_kind_of_bracket(text: str) -> None:
    assert ids.normal_document_number(text) == "博州政发〔2018〕4号"


# Names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("新疆维吾尔自治区样例（集团）有限责任公司", "新疆样例(集团)有限公司"),
        ("博尔塔拉蒙古自治州示例局", "博州示例局"),
        ("巴音•达来", "巴音・达来"),
        ("巴音‧达来", "巴音·达来"),
        ("ＡＢＣ 样例", "ABC样例"),
    ],
)
def test_names_that_fold_together(one: str, other: str) -> None:
    assert ids.fold_name(one) == ids.fold_name(other)


@given(st.text(st.sampled_from("新疆维吾尔自治区博尔塔拉蒙古州有限责任公司（）() •·A"), max_size=60))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert ids.fold_name(ids.fold_name(name)) == ids.fold_name(name)


def test_different_names_stay_different() -> None:
    assert ids.fold_name("博乐市样例一厂") != ids.fold_name("博乐市样例二厂")


def test_identity_numbers_in_texts_are_masked_and_codes_are_not() -> None:
    text = "张某（11010519491231002X）代表91350100M000100Y43，另见65279919600929001x"
    assert ids.mask_identity_numbers(text) == (
        "张某（1101**********002X）代表91350100M000100Y43，另见6527**********001x"
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("652701199001011234", "6527**********1234"),
        ("６５２７０１１９９００１０１１２３４", "６５２７**********１２３４"),
        ("李某（６５２７０１ 19900101 １２３４）", "李某（６５２７**********１２３４）"),
        ("652701 19900101 1234", "6527**********1234"),
        ("652701-19900101-1234", "6527**********1234"),
        ("652701 – 19900101 — 1234", "6527**********1234"),
        ("652701.19900101.1234", "6527**********1234"),
        ("652701/19900101/1234", "6527**********1234"),
        ("652701_19900101_1234", "6527**********1234"),
        ("652701\\1990\\01\\01\\1234", "6527**********1234"),
        ("652701／19900101＼123＿X。", "6527**********123＿X。"),
        ("652701∕19900101⁄1234", "6527**********1234"),
        ("案652722/19880229/123X", "案6527**********123X"),
        ("652701/900101/123", "6527*******1/123"),
        ("652701199001011234/652701199001011234", "6527**********1234/6527**********1234"),
        ("652701·1990·01·01·1234", "6527**********1234"),
        ("652701\u200b19900101\ufeff12\u206034", "6527**********12\u206034"),
        ("6527 0119 9001 0112 34", "6527**********12 34"),
        ("6 5 2 7 0 1 1 9 9 0 0 1 0 1 1 2 3 4", "6 5 2 7**********1 2 3 4"),
        ("110105 1949123 1002X", "1101**********002X"),  # grouped like nothing, but the check character holds
        ("65270119900101123x", "6527**********123x"),
        ("65270119900101123Ｘ号", "6527**********123Ｘ号"),
        ("65270119900101123×", "6527**********123×"),
        ("65270119900101123 X", "6527**********123 X"),
        ("652701-19900101-123-X。", "6527**********123-X。"),
        ("A652701199001011234", "A6527**********1234"),
        ("652701199001011234abc", "6527**********1234abc"),
        ("身份证652701199001011234的", "身份证6527**********1234的"),
        ("652701199001011234②", "6527**********1234②"),  # the number of a note
        ("⑥⑤②⑦⓪①①⑨⑨⓪⓪①⓪①①②③④", "⑥⑤②⑦**********①②③④"),
        ("652701900101123", "6527*******1123"),
        ("身份证652701900101123号", "身份证6527*******1123号"),
        ("652701 900101 123", "6527*******1 123"),
        ("电话13812345678 652701199001011234 2023", "电话13812345678 6527**********1234 2023"),
        ("652701199001011234 652701199001011234", "6527**********1234 6527**********1234"),
        ("653001199001011234、65300119900101123X", "6530**********1234、6530**********123X"),
    ],
)
def test_no_spelling_of_an_identity_number_escapes(text: str, masked: str) -> None:
    assert ids.mask_identity_numbers(text) == masked
    assert ids.mask_identity_numbers(masked) == masked
    assert ids.holds_identity_number(text) is (masked != text)


@pytest.mark.parametrize(
    "text",
    [
        "916527222294335251",  # a code of digits alone
        "9165 2722 2294 3352 51",
        "91350100M000100Y43",
        "652701199013011234",  # no month 13
        "652701199002301234",  # no 30 February
        "652701190013321234",
        "652701189901011234",
        "652701210101011234",
        "052701199001011234",
        "6527011990010112345",  # 19 digits: an account
        "16527011990010112",
        "652701901301123",  # 15 digits, no month 13
        "罚款1234567.89元，没收123456789012345.67元",
        "652701900101123.50元",
        "13812345678、0909-2312345、13912345678 13712345678",
        "2023-01-15 13812345678",
        "2011-03-20 2011-09-01 12:30:00",
        "（2023）新2701民初123号 （2024）新2701执恢20240101号",
        "博州市监处罚〔2023〕20230105号",
        "202301201005153456",  # a number made of a time
        "2023.01.05 2023.02.06 2023.03.07 2023.04.08",
        "2026/11/28",
        "2023/01/05-2023/02/06、2023/03/07/2023/04/08",
        "博州财审〔2026〕12号",
        "(2026)新27民初123号/(2026)新27民初124号",
        "GB/T 2260—2007、DB65/T 3456-2020",
        "91350100M000100Y43/916527222294335251",
        "13812345678/0909-2312345/13912345678",
        "WJ_2026_1128_000123",
        "注册号652701050001234",
        "1 234 567 890 123 456 789",
    ],
)
def test_what_is_no_identity_number_stays(text: str) -> None:
    assert ids.mask_identity_numbers(text) == text


def _both_code_and_number(*, holds: bool) -> str:
    """A valid code with a day of birth inside, whose last digit is that of an identity number or not."""
    for serial in range(1000):
        first = f"91652719900101{serial:03d}"
        code = first + ids.uscc_check_digit(first)
        if code[-1].isdigit() and ids.valid_resident_id(code) is holds:
            return code
    raise AssertionError("there is one")


def test_a_code_that_is_an_identity_number_as_well() -> None:
    code = _both_code_and_number(holds=False)
    assert ids.valid_uscc(code)
    assert ids.mask_identity_numbers(f"代码{code}") == f"代码{code}"
    both = _both_code_and_number(holds=True)
    assert ids.valid_uscc(both)
    assert ids.mask_identity_numbers(both) == f"{both[:4]}**********{both[-4:]}"


def test_fifteen_digits_of_a_code_that_holds_stay() -> None:
    for tail in ("AA", "MW", "XY"):
        first = "916527010512011" + tail
        code = first + ids.uscc_check_digit(first)
        assert ids.mask_identity_numbers(f"代码{code}。") == f"代码{code}。"


@given(st.text(st.sampled_from("0123456789 -./_Xx\u200b张，６A②"), max_size=80))
def test_masking_changes_digits_into_stars_alone_and_twice_is_once(text: str) -> None:
    masked = ids.mask_identity_numbers(text)
    assert ids.mask_identity_numbers(masked) == masked or "*" in masked
    assert "*" in masked or masked == text
    assert ids.holds_identity_number(text, len(text)) is (masked != text)


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "6",
        "1 ",
        "65270119900101",
        "9 \u200b",
        "652701199001011234 ",
        "1-",
        "６",
        "6\u200b",
        "1   X",
        "②",
        "6/",
        "1_\\",
    ],
)
def test_masking_takes_linear_time(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    began = time.process_time()
    ids.mask_identity_numbers(text)
    assert time.process_time() - began < 8  # 1 s or so; minutes if it were quadratic
    began = time.process_time()
    ids.holds_identity_number(text)
    assert time.process_time() - began < 2  # less still: it ends where it knows


def test_every_character_there_is_fills_no_memory() -> None:
    """Anybody can send each of the million, in a comment: what is kept of them is a tenth, and none is read otherwise
    for it. Kept, all of them took 150 MiB for good."""
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    for at in range(0, len(points), 100_000):
        ids.holds_identity_number("".join(map(chr, points[at : at + 100_000])))
    for small, view in ((False, ids._VIEW), (True, ids._VIEW_OF_SMALL)):
        assert len(view) < 140_000
        assert all(view[point] == ids._viewed(chr(point), small) for point in range(0x20000, 0x110000, 3))


@pytest.mark.parametrize("given", [6.5270119900101123e17, -652701199001011234, 652701199001011234, 652701900101123.0])
def test_a_number_in_json_is_hidden_however_it_is_written(given: float) -> None:
    """As a double of 53 bits a number has lost its last digit or two, which the check digit gives back."""
    assert "*" in str(ids.mask_identity_numbers_in({"n": [given]}))


@pytest.mark.parametrize("given", [1e14, 12345678901234567890, -1e300, float("inf"), 0.5, True, 652701199001011234.5e6])
def test_other_numbers_in_json_stay(given: float) -> None:
    assert ids.mask_identity_numbers_in([given]) == [given]


def test_a_live_row_has_the_id_of_its_source_and_key_for_ever() -> None:
    """RFC 9562 §5.5 by hand: SHA-1 over namespace and name, version and variant put in."""
    name = "REGION_PLATFORM|xzcf|91350100M000100Y43|样例〔2026〕1号"
    digest = bytearray(hashlib.sha1(bytes.fromhex("0f6d2a8341c74d568a0e6527b3f19c40") + name.encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    made = ids.live_record_id("REGION_PLATFORM", "xzcf|91350100M000100Y43|样例〔2026〕1号")
    assert made.bytes == bytes(digest)
    assert made != ids.live_record_id("COURTS", "xzcf|91350100M000100Y43|样例〔2026〕1号")


def test_runs_of_digits_are_what_the_plain_expressions_find() -> None:
    """All texts of up to seven signs: nothing possessive in them, which Python before 3.11.5 does not read right."""
    plain = {
        ids._DIGITS: r"[0-9](?:\x01*(?:[ .]\x01*){0,3}[0-9])*",
        ids._PIECE: r"[0-9](?:\x01*[0-9])*",
        ids._CHECK_X: r"\x01*(?:X|[ .](?:\x01*[ .]){0,2}\x01*X(?![0-9A-Z]))",
    }
    texts = ["".join(signs) for length in range(8) for signs in itertools.product("1X .\x01", repeat=length)]
    for found, expected in plain.items():
        slowly = re.compile(expected)
        for text in texts:
            assert found.findall(text) == slowly.findall(text), (found.pattern, text)

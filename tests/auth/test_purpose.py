"""Promise: a purpose is read exactly (RFC 9651, RFC 9396); what can't be read is BadUserInput, never a failure."""

from __future__ import annotations

import contextlib
from typing import Any

import http_sf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.purpose import Purpose, agree, parse_details, parse_header
from gateway.errors import BadUserInput

CODE = "91350100M000100Y43"  # the example of GB 32100-2015


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ('matter="GRANT", case="2026-11"', "2026-11"),
        ('case="2026-11",matter="GRANT"', "2026-11"),
        ('matter="GRANT", case=%"%e5%8d%9a%e8%b4%a22026-11"', "博财2026-11"),
        ('matter=%"GRANT", case="a \\"b\\" c"', 'a "b" c'),
    ],
)
def test_headers_that_hold(text: str, case: str) -> None:
    assert parse_header(text) == Purpose("GRANT", case)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "matter",
        'matter="GRANT"',
        'case="1"',
        'matter="GRANT", case=""',
        'matter="GRANT", case="   "',
        'matter="GRANT", case=1',
        'matter=GRANT, case="1"',
        'matter="GRANT", case=:MQ==:',
        'matter="GRANT", case=("1" "2")',
        'matter="GRANT", case="1";x=1',
        'matter="GRANT", case="1", case="2"',
        'matter="GRANT", case="1", max_subjects=1',
        'matter="GRANT", case="博财"',
        'matter="GRANT", case="\u00e5"',
        'matter="GRANT", case=%"%E5%8D%9A"',
        'matter="GRANT", case=%"%e5%8d"',
        'matter="GRANT", case=%"%00"',
        'matter="GRANT", case=%"%0a"',
        'matter="GRANT", case=%"%e2%80%ae1"',
        'matter="GRANT", case=%"%ed%a0%80"',
        'matter="grant", case="1"',
        f'matter="{"A" * 41}", case="1"',
        f'matter="GRANT", case="{"1" * 201}"',
        'matter="GRANT", case="' + "1" * 100_000,
        'matter="GRANT", case=@9999999999999999',
        'matter="GRANT", case=@-99999999999999',
        "\x00",
    ],
)
def test_headers_that_do_not(text: str) -> None:
    with pytest.raises(BadUserInput):
        parse_header(text)


GOOD = {"type": "credit_purpose", "matter": "GRANT", "case_number": "1"}
NUMBER = "652799196009290017"  # no such division: nobody's


@pytest.mark.parametrize(
    "case",
    [
        NUMBER,
        f"博财{NUMBER}号",
        f"a{NUMBER}",
        NUMBER[:-1],
        f"博财{NUMBER[:-1]}",
        "6527 9919 6009 2900 17",
        "652701900101123",
        "案652722/19880229/123X",
        "案652722_19880229＼123X",
    ],
)
def test_a_case_number_with_an_identity_number_is_refused(case: str) -> None:
    """It would stand in the account in clear."""
    header = 'matter="GRANT", case=%"' + "".join(f"%{byte:02x}" for byte in case.encode()) + '"'
    for read, given_ in ((parse_header, header), (parse_details, [{**GOOD, "case_number": case}])):
        with pytest.raises(BadUserInput) as refused:
            read(given_)
        assert "leave identity numbers out of case numbers" in refused.value.en
        assert case not in refused.value.en + refused.value.zh


@pytest.mark.parametrize(
    "case", ["（2023）新2701民初123号", "博财2026-11", "91350100M000100Y43", "20261105000012345678"]
)
def test_other_numbers_are_case_numbers(case: str) -> None:
    assert parse_details([{**GOOD, "case_number": case}]).case_number == case


@settings(deadline=None)
@given(st.text())
def test_any_header_is_a_purpose_or_bad_user_input(text: str) -> None:
    _either(text)


@settings(deadline=None)
@given(st.text(st.sampled_from('matercs="GRANT,%@:?;()*0159ef -\\'), max_size=60), st.text(max_size=5))
def test_any_header_of_the_grammars_own_characters(text: str, more: str) -> None:
    _either(f'matter="GRANT", case={text}{more}')


def _either(text: str) -> None:
    with contextlib.suppress(BadUserInput):
        assert isinstance(parse_header(text), Purpose)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=100).filter(str.strip))
def test_every_printable_case_number_survives_the_header(case: str) -> None:
    text = http_sf.ser({"matter": "GRANT", "case": http_sf.DisplayString(case)})
    if len(text) <= 4_096:
        assert parse_header(text).case_number == case


def test_details_that_hold() -> None:
    detail = {
        "type": "credit_purpose",
        "matter": "GRANT",
        "case_number": "博财2026-11",
        "max_subjects": 50,
        "on_behalf_of": CODE,
    }
    purpose = parse_details([detail])
    assert purpose == Purpose("GRANT", "博财2026-11", 50, CODE)
    assert purpose.as_details() == [detail]


@pytest.mark.parametrize(
    "details",
    [
        None,
        {},
        [],
        GOOD,
        [GOOD, GOOD],
        ["x"],
        [{**GOOD, "type": "payment"}],
        [{**GOOD, "unknown": 1}],
        [{**GOOD, "max_subjects": 0}],
        [{**GOOD, "max_subjects": True}],
        [{**GOOD, "max_subjects": 1.5}],
        [{**GOOD, "max_subjects": 10**9}],
        [{**GOOD, "max_subjects": "5"}],
        [{**GOOD, "on_behalf_of": CODE[:-1] + "4"}],
        [{**GOOD, "on_behalf_of": 5}],
        [{**GOOD, "matter": None}],
        [{**GOOD, "case_number": 5}],
        [{**GOOD, "case_number": "\ud800"}],
        [{**GOOD, "case_number": "a\nb"}],
        [{"type": "credit_purpose"}],
    ],
    ids=repr,
)
def test_details_that_do_not(details: Any) -> None:
    with pytest.raises(BadUserInput) as caught:
        parse_details(details)
    assert caught.value.en.isascii()


def test_token_and_header_must_agree() -> None:
    token = Purpose("GRANT", "1", 5, CODE)
    assert agree(token, None) == token
    assert agree(token, Purpose("GRANT", "1")) == token
    assert agree(None, Purpose("GRANT", "1")) == Purpose("GRANT", "1")
    assert agree(None, None) is None
    for other in (Purpose("GRANT", "2"), Purpose("DEBT", "1")):
        with pytest.raises(BadUserInput):
            agree(token, other)

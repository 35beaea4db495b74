"""Promises: an answer comes in the language that Accept-Language (RFC 9110) prefers, Chinese or English."""

from __future__ import annotations

import pytest

from gateway.web.refusals import language_of


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en,zh", "en"),
        ("zh;q=0.5, en;q=0.9", "en"),
        ("de, ZH-hans ; q = 0.8", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=0, en;q=0", "en"),
        ("en;q=0.1, zh;q=0.1", "en"),
    ],
)
def test_the_language_that_is_preferred(accepted: str, language: str) -> None:
    assert language_of(accepted) == language

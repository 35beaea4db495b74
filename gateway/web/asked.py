"""What headers ask of one request beside who asks: Credit-Hops, Credit-Deadline-Ms, Credit-Cost, Credit-Receipt,
Idempotency-Key.

In: the one value of each header, None where it is not there. Out: what it means, or BadUserInput. Read as strictly as
everything else here: a header that another reader could take otherwise is refused.
"""

from __future__ import annotations

import re
from typing import Final

import http_sf

from gateway.errors import BadUserInput
from gateway.storage.identifiers import holds_identity_number

_HOPS: Final = re.compile(r"[0-9]{1,3}")
_MILLISECONDS: Final = re.compile(r"[1-9][0-9]{0,8}")
MOST_KEY: Final = 255  # characters of an Idempotency-Key
# RFC 9110's token, and what UUIDs and hashes in their usual spellings have beside it; nothing that begins a parameter
# or another item of a list.
_BARE: Final = re.compile(rf"[!#$%&'*+\-.^_`|~0-9A-Za-z:/=]{{1,{MOST_KEY}}}")


def hops(text: str) -> int:
    """Credit-Hops: how many gateways the question has passed. Raises BadUserInput above 1."""
    if not _HOPS.fullmatch(text) or int(text) > 1:
        raise BadUserInput(
            "Credit-Hops must be 0 or 1; leave it out unless you are a gateway that passes a question on",
            "Credit-Hops 只能为 0 或 1；除转发查询的网关外请勿使用",
        )
    return int(text)


def deadline(text: str) -> float:
    """Credit-Deadline-Ms: seconds that the client still waits. Raises BadUserInput."""
    if not _MILLISECONDS.fullmatch(text):
        raise BadUserInput(
            "Credit-Deadline-Ms must be whole milliseconds, more than 0, such as 4000; or leave it out",
            "Credit-Deadline-Ms 必须是大于 0 的整数毫秒，例如 4000；也可省略",
        )
    return int(text) / 1_000


def requested(name: str, text: str) -> bool:
    """A header that asks for something beside the answer: the Token `request` (RFC 9651). Raises BadUserInput."""
    if text.strip(" ") != "request":
        raise BadUserInput(f"{name} must be: request; or leave it out", f"{name} 只能为 request，也可省略")
    return True


def idempotency_key(text: str) -> str:
    """Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a String (RFC 9651), or the same without its quotes.

    Both spellings are one key. Raises BadUserInput; also for an identity number, whose plain hash would be kept.
    """
    key = _key(text)
    if holds_identity_number(key):
        raise BadUserInput(
            "Idempotency-Key holds what reads as a resident identity number; use a new UUID",
            "Idempotency-Key 中含有（或形似）居民身份证号码，请使用新的 UUID",
        )
    return key


def _key(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    if text.startswith('"'):
        try:
            found = http_sf.parse(text.encode("latin-1"), tltype="item")
        except (ValueError, UnicodeEncodeError):
            found = None
        value, parameters = found if isinstance(found, tuple) else (found, {})
        if type(value) is str and not parameters and 1 <= len(value) <= MOST_KEY and value.strip():
            return value
    raise BadUserInput(
        f"Idempotency-Key must be one text of 1 to {MOST_KEY} ASCII characters, in quotes or without; a new UUID does",
        f"Idempotency-Key 必须是 1 至 {MOST_KEY} 个 ASCII 字符的文本，可加引号；建议使用新的 UUID",
    )

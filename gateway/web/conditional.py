"""Conditional GET of public answers (RFC 9110 §13.1.2): nobody is sent what they have, and nobody shows what is old.

In: an answer's media type and bytes, the If-None-Match of its request. Out: a strong ETag, and whether the request has
it already. The answer was made anew all the same: it is what the tag is taken of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

MOST_TAGS: Final = 50  # of a request that are looked at
_TAG: Final = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_SEPARATOR: Final = re.compile(rb"[ \t]*,[ \t,]*")


def etag(media: bytes, body: bytes) -> bytes:
    """The tag of an answer. Of the bytes and what they are: the same ones as another media type are another answer."""
    return b'"%b"' % sha256(media + b"\n" + body).hexdigest()[:43].encode()


def has_it(given: Sequence[bytes], tag: bytes) -> bool:
    """Whether If-None-Match, in all its lines, has the tag, weak or strong. One that can't be read has nothing."""
    text = b",".join(given).strip(b" \t")
    if text == b"*":
        return True
    place = 0
    for _ in range(MOST_TAGS):
        found = _TAG.match(text, place)
        if found is None:
            return False
        if found[1] == tag:
            return True
        between = _SEPARATOR.match(text, found.end())
        if between is None:
            return False
        place = between.end()
    return False

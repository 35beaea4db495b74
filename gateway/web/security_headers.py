"""Headers that every response has, whoever made it: written once, and added to its head as bytes.

In: whether the gateway's own name is https. Out: the end of each head, for OneWrite. A response that brings a policy of
its own (GraphiQL's page) keeps it: two policies would both hold.
"""

from __future__ import annotations

from typing import Final

POLICY_NAME: Final = b"content-security-policy: "
_POLICY: Final = POLICY_NAME + b"default-src 'none'; frame-ancestors 'none'\r\n"
_ALWAYS: Final = (
    b"x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n"
)
_HTTPS: Final = b"strict-transport-security: max-age=31536000\r\n"


def security_headers(*, https: bool) -> tuple[bytes, bytes]:
    """The end of a head, for a response without a policy and for one that has its own."""
    lines = _ALWAYS + (_HTTPS if https else b"")
    return lines + _POLICY + b"\r\n", lines + b"\r\n"

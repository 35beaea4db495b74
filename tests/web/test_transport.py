"""Promises: head and body leave in one piece, a head without a body leaves all the same, nothing is written twice or
after the end; every response has the headers that all have, and a policy of its own where it brings one."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.web.security_headers import security_headers
from gateway.web.transport import PLAIN, OneWrite

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"
SENT = b"HTTP/1.1 200 OK\r\n" + PLAIN[0]  # a head as it leaves


class Transport(asyncio.Transport):
    """Remembers what reaches the kernel at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def made() -> tuple[Transport, OneWrite, list[Any]]:
    transport, later = Transport(), []
    return transport, OneWrite(transport, later.append), later


def test_head_and_body_at_once() -> None:
    transport, one, later = made()
    one.write(HEAD)
    assert transport.sent == []
    one.write(BODY)
    one.write(BODY)
    for call in later:
        call()
    assert transport.sent == [SENT + BODY, BODY]


def test_a_head_alone_leaves_in_the_next_turn() -> None:
    transport, one, later = made()
    one.write(HEAD)
    for call in later:
        call()
    one.write(BODY)
    assert transport.sent == [SENT, BODY]


def test_what_was_written_leaves_before_the_end_and_nothing_after() -> None:
    transport, one, later = made()
    one.write(HEAD)
    one.close()
    for call in later:
        call()
    assert (transport.sent, transport.closed, one.is_closing()) == ([SENT], True, True)
    transport, one, later = made()
    one.write(HEAD)
    transport.close()  # by the peer
    for call in later:
        call()
    assert transport.sent == []


def test_what_a_body_looks_like_does_not_matter_until_the_response_has_ended() -> None:
    transport, one, _ = made()
    one.write(HEAD)
    one.write(HEAD)  # a body that looks like a head
    one.write(HEAD)
    assert transport.sent == [SENT + HEAD, HEAD]
    one.ended()
    one.write(HEAD)
    one.write(BODY)
    assert transport.sent[2:] == [SENT + BODY]


def test_a_head_without_a_body_leaves_before_the_next_response() -> None:
    transport, one, _ = made()
    one.write(HEAD)
    one.ended()  # the answer to HEAD
    one.write(HEAD)
    one.write(BODY)
    assert transport.sent == [SENT, SENT + BODY]


def test_the_word_to_go_on_is_no_response() -> None:
    transport, one, _ = made()
    one.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    one.write(HEAD)
    one.write(BODY)
    assert transport.sent == [b"HTTP/1.1 100 Continue\r\n\r\n", SENT + BODY]


def test_a_response_with_a_policy_keeps_it_alone() -> None:
    transport, one, _ = made()
    one.write(b"HTTP/1.1 200 OK\r\ncontent-security-policy: default-src 'self'\r\n\r\n")
    one.write(BODY)
    assert transport.sent[0].count(b"content-security-policy") == 1
    assert b"x-content-type-options: nosniff\r\n" in transport.sent[0]


def test_only_where_our_own_name_is_https_must_browsers_keep_to_it() -> None:
    for lines in security_headers(https=True):
        assert b"strict-transport-security: max-age=31536000\r\n" in lines
    for lines in security_headers(https=False):
        assert b"strict-transport-security" not in lines


def test_what_the_client_has_not_taken_is_known() -> None:
    transport, one, _ = made()
    one.write(HEAD)
    one.write(BODY)
    one.write(BODY)
    assert one.written == sum(map(len, transport.sent))
